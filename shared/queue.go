package shared

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ipcbook/shared/sem"
)

// Sizes of the queue's layout, in bytes.
const (
	QueueSize    = 200 // sizeof(class Message)
	QueueMapSize = 220 // what a process maps: the fifth slot lies past the object
	SlotSize     = 20  // a message and its NUL
	QueueSlots   = 5
)

// Offsets of the fields.
const (
	queueLock     = 0
	queueEmpty    = 32
	queueFull     = 64
	queueCurrent  = 96
	queueMessages = 100
)

// ErrLocked is what Enqueue and Dequeue fail with, besides ctx.Err(), when another
// process has kept the lock until ctx was done. The lock does not tell whether that
// process is alive.
var ErrLocked = errors.New("its value is 0: another process has it, or died with it")

// A Queue is a process's handle of the five-slot queue in a mapped file:
//
//	class Message {                 /* offset */
//		sem_t _lock;            /*   0  1 when free */
//		sem_t _empty;           /*  32  messages in the queue */
//		sem_t _full;            /*  64  free slots */
//		int   _current;         /*  96  index of the newest message */
//		char  _messages[5][20]; /* 100 */
//	};                              /* 200 bytes, aligned to 8 */
//
// The semaphores' names say where a waiter stands, not what they count. current
// is raised before a message is stored, so that slots 1 to 5 are used, slot 0
// never, and slot 5 at 200 to 219 lies behind the object; it is there because
// memory is mapped in pages. What was stored last is taken first: it is a stack.
type Queue struct {
	lock, empty, full *sem.Sem
	current           *atomic.Int32
	slots             []byte // slot i at i*SlotSize
}

// QueueAt returns a handle of the queue in the first QueueMapSize bytes of mem,
// which must be aligned to 8. It touches no byte: Init makes the queue, Check
// tells whether somebody has.
func QueueAt(mem []byte) (*Queue, error) {
	if len(mem) < QueueMapSize {
		return nil, fmt.Errorf("queue: %d bytes of memory, want %d: %w", len(mem), QueueMapSize, unix.EINVAL)
	}
	q := &Queue{slots: mem[queueMessages:QueueMapSize]}
	for _, f := range []struct {
		sem **sem.Sem
		off int
	}{{&q.lock, queueLock}, {&q.empty, queueEmpty}, {&q.full, queueFull}} {
		s, err := sem.At(mem[f.off : f.off+sem.Size])
		if err != nil {
			return nil, err
		}
		*f.sem = s
	}
	q.current = signed(mem, queueCurrent)
	return q, nil
}

// Init makes an empty queue. Nobody may use it yet.
func (q *Queue) Init() error {
	q.current.Store(0)
	for _, f := range []struct {
		sem   *sem.Sem
		value uint32
	}{{q.lock, 1}, {q.full, QueueSlots}, {q.empty, 0}} {
		if err := f.sem.Init(f.value); err != nil {
			return err
		}
	}
	return nil
}

// Check tells whether the memory holds a queue: initialised semaphores, and their
// values and current within bounds.
func (q *Queue) Check() error {
	for _, f := range []struct {
		name string
		sem  *sem.Sem
		most int
	}{{"lock", q.lock, 1}, {"empty", q.empty, QueueSlots}, {"full", q.full, QueueSlots}} {
		if err := f.sem.Check(); err != nil {
			return fmt.Errorf("semaphore %s: %w", f.name, err)
		}
		if err := atMost(f.name, f.sem, f.most); err != nil {
			return err
		}
	}
	_, err := q.index(0, QueueSlots)
	return err
}

// Len returns the number of messages in the queue, a snapshot.
func (q *Queue) Len() (int, error) { return q.empty.Value() }

// Enqueue stores msg, at most 19 bytes without a NUL. It blocks while the queue
// is full or another process has the lock, until ctx is done.
//
// Errors to expect: EMSGSIZE, msg does not fit a slot; EINVAL, msg holds a NUL;
// ErrCorrupt or sem.ErrCorrupt; ctx.Err() with the name of the semaphore that it
// waited for. On an error the queue is as it was.
func (q *Queue) Enqueue(ctx context.Context, msg []byte) error {
	if len(msg) >= SlotSize {
		return fmt.Errorf("enqueue: message of %d bytes, a slot holds %d: %w", len(msg), SlotSize-1, unix.EMSGSIZE)
	}
	if bytes.IndexByte(msg, 0) >= 0 {
		return fmt.Errorf("enqueue: message holds a NUL: %w", unix.EINVAL)
	}
	if err := q.full.WaitContext(ctx); err != nil {
		return fmt.Errorf("wait for a free slot (semaphore full): %w", err)
	}
	if err := q.store(ctx, msg); err != nil {
		q.full.Post() // the slot is still free
		return err
	}
	return q.empty.Post()
}

// store is the part of Enqueue that holds the lock.
func (q *Queue) store(ctx context.Context, msg []byte) error {
	if err := q.lock.WaitContext(ctx); err != nil {
		return q.locked(err)
	}
	i, err := q.index(0, QueueSlots-1)
	if err == nil {
		// A post that failed after the store would leave a message uncounted.
		err = atMost("empty", q.empty, QueueSlots-1)
	}
	if err == nil {
		i++
		q.current.Store(int32(i))
		slot := q.slots[i*SlotSize:][:SlotSize]
		clear(slot)
		copy(slot, msg)
	}
	if perr := q.lock.Post(); err == nil {
		err = perr
	}
	return err
}

// Dequeue takes the newest message into slot and returns its length, which is
// that of the bytes before the first NUL. It blocks while the queue is empty or
// another process has the lock, until ctx is done. Errors are those of Enqueue.
func (q *Queue) Dequeue(ctx context.Context, slot *[SlotSize]byte) (int, error) {
	if err := q.empty.WaitContext(ctx); err != nil {
		return 0, fmt.Errorf("wait for a message (semaphore empty): %w", err)
	}
	if err := q.load(ctx, slot); err != nil {
		q.empty.Post() // the message is still there
		return 0, err
	}
	n := bytes.IndexByte(slot[:], 0)
	if n < 0 {
		n = SlotSize // C copies without looking for the end
	}
	return n, q.full.Post()
}

// load is the part of Dequeue that holds the lock.
func (q *Queue) load(ctx context.Context, slot *[SlotSize]byte) error {
	if err := q.lock.WaitContext(ctx); err != nil {
		return q.locked(err)
	}
	i, err := q.index(1, QueueSlots)
	if err == nil {
		err = atMost("full", q.full, QueueSlots-1) // as in store
	}
	if err == nil {
		copy(slot[:], q.slots[i*SlotSize:])
		q.current.Store(int32(i - 1))
	}
	if perr := q.lock.Post(); err == nil {
		err = perr
	}
	return err
}

// locked says what Enqueue or Dequeue has waited for when it did not get the lock.
func (q *Queue) locked(err error) error {
	if v, verr := q.lock.Value(); verr == nil && v == 0 {
		err = fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return fmt.Errorf("wait for the lock (semaphore lock): %w", err)
}

// atMost checks the value of a semaphore that counts messages or free slots. Who
// has taken one of the five from the other semaphore finds four here, or fewer.
func atMost(name string, s *sem.Sem, most int) error {
	v, err := s.Value()
	if err != nil {
		return fmt.Errorf("semaphore %s: %w", name, err)
	}
	if v > most {
		return corrupt("semaphore "+name, v, fmt.Sprintf("0 to %d", most))
	}
	return nil
}

// index reads current, once, and checks that it is from min to max.
func (q *Queue) index(min, max int) (int, error) {
	i := int(q.current.Load())
	if i < min || i > max {
		return 0, corrupt("current", i, fmt.Sprintf("%d to %d", min, max))
	}
	return i, nil
}
