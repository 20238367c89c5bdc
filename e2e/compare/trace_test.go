package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The traces are what strace prints, shortened, with the run's names made generic.
var traces = []struct {
	name  string
	root  int
	trace string
	want  []string
}{
	{
		name: "a pipe and a child in Go",
		root: 100,
		trace: `100 execve("$DIR/../go/simple_pipe", ["simple_pipe", "a b)"], 0x7ffd /* 35 vars */) = 0
100 openat(AT_FDCWD<$DIR>, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", O_RDONLY) = 3</sys/kernel/mm/transparent_hugepage/hpage_pmd_size>
100 read(3</sys/kernel/mm/transparent_hugepage/hpage_pmd_size>, "2097152\n", 20) = 8
100 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_SETTLS, tls=0x1) = 101
100 pipe2([5<pipe:[10]>, 6<pipe:[10]>], O_CLOEXEC) = 0
100 clone(child_stack=NULL, flags=CLONE_VM|CLONE_PIDFD|CLONE_VFORK <unfinished ...>
102 +++ exited with 0 +++
100 <... clone resumed>, parent_tid=[8<anon_inode:[pidfd]>]) = 102
100 waitid(P_PIDFD, 8<anon_inode:[pidfd]>, {si_signo=SIGCHLD, si_pid=102}, WEXITED|__WCLONE, NULL) = 0
100 pipe2([7<pipe:[11]>, 8<pipe:[11]>], O_CLOEXEC) = 0
101 clone(child_stack=NULL, flags=CLONE_VM|CLONE_PIDFD|CLONE_VFORK|SIGCHLD <unfinished ...>
103 dup3(5<pipe:[10]>, 3</sys/x>, 0)  = 3<pipe:[10]>
103 execve("$DIR/../go/simple_pipe", ["simple_pipe:child", "a b)"], 0x15 /* 35 vars */ <unfinished ...>
101 <... clone resumed>, parent_tid=[9<anon_inode:[pidfd]>]) = 103
103 <... execve resumed>)             = 0
100 close(8<pipe:[11]>)               = 0
100 read(7<pipe:[11]>, "", 8)         = 0
100 close(7<pipe:[11]>)               = 0
100 close(5<pipe:[10]>)               = 0
100 write(6<pipe:[10]>, "a b) = 3", 8) = 8
100 close(6<pipe:[10]>)               = 0
101 waitid(P_PIDFD, 9<anon_inode:[pidfd]>,  <unfinished ...>
103 read(3<pipe:[10]>,  <unfinished ...>
103 <... read resumed>"a b) = 3", 10) = 8
103 write(1<pipe:[99]>, "a b) = 3", 8) = 8
103 read(3<pipe:[10]>, "", 10)        = 0
101 read(-256,  <detached ...>
103 close(3<pipe:[10]>)               = 0
103 +++ exited with 0 +++
101 <... waitid resumed>{si_signo=SIGCHLD, si_pid=103}, WEXITED, NULL) = 0
100 +++ exited with 0 +++
`,
		want: []string{
			"pipe made", "create child", "close pipe", "write pipe 8", "close pipe", "wait for child",
			"child 1: read pipe 8", "child 1: read pipe 0",
		},
	},
	{
		name: "the same in C",
		root: 100,
		trace: `100 execve("$DIR/../c/simple_pipe", ["simple_pipe", "a"], 0x7ffd /* 35 vars */) = 0
100 openat(AT_FDCWD<$DIR>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
100 mmap(NULL, 1, PROT_READ, MAP_PRIVATE, 3</etc/ld.so.cache>, 0) = 0x7f00
100 close(3</etc/ld.so.cache>)        = 0
100 pipe([3<pipe:[10]>, 4<pipe:[10]>]) = 0
100 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7) = 101
101 close(4<pipe:[10]>)               = 0
100 close(3<pipe:[10]>)               = 0
100 write(4<pipe:[10]>, "a", 1)       = 1
100 close(4<pipe:[10]>)               = 0
100 wait4(-1,  <unfinished ...>
101 read(3<pipe:[10]>, "a", 10)       = 1
101 read(3<pipe:[10]>, "", 10)        = 0
101 +++ exited with 0 +++
100 <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 101
100 +++ exited with 0 +++
`,
		want: []string{
			"pipe made", "create child", "close pipe", "write pipe 1", "close pipe", "wait for child",
			"child 1: close pipe", "child 1: read pipe 1", "child 1: read pipe 0",
		},
	},
	{
		name: "execve in a thread",
		root: 1,
		trace: `1 execve("x", ["x"], 0x1 /* 1 vars */) = 0
1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD, tls=0x1) = 2
2 execve("/usr/bin/gzip", ["gzip", "-c9"], 0x63b /* 35 vars */ <unfinished ...>
1 openat(AT_FDCWD<$DIR>, "shared.dat", O_RDONLY <unfinished ...>
1 +++ superseded by execve in pid 2 +++
1 <... execve resumed>)             = 9
1 openat(AT_FDCWD<$DIR>, "in", O_RDONLY) = 3<$DIR/in>
1 execve("/usr/bin/cat", ["cat"], 0x63b /* 35 vars */ <pid changed to 1 ...>
1 <... execve resumed>) = 0
1 +++ exited with 0 +++
`,
		want: []string{"exec gzip", "open in O_RDONLY", "exec cat"},
	},
	{
		name: "objects, flags, retries",
		root: 1,
		trace: `1 execve("x", ["x"], 0x1 /* 1 vars */) = 0
1 openat(AT_FDCWD<$DIR>, "/dev/shm$NAME", O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC, 0660) = 3</dev/shm$NAME>
1 openat(AT_FDCWD<$DIR>, "shared.dat", O_RDWR) = -1 ENOENT (No such file or directory)
1 fallocate(3</dev/shm$NAME>, 0, 0, 1096) = -1 EINTR (Interrupted system call)
1 fallocate(3</dev/shm$NAME>, 0, 0, 1096) = 0
1 mmap(NULL, 1096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</dev/shm$NAME>, 0) = 0x7f00
1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x8f00
1 munmap(0x8f00, 4096) = 0
1 munmap(0x7f00, 1096) = 0
1 unlink("/dev/shm$NAME") = 0
1 mq_open("NAME", O_RDWR|O_CREAT|O_NONBLOCK, 0600, {mq_flags=0, mq_maxmsg=3, mq_msgsize=20, mq_curmsgs=0}) = 4<$NAME>
1 mq_timedsend(4<$NAME>, "hi", 2, 7, {tv_sec=0, tv_nsec=0}) = -1 ETIMEDOUT (Connection timed out)
1 mq_timedsend(4<$NAME>, "hi", 2, 7, NULL) = 0
1 mq_timedreceive(4<$NAME>, "hi", 20, [7], NULL) = 2
1 mq_getsetattr(4<$NAME>, NULL, {mq_flags=0, mq_maxmsg=3, mq_msgsize=20, mq_curmsgs=0}) = 0
1 mq_unlink("NAME") = 0
1 memfd_create("counter", MFD_CLOEXEC) = 5</memfd:counter>(deleted)
1 mmap(NULL, 48, PROT_READ|PROT_WRITE, MAP_SHARED, 5</memfd:counter>(deleted), 0) = 0x9f00
1 kill(1, SIGTERM) = 0
1 +++ killed by SIGTERM +++
`,
		want: []string{
			"open /dev/shm$NAME O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW 0660",
			"open shared.dat O_RDWR = ENOENT",
			"fallocate /dev/shm$NAME 0 1096",
			"mmap /dev/shm$NAME 1096 PROT_READ|PROT_WRITE",
			"munmap /dev/shm$NAME 1096",
			"unlink /dev/shm$NAME",
			"mq_open NAME O_RDWR|O_CREAT 0600 3×20",
			"mq_send $NAME 2 priority 7",
			"mq_receive $NAME 2",
			"mq_getattr $NAME",
			"mq_unlink NAME",
			"memfd_create counter",
			"mmap memfd counter 48 PROT_READ|PROT_WRITE",
		},
	},
	{
		name: "a FIFO in pieces, another program, a server's socket",
		root: 1,
		trace: `1 execve("x", ["x"], 0x1 /* 1 vars */) = 0
1 mknodat(AT_FDCWD<$DIR>, "pipe_file", S_IFIFO|0666) = 0
1 fork() = 2
2 openat(AT_FDCWD<$DIR>, "pipe_file", O_RDONLY <unfinished ...>
1 openat(AT_FDCWD<$DIR>, "pipe_file", O_WRONLY) = 3<$DIR/pipe_file>
2 <... openat resumed>) = 3<$DIR/pipe_file>
2 dup2(3<$DIR/pipe_file>, 0<pipe:[9]>) = 0<$DIR/pipe_file>
2 execve("/usr/local/bin/gzip", ["gzip", "-c9"], 0x1 /* 1 vars */) = -1 ENOENT (No such file or directory)
2 execve("/usr/bin/gzip", ["gzip", "-c9"], 0x1 /* 1 vars */) = 0
1 write(3<$DIR/pipe_file>, "a", 1) = 1
1 write(3<$DIR/pipe_file>, "bc", 2) = 2
1 close(3<$DIR/pipe_file>) = 0
2 read(0<$DIR/pipe_file>, "abc", 10) = 3
2 read(0<$DIR/pipe_file>, "", 10) = 0
2 +++ exited with 0 +++
1 wait4(-1, NULL, WNOHANG, NULL) = 2
1 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 4<socket:[20]>
1 bind(4<socket:[20]>, {sa_family=AF_UNIX, sun_path="$DIR/s"}, 110) = 0
1 listen(4<socket:[20]>, 5) = 0
1 accept4(4<socket:[20]>, NULL, NULL, SOCK_CLOEXEC) = 5<socket:[21]>
1 sendto(5<socket:[21]>, "x", 1, MSG_NOSIGNAL, NULL, 0) = 1
1 close(5<socket:[21]>) = 0
1 accept(4<socket:[20]>, NULL, NULL <unfinished ...>
1 <... accept resumed>) = ?
1 +++ killed by SIGTERM +++
`,
		want: []string{
			"mkfifo pipe_file 0666", "create child", "open FIFO pipe_file O_WRONLY",
			"write FIFO pipe_file 3", "close FIFO pipe_file",
			"socket made: AF_UNIX SOCK_STREAM", "bind socket s", "listen socket 5", "accept socket → socket 2",
			"write socket 2 1", "close socket 2",
			"child 1: open FIFO pipe_file O_RDONLY", "child 1: dup FIFO pipe_file onto 0", "child 1: exec gzip",
			"child 1: read FIFO pipe_file 3", "child 1: read FIFO pipe_file 0",
		},
	},
}

func TestCalls(t *testing.T) {
	for _, tt := range traces {
		calls, killed, err := parseTrace(tt.trace)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, normalise(calls, killed, tt.root)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestParseTraceRefuses(t *testing.T) {
	for _, text := range []string{"no pid\n", "1 <... read resumed>) = 0\n", "1 what\n"} {
		if _, _, err := parseTrace(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestSplitArgs(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "",
		`1, 2`:                             "1;2",
		`"a, \"b)", {x=1, y=[2, 3]}, NULL`: `"a, \"b)";{x=1, y=[2, 3]};NULL`,
		`3<pipe:[1]>, ""..., 10`:           `3<pipe:[1]>;""...;10`,
		`4<UNIX:[1->2,"/s"]>, 5`:           `4<UNIX:[1->2,"/s"]>;5`,
	} {
		if got := strings.Join(splitArgs(text), ";"); got != want {
			t.Errorf("splitArgs(%q) = %q, want %q", text, got, want)
		}
	}
}
