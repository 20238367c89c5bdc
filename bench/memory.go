package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
)

// resident runs a program and returns the most memory it had resident, in KiB. It is
// read when the program ends, in ptrace(2)'s stop before that: rusage would tell of the
// memory that this process had when it forked, too. The caller's thread is locked.
func resident(path string, args ...string) (int64, error) {
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	var status unix.WaitStatus
	_, err := unix.Wait4(pid, &status, 0, nil) // stopped by execve
	if err == nil {
		err = unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT|unix.PTRACE_O_EXITKILL)
	}
	kib := int64(0)
	for sig := 0; err == nil && !status.Exited() && !status.Signaled(); sig = int(status.StopSignal()) {
		if status.TrapCause() == unix.PTRACE_EVENT_EXIT {
			kib, err = phase.Resident(fmt.Sprintf("/proc/%d/status", pid))
		}
		if status.StopSignal() == unix.SIGTRAP {
			sig = 0
		}
		if err == nil {
			err = unix.PtraceCont(pid, sig)
		}
		if err == nil {
			_, err = unix.Wait4(pid, &status, 0, nil)
		}
	}
	if err != nil {
		cmd.Process.Kill()
		unix.Wait4(pid, &status, 0, nil)
	}
	cmd.Process.Release()
	if err == nil && kib == 0 {
		err = errors.New("it ended without a word")
	}
	return kib, os.NewSyscallError("ptrace", err)
}
