package door

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Attr are a door's attributes, with the values of Solaris' <sys/door.h>.
type Attr uint32

const (
	Unref      Attr = 0x01 // deliver one unreferenced call
	Private    Attr = 0x02 // own threads; every door here has its own goroutines
	UnrefMulti Attr = 0x10 // deliver an unreferenced call each time
	RefuseDesc Attr = 0x40 // calls with descriptors fail with ENOTSUP
	NoCancel   Attr = 0x80 // a client that dies does not cancel the call's context

	// Of Info only:
	Local   Attr = 0x04 // the server is the calling process
	Revoked Attr = 0x08 // Revoke has been called
	IsUnref Attr = 0x20 // nobody refers to the door
)

const settable = Unref | Private | UnrefMulti | RefuseDesc | NoCancel

// Param names a parameter of a door, as in door_getparam(3C).
type Param int

const (
	DescMax Param = 1 // most descriptors that an argument may carry
	DataMax Param = 2 // most bytes of argument
	DataMin Param = 3 // fewest bytes of argument
)

// defaultDataMax keeps the memory that clients can make a server use bounded.
// Solaris' default is SIZE_MAX.
const defaultDataMax = 16 << 20

// Info describes a door, as door_info(3C) does. The addresses of the procedure
// and the cookie, which it also gives, mean nothing to another process.
type Info struct {
	Pid        int // the server's process; as the kernel knows it, if a Client asks
	Attributes Attr
	Uniquifier uint64 // a number that no other door has
}

// Cred says who a caller is.
type Cred struct {
	Pid int
	UID uint32
	GID uint32
}

// A ServerProc serves a call. Arg and desc are the caller's, valid until the
// procedure returns; then desc are closed but for those it has taken with
// [Call.Keep]. It answers with [Call.Return]. A procedure that returns, panics or
// ends its goroutine without having called Return leaves the client with EINTR,
// as the end of the server's thread does on Solaris.
//
// Calls run concurrently, each in a goroutine.
type ServerProc func(call *Call, cookie any, arg []byte, desc []*os.File)

// Config holds what door_create does not ask for. The zero value is ready.
type Config struct {
	// MaxCalls is the most calls in progress; 0 means 64. Further ones wait in
	// the sockets, unread. A procedure that calls its own door needs a free
	// place, too.
	MaxCalls int

	// MaxConns is the most connections; 0 means 1024, or half of the process's
	// limit of descriptors (RLIMIT_NOFILE) if that is less. When it is reached,
	// the connection that has been idle longest makes room, if for at least a
	// second; its client connects anew when it has something to say. Otherwise
	// clients wait in the backlog.
	MaxConns int

	// OnPanic is told when a procedure panics, with the stack. The default
	// prints both with package log. Panicking again in it ends the process.
	OnPanic func(v any, stack []byte)

	// grace is how long a connection may be idle before it can be closed to
	// make room for another; 0 means a second.
	grace time.Duration
}

// A Door is the server's side of a door.
type Door struct {
	proc   ServerProc
	cookie any
	attr   Attr
	id     uint64
	cfg    Config

	dataMin, dataMax atomic.Uint64
	descMax          atomic.Uint32
	revoked          atomic.Bool

	slots  chan struct{} // one token for each call in progress
	hot    hotLimit
	ctx    context.Context // done when the door is closed
	cancel context.CancelFunc

	attaching sync.RWMutex // read by Attach, so that Close can wait for it

	mu        sync.Mutex
	closed    bool
	attached  []*attachment
	conns     map[*conn]struct{}
	room      chan struct{} // filled when a connection ends or becomes idle
	unrefDone bool
	isUnref   bool
}

// Create wraps door_create(3C): it makes a door whose calls proc serves. Clients
// can reach it once it is attached to a path. The errors are EINVAL for a nil
// proc or an unknown attribute.
func Create(proc ServerProc, cookie any, attr Attr) (*Door, error) {
	return Config{}.Create(proc, cookie, attr)
}

// Create is like the function Create, with c's limits.
func (c Config) Create(proc ServerProc, cookie any, attr Attr) (*Door, error) {
	if proc == nil || attr&^settable != 0 || c.MaxCalls < 0 || c.MaxConns < 0 {
		return nil, os.NewSyscallError("door_create", unix.EINVAL)
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = 64
	}
	if c.MaxConns == 0 {
		c.MaxConns = 1024
		var lim unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil && lim.Cur/2 < 1024 {
			c.MaxConns = int(max(lim.Cur/2, 1))
		}
	}
	if c.grace == 0 {
		c.grace = time.Second
	}
	if c.OnPanic == nil {
		c.OnPanic = func(v any, stack []byte) { log.Printf("door: panic in server procedure: %v\n%s", v, stack) }
	}
	d := &Door{
		proc:   proc,
		cookie: cookie,
		attr:   attr,
		cfg:    c,
		slots:  make(chan struct{}, c.MaxCalls),
		conns:  make(map[*conn]struct{}),
		room:   make(chan struct{}, 1),
	}
	var id [8]byte
	rand.Read(id[:])
	d.id = binary.LittleEndian.Uint64(id[:])
	d.dataMax.Store(defaultDataMax)
	if attr&RefuseDesc == 0 {
		d.descMax.Store(MaxDesc)
	}
	d.hot.max.Store(int32(min(16, c.MaxCalls)))
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// Info wraps door_info(3C).
func (d *Door) Info() Info {
	i := Info{Pid: os.Getpid(), Attributes: d.attr | Local, Uniquifier: d.id}
	if d.revoked.Load() {
		i.Attributes |= Revoked
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isUnref {
		i.Attributes |= IsUnref
	}
	return i
}

// GetParam wraps door_getparam(3C). EINVAL: there is no such parameter.
func (d *Door) GetParam(p Param) (uint64, error) {
	return d.params().param(p)
}

func (d *Door) params() *infoReply {
	return &infoReply{dataMin: d.dataMin.Load(), dataMax: d.dataMax.Load(), descMax: d.descMax.Load()}
}

func (r *infoReply) param(p Param) (uint64, error) {
	switch p {
	case DescMax:
		return uint64(r.descMax), nil
	case DataMax:
		return r.dataMax, nil
	case DataMin:
		return r.dataMin, nil
	}
	return 0, os.NewSyscallError("door_getparam", unix.EINVAL)
}

// SetParam wraps door_setparam(3C). It holds for the calls that come after it.
//
// EBADF: the door is revoked. ENOTSUP: DescMax above 0 for a door with
// RefuseDesc. ERANGE: DataMin above DataMax, DescMax above [MaxDesc], or more
// data than a slice can hold. EINVAL: there is no such parameter.
func (d *Door) SetParam(p Param, v uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errno := unix.Errno(0)
	switch {
	case d.revoked.Load():
		errno = unix.EBADF
	case p == DescMax && v > 0 && d.attr&RefuseDesc != 0:
		errno = unix.ENOTSUP
	case p == DescMax && v > MaxDesc,
		p == DataMax && (v < d.dataMin.Load() || v > math.MaxInt),
		p == DataMin && v > d.dataMax.Load():
		errno = unix.ERANGE
	case p == DescMax:
		d.descMax.Store(uint32(v))
	case p == DataMax:
		d.dataMax.Store(v)
	case p == DataMin:
		d.dataMin.Store(v)
	default:
		errno = unix.EINVAL
	}
	if errno != 0 {
		return os.NewSyscallError("door_setparam", errno)
	}
	return nil
}

// Revoke wraps door_revoke(3C): calls from now on fail with EBADF, those in
// progress go on. The attachments stay, and their paths can still be opened.
// EBADF: the door is revoked already.
func (d *Door) Revoke() error {
	if d.revoked.Swap(true) {
		return os.NewSyscallError("door_revoke", unix.EBADF)
	}
	return nil
}

// Close ends the door as the exit of its process would, and takes it off its
// paths. Calls in progress fail with EINTR at the client, and their contexts are
// cancelled; Close does not wait for their procedures. There is no unreferenced
// call. The error is that of a Detach that failed, or EBADF when the door is
// closed already.
func (d *Door) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return os.NewSyscallError("close", unix.EBADF)
	}
	d.closed = true
	attached := d.attached
	d.attached = nil
	conns := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()

	d.attaching.Lock() // an Attach in progress takes back what it has done
	defer d.attaching.Unlock()
	d.revoked.Store(true)
	var first error
	for _, at := range attached {
		if err := at.remove(); err != nil && first == nil {
			first = err
		}
	}
	for _, c := range conns { // first, lest a procedure that is told still answers
		c.end()
	}
	d.cancel()
	return first
}

// unreferenced notes that the last reference may be gone. The caller holds d.mu.
func (d *Door) unreferenced() {
	if len(d.attached) > 0 || len(d.conns) > 0 || d.closed || d.revoked.Load() {
		return
	}
	if d.attr&UnrefMulti == 0 && (d.attr&Unref == 0 || d.unrefDone) {
		return
	}
	d.unrefDone, d.isUnref = true, true
	go func() {
		select {
		case d.slots <- struct{}{}:
		case <-d.ctx.Done():
			return
		}
		defer func() { <-d.slots }()
		call := &Call{door: d, unref: true, returned: true}
		call.run(nil, nil)
	}()
}
