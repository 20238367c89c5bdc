// Package sem is sem_t in the memory layout of glibc, so that a Go process and
// a C process can wait and post on the same semaphore.
//
//	/* glibc sysdeps/nptl/internaltypes.h, struct new_sem, 64-bit */
//	struct new_sem {
//		uint64_t data;    /* value in the low half, number of waiters in the high half */
//		int      private; /* 128: shared between processes, 0: private to one */
//		int      pad;
//	};                        /* sem_t is 32 bytes, aligned to 8 */
//
// The layout is that of glibc 2.21 and later on x86_64 and arm64. It is not that
// of musl, of 32-bit machines or of older glibc, and the package does not build
// where it is not known to be right.
//
// # What differs from glibc
//
// A waiter that the kernel has woken and that is killed before it takes the
// semaphore leaves the other waiters of glibc asleep beside a value above 0.
// Here no sleep is longer than a tenth of a second: a waiter looks again by
// itself. The same look serves a semaphore that somebody initialised anew under
// its waiters.
//
// A value above SEM_VALUE_MAX, which no call produces, is reported as
// corruption instead of being counted down two thousand million times.
//
// Before it sleeps a waiter looks again for a while (package spin), which is
// where a peer that answers within microseconds is met.
package sem

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

const (
	Size     = 32         // sizeof(sem_t), in bytes
	Align    = 8          // alignof(sem_t)
	ValueMax = 0x7fffffff // SEM_VALUE_MAX
)

// ErrCorrupt is what a semaphore fails with whose value is above ValueMax.
var ErrCorrupt = errors.New("semaphore is corrupt")

// ErrNotShared is what Check fails with on memory in which no process-shared
// semaphore was initialised. A waiter on such memory would not hear a post.
var ErrNotShared = errors.New("not an initialised process-shared semaphore")

const (
	oneWaiter = 1 << 32

	// sharedFlag is the value of private that sem_init stores for pshared: the
	// FUTEX_PRIVATE_FLAG, inverted.
	sharedFlag = 128

	// slice bounds one sleep. Ten looks a second cost no CPU worth counting.
	slice = 100 * time.Millisecond
)

// A Sem is a process's handle of a semaphore in memory that it shares. The
// memory holds the sem_t and nothing of the handle. A Sem may be used by several
// goroutines.
type Sem struct {
	t     *semT
	value *atomic.Uint32 // the half of t.data that the futex calls name
	spin  spin.Wait
}

// At returns a handle of the semaphore in the first 32 bytes of mem, which must
// be aligned to 8. It touches no byte: Init makes the semaphore, Check tells
// whether somebody has. The handle must not be used once mem is unmapped.
func At(mem []byte) (*Sem, error) {
	if len(mem) < Size {
		return nil, fmt.Errorf("sem: %d bytes of memory, want %d: %w", len(mem), Size, unix.EINVAL)
	}
	s := &Sem{}
	if s.t, s.value = cast(mem); s.t == nil {
		return nil, fmt.Errorf("sem: memory is not aligned to %d: %w", Align, unix.EINVAL)
	}
	return s, nil
}

// Init wraps sem_init(3) with pshared set: the semaphore gets the value and has
// no waiters. As in glibc it writes the first 12 bytes. EINVAL: value is above
// ValueMax. To initialise a semaphore that is in use is an error of the caller.
func (s *Sem) Init(value uint32) error {
	if value > ValueMax {
		return fmt.Errorf("sem_init: value %d: %w", value, unix.EINVAL)
	}
	s.t.data.Store(uint64(value))
	s.t.private.Store(sharedFlag)
	return nil
}

// Check fails with ErrNotShared unless Init, or sem_init with pshared set, was
// called on the memory, and with ErrCorrupt if the value is impossible.
func (s *Sem) Check() error {
	if p := s.t.private.Load(); p != sharedFlag {
		return fmt.Errorf("%w: its field private is %d, want %d", ErrNotShared, p, sharedFlag)
	}
	_, err := s.Value()
	return err
}

// Value wraps sem_getvalue(3): a snapshot, never negative.
func (s *Sem) Value() (int, error) {
	v := uint32(s.t.data.Load())
	if v > ValueMax {
		return 0, corrupt(v)
	}
	return int(v), nil
}

func corrupt(v uint32) error {
	return fmt.Errorf("%w: its value is %#x, the highest is %#x", ErrCorrupt, v, ValueMax)
}

// Post wraps sem_post(3): it adds one and wakes a waiter if there is one. It
// never blocks. EOVERFLOW: the value is ValueMax.
func (s *Sem) Post() error {
	for {
		d := s.t.data.Load()
		if v := uint32(d); v >= ValueMax {
			if v > ValueMax {
				return corrupt(v)
			}
			return fmt.Errorf("sem_post: %w", unix.EOVERFLOW)
		}
		if s.t.data.CompareAndSwap(d, d+1) {
			if d>>32 == 0 {
				return nil
			}
			_, err := futex.Wake(s.value, 1)
			return err
		}
	}
}

// TryWait wraps sem_trywait(3): it takes one off the value if that is above 0.
// EAGAIN: it is 0.
func (s *Sem) TryWait() error {
	ok, err := s.take()
	if !ok && err == nil {
		err = unix.EAGAIN
	}
	return err
}

func (s *Sem) take() (bool, error) {
	for {
		d := s.t.data.Load()
		v := uint32(d)
		if v == 0 {
			return false, nil
		}
		if v > ValueMax {
			return false, corrupt(v)
		}
		if s.t.data.CompareAndSwap(d, d-1) {
			return true, nil
		}
	}
}

// Wait wraps sem_wait(3): it takes one off the value and blocks while that is 0.
// It holds an OS thread while it sleeps. Unlike C's it does not end with EINTR.
func (s *Sem) Wait() error { return s.wait(context.Background(), time.Time{}) }

// WaitUntil wraps sem_timedwait(3): it is Wait with an end. ETIMEDOUT: the
// deadline has passed and the value is 0. The zero Time means no deadline.
func (s *Sem) WaitUntil(deadline time.Time) error { return s.wait(context.Background(), deadline) }

// WaitContext is Wait until ctx is done, which it notices within a tenth of a
// second, and then fails with ctx.Err(). A deadline of ctx is kept exactly.
func (s *Sem) WaitContext(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	err := s.wait(ctx, deadline)
	if err == unix.ETIMEDOUT {
		return context.DeadlineExceeded
	}
	return err
}

func (s *Sem) wait(ctx context.Context, deadline time.Time) error {
	ok, err := s.take()
	if ok || err != nil {
		return err
	}
	if s.spin.For(func() bool { ok, err = s.take(); return ok || err != nil }) {
		return err
	}
	return s.sleep(ctx, deadline)
}

// sleep is the slow path of glibc: register as a waiter, then sleep on the value
// until it is not 0 and take one together with the registration.
func (s *Sem) sleep(ctx context.Context, deadline time.Time) error {
	s.t.data.Add(oneWaiter)
	for {
		d := s.t.data.Load()
		v, waiters := uint32(d), d>>32
		switch {
		case v > ValueMax:
			s.leave()
			return corrupt(v)
		case waiters == 0:
			// Somebody initialised the semaphore anew and our registration
			// is gone with the old count.
			s.t.data.CompareAndSwap(d, d+oneWaiter)
			continue
		case v > 0:
			if s.t.data.CompareAndSwap(d, d-1-oneWaiter) {
				return nil
			}
			continue
		}
		now := time.Now()
		until := now.Add(slice)
		if ctx.Err() != nil {
			s.leave()
			return ctx.Err()
		}
		if !deadline.IsZero() {
			if !now.Before(deadline) {
				s.leave()
				return unix.ETIMEDOUT
			}
			if deadline.Before(until) {
				until = deadline
			}
		}
		if err := futex.WaitUntil(s.value, 0, until); err != nil && err != unix.ETIMEDOUT {
			s.leave()
			return err
		}
	}
}

// leave takes the registration back, unless it is gone already.
func (s *Sem) leave() {
	for {
		d := s.t.data.Load()
		if d>>32 == 0 || s.t.data.CompareAndSwap(d, d-oneWaiter) {
			return
		}
	}
}
