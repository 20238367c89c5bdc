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
	cancels  map[*context.CancelFunc]bool
	sig      unix.Signal
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

// Interruptible returns a context that SIGINT, SIGTERM and SIGHUP cancel, for
// a stretch of program that must not be cut in the middle, such as the one that
// holds a lock other processes wait for. The stretch ends with stop. If a signal
// came, Run dies of it once the action has returned.
func Interruptible() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ends.Lock()
	defer ends.Unlock()
	watch()
	if ends.cancels == nil {
		ends.cancels = make(map[*context.CancelFunc]bool)
	}
	ends.cancels[&cancel] = true
	return ctx, func() {
		ends.Lock()
		delete(ends.cancels, &cancel)
		sig := ends.sig
		ends.Unlock()
		cancel()
		if sig != 0 {
			die(sig)
		}
	}
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
			wait := len(ends.cancels) > 0
			for cancel := range ends.cancels {
				(*cancel)()
			}
			ends.Unlock()
			if !wait {
				die(ends.sig)
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
