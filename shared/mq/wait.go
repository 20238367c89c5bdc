package mq

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waitSend and waitReceive are a call that may block: it looks for a while (package
// spin), which is where a peer that answers within microseconds is met, then blocks
// in the kernel.

// spinRoom is the time that a deadline must leave for more looks than one.
const spinRoom = time.Millisecond

func (q *Queue) waitSend(msg []byte, prio uint32, deadline time.Time) (errno syscall.Errno) {
	again := false
	if spinnable(deadline) && q.writing.Call(func() bool {
		if again && len(msg) > cheapSend && q.full() {
			return false
		}
		again = true
		errno = q.trySend(msg, prio)
		return errno != unix.ETIMEDOUT
	}) {
		return errno
	}
	var ts unix.Timespec
	return q.kernelSend(msg, prio, until(&ts, deadline))
}

func (q *Queue) waitReceive(buf []byte, deadline time.Time) (n int, prio uint32, errno syscall.Errno) {
	if spinnable(deadline) && q.reading.Call(func() bool {
		n, prio, errno = q.tryReceive(buf)
		return errno != unix.ETIMEDOUT
	}) {
		return n, prio, errno
	}
	var ts unix.Timespec
	return q.kernelReceive(buf, until(&ts, deadline))
}

func spinnable(deadline time.Time) bool {
	return deadline.IsZero() || time.Until(deadline) > spinRoom
}

// cheapSend is the length of a message, in bytes, that may be tried in vain:
// the kernel copies it before it finds the queue full.
const cheapSend = 4 << 10

func (q *Queue) full() bool {
	var a Attr
	return mqGetsetattr(q.fd, nil, &a) == 0 && a.CurMsgs >= a.MaxMsg
}

// until stores deadline in ts and returns ts, or nil for no deadline. The
// kernel refuses times before 1970 with EINVAL; they have passed all the same.
func until(ts *unix.Timespec, deadline time.Time) *unix.Timespec {
	switch {
	case deadline.IsZero():
		return nil
	case deadline.Unix() < 0:
		*ts = unix.Timespec{}
	default:
		*ts = unix.Timespec{Sec: deadline.Unix(), Nsec: int64(deadline.Nanosecond())}
	}
	return ts
}
