package mq

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// TestInterrupted takes SA_RESTART from a signal's handler, as C code in the
// process may do, and interrupts a call that blocks.
func TestInterrupted(t *testing.T) {
	const saRestart = 0x10000000
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR2)
	defer signal.Stop(c)
	// struct sigaction of the kernel: handler, flags, restorer, mask
	var act [4]uint64
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGUSR2), 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	act[1] &^= saRestart
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGUSR2), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); errno != 0 {
		t.Fatal(errno)
	}

	q := newQueue(t)
	buf := make([]byte, small.MsgSize)
	interrupt := func() {
		t.Helper()
		proctest.Until(t, "the call blocks", func() bool { return blockedInKernel(q, unix.SYS_MQ_TIMEDRECEIVE) == 1 })
		files, _ := filepath.Glob("/proc/self/task/*/syscall")
		for _, f := range files {
			b, _ := os.ReadFile(f)
			if strings.HasPrefix(string(b), strconv.Itoa(unix.SYS_MQ_TIMEDRECEIVE)+" ") {
				tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
				if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR2); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-c
	}

	// The kernel's answer first, so that the test tests something.
	raw := make(chan syscall.Errno, 1)
	go func() {
		_, _, errno := mqTimedreceive(q.fd, buf, nil)
		raw <- errno
	}()
	interrupt()
	if errno := <-raw; errno != unix.EINTR {
		t.Fatalf("the system call gave %v, want EINTR", errno)
	}

	got := make(chan error, 1)
	go func() { _, _, err := q.Receive(buf); got <- err }()
	for range 5 {
		interrupt()
	}
	proctest.Until(t, "the call blocks again", func() bool { return blockedInKernel(q, unix.SYS_MQ_TIMEDRECEIVE) == 1 })
	wantErr(t, q.Send(nil, 0), nil)
	wantErr(t, <-got, nil)
}
