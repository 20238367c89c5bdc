// Package reexec is the suite's stand-in for fork(2).
//
// A Go program has threads from its first instruction on, and fork copies only
// one of them, so a Go process cannot go on after fork as C does. It starts
// itself again instead: the child is the same program with the same arguments
// and environment, and learns from its argv[0], "simple_pipe:child", which role
// it has. ps and strace show the role, and a grandchild inherits nothing of it.
//
// Where C has
//
//	switch (fork()) { case 0: child(); default: parent(); }
//
// a main has
//
//	if reexec.Role() == "child" {
//		return child()
//	}
//	return parent()
//
// A forked child shares all descriptors with its parent. This one has
// descriptors 0, 1, 2 and the files that it was given, nothing else.
package reexec

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Role returns the role that the process was started in by Command, or "" in a
// process that a user started.
func Role() string {
	if len(os.Args) == 0 {
		return ""
	}
	_, role, _ := strings.Cut(filepath.Base(os.Args[0]), ":")
	return role
}

// Command returns a command that starts the running program again in the given
// role, with the user's own arguments. Standard input, output and error are the
// parent's; files become the child's descriptors 3, 4, … (see File).
func Command(role string, files ...*os.File) *exec.Cmd {
	return CommandContext(context.Background(), role, files...)
}

// CommandContext is Command for a child that is killed when ctx is done.
func CommandContext(ctx context.Context, role string, files ...*os.File) *exec.Cmd {
	// A descriptor that our own parent let us inherit is not the child's.
	unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; without it C's rule holds
	cmd := exec.CommandContext(ctx, executable())
	cmd.Args = []string{name() + ":" + role}
	if len(os.Args) > 1 {
		cmd.Args = append(cmd.Args, os.Args[1:]...)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	return cmd
}

// File returns the i-th of the files that Command gave to this process. It is
// called once for each, and before Command. name is used in messages. It fails
// with EBADF in a process that was not given one.
func File(i int, name string) (*os.File, error) {
	fd := 3 + i
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF // opened since exec: the Go runtime reads the CPU limit of its cgroup
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "inherit", Path: fmt.Sprintf("%s (descriptor %d)", name, fd), Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// name returns the program's name without the role.
func name() string {
	if len(os.Args) == 0 || os.Args[0] == "" {
		return filepath.Base(executable())
	}
	base, _, _ := strings.Cut(filepath.Base(os.Args[0]), ":")
	return base
}

// self names the running program itself, whatever has become of its file.
const self = "/proc/self/exe"

// executable returns the path of the running program. It does not depend on
// the working directory or on PATH. If the file at the path is no longer the
// one that runs, the kernel's link to the running one is used.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return self
	}
	running, err1 := os.Stat(self)
	there, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(running, there) {
		return self
	}
	return path
}
