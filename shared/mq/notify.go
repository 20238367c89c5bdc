package mq

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Values of sigev_notify, and what the kernel writes into the last byte of a
// SIGEV_THREAD cookie (include/linux/mqueue.h: NOTIFY_WOKENUP, NOTIFY_REMOVED).
const (
	sigevSignal = 0
	sigevNone   = 1
	sigevThread = 2

	cookieLen = 32
	wokenUp   = 1
	removed   = 2
)

// Notice says how a registration of NotifyChan ended.
type Notice uint8

const (
	// Arrived: a message came to the empty queue.
	Arrived Notice = wokenUp
	// Removed: the registration was cancelled by NotifyCancel or by the
	// closing of any of this process's descriptors of the queue.
	Removed Notice = removed
)

// String returns "arrived" or "removed".
func (n Notice) String() string {
	if n == Arrived {
		return "arrived"
	}
	return "removed"
}

// NotifySignal wraps mq_notify(3) with SIGEV_SIGNAL: the process gets sig when
// the next message comes to the empty queue. Call signal.Notify for sig first.
// It does not block.
//
// This and the other Notify methods share these rules. One process at a time
// can be registered for a queue, once. The notice comes when a message reaches
// an empty queue while no receiver is blocked on it (as Receive is), and ends
// the registration. To miss nothing, register again first and drain the queue
// with TryReceive afterwards. Closing any descriptor of the queue in the
// registered process, be it of another Queue, cancels the registration.
//
// Errnos to expect: EBUSY if a process, this one included, is registered;
// EINVAL for a bad signal.
func (q *Queue) NotifySignal(sig syscall.Signal) error {
	return q.notify(sigevSignal, int32(sig), nil)
}

// NotifyNone wraps mq_notify(3) with SIGEV_NONE: it registers without being
// told of the message, which keeps others from registering until one arrives.
//
// Errnos to expect: EBUSY.
func (q *Queue) NotifyNone() error {
	return q.notify(sigevNone, 0, nil)
}

// NotifyCancel wraps mq_notify(3) with NULL: it ends this process's
// registration, through whichever descriptor it was made. Without one it does
// nothing.
func (q *Queue) NotifyCancel() error {
	if !q.acquire() {
		return q.fail("mq_notify", os.ErrClosed)
	}
	defer q.release()
	if errno := mqNotifyCancel(q.fd); errno != 0 {
		return q.fail("mq_notify", errno)
	}
	return nil
}

// NotifyChan registers as SIGEV_THREAD does in C, with a channel in place of
// the thread. The channel gets one Notice, when a message reaches the empty
// queue or the registration is removed, and is closed. It need not be read.
// While registered, a goroutine waits in Go's poller.
//
// The kernel knows no threads here: it sends a cookie to a netlink socket
// (ipc/mqueue.c; glibc's sysdeps/unix/sysv/linux/mq_notify.c reads it).
//
// Errnos to expect: EBUSY, and those of socket(2).
func (q *Queue) NotifyChan() (<-chan Notice, error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, q.fail("mq_notify", os.NewSyscallError("socket", err))
	}
	f := os.NewFile(uintptr(s), "netlink")
	if err := q.notify(sigevThread, int32(s), new([cookieLen]byte)); err != nil {
		f.Close()
		return nil, err
	}
	c := make(chan Notice, 1)
	go func() {
		defer close(c)
		defer f.Close()
		var cookie [cookieLen]byte
		n, err := f.Read(cookie[:])
		switch {
		case err == nil && n == cookieLen && cookie[cookieLen-1] == wokenUp:
			c <- Arrived
		default:
			c <- Removed
		}
	}()
	return c, nil
}

func (q *Queue) notify(how, signo int32, cookie *[cookieLen]byte) error {
	if !q.acquire() {
		return q.fail("mq_notify", os.ErrClosed)
	}
	defer q.release()
	if errno := mqNotify(q.fd, how, signo, cookie); errno != 0 {
		return q.fail("mq_notify", errno)
	}
	return nil
}
