// Package spin is the wait before the sleep.
//
// To put a process to sleep and wake it takes the kernel 2 to 70 µs, the
// hand-over in shared memory itself 0.1 µs. A waiter whose peer answers soon is
// therefore served best by looking a few more times before it sleeps, and one
// whose peer takes long by sleeping at once. Wait learns which of the two it is
// from the waits before, one state for each handle.
//
// It has two phases. In the first it looks again after short pauses, which finds
// a peer that runs on another CPU. In the second it gives up the CPU between two
// looks (sched_yield), which lets a peer on the same CPU run and costs less than
// a sleep. Yielding alone would be a trap: beside a busy process the scheduler
// gives that one a whole slice of milliseconds for each yield. So a yield that
// took long closes a gate for a multiple of the time it took.
package spin

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLooks = 200 // looks of the first phase
	minLooks = 16  // below that the first phase is off …
	probe    = 256 // … but for every 256th wait

	maxYields = 500                    // more than a sleep and a wake cost, or the slow way would win for good
	longYield = 500 * time.Microsecond // another task had the CPU
	closedFor = 128                    // the gate stays closed for so many times the yield …
	maxClosed = time.Second            // … but no longer than that
	maxFailed = 8                      // fruitless second phases in a row, then it is off but for every 256th wait

	sure = 8 // waits in a row in which looking was in vain, then Call leaves it, but for every 256th
)

// Wait is the state of a waiter. The zero value is ready. Goroutines that share
// a Wait share what it has learned.
type Wait struct {
	lost   atomic.Int32 // maxLooks less the looks that the next first phase has
	waits  atomic.Uint32
	failed atomic.Int32 // second phases in a row that found nothing
	vain   atomic.Int32 // Calls in a row that had better slept at once
	gate   atomic.Int64 // in ns since epoch: no yields before this moment
}

// epoch makes a monotonic clock of an int64.
var epoch = time.Now()

// For calls look until it returns true or until it is time to sleep. It returns
// what the last look returned. The caller has looked once already.
func (w *Wait) For(look func() bool) bool {
	waits := w.waits.Add(1)
	if w.pausing(look, waits) {
		return true
	}
	_, found := w.yielding(look, waits)
	return found
}

// Call is For for looks that are system calls, and for a sleep in the kernel that
// looks by itself. It makes the first look as well, or none at all where looking was
// in vain: where the sleep came after all, or the first yield brought the peer, which
// is then on the same CPU, and which a sleep brings with one call fewer.
func (w *Wait) Call(look func() bool) bool {
	waits := w.waits.Add(1)
	if w.vain.Load() >= sure && waits%probe != 0 {
		return false
	}
	if look() || w.pausing(look, waits) {
		w.vain.Store(0)
		return true
	}
	yields, found := w.yielding(look, waits)
	if found && yields > 1 {
		w.vain.Store(0)
	} else if v := w.vain.Load(); v < sure {
		w.vain.Store(v + 1)
	}
	return found
}

func (w *Wait) pausing(look func() bool, waits uint32) bool {
	looks := maxLooks - w.lost.Load()
	if looks < minLooks {
		if waits%probe != 0 {
			return false
		}
		looks = minLooks
	}
	for range looks {
		if look() {
			// Twice as many: one success may be luck, the peer got the CPU
			// in the middle.
			w.lost.Store(max(0, maxLooks-2*looks))
			return true
		}
		Pause()
	}
	w.lost.Store(maxLooks - looks/2)
	return false
}

// yielding returns the number of yields, too.
func (w *Wait) yielding(look func() bool, waits uint32) (yields int, found bool) {
	if w.failed.Load() >= maxFailed && waits%probe != 0 {
		return 0, false
	}
	before := time.Since(epoch)
	if int64(before) < w.gate.Load() {
		return 0, false
	}
	for yields < maxYields {
		// RawSyscall: the thread comes back soon, or the gate closes.
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		yields++
		now := time.Since(epoch)
		found = look()
		if took := now - before; took > longYield {
			w.gate.Store(int64(now + min(closedFor*took, maxClosed)))
			return yields, found
		}
		if found {
			w.failed.Store(0)
			return yields, true
		}
		before = now
	}
	w.failed.Add(1)
	return yields, false
}
