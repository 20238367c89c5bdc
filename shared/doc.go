// Package shared holds what two processes map: the futex Mutex, the
// semaphore-guarded Queue of the mapped-file example, and the Transfer buffer of
// the writer and reader example. The layouts are those of the C programs, byte
// for byte, so that either half of a pair may be C; shared.h declares them for C.
//
// # Ownership
//
// Each type here is a handle of one process on memory that all of them have
// mapped. The handle knows where the fields lie; the memory holds the fields and
// nothing else. The process that creates the memory initialises it, before any
// other can attach; the memory outlives the handles.
//
// # What a crash leaves
//
//   - Mutex: a process that dies while it holds the lock leaves the word at 1 or
//     2. Nobody else can tell; LockUntil reports the word when its time is up.
//   - Queue: a process that dies inside an operation leaves the semaphore "lock"
//     at 0, or one token fewer in "empty" or "full" than there are messages or
//     free slots. Enqueue and Dequeue report which semaphore they waited for.
//   - Transfer: a half that dies leaves the other waiting for its turn.
//
// What is read from shared memory was written by somebody else. Each value is
// read once and checked against its bounds before use; one that is out of bounds
// is an error that names the field and the value and wraps ErrCorrupt.
//
// # The packages below
//
//	futex   Wait, WaitUntil, Wake on a word
//	spin    the wait before the sleep
//	sem     sem_t of glibc, in mapped memory and named
//	shm     shm_open and mmap, with the checks before them
//	mq      mq_open and its family
//	door    the doors of Solaris over UNIX sockets
//	reexec  the stand-in for fork
//	prog    the part every main shares
//
// Arrows run one way: shared → sem → shm, spin, futex. None of the packages imports
// an example.
package shared

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what operations fail with that find an impossible value in
// shared memory.
var ErrCorrupt = errors.New("shared memory is corrupt")

func corrupt(field string, value any, want string) error {
	return fmt.Errorf("%w: %s is %v, want %s", ErrCorrupt, field, value, want)
}
