package door_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

func newDoor(t testing.TB) *door.Door {
	t.Helper()
	d, err := door.Create(echo, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func works(t testing.TB, path string) {
	t.Helper()
	arg := door.Arg{Data: []byte("hello")}
	if err := open(t, path).Call(bg, &arg); err != nil || string(arg.Data) != "hello" {
		t.Fatal(err, string(arg.Data))
	}
}

// only checks the names in a directory: nothing half made is left there.
func only(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("in the directory: %q, want %q", got, want)
	}
}

func TestAttachFree(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	d, path := newDoor(t), filepath.Join(dir, "door")
	if err := d.Attach(path); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "door")
	works(t, path)
	wantErr(t, d.Attach(path), unix.EBUSY)
	wantErr(t, newDoor(t).Attach(path), unix.EBUSY)
	works(t, path)
	// One door at several paths.
	second := filepath.Join(dir, "second")
	if err := d.Attach(second); err != nil {
		t.Fatal(err)
	}
	works(t, second)
	if err := d.Detach(path); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "second")
	wantErr(t, d.Detach(path), unix.EINVAL)
	_, err := door.Open(path)
	wantErr(t, err, unix.ENOENT)
	if got, want := err.Error(), "open "+path+": no such file or directory"; got != want {
		t.Fatalf("message %q, want %q", got, want)
	}
	works(t, second)
	if err := d.Attach(path); err != nil {
		t.Fatal(err)
	}
	d.Close()
	only(t, dir)
}

func TestAttachCovers(t *testing.T) {
	noLeak(t)
	for _, perm := range []fs.FileMode{0o644, 0o600, 0o666, 0o444, 0} {
		dir := t.TempDir()
		path := filepath.Join(dir, "door")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		d := newDoor(t)
		if err := d.Attach(path); err != nil {
			t.Fatal(err)
		}
		if m := mode(t, path); m != fs.ModeSocket|perm {
			t.Fatalf("socket %v for a file of %v", m, perm)
		}
		only(t, dir, "door")
		if os.Geteuid() == 0 || perm&0o200 != 0 {
			works(t, path)
		}
		if err := d.Detach(path); err != nil {
			t.Fatal(err)
		}
		if m := mode(t, path); m != perm {
			t.Fatalf("given back a file of %v for one of %v", m, perm)
		}
		only(t, dir, "door")
	}
}

func TestAttachRefused(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("full"), []byte("thesis"), 0o666))
	must(os.WriteFile(at("empty"), nil, 0o666))
	must(os.Link(at("empty"), at("linked")))
	must(os.Symlink(at("target"), at("dangling")))
	must(os.Symlink(at("full"), at("symlink")))
	must(os.Mkdir(at("dir"), 0o777))
	must(unix.Mkfifo(at("fifo"), 0o666))
	stream := serveRaw(t, unix.SOCK_STREAM, func(r *raw) { t.Error("a stream server was bothered") })
	other := serveRaw(t, unix.SOCK_SEQPACKET, func(r *raw) {})
	for _, test := range []struct {
		path string
		want unix.Errno
	}{
		{at("full"), unix.EEXIST}, {at("linked"), unix.EEXIST}, {at("fifo"), unix.EEXIST},
		{"/dev/null", unix.EEXIST},
		{at("dangling"), unix.ELOOP}, {at("symlink"), unix.ELOOP},
		{at("dir"), unix.EISDIR}, {at("dir") + "/", unix.EISDIR}, {at("."), unix.EISDIR}, {"..", unix.EISDIR}, {"/", unix.EISDIR},
		{"", unix.ENOENT}, {at("no/door"), unix.ENOENT}, {at("full/door"), unix.ENOTDIR},
		{at("a\x00b"), unix.EINVAL}, {at(strings.Repeat("n", 256)), unix.ENAMETOOLONG},
		{stream, unix.EADDRINUSE}, {other, unix.EADDRINUSE},
	} {
		before, berr := os.Lstat(test.path)
		d := newDoor(t)
		err := d.Attach(test.path)
		wantErr(t, err, test.want)
		var perr *fs.PathError
		if !errors.As(err, &perr) || perr.Op != "fattach" || perr.Path != test.path {
			t.Fatalf("%#v", err)
		}
		after, aerr := os.Lstat(test.path)
		if (berr == nil) != (aerr == nil) || berr == nil && !os.SameFile(before, after) {
			t.Fatalf("%q was changed", test.path)
		}
	}
	if b, err := os.ReadFile(at("full")); err != nil || !bytes.Equal(b, []byte("thesis")) {
		t.Fatal("contents lost")
	}
	only(t, dir, "dangling", "dir", "empty", "fifo", "full", "linked", "symlink")
}

func TestDetachOthers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o666)
	wantErr(t, door.Detach(filepath.Join(dir, "none")), unix.ENOENT)
	wantErr(t, door.Detach(file), unix.EINVAL)
	wantErr(t, door.Detach(dir), unix.EINVAL)
	wantErr(t, door.Detach(serveRaw(t, unix.SOCK_STREAM, func(r *raw) {})), unix.EADDRINUSE)
	wantErr(t, door.Detach(serveRaw(t, unix.SOCK_SEQPACKET, func(r *raw) {})), unix.EADDRINUSE)
	only(t, dir, "file")
}

func TestOpenErrors(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(at("file"), nil, 0o666)
	os.Symlink(at("file"), at("symlink"))
	unix.Mkfifo(at("fifo"), 0o666) // must not block
	d := newDoor(t)
	if err := d.Attach(at("door")); err != nil {
		t.Fatal(err)
	}
	os.Symlink(at("door"), at("todoor"))
	for path, want := range map[string]unix.Errno{
		at("none"): unix.ENOENT, "": unix.ENOENT, at("none/door"): unix.ENOENT, at("file/door"): unix.ENOTDIR,
		at("file"): unix.EBADF, dir: unix.EBADF, at("fifo"): unix.EBADF, "/dev/null": unix.EBADF,
		at("symlink"): unix.ELOOP, at("todoor"): unix.ELOOP, at("a\x00b"): unix.EINVAL,
		at(strings.Repeat("n", 256)): unix.ENAMETOOLONG,
	} {
		_, err := door.Open(path)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
}

func TestDeadServerIsReplaced(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "door")
	for _, detach := range []bool{false, true} {
		start(t, "echo", path).kill()
		_, err := door.Open(path)
		wantErr(t, err, unix.EBADF)
		if detach {
			if err := door.Detach(path); err != nil {
				t.Fatal(err)
			}
			only(t, dir)
		}
		d := newDoor(t)
		if err := d.Attach(path); err != nil {
			t.Fatal(err)
		}
		works(t, path)
		d.Close()
		only(t, dir)
	}
}

// fdetach and fattach of one process replace the live door of another, whose
// clients keep it and which does not remove what is not its own.
func TestLiveServerIsReplaced(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "door")
	os.WriteFile(path, nil, 0o600)
	first := start(t, "echo", path)
	c := open(t, path)
	wantErr(t, newDoor(t).Attach(path), unix.EBUSY)
	if err := door.Detach(path); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != 0o600 { // the file is there again
		t.Fatal(m)
	}
	d := newDoor(t)
	if err := d.Attach(path); err != nil {
		t.Fatal(err)
	}
	works(t, path)
	arg := door.Arg{}
	if err := c.Call(bg, &arg); err != nil { // to the first
		t.Fatal(err)
	}
	if i, err := c.Info(bg); err != nil || i.Pid != first.Process.Pid {
		t.Fatal(i, err)
	}
	first.end()
	works(t, path)
	wantErr(t, c.Call(bg, &arg), unix.EBADF) // not to the second
	d.Close()
	only(t, dir, "door")
}

// What somebody has put in the socket's place is not removed.
func TestCloseLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door")
	d := newDoor(t)
	if err := d.Attach(path); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	os.WriteFile(path, []byte("new"), 0o666)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "new" {
		t.Fatal("removed")
	}
}

// Of many that attach at once exactly one wins.
func TestAttachRace(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	for _, before := range []string{"nothing", "file", "dead"} {
		for round := range 60 {
			path := filepath.Join(dir, fmt.Sprint(before, round))
			switch before {
			case "file":
				os.WriteFile(path, nil, 0o666)
			case "dead":
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
				if err == nil {
					err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
				}
				if err != nil {
					t.Fatal(err)
				}
				unix.Close(fd)
			}
			const n = 4
			var doors []*door.Door
			for range n {
				doors = append(doors, newDoor(t))
			}
			errs := make(chan error)
			for _, d := range doors {
				go func() { errs <- d.Attach(path) }()
			}
			won := 0
			for range n {
				switch err := <-errs; {
				case err == nil:
					won++
				case !errors.Is(err, unix.EBUSY):
					t.Fatal(err)
				}
			}
			if won != 1 {
				t.Fatalf("%s: %d have won", before, won)
			}
			works(t, path)
			for _, d := range doors {
				d.Close()
			}
			if before == "file" {
				os.Remove(path)
			}
			only(t, dir)
		}
	}
}

// A path can be longer than sun_path.
func TestLongPath(t *testing.T) {
	noLeak(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120), strings.Repeat("e", 200))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, strings.Repeat("n", 255))
	child := start(t, "echo", path)
	works(t, path)
	if err := door.Detach(path); err != nil {
		t.Fatal(err)
	}
	child.end()
	only(t, dir)
}

// A relative path is the directory's of its time.
func TestChdir(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	d := newDoor(t)
	if err := d.Attach("door"); err != nil {
		t.Fatal(err)
	}
	works(t, "./door")
	t.Chdir("/")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	only(t, dir)
}

func TestUmask(t *testing.T) {
	for mask, want := range map[string]fs.FileMode{"0": 0o666, "022": 0o644, "077": 0o600, "777": 0} {
		path := filepath.Join(t.TempDir(), "door")
		child := start(t, "attach", path, mask)
		child.expect("<nil>")
		if m := mode(t, path); m != fs.ModeSocket|want {
			t.Errorf("umask %s: %v, want %v", mask, m, want)
		}
		child.end()
	}
}

// Another user's things are neither used nor removed.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	// A directory that both may write, as /tmp is.
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s-%d-", t.Name(), os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "door")

	t.Run("his door", func(t *testing.T) {
		his := startAs(t, nobody, "attach", path, "0")
		his.expect("<nil>")
		wantErr(t, newDoor(t).Attach(path), unix.EADDRINUSE)
		wantErr(t, door.Detach(path), unix.EPERM)
		works(t, path) // root may call it
		his.kill()
		wantErr(t, newDoor(t).Attach(path), unix.EPERM)
		wantErr(t, door.Detach(path), unix.EPERM)
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
	})
	t.Run("his file", func(t *testing.T) {
		os.WriteFile(path, nil, 0o666)
		os.Chown(path, 65534, 65534)
		wantErr(t, newDoor(t).Attach(path), unix.EPERM)
		if m := mode(t, path); m&fs.ModeType != 0 {
			t.Fatal(m)
		}
		os.Remove(path)
	})
	t.Run("our door", func(t *testing.T) {
		creds := make(chan door.Cred, 1)
		d, err := door.Create(func(c *door.Call, _ any, _ []byte, _ []*os.File) {
			cred, _ := c.Cred()
			creds <- cred
			c.Return(nil)
		}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Attach(path); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, 0o600)
		child := startAs(t, nobody, "attach", path, "0")
		child.expect("fattach " + path + ": address already in use")
		child.stdin.Close()
		child.Wait()
		os.Chmod(path, 0o666)
		child = startAs(t, nobody, "detach", path)
		child.expect("fdetach " + path + ": operation not permitted")
		child.end()
		child = startAs(t, nobody, "caller", path)
		child.end()
		if c := <-creds; c != (door.Cred{Pid: child.Process.Pid, UID: 65534, GID: 65534}) {
			t.Fatalf("%+v", c)
		}
	})
	// Not by the package's check alone, but by the server's: a frame by hand.
	t.Run("detach frame", func(t *testing.T) {
		d := newDoor(t)
		if err := d.Attach(path); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, 0o666)
		child := startAs(t, nobody, "detach frame", path)
		child.expect(fmt.Sprint(tError, " ", int(unix.EPERM)))
		child.end()
		works(t, path)
	})
}
