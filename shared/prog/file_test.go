package prog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

func create(path string) (*os.File, *Draft, error) {
	return Create(path, func(flags int) (*os.File, error) { return os.OpenFile(path, flags|os.O_RDWR, 0o666) })
}

// A file is discarded that was not there before, is not whole, and still is the one
// that was made.
func TestDraft(t *testing.T) {
	mine := func(t *testing.T, path string) {
		if err := os.WriteFile(path, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name          string
		before, after func(t *testing.T, path string)
		whole         bool
		want          string // "" is no file
	}{
		{name: "half made"},
		{name: "whole", whole: true, want: "half"},
		{name: "there before", before: mine, want: "half"},
		{name: "replaced", want: "mine", after: func(t *testing.T, path string) {
			mine(t, path+".new")
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "gone", after: func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if c.before != nil {
				c.before(t, path)
			}
			f, d, err := create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("half"); err != nil {
				t.Fatal(err)
			}
			if c.after != nil {
				c.after(t, path)
			}
			if c.whole {
				d.Whole()
			}
			d.Discard()
			d.Discard()
			if got, err := os.ReadFile(path); string(got) != c.want || c.want == "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file holds %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestDraftFails(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := create(dir); !errors.Is(err, unix.EISDIR) {
		t.Errorf("Create of a directory = %v", err)
	}
	if _, _, err := create(filepath.Join(dir, "no", "file")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Create in no directory = %v", err)
	}
}

// A signal discards, too.
func TestDraftSignal(t *testing.T) {
	t.Parallel()
	heedAll()
	for _, whole := range []string{"half", "whole"} {
		path := filepath.Join(t.TempDir(), "file")
		p := proctest.Start(t, proctest.Command("draft", path, whole))
		p.Want("ready")
		p.Signal(unix.SIGTERM)
		wantQuietDeath(t, p, unix.SIGTERM)
		if _, err := os.Lstat(path); (err == nil) != (whole == "whole") {
			t.Errorf("%s: %v", whole, err)
		}
	}
}
