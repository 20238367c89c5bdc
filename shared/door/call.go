package door

import (
	"context"
	"os"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"
)

// A Call is a call in progress, on the server's side. It is the procedure's until
// the procedure returns; its methods are for the goroutine of the procedure.
type Call struct {
	door     *Door
	conn     *conn // nil: unreferenced call
	unref    bool
	returned bool
	keep     []*os.File
	ctx      context.Context
	cancel   context.CancelFunc
}

// Unref reports whether this is the call that says that nobody refers to the
// door any more (DOOR_UNREF_DATA). It has no argument, and nobody waits for the
// result.
func (c *Call) Unref() bool { return c.unref }

// Cred returns who the caller is, as door_ucred(3C) does, from SO_PEERCRED: the
// process that opened the connection, with the effective ids it had then. A
// process that inherited the connection is not seen.
func (c *Call) Cred() (Cred, error) {
	if c.conn == nil {
		return Cred{Pid: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}, nil
	}
	return c.conn.cred()
}

// Context returns a context that is cancelled when the client dies or gives up
// (unless the door is NoCancel), when the door is closed, and when the procedure
// returns.
func (c *Call) Context() context.Context {
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(c.door.ctx)
		if c.conn != nil && c.door.attr&NoCancel == 0 {
			// Hang-up needs no asking for. A client that has only closed its
			// sending half is no hang-up: it waits for the result.
			if err := c.conn.arm(0, c.cancel); err != nil {
				c.cancel() // no way to learn of the client's death
			}
		}
	}
	return c.ctx
}

// Keep takes one of the call's descriptors, so that it stays open when the
// procedure returns.
func (c *Call) Keep(f *os.File) { c.keep = append(c.keep, f) }

// Return wraps door_return(3C), except that it does return: it sends data and
// duplicates of desc to the client. When it has returned, data and desc are the
// procedure's again, and the client goes on.
//
// ENFILE: more than [MaxDesc] descriptors. EBADF: one of desc is closed. EMFILE,
// ENOMEM, ENOSPC: no memfd could be made for large data. After these the
// procedure may try another Return. EINVAL: the call has been answered. EPIPE,
// ECONNRESET: the client is gone.
func (c *Call) Return(data []byte, desc ...*os.File) error {
	if c.unref {
		return nil
	}
	if c.returned {
		return os.NewSyscallError("door_return", unix.EINVAL)
	}
	if len(desc) > MaxDesc {
		return os.NewSyscallError("door_return", unix.ENFILE)
	}
	errno := c.conn.transmit(typeReturn, data, desc)
	switch errno {
	case 0:
		c.returned = true
		return nil
	case unix.EPIPE, unix.ECONNRESET, unix.ENOTCONN, unix.EAGAIN:
		// EAGAIN: the client sends calls and does not read the results.
		c.returned, c.conn.broken = true, true
	}
	return os.NewSyscallError("door_return", errno)
}

// run runs the procedure.
func (c *Call) run(arg []byte, desc []*os.File) {
	defer c.finish(desc)
	c.door.proc(c, c.door.cookie, arg, desc)
}

// finish is deferred by run.
func (c *Call) finish(desc []*os.File) {
	v := recover()
	for _, f := range desc {
		if !slices.Contains(c.keep, f) {
			f.Close()
		}
	}
	c.keep = nil
	if c.ctx != nil {
		if c.conn != nil {
			c.conn.disarm()
		}
		c.cancel()
		c.ctx, c.cancel = nil, nil
	}
	if !c.returned {
		c.returned = true
		c.conn.fail(unix.EINTR)
	}
	if v != nil {
		c.door.cfg.OnPanic(v, debug.Stack())
	}
}
