package e2e

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A reader that a signal ends in the middle tells the writer, wherever it is: at
// work, or waiting for who reads its output.
func TestPshmReaderSignalled(t *testing.T) {
	t.Parallel()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		for _, at := range []string{"work", "write"} {
			t.Run(fmt.Sprintf("%s/%s", unix.SignalName(sig), at), func(t *testing.T) {
				t.Parallel()
				dir, name := t.TempDir(), object(t.Name())
				writer, reader := endless(t, golang, dir, name), golang.command(t, dir, "pshm_reader", name)
				var r *proc
				if at == "write" {
					_, reader.Stdout = fullPipe(t)
					r = start(t, reader)
					r.mustBlock(unix.SYS_WRITE)
				} else {
					out := new(counter)
					reader.Stdout = out
					r = start(t, reader)
					until(t, "data arrive", func() bool { return out.count() > 100_000 })
				}
				r.signal(sig)
				r.wait().wantSignal(t, sig)
				if s := r.stderr.String(); s != "" {
					t.Errorf("the reader says %q", s)
				}
				writer.wait().wantError(t, "pshm_writer", 1, `^pshm_writer: the reader gave up\n$`)
				wantGone(t, name)
			})
		}
	}
}

// A writer in C cannot be told. The reader ends all the same.
func TestPshmReaderSignalledC(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), object(t.Name())
	writer := endless(t, twin, dir, name)
	_, stdout := fullPipe(t)
	cmd := golang.command(t, dir, "pshm_reader", name)
	cmd.Stdout = stdout
	reader := start(t, cmd)
	reader.mustBlock(unix.SYS_WRITE)
	reader.signal(unix.SIGINT)
	reader.wait().wantSignal(t, unix.SIGINT)
	writer.mustBlock(unix.SYS_FUTEX)
	writer.signal(unix.SIGKILL)
	writer.wait().wantSignal(t, unix.SIGKILL)
	if err := os.Remove("/dev/shm" + name); err != nil {
		t.Error(err)
	}
}

// endless starts a writer whose input does not end, and waits until it has
// something for a reader.
func endless(t *testing.T, m maker, dir, name string) *proc {
	t.Helper()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zero.Close() })
	cmd := m.command(t, dir, "pshm_writer", name)
	cmd.Stdin = zero
	p := start(t, cmd)
	p.mustBlock(unix.SYS_FUTEX)
	return p
}
