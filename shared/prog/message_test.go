package prog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The lines of a message are those that its parts add, wherever they stand.
func TestLines(t *testing.T) {
	gone := &fs.PathError{Op: "open", Path: "a\nb", Err: unix.ENOENT}
	late := &timeoutError{&fs.PathError{Op: "mq_receive", Path: "/q r", Err: unix.ETIMEDOUT}, "timed out after 1s waiting for a message"}
	const open = `open "a\nb": no such file or directory`
	for _, c := range []struct {
		err  error
		want string
	}{
		{gone, open},
		{Hint(gone, "one"), open + "\nhint: one"},
		{Hint(Hint(gone, "one"), "two"), open + "\nhint: one\nhint: two"},
		{fmt.Errorf("around %w, and behind", Hint(gone, "one")), "around " + open + ", and behind\nhint: one"},
		{Hint(&UsageError{"bad", "prog A\n       prog B"}, "one"), "bad\nusage: prog A\n       prog B\nhint: one"},
		{errors.Join(Hint(gone, "one"), gone), open + "\nhint: one\n" + open},
		{Hint(errors.Join(gone, gone), "one"), open + "\n" + open + "\nhint: one"},
		{fmt.Errorf("%w (%w)", unix.EPIPE, errStdoutGone), "broken pipe (reader is gone)"},
		{late, `timed out after 1s waiting for a message: mq_receive "/q r"`},
		{Hint(late, "one"), `timed out after 1s waiting for a message: mq_receive "/q r"` + "\nhint: one"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "x: context deadline exceeded"},
		{&fs.PathError{Op: "write", Path: "standard output", Err: unix.ENOSPC}, "write standard output: no space left on device"},
		{errors.New(""), ""},
	} {
		if got := strings.Join(lines(c.err), "\n"); got != c.want {
			t.Errorf("lines of %q:\n%s\nwant\n%s", c.err, got, c.want)
		}
	}
}

// A message is safe for a terminal whatever it quotes, has the lines that are its
// own and no more, and says all of what is not too long.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "\n", "a\nhint: b", "a\n\n", "\x1b]0;x\a", "\xff\xfe", "\xc3(", "\xed\xa0\x80", "\ufffd", "\u202e", "\u2028", "\U000e0001", "\u00a0", "é世\U0001f600", "\x7f\x80", `\"`, "'", "standard output"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Add(strings.Repeat("\xc3", 2000), true)
	f.Add(strings.Repeat("x\n", 2000), false)
	f.Fuzz(func(t *testing.T, name string, path bool) {
		err := fmt.Errorf("%s: %w", name, unix.ENOENT)
		if path {
			err = &fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}
		}
		got := message("prog", Hint(err, "try %s", name))
		first, second, ok := strings.Cut(strings.TrimSuffix(got, "\n"), "\n")
		if !ok || !strings.HasPrefix(first, "prog: ") || !strings.HasPrefix(second, "hint: try ") || !strings.HasSuffix(got, "\n") {
			t.Fatalf("%q: %q", name, got)
		}
		if !strings.HasSuffix(first, ": no such file or directory") {
			t.Fatalf("%q: %q does not end with the reason", name, first)
		}
		for _, r := range first + second {
			if !strconv.IsPrint(r) {
				t.Fatalf("%q: %q holds %q", name, got, r)
			}
		}
		if len(got) > 2*(4*longest+100) || !utf8.ValidString(got) {
			t.Fatalf("%.100q: %d bytes: %.200q", name, len(got), got)
		}
		if strings.ContainsAny(name, `\"`) || len(name) > 255 {
			return // looks like an escape, or would end the string below
		}
		if back, err := strconv.Unquote(`"` + strings.TrimPrefix(second, "hint: try ") + `"`); err != nil || back != name {
			t.Fatalf("%q: %q says %q, %v", name, second, back, err)
		}
	})
}

// A shell takes a Word for the name.
func TestWord(t *testing.T) {
	for name, want := range map[string]string{
		"/mq":        "/mq",
		"a-b_c.d+=,": "a-b_c.d+=,",
		"":           "''",
		"a b":        "'a b'",
		"it's":       `'it'\''s'`,
		"$(x);`y`":   "'$(x);`y`'",
		"~":          "'~'",
		"é":          "'é'",
	} {
		if got := Word(name); got != want {
			t.Errorf("Word(%q) = %s, want %s", name, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+Word(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("a shell takes %s for %q, %v", Word(name), out, err)
		}
	}
}
