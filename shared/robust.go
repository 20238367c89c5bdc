package shared

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/futex"
)

// RobustMutexKind is the kind of a robust pthread_mutex_t that processes share.
const RobustMutexKind = 144

// ErrOwnerDead is what Lock returns together with the lock when the process that
// held it has died: what the mutex guards may be half changed. The caller puts
// that right and calls Consistent, or unlocks, and then nobody can lock again.
var ErrOwnerDead = errors.New("the owner of the mutex died")

// ErrNotRecoverable is what Lock fails with when a process that got ErrOwnerDead
// unlocked without calling Consistent.
var ErrNotRecoverable = errors.New("the mutex is not recoverable")

// The lock word holds the owner's thread id and two flags
// (include/uapi/linux/futex.h).
const (
	tidMask   = 0x3fffffff // FUTEX_TID_MASK
	ownerDied = 0x40000000 // FUTEX_OWNER_DIED
	waiters   = 0x80000000 // FUTEX_WAITERS
)

// What glibc stores as the owner of a mutex that needs, or did not get,
// Consistent (nptl/pthreadP.h).
const (
	inconsistent   = 0x7fffffff // PTHREAD_MUTEX_INCONSISTENT
	notRecoverable = 0x7ffffffe // PTHREAD_MUTEX_NOTRECOVERABLE
)

// A RobustMutex is a process's handle of a robust, process-shared
// pthread_mutex_t (x86_64 and arm64):
//
//	struct __pthread_mutex_s {          /* offset */
//		int          __lock;        /*  0  tid of the owner, and flags */
//		unsigned int __count;       /*  4 */
//		int          __owner;       /*  8 */
//		unsigned int __nusers;      /* 12 */
//		int          __kind;        /* 16  144 */
//		short        __spins, __elision;
//		struct { void *prev, *next; } __list; /* 24, 32 */
//	};                                  /* 40 bytes, aligned to 8 */
//
// Each thread has a list of the robust mutexes that it holds and has told the
// kernel where the list is (set_robust_list(2)). When the thread dies, the kernel
// walks the list, sets FUTEX_OWNER_DIED in each word and wakes a waiter. The list
// goes through the mutexes themselves, by addresses of the process that holds
// them.
//
// Because the owner is a thread, a goroutine is locked to its thread from Lock to
// Unlock, and the same goroutine has to call both. One that ends without Unlock
// takes its thread with it, and the next to lock gets ErrOwnerDead. That does not
// hold for the main thread, which the Go runtime keeps as long as the process is.
//
// Source: Linux Documentation/locking/robust-futex-ABI.rst, kernel/futex/core.c;
// glibc nptl/pthread_mutex_lock.c.
type RobustMutex struct {
	t *robustT
}

// RobustMutexAt returns a handle of the mutex at mem[0:40], which must be aligned
// to 8. It touches no byte: Init makes the mutex, Check tells whether somebody
// has.
func RobustMutexAt(mem []byte) (*RobustMutex, error) {
	t := robustAt(mem)
	if t == nil {
		return nil, fmt.Errorf("robust mutex: want %d bytes aligned to 8: %w", PthreadMutexSize, unix.EINVAL)
	}
	return &RobustMutex{t}, nil
}

// Init makes an unlocked mutex, as pthread_mutex_init(3) does with the attributes
// PTHREAD_MUTEX_ROBUST and PTHREAD_PROCESS_SHARED.
func (m *RobustMutex) Init() {
	m.t.lock.Store(0)
	m.t.owner.Store(0)
	m.t.nusers.Store(0)
	m.t.kind.Store(RobustMutexKind)
}

// Check tells whether the memory holds a robust, process-shared mutex.
func (m *RobustMutex) Check() error {
	if k := m.t.kind.Load(); k != RobustMutexKind {
		return corrupt("the mutex's kind", k, fmt.Sprint(RobustMutexKind))
	}
	return nil
}

// Lock takes the mutex and blocks while a living thread holds it. It returns nil
// or ErrOwnerDead with the lock, any other error without it: ErrNotRecoverable;
// EDEADLK, this goroutine has it.
func (m *RobustMutex) Lock() error { return m.lock(context.Background(), time.Time{}, false) }

// TryLock takes the mutex if nobody holds it. EBUSY: somebody does.
func (m *RobustMutex) TryLock() error { return m.lock(context.Background(), time.Time{}, true) }

// LockContext is Lock until ctx is done, which it notices within a tenth of a
// second, and then fails with ctx.Err(). When a deadline of ctx has passed it fails
// with an error that wraps ETIMEDOUT and names the owner's thread.
func (m *RobustMutex) LockContext(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	return m.lock(ctx, deadline, false)
}

func (m *RobustMutex) lock(ctx context.Context, deadline time.Time, try bool) error {
	runtime.LockOSThread()
	r := thisThread()
	r.begin(m.t) // what the kernel looks at if we die half-way
	err := m.acquire(ctx, deadline, r.tid, try)
	held := err == nil || err == ErrOwnerDead
	if held {
		r.push(m.t)
	}
	r.end()
	if !held {
		runtime.UnlockOSThread()
	}
	return err
}

func (m *RobustMutex) acquire(ctx context.Context, deadline time.Time, tid uint32, try bool) error {
	t := m.t
	var others uint32 // once we have slept others may sleep too, and only we know
	for {
		v := t.lock.Load()
		switch {
		case v == 0:
			if !t.lock.CompareAndSwap(v, tid|others) {
				continue
			}
			if t.owner.Load() == notRecoverable {
				// As in glibc each waiter finds out by itself.
				if err := m.free(); err != nil {
					return err
				}
				return ErrNotRecoverable
			}
			t.count.Store(1)
			t.owner.Store(tid)
			t.nusers.Add(1)
			return nil
		case v&ownerDied != 0:
			if !t.lock.CompareAndSwap(v, tid|v&waiters|others) {
				continue
			}
			t.count.Store(1)
			t.owner.Store(inconsistent) // nusers still counts the dead owner
			return ErrOwnerDead
		case try:
			return unix.EBUSY
		case v&tidMask == tid:
			return fmt.Errorf("mutex is held by this thread: %w", unix.EDEADLK)
		}
		now := time.Now()
		until := now.Add(slice)
		if !deadline.IsZero() {
			if !now.Before(deadline) {
				return fmt.Errorf("mutex is held by thread %d: %w", v&tidMask, unix.ETIMEDOUT)
			}
			if deadline.Before(until) {
				until = deadline
			}
		}
		// A deadline of ctx is ours too, and says more above.
		if err := ctx.Err(); err != nil && err != context.DeadlineExceeded {
			return err
		}
		if v&waiters == 0 && !t.lock.CompareAndSwap(v, v|waiters) {
			continue
		}
		if err := futex.WaitUntil(&t.lock, v|waiters, until); err != nil && err != unix.ETIMEDOUT {
			return err
		}
		others = waiters
	}
}

// Consistent wraps pthread_mutex_consistent(3): after ErrOwnerDead it declares
// that what the mutex guards is in order again. EINVAL: there was no ErrOwnerDead.
func (m *RobustMutex) Consistent() error {
	if m.t.owner.Load() != inconsistent {
		return fmt.Errorf("mutex is consistent: %w", unix.EINVAL)
	}
	m.t.owner.Store(m.t.lock.Load() & tidMask)
	return nil
}

// Unlock frees the mutex and wakes a waiter if there may be one. After
// ErrOwnerDead without Consistent the mutex is not recoverable from now on.
// EPERM: this goroutine does not hold it. ErrCorrupt: it did, but somebody has
// overwritten the word; it does not any more.
func (m *RobustMutex) Unlock() error {
	t := m.t
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := thisThread()
	if v := t.lock.Load(); v&tidMask != r.tid {
		if r.drop(t) {
			runtime.UnlockOSThread()
			return corrupt("the mutex word", fmt.Sprintf("%#x", v), fmt.Sprintf("this thread, %#x", r.tid))
		}
		return fmt.Errorf("mutex is held by thread %d, not by this one: %w", v&tidMask, unix.EPERM)
	}
	r.begin(t)
	r.drop(t)
	t.count.Store(0)
	if t.owner.Load() == inconsistent {
		t.owner.Store(notRecoverable)
	} else {
		t.owner.Store(0)
	}
	t.nusers.Add(^uint32(0))
	err := m.free()
	r.end()
	runtime.UnlockOSThread()
	return err
}

// free stores 0 in the lock word and wakes a waiter if there may be one.
func (m *RobustMutex) free() error {
	if m.t.lock.Swap(0)&waiters == 0 {
		return nil
	}
	_, err := futex.Wake(&m.t.lock, 1)
	return err
}

// A robustThread is what one thread has told the kernel: the head of the list of
// mutexes that it holds.
type robustThread struct {
	head robustHead
	tid  uint32
	held []*robustT // in the order of locking; the list is written from it
}

// robustThreads keeps the heads in memory as long as the kernel may read them,
// by thread id.
var robustThreads struct {
	sync.Mutex
	m map[uint32]*robustThread
}

// thisThread returns the calling thread's list, which the kernel knows. The
// caller is locked to the thread.
func thisThread() *robustThread {
	tid := uint32(unix.Gettid())
	robustThreads.Lock()
	defer robustThreads.Unlock()
	r := robustThreads.m[tid]
	if r == nil || !r.head.registered() { // the id may have been that of a thread before
		r = &robustThread{tid: tid}
		r.link()
		r.head.register()
		if robustThreads.m == nil {
			robustThreads.m = make(map[uint32]*robustThread)
		}
		robustThreads.m[tid] = r
	}
	return r
}

// begin and end enclose a change of the word of t: in between the kernel checks t
// too, which is not on the list yet or no longer.
func (r *robustThread) begin(t *robustT) { r.head.pending.Store(t.entry()) }
func (r *robustThread) end()             { r.head.pending.Store(0) }

func (r *robustThread) push(t *robustT) {
	r.held = append(r.held, t)
	r.link()
}

// drop tells whether t was held.
func (r *robustThread) drop(t *robustT) bool {
	n := len(r.held)
	r.held = slices.DeleteFunc(r.held, func(h *robustT) bool { return h == t })
	r.link()
	return len(r.held) < n
}

// link writes the list anew. It never follows a pointer that it finds in shared
// memory, where others can write.
func (r *robustThread) link() {
	next := r.head.address()
	for _, t := range r.held {
		t.next.Store(next)
		next = t.entry()
	}
	r.head.next.Store(next)
}
