package prog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// linked returns the path of this test binary, linked as make links the programs:
// it begins at start.
var linked = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "prog")
	if err != nil {
		return "", err
	}
	proctest.AtExit(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "prog.test")
	out, err := exec.Command("go", "test", "-c", "-o", binary, "-ldflags=-E=ipcbook/shared/prog.start", ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return binary, nil
})

// The roles are programs as the suite's mains are: each is a call of Run.
func TestMain(m *testing.M) {
	proctest.Main(m, map[string]proctest.Role{
		"data":     data,
		"options":  options,
		"commands": commands,
		"fail":     fail,
		"cat":      cat,
		"clean":    clean,
		"hold":     hold,
		"overlap":  overlap,
		"stretch":  stretch,
		"draft":    draft,
		"blocked":  blocked,
	})
}

// data has no options: its arguments are data.
func data([]string) error {
	Run(&cli.App{
		Name:      "data",
		Usage:     "print the arguments",
		UsageText: "data [STRING...]",
		Action: func(c *cli.Context) error {
			if err := NArgs(c, 0, 3); err != nil {
				return err
			}
			return echo(c)
		},
	}, 1)
	return nil
}

func options([]string) error {
	Run(&cli.App{
		Name:      "options",
		Usage:     "print options and arguments",
		UsageText: "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "c"},
			&cli.BoolFlag{Name: "n"},
			&cli.IntFlag{Name: "m"},
			Timeout(),
		},
		Action: func(c *cli.Context) error {
			if err := NArgs(c, 0, 1); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(Stdout, "c=%v n=%v m=%d timeout=%v\n", c.Bool("c"), c.Bool("n"), c.Int("m"), c.Duration("timeout")); err != nil {
				return err
			}
			return echo(c)
		},
	}, 255)
	return nil
}

func commands([]string) error {
	Run(&cli.App{
		Name:      "commands",
		UsageText: "commands [N] | hold FILE",
		Action: func(c *cli.Context) error {
			if err := NArgs(c, 0, 1); err != nil {
				return err
			}
			return echo(c)
		},
		Commands: []*cli.Command{{
			Name:      "hold",
			Usage:     "hold FILE",
			UsageText: "commands hold [-ab] FILE",
			Flags:     []cli.Flag{&cli.BoolFlag{Name: "a"}, &cli.BoolFlag{Name: "b"}, Timeout()},
			Action: func(c *cli.Context) error {
				if err := NArgs(c, 1, 1); err != nil {
					return err
				}
				return echo(c)
			},
		}},
	}, 1)
	return nil
}

func echo(c *cli.Context) error {
	for _, arg := range c.Args().Slice() {
		if _, err := fmt.Fprintf(Stdout, "%q\n", arg); err != nil {
			return err
		}
	}
	return nil
}

var (
	errPath = &fs.PathError{Op: "mq_open", Path: "/q", Err: unix.ENOENT}
	errHint = Hint(errPath, "create it with: %s", "pmsg_create /q")
)

// failures are what the actions of the role fail can do.
var failures = map[string]func() error{
	"none":    func() error { return nil },
	"path":    func() error { return errPath },
	"call":    func() error { return os.NewSyscallError("pipe", unix.EIO) },
	"hint":    func() error { return errHint },
	"around":  func() error { return fmt.Errorf("child: %w", errHint) },
	"quiet":   func() error { return ErrQuiet },
	"quieter": func() error { return fmt.Errorf("busy: %w", ErrQuiet) },
	"status":  func() error { return cli.Exit("third", 3) },
	"child":   func() error { return exec.Command("sh", "-c", "exit 3").Run() },
	"bytes": func() error {
		return &fs.PathError{Op: "open", Path: "a\x1b[2J\xff\r\x00\u202e\u0085\u00e9\u4e16\ufffd\xc3(", Err: unix.ENOENT}
	},
	"empty": func() error { return &fs.PathError{Op: "open", Path: "", Err: unix.ENOENT} },
	"space": func() error {
		return fmt.Errorf("child: %w", &fs.PathError{Op: "open", Path: "a b", Err: unix.ENOENT})
	},
	"forged": func() error {
		const name = "a\nhint: rm -rf /"
		return Hint(&fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}, "look at %s", Word(name))
	},
	"joined": func() error {
		return errors.Join(Hint(&fs.PathError{Op: "open", Path: "a", Err: unix.ENOENT}, "make a"),
			&fs.PathError{Op: "open", Path: "b\nusage: c", Err: unix.ENOENT})
	},
	"long":    func() error { return &fs.PathError{Op: "open", Path: strings.Repeat("x", 99_998), Err: unix.ENOENT} },
	"panic":   func() error { panic("boom") },
	"error":   func() error { panic(errPath) },
	"nil":     func() error { var p *cli.App; return errors.New(p.Name) },
	"index":   func() error { var s []error; return s[len(os.Args)] },
	"holding": func() error { return HoldSignals(func(context.Context) error { panic("boom") }) },
}

// fail fails in the way that its argument names. It has something to clean up.
func fail(args []string) error {
	Run(&cli.App{
		Name:      "fail",
		UsageText: "fail HOW",
		Action: func(c *cli.Context) error {
			defer Cleanup(func() { fmt.Fprintln(Stdout, "clean") })()
			return failures[c.Args().First()]()
		},
	}, 255)
	return nil
}

// cat copies standard input to standard output, "cat N" in pieces of up to N
// bytes, and says on standard error when it has cleaned up.
func cat([]string) error {
	Run(&cli.App{
		Name:  "cat",
		Flags: []cli.Flag{&cli.IntFlag{Name: "b", Value: 4096}},
		Action: func(c *cli.Context) error {
			defer Cleanup(func() { fmt.Fprintln(Stderr, "clean") })()
			_, err := io.CopyBuffer(Stdout, Stdin, make([]byte, c.Int("b")))
			return err
		},
	}, 1)
	return nil
}

// clean has three things to clean up and says so. It answers each line until its
// input ends. With an argument it waits for a line in the middle of the second.
func clean(args []string) error {
	// A core file is not wanted, and its absence hides no trace of stacks.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	Run(&cli.App{
		Name: "clean",
		Action: func(c *cli.Context) error {
			defer Cleanup(func() { say("first") })()
			second := Cleanup(func() {
				if c.NArg() > 0 {
					say("removing")
					hear()
				}
				say("second")
			})
			third := Cleanup(func() { say("third") })
			say("ready")
			if c.NArg() > 0 {
				third()
				second()
				second()
			}
			for hear() {
				say("here")
			}
			third()
			second()
			return nil
		},
	}, 1)
	return nil
}

func say(line string) { io.WriteString(Stdout, line+"\n") }

// hear reads a line from standard input, byte by byte, as nothing may be taken
// of the next one. It returns false at the end.
func hear() bool {
	for b := make([]byte, 1); b[0] != '\n'; {
		if _, err := Stdin.Read(b); err != nil {
			return false
		}
	}
	return true
}

// hold has a stretch that is not to be cut, twice.
func hold([]string) error {
	Run(&cli.App{
		Name: "hold",
		Action: func(*cli.Context) error {
			defer Cleanup(func() { say("clean") })()
			for range 2 {
				err := HoldSignals(func(ctx context.Context) error {
					say("holding")
					hear()
					if ctx.Err() == nil {
						return nil
					}
					say(ctx.Err().Error())
					hear()
					say("finished")
					return ctx.Err()
				})
				say("after")
				if err != nil {
					return err
				}
				hear()
			}
			return nil
		},
	}, 1)
	return nil
}

// overlap holds signals in two goroutines; the first to let go waits for the
// signal, the second for a line after that.
func overlap([]string) error {
	Run(&cli.App{
		Name: "overlap",
		Action: func(*cli.Context) error {
			both := make(chan bool, 2)
			first := make(chan error)
			go func() {
				first <- HoldSignals(func(ctx context.Context) error {
					both <- true
					<-ctx.Done()
					return nil
				})
			}()
			return HoldSignals(func(ctx context.Context) error {
				both <- true
				for len(both) < cap(both) {
					time.Sleep(time.Millisecond)
				}
				say("holding")
				<-first
				say("one left")
				hear()
				say("finished")
				return nil
			})
		},
	}, 1)
	return nil
}

// stretch enters and leaves HoldSignals all the time, in several goroutines that
// crowd at its lock. The i-th byte of the file is 1 while the i-th is within, the
// last once the loops run.
func stretch(args []string) error {
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	Run(&cli.App{
		Name: "stretch",
		Action: func(*cli.Context) error {
			for i := range 8 {
				go func() {
					for over := false; !over; mem[len(mem)-1] = 1 {
						HoldSignals(func(ctx context.Context) error {
							mem[i] = 1
							for start := time.Now(); time.Since(start) < 10*time.Microsecond; {
							}
							mem[i] = 0
							over = ctx.Err() != nil
							return nil
						})
					}
				}()
			}
			hear()
			return nil
		},
	}, 1)
	return nil
}

// draft makes the file args[0], whole if args[1] says so, and waits.
func draft(args []string) error {
	Run(&cli.App{
		Name: "draft",
		Action: func(*cli.Context) error {
			f, d, err := create(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			defer d.Discard()
			if args[1] == "whole" {
				d.Whole()
			}
			say("ready")
			hear()
			return nil
		},
	}, 1)
	return nil
}

// blocked becomes the role args[0] with SIGPIPE blocked.
func blocked(args []string) error {
	runtime.LockOSThread()
	set := unix.Sigset_t{}
	set.Val[0] = 1 << (unix.SIGPIPE - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return err
	}
	cmd := proctest.Command(args[0])
	return unix.Exec(cmd.Path, cmd.Args, cmd.Env)
}

// shell makes cmd run by a shell that executes script, in which "$@" is cmd.
func shell(script string, cmd *exec.Cmd) *exec.Cmd {
	binary, err := linked()
	if err != nil {
		panic(err)
	}
	cmd.Args = append([]string{"sh", "-c", script, "sh", binary}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	return cmd
}

// wantRun runs cmd with an empty standard input to its end.
func wantRun(t *testing.T, cmd *exec.Cmd, status int, stdout, stderr string) {
	t.Helper()
	p := proctest.Start(t, cmd)
	p.CloseStdin()
	out := p.Rest()
	if s := p.Wait(); !s.Exited() || s.ExitStatus() != status || out != stdout || p.Stderr() != stderr {
		t.Errorf("%q: %s\nstdout %q\nstderr %q\nwant exit status %d\nstdout %q\nstderr %q",
			cmd.Args[1:], proctest.Describe(s), out, p.Stderr(), status, stdout, stderr)
	}
}

// wantQuietDeath waits for the death by sig, before which nothing more was said,
// on standard error nothing at all.
func wantQuietDeath(t *testing.T, p *proctest.Proc, sig syscall.Signal) {
	t.Helper()
	if rest := p.Rest(); rest != "" {
		t.Errorf("before its death it said %q", rest)
	}
	p.WantSignal(sig)
	if s := p.Stderr(); s != "" {
		t.Errorf("stderr %q", s)
	}
}

func noTrace(t *testing.T, text string) {
	t.Helper()
	for _, s := range []string{"goroutine", ".go:", "panic", "runtime."} {
		if strings.Contains(text, s) {
			t.Errorf("a stack trace (%q) in:\n%s", s, text)
		}
	}
}
