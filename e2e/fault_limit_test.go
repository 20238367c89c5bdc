package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// limit makes cmd run with a limit of setrlimit(2), as prlimit(1) sets it.
func limit(t *testing.T, cmd *exec.Cmd, name string, value int) *exec.Cmd {
	t.Helper()
	limited := *cmd
	limited.Path = need(t, "prlimit")
	limited.Args = append([]string{"prlimit", fmt.Sprintf("--%s=%d:%[2]d", name, value), cmd.Path}, cmd.Args[1:]...)
	return &limited
}

// saidLimit checks that a program that did not do its work named the limit.
func saidLimit(t *testing.T, r result, program, name string) {
	t.Helper()
	r.wantExit(t, failure[program])
	wantMatch(t, r.stderr, `^`+program+`: .*(too many open files|file too large|resource temporarily unavailable)(.|\n)*`+name)
}

// A file or an object above RLIMIT_FSIZE is an error and not the end by SIGXFSZ.
func TestFaultFileSize(t *testing.T) {
	t.Parallel()
	for _, u := range []use{
		{args: []string{"mmap_producer"}},
		{name: "mmap_queue", args: []string{"mmap_queue", "producer"}},
		{args: []string{"pshm_writer", "NAME"}},
		{name: "futex_mutex-hold", args: []string{"futex_mutex", "hold", "mutex", "0s"}},
		{name: "futex_mutex-count", args: []string{"futex_mutex"}},
	} {
		t.Run(u.String(), func(t *testing.T) {
			t.Parallel()
			c := u.command(t, golang)
			r := run(t, limit(t, c, "fsize", 10))
			saidLimit(t, r, u.program(), `RLIMIT_FSIZE.* is 10\n$`)
			if u.program() == "pshm_writer" {
				wantGone(t, c.Args[1])
			}
			// It is no obstacle once the limit is gone.
			if u.program() != "pshm_writer" && u.program() != "mmap_queue" {
				run(t, again(c)).wantExit(t, 0)
			}
		})
	}
	t.Run("fifo_gzip", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		inputFile(t, dir, "")
		r := run(t, limit(t, golang.command(t, dir, "fifo_gzip", "in", "out"), "fsize", 10))
		r.wantExit(t, 1)
		wantMatch(t, r.stderr, `fifo_gzip: gzip: (signal: file size limit exceeded|exit status 1)`)
		if got := names(t, dir); !slices.Equal(got, []string{dir, "in"}) {
			t.Errorf("files: %q", got)
		}
	})
}

// again returns the command once more.
func again(c *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{Path: c.Path, Args: c.Args, Dir: c.Dir}
}

// With any number of descriptors a program does its work, or names the limit. The
// Go runtime needs two for itself and would end the program with a stack trace if
// it asked for them late.
func TestFaultDescriptors(t *testing.T) {
	t.Parallel()
	for _, u := range uses {
		t.Run(u.String(), func(t *testing.T) {
			t.Parallel()
			worked := false
			for n := 3; !worked; n++ {
				if n > 30 {
					t.Fatal("30 descriptors are not enough")
				}
				c := u.command(t, golang)
				before := names(t, c.Dir)
				r := run(t, limit(t, c, "nofile", n))
				if worked = r.status.Exited() && r.status.ExitStatus() == u.status && !strings.Contains(r.stderr, "too many open files"); !worked {
					saidLimit(t, r, u.program(), `RLIMIT_NOFILE`)
					after := slices.DeleteFunc(names(t, c.Dir), func(name string) bool { return name == "shared.dat" || name == "mutex" })
					before = slices.DeleteFunc(before, func(name string) bool { return name == "shared.dat" })
					if !slices.Equal(before, after) {
						t.Errorf("%d descriptors: files before %q, after %q", n, before, after)
					}
				}
			}
		})
	}
}

// A server that has no descriptor left for a connection says so once and goes on
// when there is one again.
func TestFaultServerDescriptors(t *testing.T) {
	t.Parallel()
	for n := 5; n < 14; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := start(t, limit(t, golang.command(t, dir, "domain_sock", "server", "sock"), "nofile", n))
			until(t, "ended or waiting", func() bool {
				_, err := os.Stat(filepath.Join(dir, "sock"))
				return server.hasEnded() || err == nil && blocked(server.pid)
			})
			if !server.hasEnded() {
				client := run(t, golang.command(t, dir, "domain_sock", "client", "--timeout", "200ms", "sock"))
				if client.status != 0 {
					client.wantError(t, "domain_sock", 255, `timed out|without an answer|connection reset|broken pipe`)
					server.errLine(`^domain_sock: .*too many open files`)
				}
				server.signal(syscall.SIGTERM)
				server.wait().wantSignal(t, syscall.SIGTERM)
			} else {
				saidLimit(t, server.wait(), "domain_sock", `RLIMIT_NOFILE`)
			}
			if got := names(t, dir); len(got) != 1 {
				t.Errorf("files: %q", got)
			}
		})
	}
}

// With any number of processes a program that starts some does its work, or names
// the limit. Too few for its own threads end any Go program before its main, with
// words of the runtime.
func TestFaultProcesses(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		skip(t, "only root may start a process of another user")
	}
	for i, u := range []use{
		{args: []string{"simple_pipe", "hello"}},
		{args: []string{"fork_pipe"}},
		{args: []string{"fifo_gzip", "in", "-"}, prepare: inputFile},
		{args: []string{"futex_mutex", "--procs", "2", "--iters", "10"}},
	} {
		t.Run(u.program(), func(t *testing.T) {
			t.Parallel()
			// The limit is that of a user; nobody else is this one.
			uid := uint32(1_000_000 + 8*os.Getpid() + i)
			runtimes, said := 0, 0
			for n := 1; ; n++ {
				if n > 60 {
					t.Fatal("60 processes are not enough")
				}
				c := u.command(t, golang)
				if err := os.Chmod(c.Dir, 0o777); err != nil {
					t.Fatal(err)
				}
				for dir := c.Dir; dir != root; dir = filepath.Dir(dir) {
					os.Chmod(dir, 0o777)
				}
				cmd := limit(t, c, "nproc", n)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
				cmd.Stdin = strings.NewReader("")
				r, err := start(t, cmd).await(patience)
				switch {
				case strings.Contains(r.stderr, "failed to create new OS thread") || strings.Contains(r.stderr, "pthread_create failed"):
					runtimes++ // in the program or in its child
				case err != nil:
					t.Fatal(err)
				case r.status == 0:
					t.Logf("%d processes are enough; with fewer the runtime ended it %d times, its own message %d times", n, runtimes, said)
					return
				default:
					said++
					r.wantExit(t, failure[u.program()])
					wantMatch(t, r.stderr, `resource temporarily unavailable(.|\n)*RLIMIT_NPROC|(child|adder|gzip): `)
				}
			}
		})
	}
}
