package sem

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// newName returns a name of the test's own, which is removed with it, and the
// file in which glibc keeps the semaphore.
func newName(t testing.TB) (name, file string) {
	t.Helper()
	name = fmt.Sprintf("/ipcbook-%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), os.Getpid())
	file = "/dev/shm/sem." + name[1:]
	t.Cleanup(func() { os.Remove(file) })
	return name, file
}

// twice runs a test with the Go and the C process in both roles.
func twice(t *testing.T, test func(t *testing.T, one, other *proctest.Proc)) {
	bin := buildC(t)
	t.Run("Go-C", func(t *testing.T) { test(t, startGo(t), startC(t, bin)) })
	t.Run("C-Go", func(t *testing.T) { test(t, startC(t, bin), startGo(t)) })
}

// Until it is complete a new semaphore has no name that could stay behind.
func TestNamedHasNoNameBefore(t *testing.T) {
	f, err := nameless(0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Nlink != 0 {
		t.Errorf("it has %d names, %v", st.Nlink, err)
	}
	name, file := newName(t)
	s, err := Create(name, unix.O_EXCL, 0o600, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := unix.Stat(file, &st); err != nil || st.Nlink != 1 {
		t.Errorf("created, it has %d names, %v", st.Nlink, err)
	}
}

func TestNamedNames(t *testing.T) {
	g, c := startGo(t), startC(t, buildC(t))
	name, _ := newName(t)
	long := func(n int) string {
		s := name + strings.Repeat("x", n)
		s = s[:n+1]
		t.Cleanup(func() { os.Remove("/dev/shm/sem." + s[1:]) })
		return s
	}
	for _, n := range []struct {
		name         string
		open, unlink string
		quirk        bool // glibc does not keep to its manual page
	}{
		{name: name, open: "ok", unlink: "ok"},
		{name: name[1:], open: "ok", unlink: "ok"},
		{name: "//" + name, open: "ok", unlink: "ok"},
		{name: `""`, open: "EINVAL", unlink: "ENOENT"},
		{name: "/", open: "EINVAL", unlink: "ENOENT"},
		{name: "///", open: "EINVAL", unlink: "ENOENT"},
		{name: name + "/", open: "EINVAL", unlink: "ENOENT"},
		{name: name + "/x", open: "EINVAL", unlink: "ENOENT"},
		{name: "/." + name, open: "EINVAL", unlink: "ENOENT"},
		{name: long(251), open: "ok", unlink: "ok"},
		{name: long(252), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG"},
		{name: long(255), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG"},
		{name: long(256), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG", quirk: true},
		{name: long(500), open: "ENAMETOOLONG", unlink: "ENAMETOOLONG", quirk: true},
	} {
		// For each of them the other half of the name is the one that exists.
		for _, create := range []string{"open %s cx 600 1", "open %s c 600 1"} {
			for _, p := range []*proctest.Proc{g, c} {
				if p == c && n.quirk {
					continue
				}
				open := fmt.Sprintf(create, n.name)
				ask(t, p, n.open, "%s", open)
				ask(t, p, n.unlink, "unlink %s", n.name)
				if n.unlink == "ok" {
					ask(t, p, "ENOENT", "unlink %s", n.name)
					ask(t, p, "ENOENT", "open %s -", n.name)
				} else {
					ask(t, p, n.open, "open %s -", n.name)
				}
			}
		}
	}
	// Unlike a shared memory object a semaphore may be called "." or "..".
	for _, dots := range []string{".", ".."} {
		if obj, err := object("/" + dots); obj != "/sem."+dots || err != nil {
			t.Errorf("object(%q) = %q, %v", dots, obj, err)
		}
	}
	if _, err := Open("/a\x00b"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Open of a name with a NUL = %v, want EINVAL", err)
	}
}

func TestNamedErrorNamesTheCall(t *testing.T) {
	name, _ := newName(t)
	for op, call := range map[string]func() error{
		"sem_open":   func() error { _, err := Open(name); return err },
		"sem_unlink": func() error { return Unlink(name) },
	} {
		var path *fs.PathError
		if err := call(); !errors.As(err, &path) || path.Op != op || path.Path != name || path.Err != error(unix.ENOENT) {
			t.Errorf("%s: %#v", op, err)
		}
	}
}

// One half creates the semaphore, the other opens it, and each wakes the other.
func TestNamedPair(t *testing.T) {
	twice(t, func(t *testing.T, one, other *proctest.Proc) {
		name, file := newName(t)
		ask(t, one, "ok", "open %s cx 600 3", name)
		want := make([]byte, Size)
		want[0], want[8] = 3, sharedFlag
		if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%s holds % x, %v; want % x", file, b, err, want)
		}
		ask(t, other, "ok", "open %s - 0 0", name)
		ask(t, other, "ok 3", "value n")
		for range 3 {
			ask(t, other, "ok", "wait n")
		}
		ask(t, one, "EAGAIN", "try n")
		for _, pair := range [][2]*proctest.Proc{{one, other}, {other, one}} {
			pair[0].Say("wait n")
			pair[0].Asleep(1)
			ask(t, pair[1], "ok", "post n")
			pair[0].Want("ok")
		}
		// The name goes, the semaphore stays, and the name is free for another.
		ask(t, other, "ok", "unlink %s", name)
		ask(t, other, "ok", "post n")
		ask(t, one, "ok 1", "value n")
		ask(t, other, "ok", "open %s cx 600 7", name)
		ask(t, other, "ok 7", "value n")
		ask(t, one, "ok 1", "value n")
		ask(t, one, "ok", "close")
		ask(t, other, "ok", "close")
	})
}

func TestNamedExists(t *testing.T) {
	twice(t, func(t *testing.T, one, other *proctest.Proc) {
		name, _ := newName(t)
		ask(t, other, "ENOENT", "open %s - 0 0", name)
		ask(t, other, "EINVAL", "open %s c 600 0x80000000", name)
		ask(t, other, "EINVAL", "open %s cx 600 0xffffffff", name)
		ask(t, other, "ENOENT", "unlink %s", name)

		ask(t, one, "ok", "open %s c 600 0x7fffffff", name)
		ask(t, other, "EEXIST", "open %s cx 600 1", name)
		ask(t, other, "ok", "open %s c 644 1", name) // as it is
		ask(t, other, "ok 2147483647", "value n")
		ask(t, other, "EOVERFLOW", "post n")
		ask(t, other, "ok", "open %s c 600 0x80000000", name) // a value that nobody needs
	})
}

func TestNamedModeAndUmask(t *testing.T) {
	g, c := startGo(t), startC(t, buildC(t))
	name, file := newName(t)
	for _, umask := range []uint32{0, 0o022, 0o077, 0o777} {
		for _, mode := range []uint32{0o666, 0o600, 0o440, 0o777, 0} {
			for _, p := range []*proctest.Proc{g, c} {
				ask(t, p, "ok", "umask %o", umask)
				ask(t, p, "ok", "open %s cx %o 1", name, mode)
				st, err := os.Lstat(file)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := st.Mode(), fs.FileMode(mode&^umask); got != want || st.Size() != Size {
					t.Errorf("mode %o, umask %o: file has mode %o and %d bytes, want %o and %d", mode, umask, got, st.Size(), want, Size)
				}
				ask(t, p, "ok", "post n")
				ask(t, p, "ok 2", "value n")
				ask(t, p, "ok", "close")
				ask(t, p, "ok", "unlink %s", name)
			}
		}
	}
}

// What lies under the name and is no semaphore is refused, and left as it is.
func TestNamedIsNoSemaphore(t *testing.T) {
	good := make([]byte, Size)
	good[8] = sharedFlag
	with := func(i int, b byte) []byte {
		c := bytes.Clone(good)
		c[i] = b
		return c
	}
	content := func(b []byte) func(t *testing.T, file string) {
		return func(t *testing.T, file string) {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, good, 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(to string) func(t *testing.T, file string) {
		return func(t *testing.T, file string) {
			if err := os.Symlink(to, file); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, file string)
		want error
		says string
	}{
		"empty file":           {content(nil), unix.EINVAL, "0 bytes"},
		"1 byte":               {content(good[:1]), unix.EINVAL, "1 byte"},
		"31 bytes":             {content(good[:31]), unix.EINVAL, "31 bytes"},
		"zero bytes":           {content(make([]byte, Size)), ErrNotShared, "private is 0"},
		"value too high":       {content(with(3, 0x80)), ErrCorrupt, "0x80000000"},
		"symlink to semaphore": {link(target), unix.ELOOP, ""},
		"dangling symlink":     {link(filepath.Join(t.TempDir(), "nothing")), unix.ELOOP, ""},
		"FIFO":                 {func(t *testing.T, file string) { mustDo(t, unix.Mkfifo(file, 0o600)) }, unix.EINVAL, "FIFO"},
		"directory":            {func(t *testing.T, file string) { mustDo(t, os.Mkdir(file, 0o700)) }, unix.EISDIR, ""},
	} {
		t.Run(name, func(t *testing.T) {
			name, file := newName(t)
			c.make(t, file)
			before, err := os.Lstat(file)
			mustDo(t, err)
			for op, call := range map[string]func() (*Named, error){
				"Open":   func() (*Named, error) { return Open(name) },
				"Create": func() (*Named, error) { return Create(name, 0, 0o600, 1) },
			} {
				s, err := call()
				if s != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s = %v, %v; want %v (%s)", op, s, err, c.want, c.says)
				}
			}
			if _, err := Create(name, unix.O_EXCL, 0o600, 1); !errors.Is(err, unix.EEXIST) {
				t.Errorf("Create with O_EXCL = %v, want EEXIST", err)
			}
			if after, err := os.Lstat(file); err != nil || !os.SameFile(before, after) || before.Size() != after.Size() {
				t.Errorf("%s is now %v, %v", file, after, err)
			}
		})
	}
	if b, err := os.ReadFile(target); err != nil || !bytes.Equal(b, good) {
		t.Errorf("the symlink's target holds % x, %v", b, err)
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A file that is longer than a sem_t is one that C takes too.
func TestNamedLongFile(t *testing.T) {
	name, file := newName(t)
	b := make([]byte, 5000)
	b[0], b[8] = 1, sharedFlag
	mustDo(t, os.WriteFile(file, b, 0o600))
	s, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantValue(t, s.Sem, 1)
}

// Who may only read a semaphore may not open it.
func TestNamedOtherUser(t *testing.T) {
	cmd := proctest.Command("peer")
	proctest.Nobody(t, cmd)
	name, file := newName(t)
	other := proctest.Start(t, cmd)
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o622} {
		s, err := Create(name, unix.O_EXCL, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		mustDo(t, os.Chmod(file, mode))
		ask(t, other, "EACCES", "open %s - 0 0", name)
		ask(t, other, "EACCES", "open %s c 600 1", name)
		ask(t, other, "EEXIST", "open %s cx 600 1", name)
		ask(t, other, "EACCES", "unlink %s", name) // /dev/shm is sticky: EPERM in truth
		mustDo(t, os.Chmod(file, 0o666))
		ask(t, other, "ok", "open %s - 0 0", name)
		ask(t, other, "ok", "post n")
		wantValue(t, s.Sem, 2)
		ask(t, other, "ok", "close")
		mustDo(t, errors.Join(s.Close(), Unlink(name)))
	}
}

// With O_EXCL one of those who create at once wins, without it all of them have
// the same semaphore.
func TestNamedRace(t *testing.T) {
	var procs []*proctest.Proc
	bin := buildC(t)
	for i := range 4 {
		if i%2 == 0 {
			procs = append(procs, startGo(t))
		} else {
			procs = append(procs, startC(t, bin))
		}
	}
	name, _ := newName(t)
	for range 100 {
		for _, p := range procs {
			p.Say("open %s cx 600 5", name)
		}
		won := 0
		for _, p := range procs {
			switch a := p.Line(); a {
			case "ok":
				won++
				ask(t, p, "ok 5", "value n")
				ask(t, p, "ok", "close")
			case "EEXIST":
			default:
				t.Fatal(a)
			}
		}
		if won != 1 {
			t.Fatalf("%d processes have created the semaphore", won)
		}
		mustDo(t, Unlink(name))

		for _, p := range procs {
			p.Say("open %s c 600 5", name)
			p.Say("post n")
		}
		for _, p := range procs {
			p.Want("ok")
			p.Want("ok")
		}
		for _, p := range procs {
			ask(t, p, fmt.Sprint("ok ", 5+len(procs)), "value n")
			ask(t, p, "ok", "close")
		}
		mustDo(t, Unlink(name))
	}
}

// Who looks while others create and remove sees no semaphore or a whole one.
func TestNamedIsNeverHalfMade(t *testing.T) {
	name, _ := newName(t)
	stop := make(chan bool)
	var maker sync.WaitGroup
	maker.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			s, err := Create(name, unix.O_EXCL, 0o600, 42)
			if err := errors.Join(err, Unlink(name)); err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	for seen := 0; seen < 200 && !t.Failed(); {
		s, err := Open(name)
		if err == nil {
			wantValue(t, s.Sem, 42)
			mustDo(t, s.Close())
			seen++
		} else if !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
	}
	close(stop)
	maker.Wait()
}

func TestNamedClose(t *testing.T) {
	name, _ := newName(t)
	one, err := Create(name, unix.O_EXCL, 0o600, 0)
	mustDo(t, err)
	two, err := Open(name)
	mustDo(t, err)
	mustDo(t, one.Post())
	mustDo(t, one.Close())
	mustDo(t, one.Close())
	if one.Sem != nil {
		t.Error("a closed handle still has a semaphore")
	}
	mustDo(t, two.Wait()) // same process, same name, same semaphore
	if err := two.WaitUntil(within(time.Millisecond)); err != unix.ETIMEDOUT {
		t.Errorf("WaitUntil = %v, want ETIMEDOUT", err)
	}
	mustDo(t, two.Close())
}

// Neither success nor failure leaves a descriptor, a mapping or a file.
func TestNamedLeavesNothing(t *testing.T) {
	name, file := newName(t)
	bad, badFile := name+"-bad", file+"-bad"
	t.Cleanup(func() { os.Remove(badFile) })
	mustDo(t, os.WriteFile(badFile, nil, 0o600))
	before, mapped := proctest.Descriptors(t), mappings(t)
	for range 20 {
		s, err := Create(name, 0, 0o600, 1)
		mustDo(t, err)
		again, err := Create(name, 0, 0o600, 1)
		mustDo(t, err)
		for _, err := range []error{
			second(Create(name, unix.O_EXCL, 0o600, 1)),
			second(Open(bad)),
			second(Open(name + "-none")),
			second(Create(name+"-none", 0, 0o600, ValueMax+1)),
		} {
			if err == nil {
				t.Error("opened what there is not")
			}
		}
		mustDo(t, errors.Join(s.Close(), again.Close(), Unlink(name)))
	}
	if after := proctest.Descriptors(t); !maps.Equal(before, after) {
		t.Errorf("descriptors were\n%v\nand are\n%v", before, after)
	}
	if after := mappings(t); after != mapped {
		t.Errorf("%d mappings of semaphores, before %d", after, mapped)
	}
}

func second(_ *Named, err error) error { return err }

func mappings(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/maps")
	mustDo(t, err)
	return strings.Count(string(b), "/dev/shm/sem.")
}

// full creates semaphores in a /dev/shm that is full. It runs in a mount
// namespace of its own.
func full([]string) error {
	if err := proctest.Mount("/dev/shm", 64<<10); err != nil {
		return err
	}
	if err := os.WriteFile("/dev/shm/filler", make([]byte, 128<<10), 0o600); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("filling /dev/shm: %v", err)
	}
	for _, flags := range []int{0, unix.O_EXCL} {
		if s, err := Create("/s", flags, 0o600, 1); !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("Create = %v, %v; want ENOSPC", s, err)
		}
	}
	left, err := os.ReadDir("/dev/shm")
	if err != nil || len(left) != 1 {
		return fmt.Errorf("left behind: %v, %v", left, err)
	}
	return nil
}

func TestNamedOnFullDevice(t *testing.T) {
	cmd := proctest.Command("full")
	proctest.Private(t, cmd)
	proctest.Start(t, cmd).WantExit(0)
}

// Ways that fail, as the kernels and file systems do that lack something.
var (
	noTmpfile = way{func(fs.FileMode) (*os.File, error) { return nil, unix.EOPNOTSUPP }, nil}
	noLink    = way{nameless, func(*os.File, string) error { return unix.ENOENT }}
	noName    = way{temporary, func(*os.File, string) error { return unix.ENOSPC }}
)

// Whichever way is left makes the same file.
func TestNamedWays(t *testing.T) {
	for title, ways := range map[string][]way{
		"name only":        {byName},
		"proc only":        {byProc},
		"no O_TMPFILE":     {noTmpfile, noTmpfile, byName},
		"no AT_EMPTY_PATH": {noLink, byProc, noName},
		"nor proc":         {noLink, noLink, byName},
		"all":              {byDescriptor, byProc, byName},
	} {
		t.Run(title, func(t *testing.T) {
			name, file := newName(t)
			obj, err := object(name)
			mustDo(t, err)
			s, err := createBy(obj, 0o600, 3, ways...)
			mustDo(t, err)
			defer s.Close()
			if again, err := createBy(obj, 0o600, 5, append(ways, noName)...); !errors.Is(err, unix.EEXIST) {
				t.Errorf("a second time: %v, %v; want EEXIST", again, err)
			}
			var st unix.Stat_t
			if err := unix.Stat(file, &st); err != nil || st.Mode != unix.S_IFREG|0o600 || st.Size != Size || st.Nlink != 1 {
				t.Errorf("the file is %+v, %v", st, err)
			}
			other, err := Open(name)
			mustDo(t, err)
			defer other.Close()
			mustDo(t, s.Post())
			wantValue(t, other.Sem, 4)
		})
	}
}

// withoutProc creates semaphores where nothing is at /proc. It runs in a mount
// namespace of its own, in which it sees what stays in /dev/shm.
func withoutProc([]string) error {
	for _, d := range []string{dir, "/proc"} {
		if err := proctest.Mount(d, 64<<10); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		title string
		ways  []way
		want  error
	}{
		{"proc", []way{byProc}, unix.ENOENT},
		{"name", []way{byName}, nil},
		{"proc, name", []way{byProc, byName}, nil},
		{"as Create", []way{byDescriptor, byProc, byName}, nil},
		{"no name", []way{noTmpfile, byProc, noName}, unix.ENOSPC},
	} {
		s, err := createBy("/sem.s", 0o600, 1, c.ways...)
		if !errors.Is(err, c.want) {
			return fmt.Errorf("%s: %v, want %v", c.title, err, c.want)
		}
		if err == nil {
			if err := errors.Join(s.Wait(), s.Close(), Unlink("/s")); err != nil {
				return fmt.Errorf("%s: %w", c.title, err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			return fmt.Errorf("%s: left behind: %v, %v", c.title, left, err)
		}
	}
	return nil
}

func TestNamedWithoutProc(t *testing.T) {
	cmd := proctest.Command("withoutProc")
	proctest.Private(t, cmd)
	proctest.Start(t, cmd).WantExit(0)
}

func ExampleCreate() {
	name := fmt.Sprintf("/example-%d", os.Getpid())
	s, err := Create(name, unix.O_EXCL, 0o600, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	defer Unlink(name)
	fmt.Println(s.Value())
	fmt.Println(s.Wait(), s.TryWait())
	// Output:
	// 1 <nil>
	// <nil> resource temporarily unavailable
}
