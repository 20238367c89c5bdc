package prog

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// dieByDefault gives sig back its default action, in place of the handler of
// the Go runtime, which ignores SIGPIPE and prints its stacks on SIGQUIT. It is
// rt_sigaction(2) with the kernel's struct sigaction, all zero: SIG_DFL, no
// flags, an empty mask (include/linux/signal_types.h; 32 bytes on 64-bit).
func dieByDefault(sig unix.Signal) {
	var act [4]uint64
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
}
