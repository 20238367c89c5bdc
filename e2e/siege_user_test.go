package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
)

// owned gives a file to the user 65534.
func owned(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root may give files away")
	}
	if err := os.Lchown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
}

// identity is what must not change about a file that is left alone.
func identity(t testing.TB, path string) string {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	id := fmt.Sprint(sys.Dev, sys.Ino, sys.Uid, sys.Gid, sys.Mode, sys.Size)
	if st.Mode().IsRegular() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		id += string(b)
	}
	return id
}

// What another user has put where a program creates exclusively is refused, and
// left alone, whatever it is.
func TestSiegeForeignObject(t *testing.T) {
	t.Parallel()
	regular := func(t *testing.T, path string) {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	filled := func(t *testing.T, path string) {
		regular(t, path)
		if err := os.WriteFile(path, make([]byte, 4096), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	fifo := func(t *testing.T, path string) {
		if err := unix.Mkfifo(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	link := func(t *testing.T, path string) {
		if err := os.Symlink("/etc/hostname", path); err != nil {
			t.Fatal(err)
		}
	}
	live := func(kind string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			l, err := net.Listen(kind, shortPath(t, path))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
	}
	dead := func(t *testing.T, path string) {
		deadSocket(t, filepath.Dir(path), filepath.Base(path), unix.SOCK_SEQPACKET)
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		args []string
		file string // at which it is made
		want string
	}{
		{"regular", filled, []string{"pshm_writer", "NAME"}, "/dev/shm/", "shm_open .*: file exists"},
		{"fifo", fifo, []string{"pshm_writer", "NAME"}, "/dev/shm/", "shm_open .*: file exists"},
		{"link", link, []string{"pshm_writer", "NAME"}, "/dev/shm/", "shm_open .*: file exists"},
		{"regular", filled, []string{"fifo_gzip", "in", "out"}, "pipe_file", "mkfifo pipe_file: file exists"},
		{"fifo", fifo, []string{"fifo_gzip", "in", "out"}, "pipe_file", "mkfifo pipe_file: file exists"},
		{"link", link, []string{"fifo_gzip", "in", "out"}, "pipe_file", "mkfifo pipe_file: file exists"},
		{"socket", dead, []string{"fifo_gzip", "in", "out"}, "pipe_file", "mkfifo pipe_file: file exists"},
		{"regular", filled, []string{"domain_sock", "server", "sock"}, "sock", "bind sock: is there and is no socket: address already in use"},
		{"fifo", fifo, []string{"domain_sock", "server", "sock"}, "sock", "bind sock: is there and is no socket: address already in use"},
		{"link", link, []string{"domain_sock", "server", "sock"}, "sock", "bind sock: is there and is no socket: address already in use"},
		{"live", live("unix"), []string{"domain_sock", "server", "sock"}, "sock", "bind sock: a server is there: address already in use"},
		{"empty", regular, []string{"doors_emul", "server", "door"}, "door", "fattach door: operation not permitted\nhint: "},
		{"regular", filled, []string{"doors_emul", "server", "door"}, "door", "fattach door: operation not permitted\nhint: "},
		{"fifo", fifo, []string{"doors_emul", "server", "door"}, "door", "fattach door: file exists\nhint: "},
		{"link", link, []string{"doors_emul", "server", "door"}, "door", "fattach door: too many levels of symbolic links"},
		{"live", live("unixpacket"), []string{"doors_emul", "server", "door"}, "door", "fdetach door: operation not permitted\nhint: "},
		{"dead", dead, []string{"doors_emul", "server", "door"}, "door", "fdetach door: operation not permitted\nhint: "},
		// Where the original opens what is there, a link is not followed.
		{"link", link, []string{"mmap_producer"}, "shared.dat", "open shared.dat: too many levels of symbolic links"},
		{"link", link, []string{"mmap_queue", "producer"}, "shared.dat", "open shared.dat: too many levels of symbolic links"},
		{"link", link, []string{"mmap_consumer"}, "shared.dat", "open shared.dat: too many levels of symbolic links"},
		{"link", link, []string{"futex_mutex", "try", "m"}, "m", "open m: too many levels of symbolic links"},
		{"link", link, []string{"pshm_reader", "NAME"}, "/dev/shm/", "shm_open .*: too many levels of symbolic links"},
		{"fifo", fifo, []string{"mmap_producer"}, "shared.dat", "shared.dat: "},
		{"fifo", fifo, []string{"mmap_queue", "producer"}, "shared.dat", "shared.dat: "},
		{"fifo", fifo, []string{"mmap_consumer"}, "shared.dat", "shared.dat: is a FIFO"},
		{"fifo", fifo, []string{"futex_mutex", "try", "m"}, "m", "m: is a FIFO"},
		{"fifo", fifo, []string{"pshm_reader", "NAME"}, "/dev/shm/", "is a FIFO"},
	} {
		t.Run(tt.args[0]+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			dir, name := public(t), object(t.Name())
			inputFile(t, dir, "")
			path := filepath.Join(dir, tt.file)
			if tt.file == "/dev/shm/" {
				path = "/dev/shm" + name
				t.Cleanup(func() { os.Remove(path) })
			}
			tt.make(t, path)
			owned(t, path)
			before := identity(t, path)
			args := append([]string{}, tt.args...)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "NAME", name)
			}
			r := run(t, golang.command(t, dir, args[0], args[1:]...))
			r.wantExit(t, failure[args[0]])
			wantText(t, r.stderr, "^"+args[0]+": .*"+tt.want)
			if after := identity(t, path); after != before {
				t.Errorf("the foreign file has changed from %.100q to %.100q", before, after)
			}
		})
	}
}

// A queue of another user is not opened by -x, and keeps its messages.
func TestSiegeForeignQueue(t *testing.T) {
	t.Parallel()
	dir, name := public(t), object(t.Name())
	run(t, stranger(t, golang.command(t, dir, "pmsg_create", "-cx", "-m", "2", "-s", "64", name))).wantExit(t, 0)
	t.Cleanup(func() { unlinkQueue(name) })
	run(t, stranger(t, golang.command(t, dir, "pmsg_send", name, "theirs"))).wantExit(t, 0)
	run(t, golang.command(t, dir, "pmsg_create", "-cx", name)).wantError(t, "pmsg_create", 1, "mq_open .*: file exists\n")
	run(t, golang.command(t, dir, "pmsg_getattr", name)).wantExit(t, 0).
		wantStdout(t, "Maximum # of messages on queue:   2\nMaximum message size:             64\n# of messages currently on queue: 1\n")
}

// A user without permission is told so, and nothing changes.
func TestSiegeNoPermission(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), object(t.Name())
	// He may come to the directory, and see what is there, but make nothing.
	for d := dir; d != scratch; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	closed := func(file string) {
		if err := os.WriteFile(filepath.Join(dir, file), make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, golang.command(t, dir, "pmsg_create", "-cx", "-m", "2", "-s", "64", name)).wantExit(t, 0)
	t.Cleanup(func() { unlinkQueue(name) })
	object := "/dev/shm" + name
	if err := os.WriteFile(object, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(object) })
	closed("closed")
	for _, use := range []struct {
		at   string
		path string
	}{{"sock", "domain_sock"}, {"door", "doors_emul"}} {
		server := start(t, shelled(t, "umask 077", golang.command(t, dir, use.path, "server", use.at)))
		until(t, use.path+" listens", func() bool { return listens(server.pid) && blocked(server.pid) })
	}
	before := dirState(t, dir)
	for line, want := range map[string]string{
		"mmap_producer":              "open shared.dat: permission denied",
		"mmap_queue producer":        "open shared.dat: permission denied",
		"futex_mutex try closed":     "open closed: permission denied",
		"futex_mutex try new":        "open new: permission denied",
		"futex_mutex hold new 1s":    "open new: permission denied",
		"fifo_gzip closed out":       "open closed: permission denied",
		"fifo_gzip - out":            "mkfifo pipe_file: permission denied",
		"domain_sock server new":     "bind new: permission denied",
		"domain_sock server sock":    "bind sock: cannot tell whether a server is there: permission denied",
		"domain_sock client sock":    "connect sock: permission denied",
		"doors_emul server new":      "fattach new: permission denied",
		"doors_emul server door":     "fdetach door: operation not permitted\nhint: ",
		"doors_emul client door":     "door: permission denied",
		"pshm_writer NAME":           "shm_open .*: file exists",
		"pshm_reader NAME":           "shm_open .*: permission denied",
		"pmsg_create NAME":           "mq_open .*: permission denied",
		"pmsg_create -c NAME":        "mq_open .*: permission denied",
		"pmsg_send NAME text":        "mq_open .*: permission denied",
		"pmsg_receive NAME":          "mq_open .*: permission denied",
		"pmsg_getattr NAME":          "mq_open .*: permission denied",
		"pmsg_unlink NAME":           "mq_unlink .*: permission denied",
		"mmap_consumer":              "open shared.dat: no such file or directory",
		"mmap_queue consumer":        "open shared.dat: no such file or directory",
		"fifo_gzip --fifo /f - out":  "mkfifo /f: permission denied",
		"domain_sock server /s":      "bind /s: permission denied",
		"doors_emul server /d":       "fattach /d: permission denied",
		"futex_mutex try /dev/shm/e": "",
	} {
		if want == "" {
			continue
		}
		t.Run(line, func(t *testing.T) {
			args := strings.Fields(strings.ReplaceAll(line, "NAME", name))
			r := run(t, stranger(t, golang.command(t, dir, args[0], args[1:]...)))
			r.wantError(t, args[0], failure[args[0]], "")
			wantText(t, r.stderr, want)
		})
	}
	if after := dirState(t, dir); after != before {
		t.Errorf("the directory has changed from\n%sto\n%s", before, after)
	}
}

// What the programs create has the mode of the original less the umask, and its
// creator goes on whatever that is.
func TestSiegeUmask(t *testing.T) {
	t.Parallel()
	for _, mask := range []fs.FileMode{0, 0o022, 0o077, 0o777} {
		for _, tt := range []struct {
			args  []string
			file  string
			mode  fs.FileMode
			calls []int
		}{
			{[]string{"mmap_producer"}, "shared.dat", 0o666, []int{unix.SYS_READ}},
			{[]string{"mmap_queue", "producer"}, "shared.dat", 0o666, []int{unix.SYS_FUTEX}},
			{[]string{"futex_mutex", "hold", "mutex", "10m"}, "mutex", 0o666, []int{}},
			{[]string{"futex_mutex", "hold", "--robust", "mutex", "10m"}, "mutex", 0o666, []int{}},
			{[]string{"pshm_writer", "NAME"}, "/dev/shm/", 0o660, []int{unix.SYS_READ}},
			{[]string{"domain_sock", "server", "sock"}, "sock", 0o777, []int{unix.SYS_ACCEPT4}},
			{[]string{"doors_emul", "server", "door"}, "door", 0o666, []int{}},
			{[]string{"fifo_gzip", "-", "out"}, "pipe_file", 0o666, []int{unix.SYS_READ}},
			{[]string{"fifo_gzip", "--fifo", "other", "-", "out"}, "out", 0o666, []int{unix.SYS_READ}},
		} {
			t.Run(fmt.Sprintf("%s-%s-%03o", tt.args[0], tt.file, mask), func(t *testing.T) {
				t.Parallel()
				dir, name := public(t), object(t.Name())
				args := append([]string{}, tt.args...)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "NAME", name)
				}
				path := filepath.Join(dir, tt.file)
				if tt.file == "/dev/shm/" {
					path = "/dev/shm" + name
				}
				p := start(t, stranger(t, shelled(t, fmt.Sprintf("umask %03o", mask), golang.command(t, dir, args[0], args[1:]...))))
				if args[0] == "fifo_gzip" && mask == 0o777 {
					// The child opens the FIFO by its name, as a shell's gzip does.
					r := p.wait().wantError(t, "fifo_gzip", 1, "open (pipe_file|other): permission denied")
					if list := names(t, dir); len(list) > 1 {
						t.Errorf("left behind: %q\nstderr: %s", list[1:], r.stderr)
					}
					return
				}
				until(t, "the file is there and the program waits", func() bool {
					if p.hasEnded() {
						t.Fatalf("ended: %s", p.stderr)
					}
					_, err := os.Lstat(path)
					return err == nil && blocked(p.pid, tt.calls...)
				})
				st, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := st.Mode().Perm(), tt.mode&^mask; got != want {
					t.Errorf("mode %03o, want %03o", got, want)
				}
				p.signal(unix.SIGTERM)
				p.wait().wantSignal(t, unix.SIGTERM)
			})
		}
		for perms, want := range map[string]fs.FileMode{"": 0o600, "666": 0o666, "0": 0, "0440": 0o440} {
			t.Run(fmt.Sprintf("pmsg_create-%s-%03o", perms, mask), func(t *testing.T) {
				t.Parallel()
				dir, name := public(t), object(t.Name())
				args := []string{"-cx", "-m", "1", "-s", "1", name}
				if perms != "" {
					args = append(args, perms)
				}
				t.Cleanup(func() { unlinkQueue(name) })
				run(t, stranger(t, shelled(t, fmt.Sprintf("umask %03o", mask), golang.command(t, dir, "pmsg_create", args...)))).wantExit(t, 0)
				if got := queueMode(t, name); got != want&^mask {
					t.Errorf("mode %03o, want %03o", got, want&^mask)
				}
			})
		}
	}
}

// queueMode returns the permissions of a message queue, which root may always open.
func queueMode(t testing.TB, name string) fs.FileMode {
	t.Helper()
	q, err := mq.Open(name, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, _ := os.Readlink(link); strings.TrimSuffix(target, " (deleted)") == name {
			st, err := os.Stat(link)
			if err != nil {
				t.Fatal(err)
			}
			return st.Mode().Perm()
		}
	}
	t.Fatalf("no descriptor of %s is open", name)
	return 0
}

// Programs whose objects have no names work for everybody.
func TestSiegeStranger(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"simple_pipe hello":               "hello\n",
		"fork_pipe":                       "child sent value = 5000\n",
		"sleep_alarm 0":                   "",
		"futex_mutex --procs 2 --iters 9": "18\n",
	} {
		if line == "sleep_alarm 0" {
			continue // waits for a signal
		}
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(line)
			cmd := golang.command(t, public(t), args[0], args[1:]...)
			run(t, stranger(t, shelled(t, "umask 777", cmd))).wantExit(t, 0).wantStdout(t, want)
		})
	}
}
