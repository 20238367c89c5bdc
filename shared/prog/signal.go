package prog

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ending are the signals that ask a program to end. One that was ignored when
// the program was started (a shell's background job, nohup) stays ignored.
var ending = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}

var ends struct {
	sync.Mutex
	watching bool
	cleanups []*func()
	sig      unix.Signal // the one that asked the program to end

	// HoldSignals
	holds  int
	ctx    context.Context
	cancel context.CancelFunc
}

// Cleanup registers f, which removes something that the program made. It runs
// once: when the returned function is called, which a main defers, or when a
// signal ends the program (SIGINT, SIGTERM, SIGHUP); the last registered runs
// first. After that the process dies of the signal.
func Cleanup(f func()) (done func()) {
	var once sync.Once
	g := func() { once.Do(f) }
	ends.Lock()
	defer ends.Unlock()
	watch()
	ends.cleanups = append(ends.cleanups, &g)
	return g
}

// HoldSignals calls f, a piece of work that must not be cut in the middle, such as
// one that holds a lock other processes wait for. SIGINT, SIGTERM and SIGHUP
// cancel ctx, which ends f's waits, and end the process once f has returned.
// Calls do not nest.
func HoldSignals(f func(ctx context.Context) error) error {
	ends.Lock()
	watch()
	if ends.ctx == nil {
		ends.ctx, ends.cancel = context.WithCancel(context.Background())
	}
	ends.holds++
	ends.Unlock()

	defer func() {
		ends.Lock()
		ends.holds--
		sig := ends.sig
		ends.Unlock()
		if sig != 0 {
			die(sig)
		}
	}()
	return f(ends.ctx)
}

// watch starts the goroutine that takes the signals. The caller holds ends.
func watch() {
	if ends.watching {
		return
	}
	ends.watching = true
	c := make(chan os.Signal, 1)
	for _, sig := range ending {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	go func() {
		for sig := range c {
			ends.Lock()
			ends.sig = sig.(syscall.Signal)
			held := ends.holds > 0
			if held {
				ends.cancel()
			}
			ends.Unlock()
			if !held {
				die(sig.(syscall.Signal))
			}
		}
	}()
}

// caught returns the signal that has asked the program to end, or 0.
func caught() unix.Signal {
	ends.Lock()
	defer ends.Unlock()
	return ends.sig
}

// die runs the clean-ups and lets sig end the process by the kernel's default
// action, so that the parent sees in the wait status what it would see of C.
func die(sig unix.Signal) {
	ends.Lock() // not released: nobody registers or dies a second time
	for i := len(ends.cleanups) - 1; i >= 0; i-- {
		(*ends.cleanups[i])()
	}
	dieByDefault(sig)
	unix.Kill(unix.Getpid(), sig)
	select {} // the signal is on its way
}
