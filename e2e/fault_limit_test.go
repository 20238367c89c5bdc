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

// A mapped file that a program has made and cannot finish is removed again, whatever
// is in the way. One that was there before stays, and so does one that another process
// has put in its place. C leaves it, too short to be mapped.
func TestFaultHalfMade(t *testing.T) {
	t.Parallel()
	producers := [][]string{{"mmap_producer"}, {"mmap_queue", "producer"}}
	for _, args := range producers {
		program := args[0]
		producer := func(t *testing.T, m maker) (cmd *exec.Cmd, path string) {
			cmd = m.command(t, t.TempDir(), program, args[1:]...)
			return cmd, filepath.Join(cmd.Dir, "shared.dat")
		}
		t.Run(program+"/RLIMIT_FSIZE", func(t *testing.T) {
			t.Parallel()
			cmd, path := producer(t, golang)
			saidLimit(t, run(t, limit(t, cmd, "fsize", 10)), program, `RLIMIT_FSIZE.* is 10\n$`)
			gone(t, path)
		})
		t.Run(program+"/RLIMIT_FSIZE/C", func(t *testing.T) {
			t.Parallel()
			cmd, path := producer(t, twin)
			run(t, limit(t, cmd, "fsize", 10)).wantSignal(t, syscall.SIGXFSZ)
			if st, err := os.Stat(path); err != nil || st.Size() != 0 {
				t.Errorf("the twin leaves %v, %v; want an empty file", st, err)
			}
		})
		t.Run(program+"/existing", func(t *testing.T) {
			t.Parallel()
			cmd, path := producer(t, golang)
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			saidLimit(t, run(t, limit(t, cmd, "fsize", 10)), program, `RLIMIT_FSIZE`)
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("before %v, after %v, %v", before, after, err)
			}
		})
	}
	// The disk has room for one page; then for none.
	t.Run("disk full", func(t *testing.T) {
		t.Parallel()
		r := alone(t, "64k", `
cd /dev/shm
head -c 65536 /dev/zero >all
for program in mmap_producer 'mmap_queue producer'; do
	status=0
	$program </dev/null >/dev/null || status=$?
	echo $program: $status, $(ls)
	echo mine >shared.dat || true
	ls -i shared.dat >/tmp/before
	$program </dev/null >/dev/null || true
	ls -i shared.dat >/tmp/after
	cmp /tmp/before /tmp/after
	rm shared.dat
done
truncate -s 61440 all
mmap_producer </dev/null
mmap_consumer
`)
		r.wantExit(t, 0).wantStdout(t, "mmap_producer: 255, all\nmmap_queue producer: 255, all\nmemory mapped. press any key to exit...\nHello World\n")
	})
	// What another process has put in its place is not what we made. The program
	// stands still in between, at a pipe that nobody reads.
	for _, replaced := range []bool{false, true} {
		for name, end := range map[string]func(t *testing.T, p *proc, reader *os.File){
			"signal": func(t *testing.T, p *proc, _ *os.File) {
				p.signal(syscall.SIGTERM)
				p.wait().wantSignal(t, syscall.SIGTERM)
			},
			"reader gone": func(t *testing.T, p *proc, reader *os.File) {
				reader.Close()
				p.wait().wantSignal(t, syscall.SIGPIPE)
			},
		} {
			t.Run(fmt.Sprintf("%s/replaced=%v", name, replaced), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "shared.dat")
				cmd := golang.command(t, dir, "mmap_queue", "producer")
				var reader *os.File
				reader, cmd.Stdout = fullPipe(t)
				p := start(t, cmd)
				p.mustBlock(syscall.SYS_WRITE)
				if st, err := os.Lstat(path); err != nil || st.Size() != 0 {
					t.Fatalf("half made: %v, %v; want an empty file", st, err)
				}
				if replaced {
					if err := os.WriteFile(path+".new", []byte("other"), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(path+".new", path); err != nil {
						t.Fatal(err)
					}
				}
				end(t, p, reader)
				if !replaced {
					gone(t, path)
				} else if got, err := os.ReadFile(path); string(got) != "other" {
					t.Errorf("the other file holds %q, %v", got, err)
				}
			})
		}
	}
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
