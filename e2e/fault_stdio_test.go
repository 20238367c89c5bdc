package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// soak tells whether the tests may take their time: SOAK=1 in the environment.
// Then the sweeps leave nothing out, and the huge transfer is one of 3 GiB.
func soak() bool { return os.Getenv("SOAK") == "1" }

// outputs are standard outputs that fail, and what becomes of a program that
// writes to them.
var outputs = []struct {
	name  string
	open  func(t *testing.T, cmd *exec.Cmd) *exec.Cmd
	check func(t *testing.T, r result)
}{
	{"full", func(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { full.Close() })
		cmd.Stdout = full
		return cmd
	}, func(t *testing.T, r result) {
		t.Helper()
		wantMatch(t, r.stderr, `write standard output: no space left on device\n`)
	}},
	{"closed", func(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
		return redirected(t, cmd, ">&-")
	}, func(t *testing.T, r result) {
		t.Helper()
		wantMatch(t, r.stderr, `write standard output: bad file descriptor\n`)
	}},
	{"gone", func(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		cmd.Stdout = w
		return cmd
	}, func(t *testing.T, r result) {
		t.Helper()
		r.wantSignal(t, unix.SIGPIPE)
		if r.stderr != "" {
			t.Errorf("stderr %q; a C program that dies of SIGPIPE says nothing", r.stderr)
		}
	}},
}

// A half that cannot write says so, and its peer is not left waiting.
func TestFaultOutputReleasesPeer(t *testing.T) {
	t.Parallel()
	for _, out := range outputs {
		ended := func(t *testing.T, p *proc, status int) {
			t.Helper()
			r := p.wait()
			if out.name != "gone" {
				r.wantExit(t, status)
			}
			out.check(t, r)
		}
		for _, m := range []maker{golang, twin} {
			t.Run(fmt.Sprintf("%s/pshm_reader-of-%s", out.name, m), func(t *testing.T) {
				t.Parallel()
				dir, name := t.TempDir(), object(t.Name())
				cmd := m.command(t, dir, "pshm_writer", name)
				cmd.Stdin = strings.NewReader(strings.Repeat("x", 10_000))
				writer := start(t, cmd)
				writer.mustBlock(unix.SYS_FUTEX)
				ended(t, start(t, out.open(t, golang.command(t, dir, "pshm_reader", name))), 1)
				r := writer.wait()
				if m == golang {
					r.wantError(t, "pshm_writer", 1, `: the reader gave up\n$`)
				} else {
					r.wantExit(t, 0) // it cannot know
				}
				wantGone(t, name)
			})
			t.Run(fmt.Sprintf("%s/mmap_queue-of-%s", out.name, m), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				producer := start(t, m.command(t, dir, "mmap_queue", "producer"))
				producer.mustBlock(unix.SYS_FUTEX)
				consumer := start(t, out.open(t, golang.command(t, dir, "mmap_queue", "consumer")))
				ended(t, consumer, 255)
				if out.name != "gone" {
					wantMatch(t, consumer.stderr.String(), `^mmap_queue: (message "\d\\n" was taken and is not printed: )?write`)
				}
				// The others go on, without the one message, or with all.
				r := run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "99")).wantExit(t, 0)
				if got := len(messages(t, r.stdout)); got != 99 {
					t.Errorf("%d messages of 99", got)
				}
				producer.stdin.Close()
				producer.wait().wantExit(t, 0)
			})
		}
		t.Run(out.name+"/domain_sock", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := start(t, out.open(t, golang.command(t, dir, "domain_sock", "server", "sock")))
			if out.name == "closed" { // it notices before it serves anybody
				ended(t, server, 255)
				return
			}
			listening(server, dir)
			for range 2 {
				r := run(t, golang.command(t, dir, "domain_sock", "client", "sock"))
				if out.name == "full" {
					r.wantExit(t, 0).wantStdout(t, "message from server: hello from server\n")
				} else if r.status.ExitStatus() != 0 { // the child may die of SIGPIPE before it answers
					r.wantError(t, "domain_sock", 255, `without an answer|connection reset`)
				}
			}
			if out.name == "full" {
				server.errLine(`^domain_sock: write standard output: no space left on device$`)
			}
			server.signal(unix.SIGTERM)
			server.wait().wantSignal(t, unix.SIGTERM)
		})
		t.Run(out.name+"/doors_emul", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "door")
			server := start(t, out.open(t, golang.command(t, dir, "doors_emul", "server", "door")))
			if out.name != "closed" {
				until(t, "a door is there", func() bool { _, err := os.Stat(path); return err == nil })
				r := run(t, golang.command(t, dir, "doors_emul", "client", "door"))
				if r.status.ExitStatus() != 0 { // the server has ended before it sent the result
					r.wantError(t, "doors_emul", 1, `door_call`)
				}
			}
			ended(t, server, 1)
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("the door is still there: %v", err)
			}
		})
	}
}

// An input that cannot be read is an error where it is copied; the reader has all
// that there was. It is a key for who waits for one, as for getchar.
func TestFaultInputFails(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]func(t *testing.T, cmd *exec.Cmd) *exec.Cmd{
		"closed": func(t *testing.T, cmd *exec.Cmd) *exec.Cmd { return redirected(t, cmd, "<&-") },
		"directory": func(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
			dir, err := os.Open(cmd.Dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dir.Close() })
			cmd.Stdin = dir
			return cmd
		},
		"write-only": func(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
			f, err := os.OpenFile(filepath.Join(cmd.Dir, "in"), os.O_WRONLY|os.O_CREATE, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			cmd.Stdin = f
			return cmd
		},
	} {
		t.Run("pshm_writer/"+name, func(t *testing.T) {
			t.Parallel()
			dir, object := t.TempDir(), object(t.Name())
			r := run(t, input(t, golang.command(t, dir, "pshm_writer", object)))
			r.wantError(t, "pshm_writer", 1, `^pshm_writer: read standard input: (bad file descriptor|is a directory)\n$`)
			wantGone(t, object)
		})
		t.Run("fifo_gzip/"+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := run(t, input(t, golang.command(t, dir, "fifo_gzip", "-", "out.gz")))
			r.wantError(t, "fifo_gzip", 1, `^fifo_gzip: read .*: (bad file descriptor|is a directory)\n$`)
			for _, left := range []string{"pipe_file", "out.gz"} {
				if _, err := os.Lstat(filepath.Join(dir, left)); !os.IsNotExist(err) {
					t.Errorf("%s is still there: %v", left, err)
				}
			}
		})
		for _, args := range [][]string{{"mmap_producer"}, {"mmap_queue", "producer"}} {
			t.Run(args[0]+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				p := start(t, input(t, golang.command(t, dir, args[0], args[1:]...)))
				if args[0] == "mmap_queue" {
					p.line("^enqueued 4$")
					run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "100")).wantExit(t, 0)
				}
				p.wait().wantExit(t, 0)
				if s := p.stderr.String(); s != "" {
					t.Errorf("stderr %q", s)
				}
			})
		}
	}
}

// Any input goes through, however it comes, and is counted.
func TestFaultInputs(t *testing.T) {
	t.Parallel()
	binary := make([]byte, 0, 3*256)
	for i := range 3 * 256 {
		binary = append(binary, byte(i))
	}
	for name, input := range map[string][]string{
		"empty":  nil,
		"binary": {string(binary)},
		"slow":   strings.Split("one by one, with a pause after each", ""),
		"nul":    {"\x00"},
	} {
		all := strings.Join(input, "")
		t.Run("pshm/"+name, func(t *testing.T) {
			t.Parallel()
			dir, object := t.TempDir(), object(t.Name())
			writer := start(t, golang.command(t, dir, "pshm_writer", object))
			writer.mustBlock(unix.SYS_READ)
			reader := start(t, golang.command(t, dir, "pshm_reader", object))
			so := 0
			for _, piece := range input {
				io.WriteString(writer.stdin, piece)
				so += len(piece)
				// The reader has it before the next one comes.
				until(t, "piece arrived", func() bool { return len(reader.stdout.String()) == so })
			}
			writer.stdin.Close()
			w, r := writer.wait().wantExit(t, 0), reader.wait().wantExit(t, 0).wantStdout(t, all)
			counts := fmt.Sprintf("%d bytes (%d xfrs)\n", len(all), len(input))
			if w.stderr != "Sent "+counts || r.stderr != "Received "+counts {
				t.Errorf("writer %q, reader %q, want %q", w.stderr, r.stderr, counts)
			}
		})
		t.Run("fifo_gzip/"+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := start(t, golang.command(t, dir, "fifo_gzip", "-"))
			for _, piece := range input {
				io.WriteString(p.stdin, piece)
				p.mustBlock(unix.SYS_READ)
			}
			p.stdin.Close()
			zipped := p.wait().wantExit(t, 0).stdout
			cmd := exec.Command(need(t, "gzip"), "-dc")
			cmd.Stdin = strings.NewReader(zipped)
			run(t, cmd).wantExit(t, 0).wantStdout(t, all)
		})
	}
}

// The counts are 64 bits wide: 3 GiB with SOAK=1, and 64 MiB without.
func TestFaultHugeInput(t *testing.T) {
	size := int64(64 << 20)
	if soak() {
		size = 3 << 30
	} else if testing.Short() {
		t.Skip("-short: 64 MiB through shared memory")
	}
	dir, name := t.TempDir(), object(t.Name())
	in, err := os.Create(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// Nothing but a hole, and a mark at the end.
	mark := []byte("the end")
	if _, err := in.WriteAt(mark, size-int64(len(mark))); err != nil {
		t.Fatal(err)
	}
	write := golang.command(t, dir, "pshm_writer", name)
	write.Stdin = in
	writer := start(t, write)
	writer.mustBlock(unix.SYS_FUTEX)
	read := golang.command(t, dir, "pshm_reader", name)
	out := &counter{}
	read.Stdout = out
	reader := start(t, read)
	for !reader.hasEnded() { // beyond what wait is ready to wait for
		at := out.count()
		until(t, "more of the data", func() bool { return reader.hasEnded() || out.count() > at })
	}
	counts := fmt.Sprintf("%d bytes (%d xfrs)\n", size, size/1024)
	r, w := reader.wait().wantExit(t, 0), writer.wait().wantExit(t, 0)
	if w.stderr != "Sent "+counts || r.stderr != "Received "+counts {
		t.Errorf("writer %q, reader %q, want %q", w.stderr, r.stderr, counts)
	}
	if out.count() != size || !bytes.HasSuffix(out.tail, mark) {
		t.Errorf("%d bytes that end with %q, want %d", out.count(), out.tail, size)
	}
}
