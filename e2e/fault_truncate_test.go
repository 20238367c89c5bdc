package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mapper is a use of a program that maps a file: this one.
type mapper struct {
	use
	file string // below its directory, or /dev/shm/ and so on with NAME
}

var mappers = []mapper{
	{use{args: []string{"mmap_producer"}}, "shared.dat"},
	{use{args: []string{"mmap_consumer"}, prepare: mapped}, "shared.dat"},
	{use{name: "mmap_queue-producer", args: []string{"mmap_queue", "producer", "--timeout", "1ms"}, status: 255}, "shared.dat"},
	{use{name: "mmap_queue-consumer", args: []string{"mmap_queue", "consumer", "--count", "5", "--timeout", "200ms"}, prepare: queued}, "shared.dat"},
	{use{name: "pshm_writer", args: []string{"pshm_writer", "--timeout", "1ms", "NAME"}, status: 1}, "/dev/shm/NAME"},
	{use{name: "pshm_reader", args: []string{"pshm_reader", "--timeout", "200ms", "NAME"}, prepare: writing}, "/dev/shm/NAME"},
	{use{name: "futex_mutex-hold", args: []string{"futex_mutex", "hold", "mutex", "0s"}}, "mutex"},
	{use{name: "futex_mutex-robust", args: []string{"futex_mutex", "hold", "--robust", "mutex", "0s"}}, "mutex"},
	{use{name: "futex_mutex-try", args: []string{"futex_mutex", "try", "mutex"}}, "mutex"},
}

// prepared returns the command of the use and the path of its file.
func (m mapper) prepared(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	c := m.command(t, golang)
	if name := c.Args[len(c.Args)-1]; strings.HasPrefix(m.file, "/") {
		return c, strings.ReplaceAll(m.file, "/NAME", name)
	}
	return c, filepath.Join(c.Dir, m.file)
}

// The file becomes empty at every moment at which the program lets another process
// see something: before each system call from the opening of the file on. The
// program does its work, or says what happened.
func TestFaultTruncatedAtEveryCall(t *testing.T) {
	t.Parallel()
	mayTrace(t)
	for _, m := range mappers {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			c, _ := m.prepared(t)
			cmd, seen := traced(t, c, plan{})
			want := run(t, cmd).wantExit(t, m.status)
			calls := seen().Calls
			first := len(calls) - 1
			for calls[first] != unix.SYS_OPENAT {
				first--
			}
			var said []string
			for at := first + 2; at <= len(calls); at++ {
				c, path := m.prepared(t)
				cmd, seen := traced(t, c, plan{At: at, Truncate: path})
				r := run(t, cmd)
				if !seen().Happened {
					continue // a wait less, a call less
				}
				switch {
				case r.status == want.status && r.stdout == want.stdout && !strings.Contains(r.stderr, "truncated"):
				case r.status.Exited() && r.status.ExitStatus() == failure[m.program()] && strings.HasPrefix(r.stderr, m.program()+": "):
				default:
					t.Errorf("truncated before call %d (%d): %s\nstdout: %q\nstderr: %s", at, calls[at-1], describe(r.status), r.stdout, r.stderr)
				}
				line, _, _ := strings.Cut(r.stderr, "\n")
				if !slices.Contains(said, line) {
					said = append(said, line)
				}
			}
			t.Logf("%d of %d calls; it said:\n%s", len(calls)-first-1, len(calls), strings.Join(said, "\n"))
		})
	}
}

// The file becomes empty while the program sleeps in the futex in it.
func TestFaultTruncatedAsleep(t *testing.T) {
	t.Parallel()
	for _, m := range []mapper{
		{use{name: "mmap_queue-full", args: []string{"mmap_queue", "producer"}}, "shared.dat"},
		{use{name: "mmap_queue-empty", args: []string{"mmap_queue", "consumer"}, prepare: emptied}, "shared.dat"},
		{use{name: "pshm_writer", args: []string{"pshm_writer", "NAME"}}, "/dev/shm/NAME"},
		{use{name: "pshm_reader", args: []string{"pshm_reader", "NAME"}, prepare: writingOn}, "/dev/shm/NAME"},
		{use{name: "futex_mutex", args: []string{"futex_mutex", "hold", "mutex", "0s"}, prepare: held}, "mutex"},
		{use{name: "futex_mutex-robust", args: []string{"futex_mutex", "hold", "--robust", "mutex", "0s"}, prepare: heldRobust}, "mutex"},
	} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			c, path := m.prepared(t)
			c.Stdin = strings.NewReader("")
			p := start(t, c)
			p.mustBlock(unix.SYS_FUTEX)
			// Past the end of the file the rest of its page is zero, and there.
			if err := os.Truncate(path, 1); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			r := p.wait().wantExit(t, failure[m.program()])
			wantMatch(t, r.stderr, `^`+m.program()+`: .*`+regexp.QuoteMeta(filepath.Base(path))+`.*: file was truncated while it was mapped\n`)
			if m.program() == "pshm_writer" {
				if _, err := os.Stat(path); !os.IsNotExist(err) {
					t.Errorf("the object is still there: %v", err)
				}
			}
		})
	}
}

func heldRobust(t *testing.T, dir, _ string) {
	start(t, golang.command(t, dir, "futex_mutex", "hold", "--robust", "mutex", "10m")).line("^locked$")
}

// The file becomes empty while the program has it mapped and waits for something
// else; it finds out when it goes on.
func TestFaultTruncatedInUse(t *testing.T) {
	t.Parallel()
	t.Run("mmap_producer", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		p := start(t, golang.command(t, dir, "mmap_producer"))
		p.mustBlock(unix.SYS_READ)
		truncate(t, filepath.Join(dir, "shared.dat"))
		p.stdin.Close() // it does not look again
		p.wait().wantExit(t, 0).wantStdout(t, "memory mapped. press any key to exit...\n")
	})
	t.Run("pshm_writer", func(t *testing.T) {
		t.Parallel()
		dir, name := t.TempDir(), object(t.Name())
		p := start(t, golang.command(t, dir, "pshm_writer", name))
		p.mustBlock(unix.SYS_READ)
		truncate(t, "/dev/shm"+name)
		p.stdin.Write([]byte("a turn"))
		p.wait().wantError(t, "pshm_writer", 1, `truncated|bad address`)
		if _, err := os.Stat("/dev/shm" + name); !os.IsNotExist(err) {
			t.Errorf("the object is still there: %v", err)
		}
	})
	for _, robust := range []string{"--robust=false", "--robust"} {
		t.Run("futex_mutex/"+robust, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := start(t, golang.command(t, dir, "futex_mutex", "hold", robust, "mutex", "300ms"))
			p.line("^locked$")
			truncate(t, filepath.Join(dir, "mutex"))
			r := p.wait().wantExit(t, 1)
			wantMatch(t, r.stderr, `^futex_mutex: .*mutex.*: file was truncated while it was mapped\n`)
		})
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}
