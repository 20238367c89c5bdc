package door

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendmsg wraps sendmsg(2) for a call that does not block (MSG_DONTWAIT).
func sendmsg(fd int, m *unix.Msghdr, flags int) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), uintptr(flags))
	return errno
}

// sendto wraps send(2) for a call that does not block. b is not empty.
func sendto(fd int, b []byte, flags int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(flags), 0, 0)
	return errno
}

// recvmsg wraps recvmsg(2) for a call that does not block (MSG_DONTWAIT).
func recvmsg(fd int, m *unix.Msghdr, flags int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), uintptr(flags))
	return int(n), errno
}

// recvmsgBlock wraps recvmsg(2) for a call that blocks its thread.
func recvmsgBlock(fd int, m *unix.Msghdr, flags int) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), uintptr(flags))
	return int(n), errno
}

// rightSize is the size of a control message with one descriptor.
const rightSize = (unix.SizeofCmsghdr + 4 + 7) &^ 7

// putRight makes a control message with one descriptor, as unix.UnixRights does.
func putRight(b *[rightSize]byte, fd int) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(b))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4))
	*(*int32)(unsafe.Pointer(&b[unix.SizeofCmsghdr])) = int32(fd)
}
