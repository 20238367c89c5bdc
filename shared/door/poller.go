package door

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The poller waits for sockets that have been silent for a while, with one epoll
// instance and one goroutine for the process. It exists beside the runtime's own
// because a socket there is armed for ever: each frame would wake the event
// loop, also where a goroutine is about to receive it. Here a socket is armed for
// one event at a time.
type poller struct {
	mu   sync.Mutex
	epfd int
	turn int32
	all  map[int32]*pollee // by descriptor
}

// A pollee is a descriptor that the poller can wait for.
type pollee struct {
	fd    int
	added bool
	armed func() // called once for the next event; nil: not armed
	turn  int32  // which arm it was
	ready chan struct{}
	kick  func() // fills ready
}

func (p *pollee) init(fd int) {
	p.fd = fd
	p.ready = make(chan struct{}, 1)
	p.kick = p.wake
}

// wake ends the owner's wait for ready, or the next one.
func (p *pollee) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

var polling = sync.OnceValues(func() (*poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Non-blocking, so that the runtime waits for the epoll instance itself and
	// no thread does.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(epfd), "epoll")
	rc, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	p := &poller{epfd: epfd, all: make(map[int32]*pollee)}
	go p.run(f, rc)
	return p, nil
})

func (p *poller) run(f *os.File, rc syscall.RawConn) {
	defer f.Close() // not reached; keeps f alive
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		rc.Read(func(uintptr) bool {
			n, _ = unix.EpollWait(p.epfd, events, 0)
			return n > 0
		})
		p.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			// The event may be stale: of a descriptor that has been disarmed, or
			// closed and its number used again.
			if l := p.all[e.Fd]; l != nil && l.armed != nil && l.turn == e.Pad {
				f := l.armed
				l.armed = nil
				f()
			}
		}
		p.mu.Unlock()
	}
}

// arm calls f once, soon and without blocking, when one of events occurs, or
// EPOLLHUP or EPOLLERR, which need not be asked for.
func (e *pollee) arm(events uint32, f func()) error {
	p, err := polling()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	ev := unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(e.fd), Pad: p.turn}
	op := unix.EPOLL_CTL_MOD
	if !e.added {
		op = unix.EPOLL_CTL_ADD
	}
	if err := unix.EpollCtl(p.epfd, op, e.fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	e.added = true
	p.all[ev.Fd] = e
	e.armed, e.turn = f, p.turn
	return nil
}

// disarm takes back the last arm. When it returns, f has been called or will
// not be.
func (e *pollee) disarm() {
	if !e.added {
		return
	}
	p, _ := polling()
	p.mu.Lock()
	e.armed = nil
	p.mu.Unlock()
}

// remove is to be called before the descriptor is closed.
func (e *pollee) remove() {
	if !e.added {
		return
	}
	p, _ := polling()
	p.mu.Lock()
	defer p.mu.Unlock()
	e.armed, e.added = nil, false
	delete(p.all, int32(e.fd))
	unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, e.fd, nil)
}
