package prog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Stdin, Stdout and Stderr are descriptors 0, 1 and 2 without a buffer: one Read is
// one read(2), and what Write was given has left the process when it returns, in
// the order of the program text. They never hold an event loop, and unlike
// os.Stdout and os.Stderr they return EPIPE instead of dying on the spot.
//
// EPIPE on Stdout is an error for a program, which cleans up and returns it; Run
// then lets SIGPIPE end the process, as it ends a C program. A process that was
// started with SIGPIPE ignored gets the message and status of any other failure.
// EPIPE on Stderr is nothing: a diagnostic that nobody reads must not cut the work
// that it speaks of, keep a server from its next client, or change the exit status.
var (
	Stdin  io.Reader = stdio{fd: 0, name: "standard input"}
	Stdout io.Writer = stdio{fd: 1, name: "standard output"}
	Stderr io.Writer = stdio{fd: 2, name: "standard error"}
)

// errStdoutGone marks an EPIPE on standard output that comes with SIGPIPE.
var errStdoutGone = errors.New("reader is gone")

type stdio struct {
	fd   int
	name string
}

// Read wraps read(2) on the descriptor. It returns io.EOF at the end.
func (s stdio) Read(b []byte) (int, error) {
	if err := s.open(); err != nil {
		return 0, &fs.PathError{Op: "read", Path: s.name, Err: err}
	}
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN: // somebody else made it non-blocking
			if err := s.poll(unix.POLLIN); err != nil {
				return 0, err
			}
			continue
		case err != nil:
			return 0, &fs.PathError{Op: "read", Path: s.name, Err: err}
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Write wraps write(2) and goes on after a partial write.
func (s stdio) Write(b []byte) (written int, err error) {
	if err := s.open(); err != nil {
		return 0, &fs.PathError{Op: "write", Path: s.name, Err: err}
	}
	for written < len(b) {
		n, err := unix.Write(s.fd, b[written:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if err := s.poll(unix.POLLOUT); err != nil {
				return written, err
			}
			continue
		case err == unix.EPIPE && s.fd == 1 && !signal.Ignored(unix.SIGPIPE):
			err = fmt.Errorf("%w (%w)", err, errStdoutGone)
		}
		if err != nil {
			return written, &fs.PathError{Op: "write", Path: s.name, Err: err}
		}
		written += n
	}
	return written, nil
}

func (s stdio) poll(events int16) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, -1)
		if err != unix.EINTR {
			if err != nil {
				err = &fs.PathError{Op: "poll", Path: s.name, Err: err}
			}
			return err
		}
	}
}

// open returns EBADF if the program was started with the descriptor closed and has
// put nothing in its place since. The Go runtime has opened /dev/null there
// (runtime/fds_unix.go), which would turn lost output into silent success, and
// keepClosed a path.
func (s stdio) open() error {
	if closedAtStart&(1<<s.fd) == 0 {
		return nil
	}
	flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_PATH != 0 {
		return unix.EBADF
	}
	return nil
}
