// Package futex wraps futex(2) for words in memory that several processes map.
//
// No call sets FUTEX_PRIVATE_FLAG: the kernel finds the waiters by the memory
// object (file and offset), so that processes meet which map it at different
// addresses. Locks and semaphores are built on it in packages shared and sem.
//
// Source: futex(2), Linux kernel/futex/waitwake.c.
package futex

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The operations of include/uapi/linux/futex.h that the package uses.
const (
	opWait = 0 // FUTEX_WAIT
	opWake = 1 // FUTEX_WAKE
)

// Wait wraps FUTEX_WAIT: it blocks while *addr is val, until a Wake. It returns
// nil when it was woken and also when it did not sleep because *addr was not val
// (EAGAIN) or when a signal ended the sleep (EINTR): all three mean that the
// caller has to look at the word again, and none that the word has changed.
//
// Errors to expect: EFAULT, the memory is no longer there (its file shrank).
//
// Wait holds an OS thread while it blocks.
func Wait(addr *atomic.Uint32, val uint32) error {
	return again(wait(addr, val, nil))
}

// WaitUntil is Wait with an end: it fails with ETIMEDOUT when the deadline has
// passed. A deadline in the past fails without sleeping if *addr is val.
func WaitUntil(addr *atomic.Uint32, val uint32, deadline time.Time) error {
	// FUTEX_WAIT takes the time left, measured on CLOCK_MONOTONIC, as does
	// time.Until. 0 means "do not sleep".
	ts := unix.NsecToTimespec(max(0, int64(time.Until(deadline))))
	return again(wait(addr, val, &ts))
}

// again is the package's one EINTR policy: look at the word again.
func again(errno error) error {
	switch errno {
	case nil, unix.EAGAIN, unix.EINTR:
		return nil
	case unix.ETIMEDOUT:
		return unix.ETIMEDOUT // bare: waits in slices get it often, and it must not allocate
	}
	return os.NewSyscallError("futex", errno)
}

// Wake wraps FUTEX_WAKE: it wakes at most n waiters of the word and returns how
// many there were. It never blocks.
//
// Errors to expect: EFAULT, as for Wait.
func Wake(addr *atomic.Uint32, n int) (int, error) {
	if n <= 0 {
		return 0, nil // the kernel takes that for 1
	}
	woken, errno := wake(addr, n)
	if errno != 0 {
		return 0, os.NewSyscallError("futex", errno)
	}
	return woken, nil
}
