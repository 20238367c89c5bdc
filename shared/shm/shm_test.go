package shm_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ipcbook/shared/internal/ctest"
	"ipcbook/shared/internal/proctest"
	"ipcbook/shared/sem"
	"ipcbook/shared/shm"
)

func TestMain(m *testing.M) {
	proctest.Main(m, map[string]proctest.Role{
		"peer":    peer,
		"full":    full,
		"limited": limited,
		"crash":   crash,
		"asleep":  asleep,
	})
}

// peer is testdata/peer.c in Go.
func peer([]string) error {
	octal := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil {
			panic(err)
		}
		return uint32(n)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := append(strings.Fields(in.Text()), "", "", "")
		name := strings.TrimPrefix(f[1], `""`)
		var err error
		switch f[0] {
		case "open":
			flags := unix.O_RDWR
			for letter, flag := range map[string]int{"c": unix.O_CREAT, "x": unix.O_EXCL, "t": unix.O_TRUNC} {
				if strings.Contains(f[2], letter) {
					flags |= flag
				}
			}
			if strings.Contains(f[2], "r") {
				flags &^= unix.O_RDWR
			}
			var file *os.File
			if file, err = shm.Open(name, flags, fs.FileMode(octal("0"+f[3]))); err != nil {
				break
			}
			var st unix.Stat_t
			if err = unix.Fstat(int(file.Fd()), &st); err == nil {
				fmt.Printf("ok %o %d\n", st.Mode, st.Size)
				file.Close()
				continue
			}
		case "unlink":
			err = shm.Unlink(name)
		case "umask":
			unix.Umask(int(octal(f[1])))
		}
		var errno unix.Errno
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.As(err, &errno):
			fmt.Println(unix.ErrnoName(errno))
		default:
			fmt.Println(err)
		}
	}
	return in.Err()
}

func ask(t testing.TB, p *proctest.Proc, want, format string, args ...any) {
	t.Helper()
	p.Say(format, args...)
	if got := p.Line(); got != want {
		t.Fatalf("%s: answer %q, want %q\n%s", fmt.Sprintf(format, args...), got, want, p.Stderr())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newName returns a name of the test's own, which is removed with it, and the
// file behind it.
func newName(t testing.TB) (name, file string) {
	t.Helper()
	name = fmt.Sprintf("/ipcbook-%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), os.Getpid())
	file = "/dev/shm" + name
	t.Cleanup(func() { os.Remove(file) })
	return name, file
}

func TestNames(t *testing.T) {
	bin := ctest.Build(t, "testdata/peer.c")
	g, c := proctest.Start(t, proctest.Command("peer")), proctest.Start(t, exec.Command(bin))
	name, _ := newName(t)
	long := func(n int) string {
		s := (name + strings.Repeat("x", n))[:n+1]
		t.Cleanup(func() { os.Remove("/dev/shm" + s) })
		return s
	}
	const made = "ok 100600 0"
	for _, n := range []struct {
		name         string
		open, unlink string
		quirk        bool // glibc does not keep to its manual page
	}{
		{name: name, open: made, unlink: "ok"},
		{name: name[1:], open: made, unlink: "ok"},
		{name: "//" + name, open: made, unlink: "ok"},
		{name: `""`, open: "EINVAL", unlink: "ENOENT"},
		{name: "/", open: "EINVAL", unlink: "ENOENT"},
		{name: "///", open: "EINVAL", unlink: "ENOENT"},
		{name: name + "/", open: "EINVAL", unlink: "ENOENT"},
		{name: name + "/x", open: "EINVAL", unlink: "ENOENT"},
		{name: "/." + name, open: "EINVAL", unlink: "ENOENT"},
		{name: long(255), open: made, unlink: "ok"},
		{name: long(256), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG"},
		{name: long(259), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG"},
		// glibc 2.36: EINVAL and ENOENT, its buffer is too small.
		{name: long(260), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG", quirk: true},
		{name: long(500), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG", quirk: true},
		// glibc opens the directory and leaves it to the kernel to refuse.
		{name: "/.", open: "EINVAL", unlink: "ENOENT", quirk: true},
		{name: "..", open: "EINVAL", unlink: "ENOENT", quirk: true},
	} {
		for _, flags := range []string{"c", "cx"} {
			for _, p := range []*proctest.Proc{g, c} {
				if p == c && n.quirk {
					continue
				}
				ask(t, p, n.open, "open %s %s 600", n.name, flags)
				ask(t, p, n.unlink, "unlink %s", n.name)
				if n.unlink == "ok" {
					ask(t, p, "ENOENT", "unlink %s", n.name)
					ask(t, p, "ENOENT", "open %s -", n.name)
				}
			}
		}
	}
	if _, err := shm.Open("/a\x00b", unix.O_RDWR, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Open of a name with a NUL = %v, want EINVAL", err)
	}
}

func TestOpenAsInC(t *testing.T) {
	bin := ctest.Build(t, "testdata/peer.c")
	g, c := proctest.Start(t, proctest.Command("peer")), proctest.Start(t, exec.Command(bin))
	name, file := newName(t)
	for _, pair := range [][2]*proctest.Proc{{g, c}, {c, g}} {
		one, other := pair[0], pair[1]
		for _, umask := range []uint32{0, 0o022, 0o077, 0o777} {
			ask(t, one, "ok", "umask %o", umask)
			ask(t, one, fmt.Sprintf("ok %o 0", 0o100666&^umask), "open %s cx 666", name)
			ask(t, other, "EEXIST", "open %s cx 600", name)
			ask(t, other, fmt.Sprintf("ok %o 0", 0o100666&^umask), "open %s c 600", name)
			must(t, os.Truncate(file, 1096))
			ask(t, other, fmt.Sprintf("ok %o 1096", 0o100666&^umask), "open %s r", name)
			ask(t, other, fmt.Sprintf("ok %o 0", 0o100666&^umask), "open %s t", name)
			ask(t, other, "ok", "unlink %s", name)
			ask(t, one, "ENOENT", "open %s -", name)
		}
	}
}

func TestOpenFlags(t *testing.T) {
	name, file := newName(t)
	for what, open := range map[string]func() (*os.File, error){
		"Open":     func() (*os.File, error) { return shm.Open(name, unix.O_RDWR|unix.O_CREAT, 0o600) },
		"OpenFile": func() (*os.File, error) { return shm.OpenFile(file, unix.O_RDWR|unix.O_CREAT, 0o600) },
	} {
		f, err := open()
		must(t, err)
		defer f.Close()
		if fd, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); fd != unix.FD_CLOEXEC || err != nil {
			t.Errorf("%s: descriptor flags %#x, %v; want FD_CLOEXEC", what, fd, err)
		}
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); fl&(unix.O_ACCMODE|unix.O_NONBLOCK) != unix.O_RDWR || err != nil {
			t.Errorf("%s: file flags %#x, %v; want O_RDWR without O_NONBLOCK", what, fl, err)
		}
	}
}

func TestErrorNamesTheCall(t *testing.T) {
	name, file := newName(t)
	for op, c := range map[string]struct {
		path string
		call func() error
	}{
		"shm_open":   {name, func() error { _, err := shm.Open(name, unix.O_RDWR, 0); return err }},
		"shm_unlink": {name, func() error { return shm.Unlink(name) }},
		"open":       {file, func() error { _, err := shm.OpenFile(file, unix.O_RDWR, 0); return err }},
	} {
		var path *fs.PathError
		if err := c.call(); !errors.As(err, &path) || path.Op != op || path.Path != c.path || path.Err != error(unix.ENOENT) {
			t.Errorf("%s: %#v", op, err)
		}
	}
}

// A symlink under the name is refused, its target is neither opened nor made.
func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	target, nothing := filepath.Join(dir, "target"), filepath.Join(dir, "nothing")
	must(t, os.WriteFile(target, []byte("mine"), 0o600))
	for _, to := range []string{target, nothing} {
		name, file := newName(t)
		must(t, os.Symlink(to, file))
		for _, flags := range []int{0, unix.O_CREAT, unix.O_TRUNC, unix.O_CREAT | unix.O_TRUNC} {
			if f, err := shm.Open(name, unix.O_RDWR|flags, 0o600); !errors.Is(err, unix.ELOOP) {
				t.Errorf("Open = %v, %v; want ELOOP", f, err)
			}
			if f, err := shm.OpenFile(file, unix.O_RDWR|flags, 0o600); !errors.Is(err, unix.ELOOP) {
				t.Errorf("OpenFile = %v, %v; want ELOOP", f, err)
			}
		}
		if f, err := shm.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600); !errors.Is(err, unix.EEXIST) {
			t.Errorf("Open with O_EXCL = %v, %v; want EEXIST", f, err)
		}
		must(t, shm.Unlink(name)) // the link, not what it points to
	}
	if b, err := os.ReadFile(target); string(b) != "mine" {
		t.Errorf("the target holds %q, %v", b, err)
	}
	if _, err := os.Lstat(nothing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target of the dangling link: %v", err)
	}
}

// What is no regular file neither blocks nor is mapped.
func TestMapOtherTypes(t *testing.T) {
	dir := t.TempDir()
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	must(t, unix.Mkfifo(fifo, 0o600))
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	for _, c := range []struct {
		path  string
		flags int
		errno error // of OpenFile
		kind  string
	}{
		{dir, unix.O_RDWR, unix.EISDIR, ""},
		{dir, unix.O_RDONLY, nil, "directory"},
		{fifo, unix.O_RDWR, nil, "FIFO"},
		{fifo, unix.O_RDONLY, nil, "FIFO"},
		{fifo, unix.O_WRONLY, unix.ENXIO, ""},
		{socket, unix.O_RDWR, unix.ENXIO, ""},
		{"/dev/zero", unix.O_RDWR, nil, "device"},
		{"/dev/null", unix.O_RDWR, nil, "device"},
	} {
		f, err := shm.OpenFile(c.path, c.flags, 0)
		if !errors.Is(err, c.errno) || c.errno == nil && err != nil {
			t.Errorf("OpenFile(%s, %#x) = %v, want %v", c.path, c.flags, err, c.errno)
		}
		if err != nil {
			continue
		}
		m, err := shm.Map(f, 4096, 0)
		if m != nil || !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), c.kind) {
			t.Errorf("Map(%s) = %v, %v; want EINVAL and %q", c.path, m, err, c.kind)
		}
		f.Close()
	}
}

// newFile returns a file of n bytes, open for reading and writing.
func newFile(t testing.TB, n int) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, bytes.Repeat([]byte{0xa5}, n), 0o600))
	f, err := shm.OpenFile(path, unix.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// The layouts of the suite on files of all the wrong sizes, and the right ones.
func TestMapSizes(t *testing.T) {
	page := os.Getpagesize()
	for _, c := range []struct {
		layout     string
		size, need int
		least      int // bytes that a file must have
	}{
		{"the mmap pair", 12, 12, 12},
		{"the queue", 220, 201, 201},
		{"the transfer buffer", 1096, 1096, 1096},
		{"a page", page, page, page},
		{"a byte", 1, 1, 1},
		{"a byte that nobody needs", 1, 0, 1},
		{"two pages, one needed", 2 * page, page, page + 1},
		{"two pages, no need", page + 1, 0, page + 1},
	} {
		for _, n := range []int{0, 1, 3, 12, 13, 199, 200, 201, 219, 220, 1095, 1096, page - 1, page, page + 1, 2 * page} {
			f := newFile(t, n)
			m, err := shm.Map(f, c.size, c.need)
			if n >= c.least {
				if err != nil || len(m.Bytes) != c.size {
					t.Errorf("%s: Map of %d bytes: %v", c.layout, n, err)
					continue
				}
				touch(t, m)
				must(t, m.Close())
				continue
			}
			var path *fs.PathError
			says := fmt.Sprintf("has %d bytes, want at least %d", n, c.least)
			if m != nil || !errors.Is(err, unix.EINVAL) || !errors.As(err, &path) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: Map of %d bytes = %v, want EINVAL and %q", c.layout, n, err, says)
			}
		}
	}
	f := newFile(t, page)
	for _, size := range []int{0, -1, -page} {
		if m, err := shm.Map(f, size, 0); m != nil || !errors.Is(err, unix.EINVAL) {
			t.Errorf("Map(%d) = %v, %v; want EINVAL", size, m, err)
		}
	}
}

// touch reads and writes every byte of a mapping, which must not fault.
func touch(t testing.TB, m *shm.Mapping) {
	t.Helper()
	err := m.Guard(func() error {
		for i := range m.Bytes {
			m.Bytes[i]++
		}
		return nil
	})
	if err != nil {
		t.Errorf("mapping of %d bytes: %v", len(m.Bytes), err)
	}
}

// Whatever Map returns can be used from the first byte to the last.
func TestMapNeverFaults(t *testing.T) {
	page := os.Getpagesize()
	f := newFile(t, 0)
	near := rapid.Custom(func(rt *rapid.T) int {
		return max(0, rapid.IntRange(0, 3).Draw(rt, "pages")*page+rapid.IntRange(-2, 2).Draw(rt, "more"))
	})
	sizes := rapid.OneOf(near, rapid.IntRange(0, 3*page))
	rapid.Check(t, func(rt *rapid.T) {
		have, size, need := sizes.Draw(rt, "file"), sizes.Draw(rt, "size"), sizes.Draw(rt, "need")
		must(t, f.Truncate(int64(have)))
		m, err := shm.Map(f, size, need)
		// A byte is there if its page is, and its page is if its first byte is.
		fits := size > 0 && have >= need && have > (size-1)/page*page
		if (err == nil) != fits {
			rt.Fatalf("Map: %v", err)
		}
		if err == nil {
			touch(t, m)
			must(t, m.Close())
		}
	})
}

func TestMapPermission(t *testing.T) {
	f := newFile(t, 4096)
	for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY} {
		one, err := shm.OpenFile(f.Name(), flags, 0)
		must(t, err)
		if m, err := shm.Map(one, 12, 12); m != nil || !errors.Is(err, unix.EACCES) {
			t.Errorf("flags %#x: Map = %v, %v; want EACCES", flags, m, err)
		}
		one.Close()
		if m, err := shm.Map(one, 12, 12); m != nil || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Map of a closed file = %v, %v", m, err)
		}
	}
}

func TestMappingIsShared(t *testing.T) {
	f := newFile(t, 12)
	m, err := shm.Map(f, 12, 12)
	must(t, err)
	must(t, f.Close())
	copy(m.Bytes, "Hello World\x00")
	if b, err := os.ReadFile(f.Name()); string(b) != "Hello World\x00" {
		t.Errorf("file holds %q, %v", b, err)
	}
	must(t, os.WriteFile(f.Name(), []byte("hello"), 0o600)) // the same file, shorter and longer
	if string(m.Bytes[:5]) != "hello" {
		t.Errorf("mapping holds %q", m.Bytes)
	}
	must(t, m.Close())
	must(t, m.Close())
	if m.Bytes != nil {
		t.Error("a closed mapping has bytes")
	}
	if n := mappings(t, f.Name()); n != 0 {
		t.Errorf("%d mappings left", n)
	}
}

func mappings(t testing.TB, path string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return strings.Count(string(b), path)
}

func TestAllocate(t *testing.T) {
	name, file := newName(t)
	f, err := shm.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	must(t, err)
	defer f.Close()
	for _, c := range []struct{ ask, size int64 }{{1096, 1096}, {100, 1096}, {10000, 10000}} {
		must(t, shm.Allocate(f, c.ask))
		var st unix.Stat_t
		must(t, unix.Stat(file, &st))
		if st.Size != c.size || st.Blocks*512 < c.size {
			t.Errorf("Allocate(%d): %d bytes in %d blocks, want %d bytes", c.ask, st.Size, st.Blocks, c.size)
		}
	}
	for _, size := range []int64{0, -1} {
		if err := shm.Allocate(f, size); !errors.Is(err, unix.EINVAL) {
			t.Errorf("Allocate(%d) = %v, want EINVAL", size, err)
		}
	}
	var path *fs.PathError
	if err := shm.Allocate(f, 1<<62); !errors.As(err, &path) || path.Op != "fallocate" || path.Path != name {
		t.Errorf("Allocate(2^62) = %v", err)
	}
	ro, err := shm.Open(name, unix.O_RDONLY, 0)
	must(t, err)
	defer ro.Close()
	if err := shm.Allocate(ro, 1); !errors.Is(err, unix.EBADF) {
		t.Errorf("Allocate of a file open for reading = %v, want EBADF", err)
	}
}

// full allocates in a /dev/shm of 64 KiB, in a mount namespace of its own.
func full([]string) error {
	const size = 64 << 10
	if err := proctest.Mount("/dev/shm", size); err != nil {
		return err
	}
	f, err := shm.Open("/a", unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	if err := shm.Allocate(f, 1096); err != nil {
		return err
	}
	if err := shm.Allocate(f, size+1); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("Allocate = %v, want ENOSPC", err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 1096 {
		return fmt.Errorf("after ENOSPC: %v, %v", st, err)
	}
	// What was asked for in vain is free again: now it fits to the last byte.
	if err := shm.Allocate(f, size); err != nil {
		return err
	}
	m, err := shm.Map(f, size, size)
	if err != nil {
		return err
	}
	if err := m.Guard(func() error { clear(m.Bytes); return nil }); err != nil {
		return err
	}
	g, err := shm.Open("/b", unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	if err := shm.Allocate(g, 1); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("Allocate on the full device = %v, want ENOSPC", err)
	}
	// The C way: a size without memory behind it. The access is what fails.
	if err := g.Truncate(4096); err != nil {
		return err
	}
	if m, err = shm.Map(g, 4096, 4096); err != nil {
		return err
	}
	if err := m.Guard(func() error { m.Bytes[0] = 1; return nil }); err == nil {
		return errors.New("wrote to a device that is full")
	}
	return nil
}

func TestAllocateOnFullDevice(t *testing.T) {
	cmd := proctest.Command("full")
	proctest.Private(t, cmd)
	proctest.Start(t, cmd).WantExit(0)
}

// Nothing of what the package opens or maps stays behind, least of all after an
// error.
func TestNoLeak(t *testing.T) {
	name, file := newName(t)
	must(t, os.WriteFile(file, make([]byte, 5000), 0o600))
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	before := proctest.Descriptors(t)
	for range 20 {
		f, err := shm.Open(name, unix.O_RDWR, 0)
		must(t, err)
		for _, size := range []int{0, 5000, 10000} {
			if m, err := shm.Map(f, size, size); err == nil {
				must(t, m.Close())
			}
		}
		must(t, f.Close())
		f, err = shm.OpenFile(fifo, unix.O_RDWR, 0)
		must(t, err)
		if _, err := shm.Map(f, 1, 1); err == nil {
			t.Error("mapped a FIFO")
		}
		must(t, f.Close())
		if _, err := shm.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
			t.Error("created what exists")
		}
	}
	if after := proctest.Descriptors(t); !maps.Equal(before, after) {
		t.Errorf("descriptors were\n%v\nand are\n%v", before, after)
	}
	if n := mappings(t, file); n != 0 {
		t.Errorf("%d mappings left", n)
	}
}

// Another user's object is opened as its mode says.
func TestOtherUser(t *testing.T) {
	cmd := proctest.Command("peer")
	proctest.Nobody(t, cmd)
	name, file := newName(t)
	must(t, os.WriteFile(file, nil, 0o600))
	p := proctest.Start(t, cmd)
	ask(t, p, "EACCES", "open %s -", name)
	ask(t, p, "EACCES", "open %s r", name)
	must(t, os.Chmod(file, 0o644))
	ask(t, p, "EACCES", "open %s -", name)
	ask(t, p, "ok 100644 0", "open %s r", name)
	ask(t, p, "EACCES", "unlink %s", name)
	must(t, os.Chmod(file, 0o666))
	ask(t, p, "ok 100666 0", "open %s -", name)
	ask(t, p, "EEXIST", "open %s cx 600", name)
}

// limited allocates above RLIMIT_FSIZE. It must survive the SIGXFSZ that comes with
// the error.
func limited(args []string) error {
	unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096})
	f, err := shm.Open(args[0], unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	if err := shm.Allocate(f, 4096); err != nil {
		return err
	}
	if err := shm.Allocate(f, 4097); !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("Allocate = %v, want EFBIG", err)
	}
	return nil
}

func TestAllocateAboveLimit(t *testing.T) {
	name, _ := newName(t)
	proctest.Start(t, proctest.Command("limited", name)).WantExit(0)
}

// asleep waits for a semaphore in a mapped file.
func asleep(args []string) error {
	f, err := shm.OpenFile(args[0], unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	m, err := shm.Map(f, 220, 201)
	if err != nil {
		return err
	}
	defer m.Close()
	s, err := sem.At(m.Bytes)
	if err != nil {
		return err
	}
	err = m.Guard(s.Wait)
	switch {
	case errors.Is(err, shm.ErrTruncated):
		fmt.Println("truncated")
	case err == nil:
		fmt.Println("posted")
	default:
		return err
	}
	return nil
}

// A file that goes away under a sleeping waiter ends the wait with an error, one
// that was made anew meanwhile does not.
func TestTruncatedWhileAsleep(t *testing.T) {
	fresh := make([]byte, 201)
	fresh[8] = 128 // a semaphore of 0
	for _, size := range []int64{0, 1, 199} {
		f := newFile(t, 0)
		must(t, os.WriteFile(f.Name(), fresh, 0o600))
		p := proctest.Start(t, proctest.Command("asleep", f.Name()))
		p.Asleep(1)
		must(t, f.Truncate(size))
		if size == 0 {
			p.Want("truncated")
		} else {
			// The page stays, and past the end of the file it reads as zero.
			must(t, f.Truncate(201))
			_, err := f.WriteAt([]byte{1}, 0)
			must(t, err)
			p.Want("posted")
		}
		p.WantExit(0)
	}
}

func ExampleMapping_Guard() {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("example-%d", os.Getpid()))
	f, err := shm.OpenFile(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(path)
	defer f.Close()
	shm.Allocate(f, 12)
	m, err := shm.Map(f, 12, 12)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	err = m.Guard(func() error {
		f.Truncate(0) // somebody else does
		m.Bytes[0] = 'H'
		return nil
	})
	fmt.Println(errors.Is(err, shm.ErrTruncated))
	// Output: true
}
