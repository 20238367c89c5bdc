package reexec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// A try is a parent that is about to run, and what its child is to report.
type try struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File
	want report
}

// newTry returns a try of the role, which inherits descriptors 3 to 9.
func newTry(t *testing.T, role string, args ...string) *try {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "report"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zero.Close() })
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r := &try{t: t, cmd: proctest.Command(role, args...), file: f}
	r.cmd.ExtraFiles = []*os.File{f, zero, zero, zero, zero, zero, zero}
	r.cmd.Env = append(r.cmd.Env, variable+"=kept")
	r.want = report{Role: "child", Dir: dir, Variable: "kept", Second: "second", Cloexec: true}
	r.want.Args = append(r.want.Args, []byte(name()+":child"))
	for _, arg := range args {
		r.want.Args = append(r.want.Args, []byte(arg))
	}
	return r
}

// run runs the parent and checks the report. std is what descriptors 0, 1, … are to
// be, where that is known.
func (r *try) run(std ...string) {
	t := r.t
	t.Helper()
	p := proctest.Start(t, r.cmd)
	p.CloseStdin()
	if out := p.Rest(); out != "" {
		t.Errorf("it said %q", out)
	}
	p.WantExit(0)
	if s := p.Stderr(); s != "" {
		t.Errorf("stderr %q", s)
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.NewDecoder(r.file).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Role != r.want.Role || got.Dir != r.want.Dir || got.Variable != r.want.Variable ||
		got.Second != r.want.Second || got.Cloexec != r.want.Cloexec || !slices.EqualFunc(got.Args, r.want.Args, bytes.Equal) {
		t.Errorf("got  %+v\nwant %+v", got, r.want)
	}
	if r.want.Exe == 0 {
		r.want.Exe = inode(t, "/proc/self/exe")
	}
	if got.Exe != r.want.Exe {
		t.Errorf("the child is another program than its parent")
	}
	if keys := slices.Sorted(maps.Keys(got.Open)); !slices.Equal(keys, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("the child has %q, want 0, 1, 2 and the two that it was given", got.Open)
	}
	for fd, want := range got.Parent {
		if fd < len(std) && want != std[fd] {
			t.Errorf("the parent's descriptor %d is %s, want %s", fd, want, std[fd])
		}
		if target := got.Open[fmt.Sprint(fd)]; target != want {
			t.Errorf("descriptor %d is %s, want %s", fd, target, want)
		}
	}
	if got.Open["3"] != r.file.Name() {
		t.Errorf("descriptor 3 is %s, want %s", got.Open["3"], r.file.Name())
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// own gives the try a copy of the test binary as its program, in a directory of
// its own.
func (r *try) own(dir string) {
	r.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd.Path = filepath.Join(dir, "program")
	if err := os.WriteFile(r.cmd.Path, b, 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.want.Exe = inode(r.t, r.cmd.Path)
	r.argv0(r.cmd.Path, "program:child")
}

// argv0 sets the name with which the parent is started, and the one that its
// child is to have.
func (r *try) argv0(name, child string) {
	r.cmd.Args[0] = name
	r.want.Args[0] = []byte(child)
}

func TestRoleAndArguments(t *testing.T) {
	if Role() != "" {
		t.Errorf("Role of a process that a user started is %q", Role())
	}
	for _, args := range [][]string{
		nil,
		{""},
		{"", "-x", "--", "a b", "it's", `"$HOME"`, "\xff\xfe\n", "program:child", "", strings.Repeat("x", 100_000)},
	} {
		newTry(t, "parent", args...).run()
	}
}

func TestArgv0(t *testing.T) {
	base := name()
	for argv0, child := range map[string]string{
		"":                  base + ":child",
		"program":           "program:child",
		"./program":         "program:child",
		"a/b/program":       "program:child",
		"/a:b/c:d/program":  "program:child",
		"-program":          "-program:child",
		"\xff%s":            "\xff%s:child",
		"..":                "..:child",
		"/":                 "/:child",
		"no such/directory": "directory:child",
	} {
		r := newTry(t, "parent", "x")
		r.argv0(argv0, child)
		r.run()
	}
}

// Since Linux 5.18 such a process has an empty argv[0].
func TestNoArgv(t *testing.T) {
	r := newTry(t, "noargv")
	r.run()
}

// The way in which the program was started is of no importance, nor is what
// became of it since.
func TestStartedFromAnywhere(t *testing.T) {
	t.Run("relative", func(t *testing.T) {
		dir := t.TempDir()
		r := newTry(t, "parent", "x")
		r.own(filepath.Join(dir, "bin"))
		r.cmd.Path, r.cmd.Dir = "bin/program", dir
		r.argv0("bin/program", "program:child")
		r.want.Dir = dir
		r.run()
	})
	t.Run("relative, then chdir", func(t *testing.T) {
		dir := t.TempDir()
		r := newTry(t, "moved", "x")
		r.own(filepath.Join(dir, "bin"))
		r.cmd.Path, r.cmd.Dir = "./program", filepath.Join(dir, "bin")
		r.argv0("./program", "program:child")
		r.want.Dir = "/"
		r.run()
	})
	t.Run("PATH", func(t *testing.T) {
		dir := t.TempDir()
		r := newTry(t, "moved", "x")
		r.own(dir)
		r.cmd.Path, r.cmd.Args = "/bin/sh", []string{"sh", "-c", `PATH=` + dir + `; exec program "$@"`, "sh", "x"}
		r.want.Dir = "/"
		r.run()
	})
	t.Run("symlink", func(t *testing.T) {
		dir := t.TempDir()
		r := newTry(t, "parent", "x")
		r.own(filepath.Join(dir, "bin"))
		link := filepath.Join(dir, "link")
		if err := os.Symlink("bin/program", link); err != nil {
			t.Fatal(err)
		}
		r.cmd.Path = link
		r.argv0(link, "link:child")
		r.run()
	})
	t.Run("colon in the path", func(t *testing.T) {
		r := newTry(t, "parent", "x")
		r.own(filepath.Join(t.TempDir(), "a:child"))
		r.run()
	})
	t.Run("removed", func(t *testing.T) {
		r := newTry(t, "gone", "x")
		r.own(filepath.Join(t.TempDir(), "bin"))
		r.run()
	})
	t.Run("replaced", func(t *testing.T) {
		r := newTry(t, "other", "x")
		r.own(filepath.Join(t.TempDir(), "bin"))
		r.run()
	})
}

// Another user, who may neither read the working directory nor reach the file of
// the program.
func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	r := newTry(t, "parent", "x")
	r.want.Dir = dir
	r.want.Exe = inode(t, "/proc/self/exe")
	proctest.Nobody(t, r.cmd)
	t.Chdir(dir)
	r.run()
}

// The Go runtime opens /dev/null in the place of a closed descriptor; the child
// has that too, and not one of the files that it was given.
func TestClosedDescriptors(t *testing.T) {
	for closed, std := range map[string][]string{
		"<&- >&- 2>&-": {os.DevNull, os.DevNull, os.DevNull},
		"<&-":          {os.DevNull},
		">&- 2>&-":     nil,
	} {
		r := newTry(t, "parent", "x")
		r.cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@" ` + closed, r.cmd.Path}, r.cmd.Args[1:]...)
		r.cmd.Path = "/bin/sh"
		if std == nil {
			in, err := os.Open("/dev/zero")
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			r.cmd.Stdin = in
			std = []string{"/dev/zero", os.DevNull, os.DevNull}
		}
		r.run(std...)
	}
}

// A child that is given nothing, or a user who gives it a role, is told so.
func TestFileNotGiven(t *testing.T) {
	const want = "inherit report (descriptor 3): bad file descriptor\n"
	p := proctest.Start(t, proctest.Command("bare"))
	p.WantExit(1)
	if got := p.Stderr(); got != want+"exit status 1\n" {
		t.Errorf("stderr %q, want %q", got, want)
	}
	cmd := proctest.Command("bare")
	cmd.Args[0] = "program:child"
	p = proctest.Start(t, cmd)
	p.WantExit(1)
	if got := p.Stderr(); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}

	const none = 1000
	f, err := File(none, "nothing")
	var path *fs.PathError
	if f != nil || !errors.Is(err, unix.EBADF) || !errors.As(err, &path) {
		t.Errorf("File(%d) = %v, %v; want EBADF", none, f, err)
	}
}

// A child's child has its own role and nothing of its parent's.
func TestGrandchild(t *testing.T) {
	r := newTry(t, "parent", "x")
	r.argv0("program:middle", "program:child")
	r.cmd.ExtraFiles = r.cmd.ExtraFiles[:4] // two more than middle asks for
	r.want.Second = ""
	r.run()
}

func TestContextKills(t *testing.T) {
	p := proctest.Start(t, proctest.Command("killer"))
	var pid int
	if line := p.Line(); !scan(line, "started %d", &pid) {
		t.Fatalf("it said %q", line)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Fatalf("child: %v", err)
	}
	p.Say("end it")
	p.Want("ended signal: killed")
	p.WantExit(0)
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("kill of the child = %v, want that there is none", err)
	}

	p = proctest.Start(t, proctest.Command("runaway"))
	if line := p.Line(); line != "." && line != "" { // killed before it began, perhaps
		t.Errorf("it said %q", line)
	}
	p.Want("ended signal: killed")
	p.WantExit(0)
}

func scan(line, format string, args ...any) bool {
	n, err := fmt.Sscanf(line, format, args...)
	return n == len(args) && err == nil
}
