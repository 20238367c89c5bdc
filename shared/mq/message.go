package mq

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Send wraps mq_send(3): it adds msg to the queue with priority prio, 0 …
// PrioMax-1. An empty message is legal. If the queue is full it blocks until
// there is room, and holds an OS thread meanwhile; see SendContext.
//
// Errnos to expect: EAGAIN if the queue is full and O_NONBLOCK is set;
// EBADF if q is open for reading only; EINVAL for a priority of PrioMax or
// more; EMSGSIZE if msg is longer than Attr.MsgSize; ENOMEM. os.ErrClosed
// after Close.
func (q *Queue) Send(msg []byte, prio uint32) error {
	return q.send("mq_send", msg, prio, time.Time{})
}

// SendUntil wraps mq_timedsend(3): Send that gives up with ETIMEDOUT at the
// deadline. The deadline is a time of day (CLOCK_REALTIME), so that the wait
// follows a system clock that is set. One that has passed is an error only if
// the queue is full. The zero Time means no deadline. It holds an OS thread
// while it blocks.
//
// Errnos to expect: ETIMEDOUT, and those of Send.
func (q *Queue) SendUntil(msg []byte, prio uint32, deadline time.Time) error {
	if deadline.IsZero() {
		return q.Send(msg, prio)
	}
	return q.send("mq_timedsend", msg, prio, deadline)
}

func (q *Queue) send(op string, msg []byte, prio uint32, deadline time.Time) error {
	if !q.acquire() {
		return q.fail(op, os.ErrClosed)
	}
	defer q.release()
	if errno := q.waitSend(msg, prio, deadline); errno != 0 {
		return q.fail(op, errno)
	}
	return nil
}

// TrySend is Send that never blocks: EAGAIN if the queue is full, whether
// O_NONBLOCK is set or not. In C it is mq_timedsend with a deadline long past.
func (q *Queue) TrySend(msg []byte, prio uint32) error {
	if !q.acquire() {
		return q.fail("mq_send", os.ErrClosed)
	}
	defer q.release()
	errno := q.trySend(msg, prio)
	switch errno {
	case 0:
		return nil
	case unix.EAGAIN, unix.ETIMEDOUT:
		return q.errFull
	}
	return q.fail("mq_send", errno)
}

// Receive wraps mq_receive(3): it takes the oldest message of the highest
// priority and returns its length in bytes and its priority. If the queue is
// empty it blocks until there is a message, and holds an OS thread meanwhile;
// see ReceiveContext.
//
// Errnos to expect: EAGAIN if the queue is empty and O_NONBLOCK is set;
// EBADF if q is open for writing only; EMSGSIZE if buf is shorter than
// Attr.MsgSize, however short the message. os.ErrClosed after Close.
func (q *Queue) Receive(buf []byte) (n int, prio uint32, err error) {
	return q.receive("mq_receive", buf, time.Time{})
}

// ReceiveUntil wraps mq_timedreceive(3): Receive that gives up with ETIMEDOUT
// at the deadline. The deadline is a time of day (CLOCK_REALTIME), so that the
// wait follows a system clock that is set. One that has passed is an error
// only if the queue is empty. The zero Time means no deadline. It holds an OS
// thread while it blocks.
//
// Errnos to expect: ETIMEDOUT, and those of Receive.
func (q *Queue) ReceiveUntil(buf []byte, deadline time.Time) (n int, prio uint32, err error) {
	if deadline.IsZero() {
		return q.Receive(buf)
	}
	return q.receive("mq_timedreceive", buf, deadline)
}

func (q *Queue) receive(op string, buf []byte, deadline time.Time) (n int, prio uint32, err error) {
	if !q.acquire() {
		return 0, 0, q.fail(op, os.ErrClosed)
	}
	defer q.release()
	n, prio, errno := q.waitReceive(buf, deadline)
	if errno != 0 {
		return 0, 0, q.fail(op, errno)
	}
	return n, prio, nil
}

// TryReceive is Receive that never blocks: EAGAIN if the queue is empty,
// whether O_NONBLOCK is set or not. In C it is mq_timedreceive with a deadline
// long past.
func (q *Queue) TryReceive(buf []byte) (n int, prio uint32, err error) {
	if !q.acquire() {
		return 0, 0, q.fail("mq_receive", os.ErrClosed)
	}
	defer q.release()
	n, prio, errno := q.tryReceive(buf)
	switch errno {
	case 0:
		return n, prio, nil
	case unix.EAGAIN, unix.ETIMEDOUT:
		return 0, 0, q.errEmpty
	}
	return 0, 0, q.fail("mq_receive", errno)
}

// longAgo is the deadline of a try. The kernel does not put a caller to sleep
// for it: schedule_hrtimeout_range_clock returns at once for exactly zero.
var longAgo unix.Timespec

// smallCopy bounds what a try may copy while it holds the runtime's P. Beyond
// it the try is announced to the scheduler like any other system call.
const smallCopy = 64 << 10

// trySend sends if there is room. Otherwise the errno tells which kind of
// descriptor this is: ETIMEDOUT if the call may wait, EAGAIN if O_NONBLOCK is
// set and it must not.
func (q *Queue) trySend(msg []byte, prio uint32) syscall.Errno {
	if len(msg) > smallCopy {
		return q.kernelSend(msg, prio, &longAgo)
	}
	return retry(func() syscall.Errno {
		return mqTrySend(q.fd, msg, prio, &longAgo)
	})
}

// tryReceive is trySend's counterpart.
func (q *Queue) tryReceive(buf []byte) (n int, prio uint32, errno syscall.Errno) {
	if len(buf) > smallCopy {
		return q.kernelReceive(buf, &longAgo)
	}
	errno = retry(func() (e syscall.Errno) {
		n, prio, e = mqTryReceive(q.fd, buf, &longAgo)
		return e
	})
	return n, prio, errno
}

// kernelSend blocks in the kernel until the deadline, or for ever if it is nil.
func (q *Queue) kernelSend(msg []byte, prio uint32, deadline *unix.Timespec) syscall.Errno {
	return retry(func() syscall.Errno {
		return mqTimedsend(q.fd, msg, prio, deadline)
	})
}

// kernelReceive is kernelSend's counterpart.
func (q *Queue) kernelReceive(buf []byte, deadline *unix.Timespec) (n int, prio uint32, errno syscall.Errno) {
	errno = retry(func() (e syscall.Errno) {
		n, prio, e = mqTimedreceive(q.fd, buf, deadline)
		return e
	})
	return n, prio, errno
}

// retry is the package's EINTR policy: a signal does not end a wait. Handlers
// that Go installs let the kernel restart the call by itself (SA_RESTART);
// those of C code in the process may not. Deadlines are absolute, so that a
// repeated call waits no longer than the first would have.
func retry(call func() syscall.Errno) syscall.Errno {
	for {
		if errno := call(); errno != unix.EINTR {
			return errno
		}
	}
}
