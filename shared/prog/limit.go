package prog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// startTimers makes the Go runtime take the two descriptors that its timers and
// its poller need. It takes them when the first timer runs, perhaps one of its own,
// and kills a process that has none left then, with a stack trace.
func startTimers() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	unix.Close(epoll)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	unix.Close(event)
	time.AfterFunc(time.Hour, func() {}).Stop()
	return nil
}

// limited adds to err which limit of the process it has met, if it is one and
// nothing else has been said.
func limited(err error) error {
	var hint *hintError
	if err == nil || errors.As(err, &hint) {
		return err
	}
	name, resource := "", 0
	var path *fs.PathError
	switch {
	case errors.Is(err, unix.EMFILE):
		name, resource = "RLIMIT_NOFILE (ulimit -n)", unix.RLIMIT_NOFILE
	case errors.Is(err, unix.EFBIG):
		name, resource = "RLIMIT_FSIZE (ulimit -f)", unix.RLIMIT_FSIZE
	case errors.Is(err, unix.EAGAIN) && errors.As(err, &path) && path.Op == "fork/exec":
		name, resource = "RLIMIT_NPROC (ulimit -u)", unix.RLIMIT_NPROC
	default:
		return err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(resource, &limit) != nil {
		return err
	}
	return Hint(err, "the limit %s is %s", name, amount(limit.Cur))
}

func amount(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "not set: it is the system's"
	}
	return fmt.Sprint(n)
}
