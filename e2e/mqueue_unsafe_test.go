package e2e

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// unlinkQueue wraps mq_unlink(2). The kernel takes names without the slash.
func unlinkQueue(name string) error {
	p, err := unix.BytePtrFromString(name[1:])
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
