package door

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// openTime bounds the handshake of Open: a socket may belong to a server
	// that is not a door and says nothing.
	openTime = 5 * time.Second

	// maxIdle connections are kept for the next calls.
	maxIdle = 64

	// maxFresh is how often a call is sent anew when the server closes new
	// connections without reading.
	maxFresh = 8

	// dialSlice is how long a connect waits for room in the backlog before it
	// looks whether it is still wanted. It holds a thread; the kernel offers no
	// other way.
	dialSlice = 100 * time.Millisecond

	// defaultMaxResult keeps what a server can make its client allocate bounded.
	defaultMaxResult = 1 << 30
)

// clientHot bounds the threads that wait in calls. Beyond it, and after hotWait,
// a waiting call holds none.
var clientHot = func() *hotLimit {
	h := new(hotLimit)
	h.max.Store(64)
	return h
}()

// A Client is an open door. It holds the door itself, not its path: what happens
// to the path afterwards does not matter to it. Its methods may be called
// concurrently; each call in progress has a connection of its own.
type Client struct {
	path string
	door *os.File // O_PATH

	// MaxResult is the most bytes of result that a call takes; 0 means 1 GiB. A
	// larger result is EOVERFLOW. Set it before the first Call.
	MaxResult int

	mu     sync.Mutex
	closed bool
	idle   []*link
}

// Open wraps open(2) of a door. It asks the server for its version, which takes
// at most five seconds.
//
// ENOENT: there is nothing at the path. EBADF: it is no door, or the server is
// gone. ELOOP: it is a symbolic link, which is not followed. EACCES: writing to
// the socket is not permitted, or the path not to be searched. EPROTONOSUPPORT:
// the server speaks another version. ETIMEDOUT: it does not answer. EMFILE,
// ENFILE: too many descriptors.
func Open(path string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	return OpenContext(ctx, path)
}

// OpenContext is like Open, but waits for the server until ctx is done and not for five
// seconds. An error of ctx is returned as by Call.
func OpenContext(ctx context.Context, path string) (*Client, error) {
	fail := func(err error) (*Client, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	fd, err := openPath(unix.AT_FDCWD, path)
	if err != nil {
		return fail(err)
	}
	c := &Client{path: path, door: os.NewFile(uintptr(fd), path)}
	if err := c.shake(ctx); err != nil {
		c.Close()
		return fail(err)
	}
	return c, nil
}

// FromFile makes a Client of a descriptor that came from [Client.File], perhaps
// through a door, and takes it over. The errors are those of Open.
func FromFile(f *os.File) (*Client, error) {
	c := &Client{path: f.Name(), door: f}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if err := c.shake(ctx); err != nil {
		c.Close()
		return nil, &fs.PathError{Op: "open", Path: c.path, Err: err}
	}
	return c, nil
}

// File returns a descriptor of the door, to be passed to another process: with a
// call, a result, or to a child. It is an O_PATH descriptor of the socket.
func (c *Client) File() (*os.File, error) {
	rc, err := c.door.SyscallConn()
	if err != nil {
		return nil, c.fail("dup", unix.EBADF)
	}
	fd, err := -1, error(unix.EBADF)
	rc.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		return nil, c.fail("dup", err)
	}
	return os.NewFile(uintptr(fd), c.path), nil
}

// openPath opens what is at path without doing anything to it.
func openPath(dirfd int, path string) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// shake checks that the door is one, and that somebody serves it.
func (c *Client) shake(ctx context.Context) error {
	errno := unix.EBADF
	rc, err := c.door.SyscallConn()
	if err != nil {
		return err
	}
	rc.Control(func(fd uintptr) {
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil {
			errno = toErrno(err)
		} else if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			errno = unix.ELOOP
		} else if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			errno = 0
		}
	})
	if errno != 0 {
		return errno
	}
	_, err = c.info(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, unix.EPROTO), errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return unix.EBADF // it answered something else, or hung up
	}
	return err
}

// Close closes the door. Calls in progress go on. EBADF: it is closed already.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("close", unix.EBADF)
	}
	c.closed = true
	for _, l := range c.idle {
		l.close()
	}
	c.idle = nil
	c.door.Close()
	return nil
}

func (c *Client) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: c.path, Err: err}
}

// An Arg is what a call takes and gives, as door_arg_t is:
//
//	typedef struct {
//	    char *data_ptr;  size_t data_size;      // Data
//	    door_desc_t *desc_ptr;  uint_t desc_num; // Desc
//	    char *rbuf;  size_t rsize;               // RBuf
//	} door_arg_t;
type Arg struct {
	// Data is the argument and, after the call, the result.
	Data []byte

	// Desc are the descriptors to pass and, after the call, those that came
	// back. The caller closes both.
	Desc []*os.File

	// RBuf is where the result goes if it fits; otherwise it is allocated. It
	// may be the argument's memory.
	RBuf []byte

	// RDesc is the most descriptors that the caller takes back. The kernel
	// closes those beyond.
	RDesc int
}

func (a *Arg) maxDesc() int { return min(max(a.RDesc, 0), MaxDesc) }

// Call wraps door_call(3C): it runs the server's procedure with arg, waits for its
// result and puts that in place of the argument. After an error arg is as it was,
// except for RBuf's contents. A call with an RBuf that is large enough and
// context.Background allocates nothing, up to 64 KiB each way and without
// descriptors. It holds a thread for at most 5 ms of its wait.
//
// EBADF: the door is revoked or closed, or its server is gone. EINTR: the server
// died or closed the door during the call, or its procedure ended without an
// answer. ENOBUFS: the argument is smaller or larger than the door permits.
// ENOTSUP: it refuses descriptors. ENFILE: more descriptors than it permits.
// EMFILE: this process or the server has no descriptors left. EOVERFLOW: the
// result is larger than MaxResult. EPROTO, EPROTONOSUPPORT: the server does not
// keep to the protocol.
//
// When ctx ends first the server is told by the end of the connection. The error
// is ctx's; errors.Is finds ETIMEDOUT in it too if the deadline has passed.
func (c *Client) Call(ctx context.Context, arg *Arg) error {
	if err := c.call(ctx, arg); err != nil {
		return c.fail("door_call", err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, arg *Arg) error {
	if len(arg.Desc) > MaxDesc {
		return unix.ENFILE
	}
	return c.transact(ctx, typeCall, arg)
}

// Info wraps door_info(3C). A door whose server is gone is EBADF; a revoked one
// has the attribute Revoked.
func (c *Client) Info(ctx context.Context) (Info, error) {
	r, err := c.info(ctx)
	if err != nil {
		return Info{}, c.fail("door_info", err)
	}
	return r.Info, nil
}

// GetParam wraps door_getparam(3C). EINVAL: there is no such parameter.
func (c *Client) GetParam(ctx context.Context, p Param) (uint64, error) {
	r, err := c.info(ctx)
	if err != nil {
		return 0, c.fail("door_getparam", err)
	}
	return r.param(p)
}

func (c *Client) info(ctx context.Context) (infoReply, error) {
	var b [infoSize]byte
	arg := Arg{RBuf: b[:]}
	if err := c.transact(ctx, typeInfo, &arg); err != nil {
		return infoReply{}, err
	}
	r, errno := parseInfo(arg.Data)
	if errno != 0 {
		return infoReply{}, errno
	}
	if r.Pid == os.Getpid() {
		r.Attributes |= Local
	}
	return r, nil
}

// transact sends a frame and receives the answer.
func (c *Client) transact(ctx context.Context, typ uint16, arg *Arg) error {
	for fresh := 0; fresh < maxFresh; {
		if ctx.Err() != nil {
			return ctxError(ctx)
		}
		l, pooled, err := c.take(ctx)
		if err != nil {
			return err
		}
		if !pooled {
			fresh++
		}
		errno := l.transmit(typ, arg.Data, arg.Desc)
		switch errno {
		case 0:
			errno, err = c.answer(ctx, l, arg)
			if errno == unix.ECONNRESET {
				continue
			}
			return err
		case unix.EPIPE, unix.ECONNRESET, unix.ECONNREFUSED, unix.ENOTCONN:
			// The server has closed a connection that was idle. It has not
			// seen this frame, so another connection may be tried; if the
			// server is gone there is none.
			l.close()
		default: // nothing has been sent
			c.give(l)
			return errno
		}
	}
	return unix.EAGAIN
}

// answer receives the answer to a frame. ECONNRESET means that the server has
// closed the connection without reading the frame, which can therefore be sent
// again: that is what the kernel says if the peer has left frames unread; if it
// has read them, the end of the data is all that comes.
func (c *Client) answer(ctx context.Context, l *link, arg *Arg) (unix.Errno, error) {
	l.prepare(arg.RBuf, arg.maxDesc())
	defer l.release()
	if err := l.receive(ctx); err != nil {
		l.close()
		return toErrno(err), err
	}
	if l.in.n == 0 {
		l.close()
		return unix.EINTR, unix.EINTR
	}
	good, errno := c.result(l, arg)
	if good {
		c.give(l)
	} else {
		l.close()
	}
	if errno != 0 {
		return errno, errno
	}
	return 0, nil
}

// result takes the frame that l has received for the answer. It reports whether
// the connection is good for another call.
func (c *Client) result(l *link, arg *Arg) (good bool, errno unix.Errno) {
	var fds []int
	if l.in.msg.Controllen > 0 {
		fds = l.received()
	}
	defer func() { closeAll(fds) }() // those that have found no owner
	h, errno := parseHeader(l.head())
	if errno != 0 {
		return false, errno
	}
	if h.typ == typeError {
		return h.errno != unix.EPROTO && h.errno != unix.EPROTONOSUPPORT, h.errno
	}
	room := uint64(arg.maxDesc() + 1)
	cut := l.in.msg.Flags&unix.MSG_CTRUNC != 0
	if cut && uint64(len(fds)) < min(h.fds(), room) {
		return true, unix.EMFILE
	}
	nfds := len(fds)
	if cut && h.fds() > room {
		nfds = int(h.fds()) // the kernel has closed the rest, as it was told to
	}
	body := l.in.n - headerSize
	if h.typ != typeReturn || l.in.msg.Flags&unix.MSG_TRUNC != 0 || h.checkBody(body, nfds) != 0 {
		return false, unix.EPROTO
	}
	most := uint64(c.MaxResult)
	if c.MaxResult <= 0 {
		most = defaultMaxResult
	}
	if h.size > most {
		return true, unix.EOVERFLOW
	}
	buf := arg.RBuf
	if uint64(len(buf)) < h.size {
		buf = make([]byte, h.size)
	}
	data := buf[:h.size]
	if h.memfd() {
		if errno := checkSealed(fds[0], h.size); errno != 0 {
			return false, errno
		}
		if errno := readAll(fds[0], data); errno != 0 {
			return true, errno
		}
		unix.Close(fds[0])
		fds = fds[1:]
	} else {
		l.collect(data, arg.RBuf)
	}
	arg.Data = data
	arg.Desc = nil
	if n := min(len(fds), int(room)-1); n > 0 {
		arg.Desc = files(fds[:n])
		fds = fds[n:]
	}
	return true, 0
}

// receive waits for a frame.
func (l *link) receive(ctx context.Context) error {
	errno := l.receiveSoon(clientHot)
	for errno == unix.EAGAIN {
		if err := l.arm(unix.EPOLLIN|unix.EPOLLRDHUP, l.kick); err != nil {
			return err
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			return ctxError(ctx)
		}
		l.look()
		errno = l.in.errno
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// take returns a connection, one of the idle ones if there is one.
func (c *Client) take(ctx context.Context) (l *link, pooled bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, false, unix.EBADF
	}
	if n := len(c.idle); n > 0 {
		l := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return l, true, nil
	}
	c.mu.Unlock()
	l, err = c.dial(ctx)
	if err == unix.ECONNREFUSED || err == unix.EPROTOTYPE {
		err = unix.EBADF // the server is gone, or it is no door
	}
	return l, false, err
}

// give keeps a connection for the next call.
func (c *Client) give(l *link) {
	l.clear(keepMax)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle {
		l.close()
		return
	}
	c.idle = append(c.idle, l)
}

// dial connects to the socket that c.door holds, wherever its name is now, by
// way of /proc/self/fd; the path's length does not matter either.
func (c *Client) dial(ctx context.Context) (*link, error) {
	rc, err := c.door.SyscallConn()
	if err != nil {
		return nil, unix.EBADF
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	tv := unix.NsecToTimeval(int64(dialSlice))
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
	for err == nil {
		if ctx.Err() != nil {
			err = ctxError(ctx)
			break
		}
		cerr := error(unix.EBADF)
		rc.Control(func(door uintptr) {
			cerr = unix.Connect(fd, &unix.SockaddrUnix{Name: procFD(int(door))})
		})
		switch cerr {
		case nil:
			l := new(link)
			if err := l.open(fd); err != nil {
				return nil, err
			}
			return l, nil
		case unix.EAGAIN, unix.EINTR: // the backlog is full
			continue
		case unix.ENOENT:
			err = fmt.Errorf("/proc/self/fd: %w", cerr)
		default:
			err = cerr
		}
	}
	unix.Close(fd)
	return nil, err
}

// procFD is a path of the file that fd holds.
func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// ctxError returns the error of a context that has ended.
func ctxError(ctx context.Context) error {
	if err := ctx.Err(); err != context.DeadlineExceeded {
		return err
	}
	return errTimeout
}

// errTimeout is both context.DeadlineExceeded and ETIMEDOUT.
var errTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string   { return unix.ETIMEDOUT.Error() }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (timeoutError) Is(err error) bool {
	return err == unix.ETIMEDOUT || err == context.DeadlineExceeded
}
