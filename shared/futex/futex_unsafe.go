package futex

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wait may block, so the runtime must be told (Syscall6, not RawSyscall6): a
// process with one P would stand still otherwise.
func wait(addr *atomic.Uint32, val uint32, ts *unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWait, uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// wake never blocks, so it goes without the runtime's bookkeeping, which costs
// as much as the call.
func wake(addr *atomic.Uint32, n int) (int, syscall.Errno) {
	woken, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWake, uintptr(n), 0, 0, 0)
	return int(woken), errno
}
