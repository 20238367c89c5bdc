package prog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

func quoted(args ...string) string {
	var b strings.Builder
	for _, a := range args {
		fmt.Fprintf(&b, "%q\n", a)
	}
	return b.String()
}

// Without options every argument is data, but for one "--" in front and a lone
// "--help".
func TestArgumentsAreData(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"a", "b"},
		{""},
		{"-"},
		{"-x"},
		{"-h"},
		{"-x", "--foo=bar", "-"},
		{"help"},
		{"h"},
		{"help", "--help"},
		{"--help", "x"},
		{"--version"},
		{"-v"},
		{"--generate-bash-completion"},
		{"a", "--"},
		{"%s%n", "\xff\xfe\x01\n"},
	} {
		wantRun(t, proctest.Command("data", args...), 0, quoted(args...), "")
		if len(args) < 3 {
			wantRun(t, proctest.Command("data", append([]string{"--"}, args...)...), 0, quoted(args...), "")
		}
	}
	wantRun(t, proctest.Command("data", "--", "--"), 0, quoted("--"), "")
	wantRun(t, proctest.Command("data", "--", "--help"), 0, quoted("--help"), "")
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const off = "c=false n=false m=0 timeout=0s\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, off},
		{[]string{"-cn"}, "c=true n=true m=0 timeout=0s\n"},
		{[]string{"-n", "-m", "5", "x"}, "c=false n=true m=5 timeout=0s\n" + quoted("x")},
		{[]string{"-m5"}, "c=false n=false m=5 timeout=0s\n"},
		{[]string{"-cnm5", "x"}, "c=true n=true m=5 timeout=0s\n" + quoted("x")},
		{[]string{"-cnm", "5", "x"}, "c=true n=true m=5 timeout=0s\n" + quoted("x")},
		{[]string{"-cn", "-m", "-5", "--", "-n"}, "c=true n=true m=-5 timeout=0s\n" + quoted("-n")},
		{[]string{"-m-5", "-c"}, "c=true n=false m=-5 timeout=0s\n"},
		{[]string{"-m5", "-m6"}, "c=false n=false m=6 timeout=0s\n"},
		{[]string{"-c", "-m5", "--", "-m6"}, "c=true n=false m=5 timeout=0s\n" + quoted("-m6")},
		{[]string{"-timeout", "1m30s", "-c"}, "c=true n=false m=0 timeout=1m30s\n"},
		{[]string{"--m=5"}, "c=false n=false m=5 timeout=0s\n"},
		{[]string{"--timeout", "1m30s"}, "c=false n=false m=0 timeout=1m30s\n"},
		{[]string{"--timeout=1ns"}, "c=false n=false m=0 timeout=1ns\n"},
		{[]string{"--", "-n"}, off + quoted("-n")},
		{[]string{"--", "--help"}, off + quoted("--help")},
		{[]string{"--", "--"}, off + quoted("--")},
		{[]string{"help"}, off + quoted("help")},
		{[]string{"h"}, off + quoted("h")},
		{[]string{"-"}, off + quoted("-")},
		{[]string{"\xff"}, off + quoted("\xff")},
	} {
		wantRun(t, proctest.Command("options", c.args...), 0, c.want, "")
	}
	wantRun(t, proctest.Command("commands", "help"), 0, quoted("help"), "")
	wantRun(t, proctest.Command("commands", "hold", "-ab", "help"), 0, quoted("help"), "")
	wantRun(t, proctest.Command("commands", "hold", "--", "-a"), 0, quoted("-a"), "")
}

// Usage errors go to standard error, with the line that shows the right form, and
// with the status of every other failure.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	const usage = "\nusage: options [-cn] [-m N] [--timeout DURATION] [STRING]\n"
	for _, c := range []struct {
		line   string
		status int
		want   string
	}{
		{"data a b c d", 1, "data: want 0 to 3 arguments, got 4\nusage: data [STRING...]\n"},
		{"options a b", 255, "options: want 0 to 1 arguments, got 2" + usage},
		{"options --zz", 255, "options: unknown option --zz" + usage},
		{"options -z", 255, "options: unknown option -z" + usage},
		{"options -m", 255, "options: option -m needs a value" + usage},
		{"options -m x", 255, `options: option -m: invalid value "x": parse error` + usage},
		{"options --n=x", 255, `options: option -n: invalid value "x": parse error` + usage},
		{"options -n=x", 255, "options: unknown option -=" + usage},
		{"options -cz5 -m", 255, "options: unknown option -z" + usage},
		{"options -cnm", 255, "options: option -m needs a value" + usage},
		{"options -m=5", 255, `options: option -m: invalid value "=5": parse error` + usage},
		{"options -m5x", 255, `options: option -m: invalid value "5x": parse error` + usage},
		{"options -m 99999999999999999999", 255, `options: option -m: invalid value "99999999999999999999": value out of range` + usage},
		{"options -\u00e9", 255, "options: unknown option -\u00e9" + usage},
		{"options ---", 255, "options: unknown option ---" + usage},
		{"options --nope=5", 255, "options: unknown option --nope" + usage},
		{"options a -n", 255, "options: want 0 to 1 arguments, got 2" + usage + "hint: options come before the arguments\n"},
		{"options a --timeout=1s", 255, "options: want 0 to 1 arguments, got 2" + usage + "hint: options come before the arguments\n"},
		{"options a -", 255, "options: want 0 to 1 arguments, got 2" + usage},
		{"options -- -n b", 255, "options: want 0 to 1 arguments, got 2" + usage},
		{"data a b c -n", 1, "data: want 0 to 3 arguments, got 4\nusage: data [STRING...]\n"},
		{"options --timeout 0", 255, "options: timeout 0s: want a duration above 0" + usage},
		{"options --timeout 0s a", 255, "options: timeout 0s: want a duration above 0" + usage},
		{"options --timeout -1s", 255, "options: timeout -1s: want a duration above 0" + usage},
		{"options --timeout=-5ms", 255, "options: timeout -5ms: want a duration above 0" + usage},
		{"options --timeout 5", 255, `options: option --timeout: invalid value "5": parse error` + usage},
		{"options --timeout", 255, "options: option --timeout needs a value" + usage},
		{"options --timeout=", 255, `options: option --timeout: invalid value "": parse error` + usage},
		{"commands hold", 1, "commands: want 1 argument, got 0\nusage: commands hold [-ab] FILE\n"},
		{"commands hold --zz", 1, "commands: unknown option --zz\nusage: commands hold [-ab] FILE\n"},
		{"commands hold --timeout 0 x", 1, "commands: timeout 0s: want a duration above 0\nusage: commands hold [-ab] FILE\n"},
		{"commands 1 2", 1, "commands: want 0 to 1 arguments, got 2\nusage: commands [N] | hold FILE\n"},
		{"commands --zz", 1, "commands: unknown option --zz\nusage: commands [N] | hold FILE\n"},
	} {
		f := strings.Split(c.line, " ")
		wantRun(t, proctest.Command(f[0], f[1:]...), c.status, "", c.want)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for line, usage := range map[string]string{
		"data --help":              "data [STRING...]",
		"options --help":           "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"options --help x":         "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"options -n --help":        "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"options -h":               "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"options -ch":              "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"options -help":            "options [-cn] [-m N] [--timeout DURATION] [STRING]",
		"commands --help":          "commands [N] | hold FILE",
		"commands -h":              "commands [N] | hold FILE",
		"commands hold -h":         "commands hold [-ab] FILE",
		"commands hold --help":     "commands hold [-ab] FILE",
		"commands hold --help x y": "commands hold [-ab] FILE",
	} {
		f := strings.Split(line, " ")
		p := proctest.Start(t, proctest.Command(f[0], f[1:]...))
		out := p.Rest()
		p.WantExit(0)
		if !strings.Contains(out, usage) || p.Stderr() != "" {
			t.Errorf("%s: stdout %q, stderr %q; want help with %q on stdout", line, out, p.Stderr(), usage)
		}

		// Help that did not arrive is a failure.
		status := 1
		if f[0] == "options" {
			status = 255
		}
		wantRun(t, shell(`exec "$@" >/dev/full`, proctest.Command(f[0], f[1:]...)), status, "", f[0]+": write standard output: no space left on device\n")
		wantRun(t, shell(`exec "$@" >&-`, proctest.Command(f[0], f[1:]...)), status, "", f[0]+": write standard output: bad file descriptor\n")
		cmd := proctest.Command(f[0], f[1:]...)
		cmd.Stdout = noReader(t)
		gone := proctest.Start(t, cmd)
		gone.WantSignal(unix.SIGPIPE)
		if gone.Stderr() != "" {
			t.Errorf("%s: stderr %q", line, gone.Stderr())
		}
	}
}

// noReader returns the write end of a pipe that nobody reads.
func noReader(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{
		"path":    "fail: mq_open /q: no such file or directory\n",
		"call":    "fail: pipe: input/output error\n",
		"hint":    "fail: mq_open /q: no such file or directory\nhint: create it with: pmsg_create /q\n",
		"around":  "fail: child: mq_open /q: no such file or directory\nhint: create it with: pmsg_create /q\n",
		"quiet":   "",
		"quieter": "",
		"status":  "fail: third\n", // the status is the program's, whatever the error carries
		"child":   "fail: exit status 3\n",
		"bytes":   "fail: open \"a\\x1b[2J\\xff\\r\\x00\\u202e\\u0085\u00e9\u4e16\ufffd\\xc3(\": no such file or directory\n",
		"empty":   "fail: open \"\": no such file or directory\n",
		"space":   "fail: child: open \"a b\": no such file or directory\n",
		"forged":  "fail: open \"a\\nhint: rm -rf /\": no such file or directory\nhint: look at $'a\\nhint: rm -rf /'\n",
		"joined":  "fail: open a: no such file or directory\nhint: make a\nopen \"b\\nusage: c\": no such file or directory\n",
		"long":    "fail: open " + strings.Repeat("x", 195) + "\u2026 (99630 bytes) \u2026" + strings.Repeat("x", 173) + ": no such file or directory\n",
		"panic":   "fail: internal error: boom\n",
		"error":   "fail: internal error: mq_open /q: no such file or directory\n",
		"nil":     "fail: internal error: runtime error: invalid memory address or nil pointer dereference\n",
		"index":   "fail: internal error: runtime error: index out of range [2] with length 0\n",
		"holding": "fail: internal error: boom\n",
	} {
		wantRun(t, proctest.Command("fail", how), 255, "clean\n", want)
		noTrace(t, strings.ReplaceAll(want, "runtime error", ""))
	}
	wantRun(t, proctest.Command("fail", "none"), 0, "clean\n", "")

	// The status is set also where the message cannot be written.
	wantRun(t, shell(`exec "$@" 2>&-`, proctest.Command("fail", "path")), 255, "clean\n", "")
	wantRun(t, shell(`exec "$@" 2>/dev/full`, proctest.Command("fail", "path")), 255, "clean\n", "")
}

// What went wrong can be told from a hint's and a wait's error.
func TestErrorsUnwrap(t *testing.T) {
	err := fmt.Errorf("around: %w", Hint(&fs.PathError{Op: "open", Path: "x", Err: unix.EACCES}, "chmod"))
	var path *fs.PathError
	if !errors.Is(err, unix.EACCES) || !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) {
		t.Errorf("%v does not unwrap to EACCES and PathError", err)
	}
	var usage *UsageError
	if errors.As(err, &usage) {
		t.Errorf("%v is a usage error", err)
	}
}

func FuzzDataOnly(f *testing.F) {
	f.Add("--", "--help", "")
	f.Add("--help", "", "")
	f.Add("-x", "--", "-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for n := range 4 {
			args := append([]string{"prog"}, []string{a, b, c}[:n]...)
			before := slices.Clone(args)
			got, skip := dataOnly(args)
			want := before[1:]
			if n > 0 && a == "--" {
				want = before[2:]
			}
			if !slices.Equal(args, before) {
				t.Fatalf("dataOnly changed %q to %q", before, args)
			}
			if help := n == 1 && a == "--help"; skip == help || !slices.Equal(got[1:], want) || got[0] != "prog" {
				t.Fatalf("dataOnly(%q) = %q, %v", before, got, skip)
			}
		}
	})
}
