package door

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A conn is the server's end of a connection. Its goroutine owns it.
type conn struct {
	link
	at     *attachment
	call   Call
	state  atomic.Int32
	since  atomic.Int64 // when it became idle, in ns since epoch
	spoken atomic.Bool  // it has sent a frame
	broken bool
	slot   bool

	credOnce sync.Once
	peer     Cred
	peerErr  error
}

// The states of a conn. Busy means that it reads, or is about to.
const (
	connBusy int32 = iota
	connIdle
	connDoomed
)

var epoch = time.Now()

func (c *conn) cred() (Cred, error) {
	c.credOnce.Do(func() { c.peer, c.peerErr = peerCred(c.fd) })
	return c.peer, c.peerErr
}

// end closes the connection from another goroutine.
func (c *conn) end() {
	if c.state.Swap(connDoomed) == connIdle {
		c.wake()
		return
	}
	c.shutdown()
}

// accept serves an attachment until it is removed.
func (at *attachment) accept() {
	d := at.door
	for {
		d.makeRoom()
		var fd int
		var err error
		rerr := at.rc.Read(func(lfd uintptr) bool {
			for {
				fd, _, err = unix.Accept4(int(lfd), unix.SOCK_CLOEXEC)
				switch err {
				case unix.EINTR, unix.ECONNABORTED:
					continue
				}
				return err != unix.EAGAIN
			}
		})
		switch {
		case rerr != nil:
			return // the attachment is gone
		case err != nil:
			// EMFILE, ENFILE, ENOBUFS, ENOMEM: the client stays in the backlog
			// until there is room.
			if !d.pressed() {
				return
			}
			continue
		}
		if !d.adopt(fd, at) {
			return
		}
	}
}

// adopt starts to serve the connection fd. It reports whether the door is open.
func (d *Door) adopt(fd int, at *attachment) bool {
	c := &conn{at: at}
	c.call.door, c.call.conn = d, c
	if err := c.open(fd); err != nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.close()
		return false
	}
	c.idle() // until its goroutine has a place
	d.conns[c] = struct{}{}
	d.isUnref = false
	go c.serve()
	return true
}

func (c *conn) idle() {
	c.since.Store(int64(time.Since(epoch)))
	c.state.Store(connIdle)
}

// makeRoom waits until there are fewer than MaxConns connections.
func (d *Door) makeRoom() {
	for {
		d.mu.Lock()
		full := len(d.conns) >= d.cfg.MaxConns && !d.closed
		d.mu.Unlock()
		if !full || !d.pressed() {
			return
		}
	}
}

// pressed closes the connection that has been idle longest, those that have
// never spoken first, and waits until a connection has ended or it is time to
// look again. It reports whether the door is open.
func (d *Door) pressed() bool {
	now := time.Since(epoch)
	wait := d.cfg.grace
	var oldest *conn
	var since time.Duration
	d.mu.Lock()
	for c := range d.conns {
		if c.state.Load() != connIdle {
			continue
		}
		t := time.Duration(c.since.Load())
		if now-t < d.cfg.grace {
			wait = min(wait, d.cfg.grace-(now-t))
			continue
		}
		if !c.spoken.Load() {
			t -= 1 << 60
		}
		if oldest == nil || t < since {
			oldest, since = c, t
		}
	}
	if oldest != nil && oldest.state.CompareAndSwap(connIdle, connDoomed) {
		oldest.wake()
	}
	d.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-d.room:
	case <-timer.C:
	case <-d.ctx.Done():
		return false
	}
	return true
}

// serve is the goroutine of a connection.
func (c *conn) serve() {
	defer c.finish()
	maxDesc := MaxDesc
	if c.call.door.attr&RefuseDesc != 0 {
		maxDesc = 0 // the kernel closes them; only a memfd gets through
	}
	for c.park() {
		// A place for a call, and a buffer, are taken when there is something
		// to read, so that silent clients have none. While there is no place
		// the call stays in the socket; what is no call needs none.
		if !c.trySlot() && c.nextIsCall() && !c.waitSlot() {
			return
		}
		c.prepare(nil, maxDesc)
		c.look()
		for c.in.errno != unix.EAGAIN {
			if !c.handle() {
				return
			}
			c.leaveSlot()
			c.receiveSoon(&c.call.door.hot)
		}
		c.leaveSlot()
		c.release()
		c.clear(0)
	}
}

// park waits, holding nothing, until there is a frame to read. It reports false
// when the connection is to be closed.
func (c *conn) park() bool {
	if c.state.Load() != connIdle { // it is idle at first
		c.since.Store(int64(time.Since(epoch)))
		if !c.state.CompareAndSwap(connBusy, connIdle) {
			return false
		}
	}
	if err := c.arm(unix.EPOLLIN|unix.EPOLLRDHUP, c.kick); err != nil {
		return false
	}
	<-c.ready
	c.disarm()
	return c.state.CompareAndSwap(connIdle, connBusy)
}

// trySlot takes a place among the calls in progress if there is one.
func (c *conn) trySlot() bool {
	if !c.slot {
		select {
		case c.call.door.slots <- struct{}{}:
			c.slot = true
		default:
		}
	}
	return c.slot
}

// waitSlot waits for a place. It reports whether the door is open.
func (c *conn) waitSlot() bool {
	if !c.trySlot() {
		select {
		case c.call.door.slots <- struct{}{}:
			c.slot = true
		case <-c.call.door.ctx.Done():
		}
	}
	return c.slot
}

// nextIsCall reports whether the next frame, which stays in the socket, is a
// call.
func (c *conn) nextIsCall() bool {
	var b [headerSize]byte
	n, _, err := unix.Recvfrom(c.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil {
		return false
	}
	h, errno := parseHeader(b[:n])
	return errno == 0 && h.typ == typeCall
}

func (c *conn) leaveSlot() {
	if c.slot {
		c.slot = false
		<-c.call.door.slots
	}
}

func (c *conn) finish() {
	d := c.call.door
	c.close()
	c.leaveSlot()
	c.release()
	d.mu.Lock()
	delete(d.conns, c)
	d.unreferenced()
	d.mu.Unlock()
	select {
	case d.room <- struct{}{}:
	default:
	}
}

// fail answers with an error. It reports whether that went out.
func (c *conn) fail(errno unix.Errno) bool {
	c.out.h = header{typ: typeError, errno: errno}
	if c.send(nil, nil) != 0 {
		c.broken = true
	}
	return !c.broken
}

// handle serves the frame, or the error, that was received last. It reports
// whether the connection is good for another.
func (c *conn) handle() bool {
	if c.in.errno != 0 || c.in.n == 0 {
		return false // reset, or the end
	}
	c.spoken.Store(true)
	var fds []int
	if c.in.msg.Controllen > 0 {
		fds = c.received()
	}
	ok, taken := c.dispatch(fds)
	if !taken {
		closeAll(fds)
	}
	return ok && !c.broken
}

// dispatch serves a frame. It reports whether the connection is good for another
// and whether fds have found an owner.
func (c *conn) dispatch(fds []int) (ok, taken bool) {
	d := c.call.door
	h, errno := parseHeader(c.head())
	if errno != 0 {
		if errno == unix.EPROTONOSUPPORT || h.version == version {
			c.fail(errno) // it knows the header, so it can read this
		}
		return false, false
	}
	flags := c.in.msg.Flags
	if flags&unix.MSG_TRUNC != 0 {
		c.fail(unix.EPROTO)
		return false, false
	}
	if flags&unix.MSG_CTRUNC != 0 && h.typ == typeCall && uint64(len(fds)) < h.fds() {
		if d.attr&RefuseDesc != 0 && h.ndesc > 0 {
			return c.fail(unix.ENOTSUP), false
		}
		return c.fail(unix.EMFILE), false
	}
	body := c.in.n - headerSize
	if flags&unix.MSG_CTRUNC != 0 || h.checkBody(body, len(fds)) != 0 {
		c.fail(unix.EPROTO)
		return false, false
	}
	switch h.typ {
	case typeInfo:
		return c.info(), false
	case typeDetach:
		return c.detach(), false
	case typeCall:
		return c.serveCall(&h, c.in.buf[headerSize:c.in.n], fds)
	}
	c.fail(unix.EPROTO)
	return false, false
}

func (c *conn) serveCall(h *header, arg []byte, fds []int) (ok, taken bool) {
	d := c.call.door
	switch {
	case d.revoked.Load():
		return c.fail(unix.EBADF), false
	case h.size < d.dataMin.Load() || h.size > d.dataMax.Load():
		return c.fail(unix.ENOBUFS), false
	case h.ndesc > 0 && d.attr&RefuseDesc != 0:
		return c.fail(unix.ENOTSUP), false
	case h.ndesc > d.descMax.Load():
		return c.fail(unix.ENFILE), false
	case !c.waitSlot():
		return false, false
	}
	if h.memfd() {
		if errno := checkSealed(fds[0], h.size); errno != 0 {
			c.fail(errno)
			return false, false
		}
		arg = c.room(int(h.size))
		if errno := readAll(fds[0], arg); errno != 0 {
			return c.fail(errno), false
		}
		unix.Close(fds[0])
		fds = fds[1:]
	}
	c.call.returned = false
	c.call.run(arg, files(fds))
	return true, true
}

// room returns memory for a large argument. It serves one call after another, until
// the client is silent for a while.
func (c *conn) room(size int) []byte {
	if size > cap(c.in.large) {
		c.in.large = make([]byte, size)
	}
	return c.in.large[:size]
}

// files wraps descriptors that came with a frame.
func files(fds []int) []*os.File {
	if len(fds) == 0 {
		return nil
	}
	fs := make([]*os.File, len(fds))
	for i, fd := range fds {
		fs[i] = os.NewFile(uintptr(fd), "door descriptor")
	}
	return fs
}

func (c *conn) info() bool {
	d := c.call.door
	r := d.params()
	r.Info = d.Info()
	r.Attributes &^= Local
	var b [infoSize]byte
	r.put(&b)
	return c.transmit(typeReturn, b[:], nil) == 0
}

// detach takes the door off the path through which the client came, for fdetach
// in another process of the same user.
func (c *conn) detach() bool {
	cred, err := c.cred()
	if err != nil || cred.UID != 0 && cred.UID != uint32(os.Geteuid()) {
		return c.fail(unix.EPERM)
	}
	if err := c.at.detach(); err != nil {
		return c.fail(toErrno(err))
	}
	return c.transmit(typeReturn, nil, nil) == 0
}
