package mq

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SendContext is Send that waits in Go's poller instead of in the kernel: it
// holds no OS thread, and ctx ends it with ctx.Err(), wrapped. A context that
// is done already sends nothing. Close ends it with os.ErrClosed. A goroutine
// that waits here competes for the room when it wakes; callers of one Queue
// are served in turn.
//
// Errnos to expect: those of Send, and those of epoll_create1(2) for the
// first call that has to wait.
func (q *Queue) SendContext(ctx context.Context, msg []byte, prio uint32) error {
	if err := ctx.Err(); err != nil {
		return q.fail("mq_send", err)
	}
	if !q.acquire() {
		return q.fail("mq_send", os.ErrClosed)
	}
	defer q.release()
	errno := q.trySend(msg, prio)
	if errno == unix.ETIMEDOUT {
		return q.pollSend(ctx, msg, prio)
	}
	if errno != 0 {
		return q.fail("mq_send", errno)
	}
	return nil
}

func (q *Queue) pollSend(ctx context.Context, msg []byte, prio uint32) error {
	var errno syscall.Errno
	err := q.poll(ctx, &q.writable, func() bool {
		errno = q.trySend(msg, prio)
		return errno != unix.ETIMEDOUT
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return q.fail("mq_send", err)
	}
	return nil
}

// ReceiveContext is Receive that waits in Go's poller instead of in the
// kernel: it holds no OS thread, and ctx ends it with ctx.Err(), wrapped. A
// context that is done already takes no message, and a call that ends with an
// error has taken none. Close ends it with os.ErrClosed. A goroutine that
// waits here competes for the message when it wakes; callers of one Queue are
// served in turn.
//
// Errnos to expect: those of Receive, and those of epoll_create1(2) for the
// first call that has to wait.
func (q *Queue) ReceiveContext(ctx context.Context, buf []byte) (n int, prio uint32, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, q.fail("mq_receive", err)
	}
	if !q.acquire() {
		return 0, 0, q.fail("mq_receive", os.ErrClosed)
	}
	defer q.release()
	n, prio, errno := q.tryReceive(buf)
	if errno == unix.ETIMEDOUT {
		return q.pollReceive(ctx, buf)
	}
	if errno != 0 {
		return 0, 0, q.fail("mq_receive", errno)
	}
	return n, prio, nil
}

func (q *Queue) pollReceive(ctx context.Context, buf []byte) (n int, prio uint32, err error) {
	var errno syscall.Errno
	err = q.poll(ctx, &q.readable, func() bool {
		n, prio, errno = q.tryReceive(buf)
		return errno != unix.ETIMEDOUT
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return 0, 0, q.fail("mq_receive", err)
	}
	return n, prio, nil
}

// readiness watches the queue for one direction.
//
// The queue's own descriptor cannot go into Go's poller, which wants
// O_NONBLOCK: that flag would reach everyone who shares the description, and a
// second description of the queue could not be closed without cancelling the
// process's notification. So a descriptor of epoll's stands in for it, with
// the queue as its only member. It is readable while the queue is ready.
type readiness struct {
	events uint32
	turn   chan struct{} // the waiter whose deadline is set on file holds it
	file   *os.File      // made by the first waiter
}

func (r *readiness) init(events uint32) {
	r.events = events
	r.turn = make(chan struct{}, 1)
}

func (r *readiness) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// poll calls try whenever the queue may be ready, until it returns true.
func (q *Queue) poll(ctx context.Context, r *readiness, try func() bool) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := q.watch(r); err != nil {
		return err
	}
	conn, err := r.file.SyscallConn()
	if err != nil {
		return os.ErrClosed
	}

	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		r.file.SetReadDeadline(time.Unix(0, 1))
		close(fired)
	})
	err = conn.Read(func(uintptr) bool { return try() })
	if !stop() {
		// The deadline is ctx's, not that of whoever waits next.
		<-fired
		r.file.SetReadDeadline(time.Time{})
	}

	switch {
	case err == nil:
		return nil // even if ctx is done by now: try has done its work
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case q.isClosed():
		return os.ErrClosed
	}
	return err
}

// watch makes r.file unless Close came first.
func (q *Queue) watch(r *readiness) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosed() {
		return os.ErrClosed
	}
	if r.file != nil {
		return nil
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, q.fd,
		&unix.EpollEvent{Events: r.events}))
	if err == nil {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(ep, true))
	}
	if err != nil {
		unix.Close(ep)
		return err
	}
	f := os.NewFile(uintptr(ep), "epoll "+q.name)
	// A file that the poller did not take says so here.
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return err
	}
	r.file = f
	return nil
}
