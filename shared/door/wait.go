package door

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// hotWait is how long a receive blocks its thread before the wait goes on
// without one. It is the delay with which such a wait sees a cancelled context,
// too.
const hotWait = 5 * time.Millisecond

// A hotLimit bounds how many links wait in receiveSoon, and with it the threads
// that block there.
type hotLimit struct{ n, max, looking atomic.Int32 }

// receiveSoon waits for a frame that is likely to come soon: it looks a few
// times, then blocks its thread for at most hotWait. EAGAIN means that none came,
// and that the caller is to wait in a way that takes no thread.
//
// Waking a thread that blocks in recvmsg takes less than waking a goroutine
// through an event loop, and a socket in no event loop costs the sender nothing.
func (l *link) receiveSoon(h *hotLimit) unix.Errno {
	l.in.errno = unix.EAGAIN
	if h.n.Add(1) <= h.max.Load() {
		// One looks at a time: many would keep each other from running.
		found := false
		if h.looking.CompareAndSwap(0, 1) {
			found = l.soon.Call(l.look)
			h.looking.Store(0)
		}
		if !found {
			l.receiveBlock()
		}
	}
	h.n.Add(-1)
	return l.in.errno
}

func (l *link) receiveBlock() {
	l.in.n, l.in.errno = recvmsgBlock(l.fd, l.reset(), unix.MSG_CMSG_CLOEXEC)
	// A signal is no reason to block again: the time would start anew.
	if l.in.errno == unix.EINTR {
		l.in.errno = unix.EAGAIN
	}
}
