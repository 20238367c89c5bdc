package main

import (
	"errors"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// A waiter makes calls that may block for ever.
type waiter struct {
	limit  time.Duration // for each call; 0 is none
	ended  chan struct{} // closed once the child has ended; nil before it started
	status error         // how it ended
}

// errEnded is what await fails with when the child ended during the call.
var errEnded = errors.New("gzip ended before the end of the data")

// await returns what call returns. It gives up when the child has ended, with
// errEnded, and when the limit has passed, with ETIMEDOUT. The call then goes on in
// the background, and what it uses must be left alone.
func await[T any](w *waiter, call func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := call()
		done <- result{v, err}
	}()
	var late <-chan time.Time
	if w.limit > 0 {
		late = time.After(w.limit)
	}
	var none T
	select {
	case r := <-done:
		return r.v, r.err
	case <-w.ended:
		return none, errEnded
	case <-late:
		return none, unix.ETIMEDOUT
	}
}

// watch waits for the child in the background.
func (w *waiter) watch(child *exec.Cmd) {
	w.ended = make(chan struct{})
	go func() {
		if err := child.Wait(); err != nil {
			w.status = fmt.Errorf("gzip: %w", err)
		}
		close(w.ended)
	}()
}

// failed returns the reason for err: how gzip ended, where its end is what err
// tells of. A gzip that has closed the FIFO gets a moment to end.
func (w *waiter) failed(err error) error {
	if errors.Is(err, errEnded) || errors.Is(err, unix.EPIPE) {
		select {
		case <-w.ended:
			if w.status != nil {
				return w.status
			}
		case <-time.After(time.Second):
		}
	}
	return err
}
