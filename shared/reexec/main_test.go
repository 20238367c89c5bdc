package reexec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// A process that the tests start is a parent, with its report on descriptor 3.
// What it starts by Command is a child, which writes the report.
func TestMain(m *testing.M) {
	open := descriptors() // before anything opens one
	switch Role() {
	case "":
		proctest.Main(m, map[string]proctest.Role{
			"parent":  parent,
			"bare":    bare,
			"moved":   moved,
			"gone":    gone,
			"other":   other,
			"noargv":  noargv,
			"killer":  killer,
			"runaway": runaway,
		})
	case "child":
		exit(child(open))
	case "middle":
		exit(middle())
	case "sleeper":
		exit(sleeper())
	case "none":
		exit(nil)
	default:
		exit(fmt.Errorf("no role %q", Role()))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A report is what a child finds.
type report struct {
	Role     string
	Args     [][]byte // not strings, which JSON would change
	Dir      string
	Variable string // of the environment
	Open     map[string]string
	Parent   [3]string // what the parent has as 0, 1, 2
	Second   string    // what stands in the second file
	Cloexec  bool      // after File
	Exe      uint64    // inode
}

// variable is one that the tests set.
const variable = "REEXEC_TEST"

// parent starts a child with two files: the report and another.
func parent([]string) error {
	second, err := os.CreateTemp("", "reexec")
	if err != nil {
		return err
	}
	defer os.Remove(second.Name())
	if _, err := second.WriteString("second"); err != nil {
		return err
	}
	return Command("child", os.NewFile(3, "report"), second).Run()
}

// bare starts a child that is given nothing.
func bare([]string) error { return Command("child").Run() }

// moved is a parent that has changed its working directory.
func moved(args []string) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return parent(args)
}

// gone is a parent whose file has been removed.
func gone(args []string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		return err
	}
	return parent(args)
}

// other is a parent in whose file's place there is another program.
func other(args []string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte("#!/bin/sh\necho another program\n"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return parent(args)
}

// noargv becomes a parent that was started without any argument, not even a
// name.
func noargv([]string) error {
	cmd := proctest.Command("parent")
	return unix.Exec(cmd.Path, nil, cmd.Env)
}

// killer starts a child and ends it by its context.
func killer([]string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := CommandContext(ctx, "sleeper", w)
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it is there
		return err
	}
	fmt.Println("started", cmd.Process.Pid)
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	cancel()
	err = cmd.Wait()
	fmt.Println("ended", cmd.ProcessState)
	if !errors.As(err, new(*exec.ExitError)) && !errors.Is(err, context.Canceled) {
		return err
	}
	if err := CommandContext(ctx, "none").Start(); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("start with a context that has ended: %v", err)
	}
	return Command("none").Run()
}

// runaway starts a child that outlives its context's deadline.
func runaway([]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	cmd := CommandContext(ctx, "sleeper", os.Stdout)
	err := cmd.Run()
	fmt.Println("\nended", cmd.ProcessState)
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func sleeper() error {
	ready, err := File(0, "pipe")
	if err != nil {
		return err
	}
	if _, err := ready.Write([]byte{'.'}); err != nil {
		return err
	}
	<-time.After(proctest.Patience)
	return errors.New("nobody has killed it")
}

// middle is a child that has a child.
func middle() error {
	f, err := File(0, "report")
	if err != nil {
		return err
	}
	second, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	return Command("child", f, second).Run()
}

func child(open map[string]string) error {
	r := report{Role: Role(), Dir: "?", Variable: os.Getenv(variable), Open: open}
	for _, arg := range os.Args {
		r.Args = append(r.Args, []byte(arg))
	}
	for fd := range r.Parent {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getppid(), fd))
		if err != nil {
			return err
		}
		r.Parent[fd] = target
	}
	f, err := File(0, "report")
	if err != nil {
		return err
	}
	second, err := File(1, "second file")
	if err != nil {
		return err
	}
	if _, err := File(2, "third file"); !errors.Is(err, unix.EBADF) {
		return fmt.Errorf("third file: %v, want EBADF", err)
	}
	flags, err := unix.FcntlInt(second.Fd(), unix.F_GETFD, 0)
	if err != nil {
		return err
	}
	r.Cloexec = flags&unix.FD_CLOEXEC != 0
	b := make([]byte, 100)
	if n, err := second.ReadAt(b, 0); n > 0 || err == nil {
		r.Second = string(b[:n])
	}
	if dir, err := os.Readlink("/proc/self/cwd"); err == nil {
		r.Dir = dir
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &st); err != nil {
		return err
	}
	r.Exe = st.Ino
	return json.NewEncoder(f).Encode(r)
}

// descriptors returns the targets of the descriptors that the process has
// inherited: those that it has opened itself, as the Go runtime does with files of
// its cgroup, are close-on-exec. It opens none.
func descriptors() map[string]string {
	open := make(map[string]string)
	for fd := range 1024 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		b := make([]byte, 4096)
		n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), b)
		if err != nil {
			n = copy(b, err.Error())
		}
		open[strconv.Itoa(fd)] = string(b[:n])
	}
	return open
}
