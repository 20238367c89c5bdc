//go:build amd64 || arm64

package prog

import "golang.org/x/sys/unix"

// start is where a binary begins that was linked with
// -ldflags=-E=ipcbook/shared/prog.start, as make does.
func start()

var _ = start

// closedAtStart has bit n set if the program was started with descriptor n
// closed. A binary that begins elsewhere does not find out.
var closedAtStart uint32

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
