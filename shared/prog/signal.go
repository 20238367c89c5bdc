package prog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ending are the signals that ask a program to end. One that was ignored when the
// program was started (a shell's background job, nohup) stays ignored.
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
// cancel ctx, which ends f's waits, and end the process once f has returned and
// so has each other f that HoldSignals was called with meanwhile.
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
		defer ends.Unlock()
		ends.holds--
		if ends.holds == 0 && ends.sig != 0 {
			die(ends.sig)
		}
	}()
	return f(ends.ctx)
}

// awaitOwn gives a signal a moment to reach us if err tells of a child that died of
// one which asks programs to end: a terminal sends it to the whole process group,
// and the child's death may show before our own copy does.
func awaitOwn(err error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && slices.Contains(ending, os.Signal(s.Signal())) {
		time.Sleep(time.Second)
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
			if ends.holds == 0 {
				die(ends.sig)
			}
			ends.cancel()
			ends.Unlock()
		}
	}()
}

// dieIfAsked ends the process if a signal has asked it to end.
func dieIfAsked() {
	ends.Lock()
	defer ends.Unlock()
	if ends.sig != 0 {
		die(ends.sig)
	}
}

// die runs the clean-ups and lets sig end the process by the kernel's default
// action, so that the parent sees in the wait status what it would see of C. The
// caller holds ends, which is not released any more: nobody enters HoldSignals,
// registers or dies a second time.
func die(sig unix.Signal) {
	for i := len(ends.cleanups) - 1; i >= 0; i-- {
		(*ends.cleanups[i])()
	}
	dieByDefault(sig)
	runtime.LockOSThread()
	unblock(sig)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
	os.Exit(128 + int(sig)) // process 1 of a container does not die of it
}

// unblock lets sig through to the calling thread: who started the program may
// have blocked it.
func unblock(sig unix.Signal) {
	var set unix.Sigset_t
	set.Val[(sig-1)/64] = 1 << ((sig - 1) % 64)
	unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
}
