package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// shmPairs: the original of the slides is no file of its own; the twin is it.
var shmPairs = pairs[:4]

// What goes in at the writer comes out at the reader, whatever its size, and the
// object is gone afterwards.
func TestPshmPair(t *testing.T) {
	t.Parallel()
	eachPair(t, shmPairs, func(t *testing.T, first, second maker) {
		for _, size := range []int64{0, 1, 1023, 1024, 1025, 300_000} {
			transfer(t, first, second, size)
		}
	})
}

func TestPshmLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 100 MiB through shared memory")
	}
	for _, p := range shmPairs[:3] {
		t.Run(string(p[0]+"-"+p[1]), func(t *testing.T) { transfer(t, p[0], p[1], 100<<20) })
	}
}

func transfer(t *testing.T, first, second maker, size int64) {
	t.Helper()
	dir, name := t.TempDir(), object(t.Name())
	// The reader's output is a file as the writer's input is: nobody else takes part.
	in, sum := randomFile(t, filepath.Join(dir, "in"), size)
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()

	write, read := first.command(t, dir, "pshm_writer", name), second.command(t, dir, "pshm_reader", name)
	write.Stdin, read.Stdout = in, out
	writer := start(t, write)
	writer.mustBlock(unix.SYS_FUTEX)
	reader := start(t, read)
	r := reader.wait().wantExit(t, 0)
	w := writer.wait().wantExit(t, 0)
	turns := (size + 1023) / 1024
	if want := fmt.Sprintf("Received %d bytes (%d xfrs)\n", size, turns); r.stderr != want {
		t.Errorf("%v reader says %q, want %q", second, r.stderr, want)
	}
	if want := fmt.Sprintf("Sent %d bytes (%d xfrs)\n", size, turns); w.stderr != want {
		t.Errorf("%v writer says %q, want %q", first, w.stderr, want)
	}
	if got := sumOf(t, out); !bytes.Equal(got, sum) {
		t.Errorf("%d bytes: the copy differs", size)
	}
	if _, err := os.Stat("/dev/shm" + name); !os.IsNotExist(err) {
		t.Errorf("after the end: stat %s: %v", name, err)
	}
}

// randomFile makes a file of random bytes and returns it, at its start, with its
// checksum.
func randomFile(t *testing.T, path string, size int64) (*os.File, []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	t.Logf("random bytes from seed %x", seed)
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(seed), size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f, h.Sum(nil)
}

func sumOf(t *testing.T, f *os.File) []byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}
