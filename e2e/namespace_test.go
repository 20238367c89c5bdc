package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// alone runs a shell script in namespaces of its own, in which /dev/shm and /tmp are
// empty and no other run of the suite is: default names can be used there, and the
// memory can run out. $SIZE is that of /dev/shm.
func alone(t *testing.T, size, script string) result {
	t.Helper()
	args := []string{"--mount", "--ipc", "--propagation", "private"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	dir := t.TempDir()
	// The programs are below /tmp, which is about to be covered.
	const before = `set -eu
mount --bind "$PROGRAMS" "$DIR"
mount -t tmpfs -o size="$SIZE" none /dev/shm
exec 3<"$DIR"
mount -t tmpfs none /tmp
cd /tmp
PATH=/proc/self/fd/3:$PATH
echo ready
`
	sh := exec.Command(need(t, "unshare"), append(args, "sh", "-c", before+script)...)
	sh.Env = append(os.Environ(), "PROGRAMS="+goDir, "DIR="+dir, "SIZE="+size)
	r := run(t, sh)
	out, ok := strings.CutPrefix(r.stdout, "ready\n")
	if !ok {
		skip(t, "no namespaces: %s", r.stderr)
	}
	r.stdout = out
	return r
}

// Without a name the programs meet at the names of the originals.
func TestDefaultNames(t *testing.T) {
	t.Parallel()
	r := alone(t, "1m", `
echo 'through shared memory' | pshm_writer &
until test -s /dev/shm/pshm_xfr; do :; done
until pshm_reader 2>reader; do :; done
wait $!
cat reader
ls /dev/shm

doors_emul server &
until test -S /tmp/door; do :; done
doors_emul client
kill $!
wait $! || echo status $?
ls -A /tmp
`)
	r.wantExit(t, 0).wantStdout(t, `through shared memory
Received 22 bytes (1 xfrs)
door called with id = 12
result = 144
status 143
reader
`)
	if !strings.HasPrefix(r.stderr, "Sent 22 bytes (1 xfrs)\n") { // the shell may say that the server was terminated
		t.Errorf("stderr %q", r.stderr)
	}
}

// A full /dev/shm is an error, not the end by SIGBUS, and nothing stays behind.
func TestShmFull(t *testing.T) {
	t.Parallel()
	r := alone(t, "4k", `
head -c 4096 /dev/zero >/dev/shm/all
status=0
pshm_writer </dev/null || status=$?
echo status $status
ls /dev/shm
`)
	r.wantExit(t, 0).wantStdout(t, "status 1\nall\n")
	if want := "pshm_writer: fallocate /pshm_xfr: no space left on device\n"; r.stderr != want {
		t.Errorf("stderr %q, want %q", r.stderr, want)
	}
}

// The limits for message queues are named in the message.
func TestQueueLimits(t *testing.T) {
	t.Parallel()
	need(t, "prlimit")
	r := alone(t, "4k", `
status=0
prlimit --msgqueue=1000 pmsg_create -c -m 10 -s 1000 /q || status=$?
echo status $status
`)
	r.wantExit(t, 0).wantStdout(t, "status 1\n")
	if !strings.HasPrefix(r.stderr, "pmsg_create: mq_open /q: too many open files\nhint: ") {
		t.Errorf("stderr %q", r.stderr)
	}
}

// Where the disk is full the mapped file is an error, too.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	r := alone(t, "64k", `
cd /dev/shm
head -c 65536 /dev/zero >all
for program in mmap_producer 'mmap_queue producer' 'futex_mutex try m'; do
	status=0
	$program </dev/null || status=$?
	echo $program: $status
done
`)
	r.wantExit(t, 0).wantStdout(t, "mmap_producer: 255\nmessage size = 200\nmmap_queue producer: 255\nfutex_mutex try m: 1\n")
	for line := range strings.Lines(r.stderr) {
		if !strings.HasSuffix(line, ": no space left on device\n") {
			t.Errorf("stderr %q", line)
		}
	}
}
