package e2e

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A syscallInfo mirrors struct ptrace_syscall_info of include/uapi/linux/ptrace.h,
// the same on every architecture:
//
//	struct ptrace_syscall_info {
//		__u8  op;                        // 0 none, 1 entry, 2 exit
//		__u8  pad[3];
//		__u32 arch;
//		__u64 instruction_pointer;
//		__u64 stack_pointer;
//		union {
//			struct { __u64 nr; __u64 args[6]; } entry;
//			struct { __s64 rval; __u8 is_error; } exit;
//		};
//	};
type syscallInfo struct {
	op   uint8
	_    [3]byte
	_    uint32
	_, _ uint64
	nr   uint64 // at the exit: the result
	args [6]uint64
}

// getSyscallInfo wraps ptrace(PTRACE_GET_SYSCALL_INFO) of Linux 5.3.
func getSyscallInfo(tid int) (info syscallInfo, err error) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		err = errno
	}
	return info, err
}
