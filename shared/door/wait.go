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
			found = l.lookOut()
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

const (
	maxLooks = 200 // of the first phase: about as long as a wake of an idle CPU takes
	minLooks = 8   // with fewer the first phase is off …
	probe    = 64  // … but for every 64th wait

	maxYields = 500                    // more than a wake costs, or the slow way would win for good
	maxFailed = 8                      // fruitless second phases, then it is off but for every 64th wait
	longYield = 500 * time.Microsecond // another process had the CPU
	minClosed = 32                     // then no yields for so many times as long …
	maxClosed = 512                    // … or more, if it goes on like that
)

// patience is what the waits before have taught a link about the next. It is as
// package spin's, for looks that are system calls and a single waiter:
//
// The first phase looks again and again, which finds a peer that runs on another
// CPU. The second gives up the CPU between two looks, which lets a peer on the
// same CPU run, and costs less than to block and be woken. Beside a process that
// only computes, a yield costs a slice of milliseconds; so after one that took
// long there is none for many times as long.
type patience struct {
	looks  int           // of the next first phase
	waits  uint          // so far
	failed int           // second phases in a row that found nothing
	gate   time.Duration // no yields before that moment, since epoch
	closed time.Duration // how long the gate was closed last
	factor time.Duration
}

func (p *patience) init() { p.looks, p.factor = maxLooks, minClosed }

// lookOut looks until there is a frame or an error, or until it is time to
// block. It reports which.
func (l *link) lookOut() bool {
	p := &l.patience
	p.waits++
	again := p.waits%probe == 0
	if looks := p.looks; looks >= minLooks || again {
		looks = max(looks, minLooks)
		for n := range looks {
			if l.look() {
				// One lucky find is no reason for a long search next time.
				p.looks = min(max(2*looks, 4*n), maxLooks)
				return true
			}
		}
		p.looks = looks / 2
	}
	if p.failed >= maxFailed && !again {
		return false
	}
	before := time.Since(epoch)
	if before < p.gate {
		return false
	}
	for range maxYields {
		// RawSyscall: the thread comes back soon, or the gate closes.
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		now := time.Since(epoch)
		found := l.look()
		if yield := now - before; yield > longYield {
			if now-p.gate < 4*p.closed { // soon after the last
				p.factor = min(2*p.factor, maxClosed)
			} else {
				p.factor = minClosed
			}
			p.closed = yield * p.factor
			p.gate = now + p.closed
			return found
		}
		if found {
			p.failed = 0
			return true
		}
		before = now
	}
	p.failed++
	return false
}
