package prog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

const (
	badRead  = "clean\ncat: read standard input: bad file descriptor\n"
	badWrite = "clean\ncat: write standard output: bad file descriptor\n"
)

// A descriptor that is closed or of no use is an error, and one that discards or
// is empty on purpose is none. The Go runtime opens /dev/null in the place of a
// closed one.
func TestRedirections(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		redirect string
		status   int
		stderr   string
	}{
		{`<&-`, 1, badRead},
		{`<&- >&-`, 1, badRead},
		{`</etc/passwd >&-`, 1, badWrite},
		{`</etc/passwd >/dev/full`, 1, "clean\ncat: write standard output: no space left on device\n"},
		{`</etc/passwd 1</etc/passwd`, 1, badWrite},
		{`<` + dir, 1, "clean\ncat: read standard input: is a directory\n"},
		{`0>/dev/null`, 1, badRead},
		{`</dev/null`, 0, "clean\n"},
		{`</dev/null >/dev/null`, 0, "clean\n"},
		{`</etc/passwd >/dev/null`, 0, "clean\n"},
		{`</etc/passwd >/dev/null 2>&1`, 0, ""},

		// daemon(3) opens /dev/null for reading and writing, once.
		{`<>/dev/null >&0 2>&0`, 0, ""},
		{`<>/dev/null >&0`, 0, "clean\n"},
		{`</etc/passwd 1<>/dev/null 2>&1`, 0, ""},
	} {
		wantRun(t, shell(`exec "$@" `+c.redirect, proctest.Command("cat")), c.status, "", c.stderr)
	}
}

// With nothing open at all there is still a status, and nothing is written to a
// file that the program opened itself.
func TestAllClosed(t *testing.T) {
	t.Parallel()
	wantRun(t, shell(`exec "$@" <&- >&- 2>&-`, proctest.Command("cat")), 1, "", "")
	wantRun(t, shell(`exec "$@" <&- >&- 2>&-`, proctest.Command("data", "x")), 1, "", "")
	wantRun(t, shell(`exec "$@" <&- >&- 2>&-`, proctest.Command("data")), 0, "", "")
}

// A reader that has gone is what the program dies of, after it has cleaned up.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	dies := func(cmd *exec.Cmd) {
		t.Helper()
		p := proctest.Start(t, cmd)
		p.Say("line")
		p.WantSignal(unix.SIGPIPE)
		if p.Stderr() != "clean\n" {
			t.Errorf("stderr %q, want only the clean-up", p.Stderr())
		}
	}
	cmd := proctest.Command("cat")
	cmd.Stdout = noReader(t)
	dies(cmd)

	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[0])
	socket := os.NewFile(uintptr(pair[1]), "socket")
	defer socket.Close()
	cmd = proctest.Command("cat")
	cmd.Stdout = socket
	dies(cmd)

	// Blocked it does not kill as it is sent, but it is to.
	cmd = proctest.Command("blocked", "cat")
	cmd.Stdout = noReader(t)
	dies(cmd)

	// A reader that goes in the middle.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	cmd = proctest.Command("cat", "-b", "1000000")
	cmd.Stdin, cmd.Stdout = zero, w
	p := proctest.Start(t, cmd)
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	p.WantSignal(unix.SIGPIPE)
	if p.Stderr() != "clean\n" {
		t.Errorf("stderr %q, want only the clean-up", p.Stderr())
	}
}

// Where SIGPIPE was ignored when the program was started, a reader that has gone is
// an error as any other.
func TestReaderGoneIgnored(t *testing.T) {
	t.Parallel()
	cmd := shell(`trap '' PIPE; exec "$@"`, proctest.Command("cat"))
	cmd.Stdout = noReader(t)
	p := proctest.Start(t, cmd)
	p.Say("line")
	p.WantExit(1)
	if want := "clean\ncat: write standard output: broken pipe\n"; p.Stderr() != want {
		t.Errorf("stderr %q, want %q", p.Stderr(), want)
	}
}

// Diagnostics that nobody reads end nothing: the clean-ups run, and the exit status
// is that of the work.
func TestDiagnosticsGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		status int
		stdout string
	}{
		{[]string{"fail", "path"}, 255, "clean\n"},
		{[]string{"fail", "status"}, 255, "clean\n"},
		{[]string{"fail", "none"}, 0, "clean\n"},
		{[]string{"cat"}, 0, ""}, // says on standard error when it has cleaned up
		{[]string{"options", "--zz"}, 255, ""},
	} {
		cmd := proctest.Command(c.args[0], c.args[1:]...)
		cmd.Stderr = noReader(t)
		wantRun(t, cmd, c.status, c.stdout, "")
	}

	// Standard output that nobody reads is still what it dies of.
	cmd := proctest.Command("cat")
	cmd.Stdout = noReader(t)
	cmd.Stderr = cmd.Stdout
	p := proctest.Start(t, cmd)
	p.Say("line")
	p.WantSignal(unix.SIGPIPE)
}

// Each write has left the process when it returns.
func TestNoBuffer(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Command("cat"))
	for i := range 20 {
		p.Say("%d", i)
		p.Want(strconv.Itoa(i))
	}
	p.CloseStdin()
	p.WantExit(0)
}

// Bytes arrive as they are and all of them, whatever a single call takes: a pipe
// that is read slowly, descriptors that somebody else has made non-blocking,
// signals all the time.
func TestBytesArrive(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	for _, c := range []struct {
		name  string
		flags int
		size  string // of a read and a write
		storm bool
	}{
		{"blocking", 0, "4096", false},
		{"blocking, large writes", 0, "1000000", true},
		{"non-blocking", unix.O_NONBLOCK, "4096", false},
		{"non-blocking, large writes", unix.O_NONBLOCK, "1000000", true},
		{"non-blocking, odd sizes", unix.O_NONBLOCK, "777", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, toCat := pipe(t, c.flags, 0)
			fromCat, out := pipe(t, 0, c.flags)
			cmd := proctest.Command("cat", "-b", c.size)
			cmd.Stdin, cmd.Stdout = in, out
			p := proctest.Start(t, cmd)
			in.Close()
			if c.flags != 0 {
				proctest.Until(t, "asleep in poll for input", func() bool { return asleepIn(p.Pid, unix.SYS_PPOLL) })
			}
			if c.storm {
				proctest.Storm(t, p.Pid, unix.SIGURG)
			}
			go func() {
				for b := range slicesOf(sent, 10_007) {
					toCat.Write(b)
				}
				toCat.Close()
			}()
			if c.flags != 0 {
				proctest.Until(t, "asleep in poll for output", func() bool {
					n, err := unix.IoctlGetInt(int(fromCat.Fd()), unix.TIOCINQ)
					return err == nil && n > 32<<10 && asleepIn(p.Pid, unix.SYS_PPOLL)
				})
			}
			out.Close()
			var got bytes.Buffer
			b := make([]byte, 8191)
			for {
				n, err := fromCat.Read(b)
				got.Write(b[:n])
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			p.WantExit(0)
			if !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("got %d bytes, not the %d that were sent", got.Len(), len(sent))
			}
		})
	}
}

func slicesOf(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 && yield(b[:min(n, len(b))]) {
			b = b[min(n, len(b)):]
		}
	}
}

// pipe returns the ends of a pipe with the flags of each. (os/exec would make the
// ends of an os.Pipe blocking.)
func pipe(t *testing.T, rflags, wflags int) (r, w *os.File) {
	t.Helper()
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for i, flags := range []int{rflags, wflags} {
		if err := unix.SetNonblock(fd[i], flags&unix.O_NONBLOCK != 0); err != nil {
			t.Fatal(err)
		}
	}
	r, w = os.NewFile(uintptr(fd[0]), "pipe"), os.NewFile(uintptr(fd[1]), "pipe")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// fullPipe returns the write end of a pipe that has no room.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	_, w := pipe(t, 0, unix.O_NONBLOCK)
	fd := int(w.Fd())
	for {
		_, err := unix.Write(fd, make([]byte, 4096))
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return w
}

// asleepIn tells whether a thread of the process sleeps in a system call.
func asleepIn(pid, number int) bool {
	for _, call := range calls(pid) {
		if strings.HasPrefix(call, strconv.Itoa(number)+" ") {
			return true
		}
	}
	return false
}

// idle tells whether all threads of the process sleep.
func idle(pid int) bool {
	for _, call := range calls(pid) {
		if call == "running\n" {
			return false
		}
	}
	return true
}

func calls(pid int) (calls []string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, task := range tasks {
		if b, err := os.ReadFile(task); err == nil {
			calls = append(calls, string(b))
		}
	}
	return calls
}

func TestReadAndWriteCalls(t *testing.T) {
	r, w := pipe(t, unix.O_NONBLOCK, unix.O_NONBLOCK)
	in, out := stdio{int(r.Fd()), "in"}, stdio{int(w.Fd()), "out"}
	if n, err := in.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of no bytes = %d, %v", n, err)
	}
	if n, err := out.Write(nil); n != 0 || err != nil {
		t.Errorf("Write of no bytes = %d, %v", n, err)
	}
	if n, err := out.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	b := make([]byte, 10)
	if n, err := in.Read(b); string(b[:n]) != "abc" || err != nil {
		t.Errorf("Read = %q, %v", b[:n], err)
	}
	if n, err := out.Read(b); n != 0 || !errors.Is(err, unix.EBADF) {
		t.Errorf("Read of the write end = %d, %v, want EBADF", n, err)
	}
	if n, err := in.Write(b); n != 0 || !errors.Is(err, unix.EBADF) {
		t.Errorf("Write to the read end = %d, %v, want EBADF", n, err)
	}
	w.Close()
	if n, err := in.Read(b); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v, want EOF", n, err)
	}

	// EPIPE on another descriptor than standard output is an error as any other.
	r, w = pipe(t, 0, 0)
	r.Close()
	_, err := stdio{int(w.Fd()), "out"}.Write(b)
	if !errors.Is(err, unix.EPIPE) || errors.Is(err, errStdoutGone) || err.Error() != "write out: broken pipe" {
		t.Errorf("Write without a reader = %v, want EPIPE", err)
	}
}
