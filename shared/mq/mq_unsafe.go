package mq

import (
	"structs"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mqOpen: int mq_open(const char *name, int oflag, mode_t mode, struct mq_attr *attr)
func mqOpen(kname string, flags int, mode uint32, attr *Attr) (int, error) {
	p, err := cName(kname)
	if err != nil {
		return -1, err
	}
	// No entry to the scheduler: the call touches memory and the dentry
	// cache, never a disk.
	fd, _, errno := unix.RawSyscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)),
		uintptr(flags), uintptr(mode), uintptr(unsafe.Pointer(attr)), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// cName returns the name as the system call takes it, in C, and with the slash in
// front of the first byte, where glibc's callers have it: qemu's emulation of
// Linux looks for it there.
func cName(kname string) (*byte, error) {
	b, err := unix.ByteSliceFromString("/" + kname)
	if err != nil {
		return nil, err
	}
	return &b[1], nil
}

// mqUnlink: int mq_unlink(const char *name)
func mqUnlink(kname string) error {
	p, err := cName(kname)
	if err != nil {
		return err
	}
	// Freeing a full queue may take long: tell the scheduler.
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// mqTimedsend: int mq_timedsend(mqd_t, const char *msg_ptr, size_t msg_len,
// unsigned int msg_prio, const struct timespec *abs_timeout)
func mqTimedsend(fd int, msg []byte, prio uint32, deadline *unix.Timespec) syscall.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msg))), uintptr(len(msg)),
		uintptr(prio), uintptr(unsafe.Pointer(deadline)), 0)
	return errno
}

// mqTrySend is mqTimedsend without an entry to the scheduler, for a deadline
// that keeps it from blocking.
func mqTrySend(fd int, msg []byte, prio uint32, deadline *unix.Timespec) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_MQ_TIMEDSEND, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(msg))), uintptr(len(msg)),
		uintptr(prio), uintptr(unsafe.Pointer(deadline)), 0)
	return errno
}

// mqTimedreceive: ssize_t mq_timedreceive(mqd_t, char *msg_ptr, size_t msg_len,
// unsigned int *msg_prio, const struct timespec *abs_timeout)
func mqTimedreceive(fd int, buf []byte, deadline *unix.Timespec) (int, uint32, syscall.Errno) {
	var prio uint32
	n, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)),
		uintptr(unsafe.Pointer(&prio)), uintptr(unsafe.Pointer(deadline)), 0)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(n), prio, 0
}

// mqTryReceive is mqTimedreceive without an entry to the scheduler.
func mqTryReceive(fd int, buf []byte, deadline *unix.Timespec) (int, uint32, syscall.Errno) {
	var prio uint32
	n, _, errno := unix.RawSyscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)),
		uintptr(unsafe.Pointer(&prio)), uintptr(unsafe.Pointer(deadline)), 0)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(n), prio, 0
}

// mqGetsetattr: int mq_getsetattr(mqd_t, const struct mq_attr *new, struct mq_attr *old)
func mqGetsetattr(fd int, set, old *Attr) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_MQ_GETSETATTR, uintptr(fd),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)))
	return errno
}

// sigevent is the head of struct sigevent; the kernel reads 64 bytes.
//
//	typedef struct sigevent {
//		union sigval sigev_value;      /* int or pointer */
//		int sigev_signo;
//		int sigev_notify;
//		union { int _pad[12]; … } _sigev_un;
//	} sigevent_t;
type sigevent struct {
	_ structs.HostLayout

	value  unsafe.Pointer
	signo  int32
	notify int32
	_      [12]int32
}

// mqNotify: int mq_notify(mqd_t, const struct sigevent *)
//
// The kernel copies the cookie that a SIGEV_THREAD event points to before the
// call returns.
func mqNotify(fd int, notify, signo int32, cookie *[cookieLen]byte) syscall.Errno {
	ev := sigevent{value: unsafe.Pointer(cookie), signo: signo, notify: notify}
	_, _, errno := unix.RawSyscall(unix.SYS_MQ_NOTIFY, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0)
	return errno
}

// mqNotifyCancel is mq_notify with NULL.
func mqNotifyCancel(fd int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_MQ_NOTIFY, uintptr(fd), 0, 0)
	return errno
}
