package shared

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/futex"
	"ipcbook/shared/spin"
)

// The states of the mutex word.
const (
	unlocked  = 0
	locked    = 1
	contended = 2 // locked, and somebody may be asleep
)

// Sizes in bytes, and what a file needs in which C is to find a mutex: a
// pthread_mutex_t begins with the same word, and all of it is zero but for its
// kind (glibc sysdeps/nptl/bits/struct_mutex.h, x86_64 and arm64).
const (
	MutexSize        = 4
	PthreadMutexSize = 40
	MutexKindOffset  = 16
	MutexKind        = 128 // normal, shared between processes
)

// ErrNotLocked is what Unlock fails with when nobody holds the mutex.
var ErrNotLocked = errors.New("mutex is not locked")

// A Mutex is a process's handle of a futex mutex: one 32-bit word in shared
// memory that is 0 (free), 1 (held) or 2 (held, and there may be waiters). A
// lock or unlock that meets nobody makes no system call.
//
// The protocol is the one that the word of a normal process-shared
// pthread_mutex_t follows (glibc nptl/lowlevellock.h), so that a Mutex at the
// first byte of one excludes C's pthread_mutex_lock and is excluded by it. The
// other fields of pthread_mutex_t (owner, nusers) stay as C keeps them. A robust,
// recursive, error-checking or priority-inheriting mutex follows another
// protocol; one that is held by such an owner is reported as corrupt.
type Mutex struct {
	word *atomic.Uint32
}

// MutexAt returns a handle of the mutex at mem[0:4], which must be aligned to 4.
// All zero is an unlocked mutex.
func MutexAt(mem []byte) (*Mutex, error) {
	word := word(mem, 0)
	if word == nil {
		return nil, fmt.Errorf("mutex: want %d bytes aligned to %d: %w", MutexSize, MutexSize, unix.EINVAL)
	}
	return &Mutex{word}, nil
}

// Init stores an unlocked mutex.
func (m *Mutex) Init() { m.word.Store(unlocked) }

// TryLock takes the mutex if it is free, and never blocks. EBUSY: somebody holds
// it.
func (m *Mutex) TryLock() error {
	if m.word.CompareAndSwap(unlocked, locked) {
		return nil
	}
	if v := m.word.Load(); v > contended {
		return m.corrupt(v)
	}
	return unix.EBUSY
}

// Lock takes the mutex and blocks while somebody else holds it, for ever if that
// one has died. It holds an OS thread while it sleeps. It fails only on a word
// that is no mutex (ErrCorrupt) or is no longer mapped.
func (m *Mutex) Lock() error {
	if m.word.CompareAndSwap(unlocked, locked) {
		return nil
	}
	return m.lockSlow(context.Background(), time.Time{})
}

// LockUntil is Lock with an end: when the deadline has passed it fails with an
// error that wraps ETIMEDOUT and says what state the word is in. The zero Time
// means no deadline.
func (m *Mutex) LockUntil(deadline time.Time) error {
	if m.word.CompareAndSwap(unlocked, locked) {
		return nil
	}
	return m.lockSlow(context.Background(), deadline)
}

// LockContext is Lock until ctx is done, which it notices within a tenth of a
// second, and then fails with ctx.Err(). A deadline of ctx is kept exactly, and
// is reported as by LockUntil.
func (m *Mutex) LockContext(ctx context.Context) error {
	if m.word.CompareAndSwap(unlocked, locked) {
		return nil
	}
	deadline, _ := ctx.Deadline()
	return m.lockSlow(ctx, deadline)
}

const (
	// slice bounds one sleep: a waiter that was woken and then killed must not
	// leave the others asleep beside a free mutex.
	slice = 100 * time.Millisecond

	// Before it sleeps a locker looks again at intervals that double up to
	// maxPause pauses of the processor, until it has spent spinFor of them, some
	// microseconds. To look more often would keep the line of cache from the holder.
	maxPause = 32
	spinFor  = 200
)

func (m *Mutex) lockSlow(ctx context.Context, deadline time.Time) error {
	for pause, spent := 1, 0; spent < spinFor; spent += pause {
		switch v := m.word.Load(); {
		case v > contended:
			return m.corrupt(v)
		case v == unlocked && m.word.CompareAndSwap(unlocked, locked):
			return nil
		}
		for range pause {
			spin.Pause()
		}
		pause = min(2*pause, maxPause)
	}
	for {
		// Before it sleeps the locker sets the word to 2, and it keeps it at 2
		// when it takes the lock: it cannot know whether others sleep.
		switch v := m.word.Load(); {
		case v > contended:
			return m.corrupt(v)
		case v != contended:
			if !m.word.CompareAndSwap(v, contended) {
				continue
			}
			if v == unlocked {
				return nil
			}
		}
		now := time.Now()
		until := now.Add(slice)
		if !deadline.IsZero() {
			if !now.Before(deadline) {
				return fmt.Errorf("mutex is held, its word is %d: %w", m.word.Load(), unix.ETIMEDOUT)
			}
			if deadline.Before(until) {
				until = deadline
			}
		}
		// A deadline of ctx is ours too, and says more above.
		if err := ctx.Err(); err != nil && err != context.DeadlineExceeded {
			return err
		}
		if err := futex.WaitUntil(m.word, contended, until); err != nil && err != unix.ETIMEDOUT {
			return err
		}
	}
}

// Unlock frees the mutex and wakes a waiter if there may be one. It never
// blocks. It does not check who calls, as C's does not. Unlocking a mutex that
// nobody holds is ErrNotLocked.
func (m *Mutex) Unlock() error {
	switch old := m.word.Swap(unlocked); old {
	case locked:
		return nil
	case contended:
		_, err := futex.Wake(m.word, 1)
		return err
	case unlocked:
		return ErrNotLocked
	default:
		m.word.CompareAndSwap(unlocked, old)
		return m.corrupt(old)
	}
}

func (m *Mutex) corrupt(v uint32) error {
	return corrupt("the mutex word", fmt.Sprintf("%#x", v), "0, 1 or 2")
}
