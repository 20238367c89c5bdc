package prog

import (
	"os"
	"runtime"
)

// twoProcs gives a process that may run on one CPU only (taskset, a container) a
// second P, which the Go runtime does not. With one, whose goroutine is in a system
// call that blocks, all others wait until the monitor takes it away.
func twoProcs() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}
