package mq

import (
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ipcbook/shared/spin"
)

// PrioMax is MQ_PRIO_MAX of Linux: priorities are 0 … PrioMax-1, and the
// highest is received first.
const PrioMax = 32768

// Queue is an open message queue: what C holds in an mqd_t.
type Queue struct {
	name string
	fd   int

	// users counts the calls that use fd now. Close adds closed, and whoever
	// brings the sum down to closed closes fd: its number cannot come to mean
	// another queue under a call that is about to use it.
	users atomic.Int64

	errFull, errEmpty error // of the tries, which do not allocate

	reading, writing spin.Wait // of the calls that block in the kernel

	readable, writable readiness  // of those that wait in the poller
	mu                 sync.Mutex // orders Close and the making of a readiness
}

const closed = math.MinInt64

// Open wraps mq_open(3) for a queue that exists. flags is one of
// unix.O_RDONLY, O_WRONLY and O_RDWR, with O_NONBLOCK if wanted; O_CREAT is
// EINVAL, since it belongs to Create. The descriptor is close-on-exec. Open
// does not block.
//
// Errnos to expect:
//
//	EACCES        no permission, or a name like "/a/b", "/." or "/.."
//	EINVAL        name without leading slash, or bad flags
//	EMFILE        the process has no descriptor left (RLIMIT_NOFILE)
//	ENAMETOOLONG  more than 255 bytes after the slash
//	ENFILE        the system has no descriptor left
//	ENOENT        no queue of this name, or the name is "/"
//
// Sources: mq_open(3), ipc/mqueue.c.
func Open(name string, flags int) (*Queue, error) {
	if flags&unix.O_CREAT != 0 {
		return nil, &fs.PathError{Op: "mq_open", Path: name, Err: unix.EINVAL}
	}
	return open(name, flags, 0, nil)
}

// Create wraps mq_open(3) with O_CREAT: it makes the queue, or opens the one
// that exists unless flags holds O_EXCL. mode is the permission of a new queue
// (0o600), less the umask. attr sets MaxMsg and MsgSize of a new queue; nil
// means the system's defaults. A queue that exists keeps its own attributes,
// and attr is then not even looked at. Create does not block.
//
// Errnos to expect, besides those of Open:
//
//	EEXIST   O_EXCL, and the queue exists
//	EINVAL   MaxMsg or MsgSize is not positive or above the limit: msg_max
//	         and msgsize_max in /proc/sys/fs/mqueue, and 65536 messages and
//	         16 MiB with CAP_SYS_RESOURCE
//	EMFILE   the user's queues would need more than RLIMIT_MSGQUEUE bytes:
//	         raise ulimit -q, unlink queues, or ask for a smaller one.
//	         (A process without a free descriptor gets EMFILE, too. An open
//	         of any other file then fails alike.)
//	ENOMEM   not enough memory
//	ENOSPC   the system has queues_max queues (/proc/sys/fs/mqueue), and the
//	         caller lacks CAP_SYS_RESOURCE
func Create(name string, flags int, mode uint32, attr *Attr) (*Queue, error) {
	return open(name, flags|unix.O_CREAT, mode, attr)
}

func open(name string, flags int, mode uint32, attr *Attr) (*Queue, error) {
	kname, err := kernelName(name)
	if err != nil {
		return nil, &fs.PathError{Op: "mq_open", Path: name, Err: err}
	}
	fd, err := mqOpen(kname, flags, mode, attr)
	if err != nil {
		return nil, &fs.PathError{Op: "mq_open", Path: name, Err: err}
	}
	q := &Queue{name: name, fd: fd}
	q.errFull = q.fail("mq_send", unix.EAGAIN)
	q.errEmpty = q.fail("mq_receive", unix.EAGAIN)
	q.readable.init(unix.EPOLLIN)
	q.writable.init(unix.EPOLLOUT)
	return q, nil
}

// Unlink wraps mq_unlink(3): it removes the name at once. Descriptors that
// are open go on working, and the queue goes away with the last of them.
//
// Errnos to expect: ENOENT if there is no such queue; EACCES without
// permission (the queues' file system is a sticky directory: only the owner
// may) or for a name like "/a/b"; EINVAL for a name without leading slash;
// ENAMETOOLONG.
func Unlink(name string) error {
	kname, err := kernelName(name)
	if err == nil {
		err = mqUnlink(kname)
		if err == unix.EPERM {
			err = unix.EACCES // as glibc's mq_unlink: POSIX has no EPERM here
		}
	}
	if err != nil {
		return &fs.PathError{Op: "mq_unlink", Path: name, Err: err}
	}
	return nil
}

// Name returns the name given to Open or Create.
func (q *Queue) Name() string { return q.name }

// Close wraps mq_close(3). It ends every SendContext and ReceiveContext on q
// with os.ErrClosed, and cancels the notification that this process has
// registered for the queue, through whichever descriptor.
//
// It cannot wake a goroutine that is blocked in the kernel in Send, Receive,
// SendUntil or ReceiveUntil, as close(2) cannot: such a call goes on until it
// has its message, its room or its deadline. The descriptor is closed, and the
// notification cancelled, when the last such call has returned. Close itself
// does not wait for that.
//
// A second Close, like every other call after the first, gives os.ErrClosed.
func (q *Queue) Close() error {
	for {
		n := q.users.Load()
		if n < 0 {
			return q.fail("mq_close", os.ErrClosed)
		}
		// One user more, Close itself, so that somebody is the last.
		if q.users.CompareAndSwap(n, n+1+closed) {
			break
		}
	}
	q.mu.Lock()
	q.readable.close()
	q.writable.close()
	q.mu.Unlock()
	if errno := q.release(); errno != nil {
		return q.fail("mq_close", errno)
	}
	return nil
}

func (q *Queue) isClosed() bool { return q.users.Load() < 0 }

// acquire keeps fd open until release. It is false after Close.
func (q *Queue) acquire() bool {
	for {
		n := q.users.Load()
		if n < 0 {
			return false
		}
		if q.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (q *Queue) release() error {
	if q.users.Add(-1) == closed {
		return unix.Close(q.fd)
	}
	return nil
}
