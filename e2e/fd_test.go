package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A child has descriptors 0, 1 and 2 and what it was given, even if its parent has
// inherited more: here 3, 4 and 5.
func TestChildDescriptors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		use
		output string
		poke   func(t *testing.T, dir string)
		child  string             // its argv[0]
		there  func(kid int) bool // whether the child has come to where we look
		given  string             // what descriptor 3 is, "" if there is none
	}{
		{
			use:    use{args: []string{"simple_pipe", strings.Repeat("long ", 20_000)}},
			output: "blocked",
			child:  "simple_pipe:child",
			there:  func(kid int) bool { return blocked(kid, unix.SYS_WRITE) },
			given:  `^pipe:`,
		}, {
			use:   use{args: []string{"fifo_gzip", "-", "out"}},
			child: "gzip", // it was fifo_gzip:gzip
			there: func(kid int) bool { return blocked(kid, unix.SYS_READ) },
		}, {
			use:   use{args: []string{"futex_mutex", "--procs", "1", "--iters", "1000000000000"}},
			child: "futex_mutex:adder",
			there: func(kid int) bool {
				maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", kid))
				return strings.Contains(string(maps), "memfd:counter")
			},
			given: `^/memfd:counter`,
		}, {
			use: use{args: []string{"domain_sock", "server", "sock"}},
			poke: func(t *testing.T, dir string) {
				path := shortPath(t, filepath.Join(dir, "sock"))
				until(t, "connected", func() bool {
					conn, err := dial(path)
					if err == nil {
						t.Cleanup(func() { conn.Close() })
					}
					return err == nil
				})
			},
			child: "domain_sock:connection",
			there: func(kid int) bool { return blocked(kid, unix.SYS_READ) },
			given: `^socket:`,
		},
	} {
		t.Run(tt.String(), func(t *testing.T) {
			t.Parallel()
			c := tt.command(t, golang)
			for range 3 {
				f, err := os.Open("/dev/null")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				c.ExtraFiles = append(c.ExtraFiles, f)
			}
			var reader *os.File
			if tt.output == "blocked" {
				reader, c.Stdout = fullPipe(t)
			}
			p := start(t, c)
			if tt.poke != nil {
				tt.poke(t, c.Dir)
			}
			kid := p.child(tt.child)
			until(t, tt.child+" is there", func() bool { return tt.there(kid) })
			got := descriptors(kid)
			want := 3
			if tt.given != "" {
				want = 4
				if !regexp.MustCompile(tt.given).MatchString(got[3]) {
					t.Errorf("descriptor 3 is %q, want %s", got[3], tt.given)
				}
			}
			for fd := range 3 {
				if got[fd] == "" {
					t.Errorf("no descriptor %d", fd)
				}
			}
			if len(got) != want {
				t.Errorf("descriptors of the child: %v, want 0 to %d", got, want-1)
			}
			if reader != nil {
				reader.Close()
			}
			p.finish()
		})
	}
}

// The child of fork_pipe lives too short to be looked at: strace stops it at its
// first write.
func TestForkPipeDescriptors(t *testing.T) {
	t.Parallel()
	c := use{args: []string{"fork_pipe"}}.command(t, golang)
	log := filepath.Join(c.Dir, "log")
	cmd := *c
	cmd.Path = need(t, "strace")
	cmd.Args = []string{"strace", "-f", "-qqq", "-o", log, "-e", "trace=write", "-e", "inject=write:signal=STOP:when=1", c.Path}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, null}
	p := start(t, &cmd)
	until(t, "the child stands at its first write", func() bool {
		b, _ := os.ReadFile(log)
		return p.hasEnded() || strings.Contains(string(b), "--- stopped by SIGSTOP ---")
	})
	var kid int
	for _, parent := range children(p.pid) {
		for _, pid := range children(parent) {
			if role(pid) == "fork_pipe:child" {
				kid = pid
			}
		}
	}
	if kid == 0 {
		skip(t, "strace does not work here: %s", p.stderr)
	}
	if got := descriptors(kid); len(got) != 3 || !strings.HasPrefix(got[1], "pipe:") {
		t.Errorf("descriptors of the child: %v, want 0, 1 and 2, and 1 a pipe", got)
	}
	p.kill()
}

// What a program has open, a program that it starts would not inherit.
func TestCloseOnExec(t *testing.T) {
	t.Parallel()
	for _, w := range waits {
		if w.output != "" {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			c := w.command(t, golang)
			p := start(t, c)
			w.begun(t, p)
			for fd, target := range descriptors(p.pid) {
				if fd > 2 && !closeOnExec(t, p.pid, fd) {
					t.Errorf("descriptor %d (%s) is not close-on-exec", fd, target)
				}
			}
			p.finish()
		})
	}
}

func closeOnExec(t *testing.T, pid, fd int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	for line := range strings.Lines(string(b)) {
		fmt.Sscanf(line, "flags: %o", &flags)
	}
	return flags&unix.O_CLOEXEC != 0
}
