package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// redirected makes cmd start with a redirection that only a shell can do, such as
// ">&-".
func redirected(t *testing.T, cmd *exec.Cmd, redirection string) *exec.Cmd {
	t.Helper()
	sh := *cmd
	sh.Path = need(t, "sh")
	sh.Args = append([]string{"sh", "-c", `exec "$0" "$@" ` + redirection, cmd.Path}, cmd.Args[1:]...)
	return &sh
}

// Each use does what it says, before we take something from it.
func TestUses(t *testing.T) {
	t.Parallel()
	for _, u := range uses {
		t.Run(u.String(), func(t *testing.T) {
			t.Parallel()
			r := run(t, u.command(t, golang)).wantExit(t, u.status)
			if (r.stdout == "") != u.silent {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
}

// A write to standard output that fails is an error.
func TestStdoutFails(t *testing.T) {
	t.Parallel()
	for _, u := range uses {
		t.Run(u.String()+"/full", func(t *testing.T) {
			t.Parallel()
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			c := u.command(t, golang)
			c.Stdout = full
			u.wantOutputError(t, run(t, c), `no space left on device|exit status 1`) // gzip has its own words
		})
		t.Run(u.String()+"/closed", func(t *testing.T) {
			t.Parallel()
			c := u.command(t, golang)
			u.wantOutputError(t, run(t, redirected(t, c, ">&-")), `bad file descriptor`)
		})
	}
}

func (u use) wantOutputError(t *testing.T, r result, re string) {
	t.Helper()
	if u.silent {
		r.wantExit(t, u.status)
		return
	}
	r.wantExit(t, failure[u.program()])
	if want := regexp.MustCompile(`(?m)^` + u.program() + `: .*(` + re + `)`); !want.MatchString(r.stderr) {
		t.Errorf("%s: stderr %q, want a match of %q", r.name, r.stderr, want)
	}
}

// A reader that is gone: the program dies of SIGPIPE as a C program does, and has
// cleaned up. A child's death is the parent's failure.
func TestStdoutGone(t *testing.T) {
	t.Parallel()
	for _, u := range uses {
		for _, m := range []maker{golang, twin} {
			if m == twin && u.silent {
				continue
			}
			t.Run(u.String()+"/"+string(m), func(t *testing.T) {
				t.Parallel()
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				defer w.Close()
				c := u.command(t, m)
				c.Stdout = w
				res := run(t, c)
				switch {
				case u.silent:
					res.wantExit(t, u.status)
				case u.program() == "simple_pipe" || u.program() == "fifo_gzip":
					res.wantExit(t, failure[u.program()])
				default:
					res.wantSignal(t, unix.SIGPIPE)
				}
			})
		}
	}
}

// A standard input that is closed is an error for a program that copies it, as it
// would not be for the C programs, and of no importance to the others; for
// mmap_producer it is a key, as for getchar.
func TestStdinClosed(t *testing.T) {
	t.Parallel()
	readers := map[string]bool{"fifo_gzip": true, "pshm_writer": true}
	for _, u := range uses {
		if u.program() == "fifo_gzip" {
			u.args = []string{"fifo_gzip", "-", "out"}
		}
		t.Run(u.String(), func(t *testing.T) {
			t.Parallel()
			r := run(t, redirected(t, u.command(t, golang), "<&-"))
			if !readers[u.program()] {
				r.wantExit(t, u.status)
				return
			}
			r.wantExit(t, failure[u.program()])
			if !regexp.MustCompile(`^` + u.program() + `: .*standard input: bad file descriptor\n`).MatchString(r.stderr) {
				t.Errorf("stderr %q", r.stderr)
			}
		})
	}
}

// Diagnostics that nobody can see do not change the exit status, of a failure or of
// a success.
func TestStderrFails(t *testing.T) {
	t.Parallel()
	for _, redirection := range []string{"2>&-", "2>/dev/full", "<&- >&- 2>&-"} {
		for _, name := range programs {
			t.Run(name+"/failure/"+redirection, func(t *testing.T) {
				t.Parallel()
				cmd := golang.command(t, t.TempDir(), name, "too", "many", "arguments", "for", "any", "program")
				run(t, redirected(t, cmd, redirection)).wantExit(t, failure[name]).wantStdout(t, "")
			})
		}
	}
	for _, redirection := range []string{"2>&-", "2>/dev/full"} {
		for _, u := range uses {
			t.Run(u.String()+"/"+redirection, func(t *testing.T) {
				t.Parallel()
				run(t, redirected(t, u.command(t, golang), redirection)).wantExit(t, u.status)
			})
		}
	}
}
