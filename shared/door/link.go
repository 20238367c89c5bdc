package door

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"ipcbook/shared/spin"
)

// smallFrame is up to which size frames are copied together.
const smallFrame = 2048

// A buffer holds a frame with the most inline data.
type buffer [headerSize + inlineMax]byte

// A server's connection has one while it has a place among the calls or waits in
// receiveSoon, a client's during the call: so their number is bounded.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// A link is one end of a connection. One goroutine owns it: sends, receives and
// closes. Others may only shut it down.
//
// The structs that the system calls read and fill are part of the link, so that
// a call allocates nothing.
type link struct {
	fd int
	pollee
	soon spin.Wait // for a frame

	out struct {
		h     header
		msg   unix.Msghdr
		iov   [2]unix.Iovec
		frame [smallFrame]byte
		large bool // there has been a large frame
		shelf shelf
		right [rightSize]byte
	}
	in struct {
		msg   unix.Msghdr
		iov   [3]unix.Iovec
		oob   [16 + 4*maxFDs]byte // CmsgLen(4*maxFDs) on 64-bit
		room  int                 // bytes of oob for the kernel to use
		buf   *buffer
		split bool // the data is to go somewhere else than to buf
		n     int
		errno unix.Errno
		few   [2]int // descriptors
		large []byte // of the server, for large arguments
	}

	mu     sync.Mutex
	closed bool
}

// open makes l the owner of the connected socket fd.
func (l *link) open(fd int) error {
	// The blocking receive of receiveSoon ends by itself.
	tv := unix.NsecToTimeval(int64(hotWait))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("setsockopt", err)
	}
	l.fd = fd
	l.pollee.init(fd)
	l.out.iov[0].Base = &l.out.frame[0]
	l.out.iov[0].SetLen(headerSize)
	l.out.msg.Iov = &l.out.iov[0]
	l.in.msg.Iov = &l.in.iov[0]
	return nil
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.clear(0)
		l.pollee.remove()
		unix.Close(l.fd)
	}
}

// shutdown ends the connection under the owner's hands: its system calls fail,
// and the peer sees the end.
func (l *link) shutdown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		unix.Shutdown(l.fd, unix.SHUT_RDWR)
	}
}

// send sends one frame: the header l.out.h, then data, with the control message
// oob. It never blocks: one call is in flight, so there is room unless the peer
// does not read.
func (l *link) send(data, oob []byte) unix.Errno {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	o := &l.out
	o.h.put((*[headerSize]byte)(o.frame[:]))
	if len(oob) == 0 && len(data) <= len(o.frame)-headerSize {
		// One piece without a struct msghdr costs the kernel less than it costs
		// us to copy a few bytes.
		n := copy(o.frame[headerSize:], data)
		return sendto(l.fd, o.frame[:headerSize+n], flags)
	}
	o.msg.SetIovlen(1)
	if len(data) > 0 {
		o.iov[1].Base = &data[0]
		o.iov[1].SetLen(len(data))
		o.msg.SetIovlen(2)
	}
	o.msg.Control = nil
	if len(oob) > 0 {
		o.msg.Control = &oob[0]
	}
	o.msg.SetControllen(len(oob))
	errno := sendmsg(l.fd, &o.msg, flags)
	o.iov[1].Base = nil // hold on to nothing of the caller's
	o.msg.Control = nil
	return errno
}

// prepare takes a buffer for the next frame. The data goes to rbuf at once if
// that is worth it. At most maxDesc descriptors and a memfd are welcome; the
// kernel closes the surplus and sets MSG_CTRUNC.
func (l *link) prepare(rbuf []byte, maxDesc int) {
	i := &l.in
	i.room = unix.CmsgLen(4 * (maxDesc + 1))
	i.buf = buffers.Get().(*buffer)
	i.split = len(rbuf) > smallFrame
	pieces := [3][]byte{i.buf[:]}
	n := 1
	if i.split {
		rbuf = rbuf[:min(len(rbuf), inlineMax)]
		pieces = [3][]byte{i.buf[:headerSize], rbuf, i.buf[headerSize+len(rbuf):]}
		if n = 3; len(rbuf) == inlineMax {
			n = 2
		}
	}
	for j := range n {
		i.iov[j].Base = &pieces[j][0]
		i.iov[j].SetLen(len(pieces[j]))
	}
	i.msg.SetIovlen(n)
}

// release gives the buffer back.
func (l *link) release() {
	if i := &l.in; i.buf != nil {
		i.iov = [3]unix.Iovec{}
		buffers.Put(i.buf)
		i.buf = nil
	}
}

// head is what has come of the header.
func (l *link) head() []byte { return l.in.buf[:min(l.in.n, headerSize)] }

// collect copies the inline data of the frame to data, which begins where rbuf
// began if the frame was split.
func (l *link) collect(data, rbuf []byte) {
	if !l.in.split {
		copy(data, l.in.buf[headerSize:])
		return
	}
	if len(data) > len(rbuf) { // data is memory of its own
		n := copy(data, rbuf)
		copy(data[n:], l.in.buf[headerSize+n:])
	}
}

// reset prepares what a receive before has changed.
func (l *link) reset() *unix.Msghdr {
	m := &l.in.msg
	m.Control = &l.in.oob[0]
	m.SetControllen(l.in.room)
	m.Flags = 0
	return m
}

// look tries to receive a frame and reports whether there was one, or an error.
// The outcome is in l.in.
func (l *link) look() bool {
	l.in.n, l.in.errno = recvmsg(l.fd, l.reset(), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	return l.in.errno != unix.EAGAIN
}

// received returns the descriptors that came with the last frame.
func (l *link) received() []int {
	return rights(l.in.few[:0], l.in.oob[:min(int(l.in.msg.Controllen), len(l.in.oob))])
}

// rights collects the descriptors from control messages. What is not
// SCM_RIGHTS cannot come, since no option asks for it, and is passed over.
func rights(fds []int, oob []byte) []int {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_RIGHTS {
			for ; len(data) >= 4; data = data[4:] {
				fds = append(fds, int(int32(binary.NativeEndian.Uint32(data))))
			}
		}
		oob = rest
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// withFDs calls f with fds and the numbers of files appended. The files cannot
// be closed meanwhile, and keep their mode (File.Fd would make them blocking).
func withFDs(files []*os.File, fds []int, f func(fds []int) unix.Errno) unix.Errno {
	if len(files) == 0 {
		return f(fds)
	}
	if files[0] == nil {
		return unix.EBADF
	}
	rc, err := files[0].SyscallConn()
	if err != nil {
		return unix.EBADF
	}
	errno := unix.EBADF // of a closed file
	rc.Control(func(fd uintptr) { errno = withFDs(files[1:], append(fds, int(fd)), f) })
	return errno
}

// transmit sends a frame of type typ with data and descriptors, the data by
// memfd where it must.
func (l *link) transmit(typ uint16, data []byte, files []*os.File) unix.Errno {
	l.out.h = header{typ: typ, size: uint64(len(data)), ndesc: uint32(len(files))}
	if len(data) <= inlineMax {
		errno := unix.Errno(0)
		if len(files) == 0 {
			errno = l.send(data, nil)
		} else {
			errno = l.sendFiles(data, nil, files)
		}
		if errno != unix.EMSGSIZE {
			return errno
		}
		// The send buffer is small on this system (net.core.wmem_default).
	}
	l.out.h.flags = flagMemfd
	if !l.out.large {
		l.out.large = true
		fd, errno := seal(data)
		if errno != 0 {
			return errno
		}
		defer unix.Close(fd)
		return l.sendLarge(fd, files)
	}
	// The second such frame: there may be more.
	if errno := l.out.shelf.put(data); errno != 0 {
		return errno
	}
	return l.sendLarge(l.out.shelf.fd, files)
}

func (l *link) sendLarge(fd int, files []*os.File) unix.Errno {
	if len(files) == 0 {
		putRight(&l.out.right, fd)
		return l.send(nil, l.out.right[:])
	}
	return l.sendFiles(nil, []int{fd}, files)
}

func (l *link) sendFiles(data []byte, fds []int, files []*os.File) unix.Errno {
	return withFDs(files, fds, func(fds []int) unix.Errno {
		return l.send(data, unix.UnixRights(fds...))
	})
}

// clear gives back what large frames have taken, but at most most bytes.
func (l *link) clear(most int) {
	if l.out.large && len(l.out.shelf.mem) > most {
		l.out.shelf.drop()
	}
	if most == 0 {
		l.out.large, l.in.large = false, nil
	}
}

// peerCred wraps getsockopt(SO_PEERCRED), unix(7).
func peerCred(fd int) (Cred, error) {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Cred{}, os.NewSyscallError("getsockopt", err)
	}
	return Cred{Pid: int(u.Pid), UID: u.Uid, GID: u.Gid}, nil
}

// toErrno returns the number in err, or EIO if there is none.
func toErrno(err error) unix.Errno {
	if e := unix.Errno(0); errors.As(err, &e) {
		return e
	}
	return unix.EIO
}
