package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/ctest"
)

// Private makes cmd run in mount and IPC namespaces of its own, where the role
// may mount (see Mount). Where that is not allowed the test is skipped.
func Private(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWIPC}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	attr := *cmd.SysProcAttr
	probe := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"probe", "-test.run=^$"}, SysProcAttr: &attr}
	if err := probe.Run(); err != nil {
		ctest.Skip(t, "no namespaces: %v", err)
	}
}

// Mount puts a tmpfs of the given size in bytes on dir, for this process, which
// Private has made, and its children.
func Mount(dir string, size int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

// Nobody makes cmd run as the user 65534. Where that is not allowed the test is
// skipped.
func Nobody(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		ctest.Skip(t, "only root may start a process of another user")
	}
	cmd.Path = "/proc/self/exe" // the way to the test binary is closed to others
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
