package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// unread returns the write end of a pipe whose reader has gone.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// mute makes nobody read the diagnostics of cmd.
func mute(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.Stderr = unread(t)
	return cmd
}

// Where SIGPIPE was ignored when the program was started, a reader that has gone is
// a failure as any other, and the program's children hear of it, too. So it is in C.
func TestFaultPipeIgnored(t *testing.T) {
	t.Parallel()
	for _, u := range uses {
		for _, m := range []maker{golang, twin} {
			if u.silent || m == twin && u.status != 0 { // the twin knows no --timeout
				continue
			}
			t.Run(u.String()+"/"+string(m), func(t *testing.T) {
				t.Parallel()
				c := shelled(t, "trap '' PIPE", u.command(t, m))
				c.Stdout = unread(t)
				r := run(t, c)
				r.wantExit(t, failure[u.program()])
				if u.program() == "fifo_gzip" { // gzip speaks of it
					wantMatch(t, r.stderr, `(?m)^gzip: .*[Bb]roken pipe\n(.*\n)*fifo_gzip: .*exit status 1\n`)
					return
				}
				wantMatch(t, r.stderr, `(?m)^(`+u.program()+`|doors_client): .*[Bb]roken pipe$`)
			})
		}
	}
	// A server goes on for the next client.
	t.Run("domain_sock-server", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		cmd := golang.command(t, dir, "domain_sock", "server", "sock")
		c := shelled(t, "trap '' PIPE", cmd)
		c.Stdout = unread(t)
		server := start(t, c)
		listening(server, dir)
		for range 2 {
			run(t, golang.command(t, dir, "domain_sock", "client", "sock")).wantExit(t, 0).wantStdout(t, "message from server: hello from server\n")
			server.errLine(`^domain_sock: write standard output: broken pipe$`)
		}
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(t, unix.SIGTERM)
		gone(t, filepath.Join(dir, "sock"))
	})
}

// Diagnostics that nobody reads change nothing: what a program has made it removes,
// its peer hears of its end, a server serves the next client, and the exit status is
// that of the work. A C program dies of SIGPIPE where it prints them.
func TestFaultDiagnosticsUnread(t *testing.T) {
	t.Parallel()
	test := func(name string, run func(t *testing.T, dir, object string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, t.TempDir(), object(t.Name()))
		})
	}
	for _, m := range []maker{golang, twin} {
		// wantEnd checks how a program of m has ended that prints a diagnostic.
		wantEnd := func(t *testing.T, r result, status int) result {
			t.Helper()
			if m == twin {
				return r.wantSignal(t, unix.SIGPIPE)
			}
			return r.wantExit(t, status)
		}
		test("pshm/"+string(m), func(t *testing.T, dir, object string) {
			cmd := mute(t, m.command(t, dir, "pshm_writer", object))
			cmd.Stdin = strings.NewReader("data")
			writer := start(t, cmd)
			writer.mustBlock(unix.SYS_FUTEX)
			reader := start(t, mute(t, m.command(t, dir, "pshm_reader", object)))
			wantEnd(t, reader.wait(), 0).wantStdout(t, "data")
			wantEnd(t, writer.wait(), 0)
			wantGone(t, object)
		})
		test("pshm_writer/"+string(m), func(t *testing.T, dir, object string) {
			cmd := mute(t, m.command(t, dir, "pshm_writer", object))
			in, err := os.Open(dir) // no file to read
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			cmd.Stdin = in
			wantEnd(t, run(t, cmd), 1)
			if m == golang {
				wantGone(t, object)
			} else if err := os.Remove("/dev/shm" + object); err != nil {
				t.Errorf("the twin left nothing: %v", err)
			}
		})
		for _, u := range uses {
			switch {
			case u.status != 0:
				// fails by itself: a twin knows no --timeout
				if m == golang {
					test(u.String(), func(t *testing.T, dir, object string) {
						run(t, mute(t, u.command(t, m))).wantExit(t, u.status)
					})
				}
			case !u.silent && u.program() != "fifo_gzip":
				test(u.String()+"/"+string(m), func(t *testing.T, dir, object string) {
					cmd := mute(t, u.command(t, m))
					full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer full.Close()
					cmd.Stdout = full
					wantEnd(t, run(t, cmd), failure[u.program()])
				})
			}
		}
	}
	test("pshm_reader", func(t *testing.T, dir, object string) {
		cmd := golang.command(t, dir, "pshm_writer", object)
		cmd.Stdin = strings.NewReader("data")
		writer := start(t, cmd)
		writer.mustBlock(unix.SYS_FUTEX)
		reader := mute(t, golang.command(t, dir, "pshm_reader", object))
		run(t, redirected(t, reader, ">/dev/full")).wantExit(t, 1)
		writer.wait().wantError(t, "pshm_writer", 1, `: the reader gave up\n$`)
		wantGone(t, object)
	})
	test("domain_sock-server", func(t *testing.T, dir, _ string) {
		server := start(t, mute(t, redirected(t, golang.command(t, dir, "domain_sock", "server", "sock"), ">/dev/full")))
		listening(server, dir)
		path := filepath.Join(dir, "sock")
		for i := range 3 {
			// The child has something to say about its output.
			run(t, golang.command(t, dir, "domain_sock", "client", "sock")).wantExit(t, 0)
			// The server has, about the child.
			conn, err := dial(path)
			if err != nil {
				t.Fatal(err)
			}
			unix.Kill(server.child("domain_sock:connection"), unix.SIGKILL)
			until(t, fmt.Sprintf("child %d is reaped", i), func() bool { return len(children(server.pid)) == 0 })
			conn.Close()
		}
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(t, unix.SIGTERM)
		gone(t, path)
	})
	test("doors_emul-server", func(t *testing.T, dir, _ string) {
		server := start(t, mute(t, redirected(t, golang.command(t, dir, "doors_emul", "server", "door"), ">/dev/full")))
		path := filepath.Join(dir, "door")
		until(t, "a door is there", func() bool { _, err := os.Stat(path); return err == nil })
		run(t, golang.command(t, dir, "doors_emul", "client", "door"))
		server.wait().wantExit(t, 1)
		gone(t, path)
	})
	test("mmap_queue-others", func(t *testing.T, dir, _ string) {
		producer := start(t, golang.command(t, dir, "mmap_queue", "producer"))
		producer.mustBlock(unix.SYS_FUTEX)
		run(t, mute(t, redirected(t, golang.command(t, dir, "mmap_queue", "consumer"), ">/dev/full"))).wantExit(t, 255)
		r := run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "99")).wantExit(t, 0)
		if got := len(messages(t, r.stdout)); got != 99 {
			t.Errorf("%d messages of 99", got)
		}
		producer.stdin.Close()
		producer.wait().wantExit(t, 0)
	})
	test("futex_mutex-robust", func(t *testing.T, dir, _ string) {
		owner := start(t, golang.command(t, dir, "futex_mutex", "hold", "--robust", "mutex", "10m"))
		owner.line("^locked$")
		killed(t, owner)
		run(t, mute(t, golang.command(t, dir, "futex_mutex", "hold", "--robust", "mutex", "0s"))).wantExit(t, 0).wantStdout(t, "locked\n")
	})
	test("fifo_gzip", func(t *testing.T, dir, _ string) {
		inputFile(t, dir, "")
		cmd := mute(t, golang.command(t, dir, "fifo_gzip", "in", "-"))
		cmd.Env = []string{"PATH="} // no gzip: it says that it takes its own
		run(t, cmd).wantExit(t, 0)
		gone(t, filepath.Join(dir, "pipe_file"))
	})
}
