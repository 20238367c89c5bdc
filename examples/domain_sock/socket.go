package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what sun_path holds, less the NUL.
const maxPath = 107

// sockaddr returns the address of the socket at path.
func sockaddr(path string) (unix.Sockaddr, error) {
	name := path
	if strings.HasPrefix(name, "@") {
		name = "./" + name // an "@" in front would be no path but an abstract address
	}
	switch {
	case path == "":
		return nil, fmt.Errorf("PATH is empty: %w", unix.EINVAL)
	case len(name) > maxPath:
		return nil, &fs.PathError{Op: "socket", Path: path,
			Err: fmt.Errorf("has %d bytes, want at most %d: %w", len(path), maxPath-len(name)+len(path), unix.ENAMETOOLONG)}
	}
	return &unix.SockaddrUnix{Name: name}, nil
}

// within makes a call that may wait on the socket fd, again after EINTR, and fails
// with ETIMEDOUT at the deadline, if there is one. option says which of the two
// timeouts of a socket limits the call: SO_RCVTIMEO, or SO_SNDTIMEO, which holds for
// connect(2) too (socket(7)).
func within(fd, option int, deadline time.Time, call func() error) error {
	for {
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return unix.ETIMEDOUT
			}
			tv := unix.NsecToTimeval(int64(max(left, time.Microsecond))) // 0 means no limit
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv); err != nil {
				return err
			}
		}
		err := call()
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN && !deadline.IsZero() {
			return unix.ETIMEDOUT
		}
		return err
	}
}

// isSocket tells whether a server could take the path: a dead one has left its socket.
func isSocket(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode()&fs.ModeSocket != 0
}

// drain sends the end of the data, and reads what comes until the other side does
// so too or patience ends.
func drain(fd int, patience time.Duration) {
	if unix.Shutdown(fd, unix.SHUT_WR) != nil {
		return
	}
	buf := make([]byte, 64<<10)
	deadline := time.Now().Add(patience)
	for n := 1; n > 0; {
		err := within(fd, unix.SO_RCVTIMEO, deadline, func() (err error) {
			n, err = unix.Read(fd, buf)
			return err
		})
		if err != nil {
			return
		}
	}
}
