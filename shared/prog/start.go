//go:build amd64 || arm64

package prog

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// start is where a binary begins that was linked with
// -ldflags=-E=ipcbook/shared/prog.start, as make does.
func start()

var _ = start

// closedAtStart has bit n set if the program was started with descriptor n
// closed. A binary that begins elsewhere does not find out.
var closedAtStart uint32

// ignoredAtStart has bit n set if the program was started with signal n ignored, for
// signals below 16. A binary that begins elsewhere does not find out.
var ignoredAtStart uint32

// keepIgnored makes signals stay ignored that were when the program was started, for
// us and for our children. The Go runtime does that for SIGHUP and SIGINT only, and
// has put its handlers in the place of the others (runtime/signal_unix.go).
func keepIgnored() {
	for _, sig := range []unix.Signal{unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM} {
		if ignoredAtStart&(1<<sig) != 0 {
			signal.Ignore(sig)
		}
	}
}

// keepClosed makes calls on a standard descriptor fail with EBADF that was closed
// when the program was started, for us and for our children. The Go runtime has
// opened /dev/null in its place (runtime/fds_unix.go), which would turn lost
// output into silent success. Really to close it would let the next open(2) have
// its number; a descriptor for the path only (O_PATH) is taken and of no use.
func keepClosed() {
	for fd := range 3 {
		if closedAtStart&(1<<fd) == 0 {
			continue
		}
		if path, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			unix.Dup3(path, fd, 0)
			unix.Close(path)
		}
	}
}
