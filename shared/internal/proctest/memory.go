package proctest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Memory returns a new file of size zero bytes that is mapped shared, and its
// path, with which other processes can map it.
func Memory(t testing.TB, size int) (mem []byte, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "memory")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	mem, err := Map(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem, path
}

// Map maps a file shared.
func Map(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Descriptors returns the targets of the open descriptors of this process,
// except those of the Go runtime's poller. Tests compare two of them.
func Descriptors(t testing.TB) map[string]string {
	t.Helper()
	const dir = "/proc/self/fd"
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]string)
	for _, n := range names {
		target, err := os.Readlink(filepath.Join(dir, n.Name()))
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue // the first is the directory itself, closed by now
		}
		open[n.Name()] = target
	}
	return open
}
