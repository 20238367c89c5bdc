package door

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a process left that was killed in the middle of Attach is gone after the
// next one, whatever it is. What is not its own stays.
func TestLeftover(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		gone bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"socket", func(path string) error { return bound(path, nil) }, true},
		{"covered file", func(path string) error { return os.WriteFile(path, nil, 0o600) }, true},
		{"socket in use", func(path string) error { return bound(path, t) }, false},
		{"file with contents", func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, false},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, false},
		{"symlink", func(path string) error { return os.Symlink("nowhere", path) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "door")
			f, base, err := openDir(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			at := &attachment{dir: f, base: base}
			temp := at.tempName(true)
			if again := at.tempName(true); again != temp {
				t.Fatalf("the temporary name is %s and %s", temp, again)
			}
			if err := c.make(filepath.Join(dir, temp)); err != nil {
				t.Fatal(err)
			}
			d, err := Create(func(*Call, any, []byte, []*os.File) {}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.Attach(path); err != nil {
				t.Fatal(err)
			}
			want := "door"
			if !c.gone {
				want = temp + " " + want
			}
			if got := names(t, dir); got != want {
				t.Errorf("after Attach there are %q, want %q", got, want)
			}
			if err := d.Detach(path); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); got != strings.TrimSuffix(strings.TrimSuffix(want, "door"), " ") {
				t.Errorf("after Detach there are %q", got)
			}
		})
	}
}

// Without the lock somebody else may use the name.
func TestTempNameUnlocked(t *testing.T) {
	at := &attachment{base: "door"}
	if a, b := at.tempName(false), at.tempName(false); a == b {
		t.Errorf("%s twice", a)
	}
}

// bound leaves a socket at path, in use if there is a test that it may last for.
func bound(path string, t *testing.T) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if t == nil {
		defer unix.Close(fd)
	} else {
		t.Cleanup(func() { unix.Close(fd) })
		defer unix.Listen(fd, 1)
	}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}
