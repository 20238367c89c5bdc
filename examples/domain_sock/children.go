package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
)

// children are the processes that serve the connections.
type children struct {
	room chan struct{} // holds a value for each child that runs

	mu   sync.Mutex // from fork to entry, and from wait to removal: a pid in pids is a child
	pids map[int]bool
	over bool
}

func newChildren(max int) *children {
	c := &children{
		room: make(chan struct{}, max),
		pids: make(map[int]bool),
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			c.reap()
		}
	}()
	return c
}

// waitForRoom waits until fewer than the greatest number of children run.
func (c *children) waitForRoom() {
	c.room <- struct{}{}
	<-c.room
}

// start starts a child that serves conn. If there are no processes or descriptors
// left for it, it waits for one of the others to end, as long as there are others.
func (c *children) start(conn *os.File) error {
	c.room <- struct{}{}
	for {
		others, err := c.tryStart(conn)
		if err == nil {
			return nil
		}
		if !scarce(err) || !others {
			<-c.room
			return err
		}
		moment()
	}
}

func (c *children) tryStart(conn *os.File) (others bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false, os.ErrProcessDone
	}
	role := "connection"
	if len(c.room) > cap(c.room)/2 {
		role = "hasty" // with a client that keeps the others waiting
	}
	child := reexec.Command(role, conn)
	if err := child.Start(); err != nil {
		return len(c.pids) > 0, err
	}
	c.pids[child.Process.Pid] = true
	child.Process.Release() // reap waits for it
	return false, nil
}

// reap wraps waitpid(2) for the children that have ended. One SIGCHLD may stand for
// several of them. A child that failed has said why; of one that was killed nobody
// has heard.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		if !c.pids[pid] {
			continue
		}
		delete(c.pids, pid)
		<-c.room
		if status.Signaled() && !expected[status.Signal()] {
			report("child", fmt.Errorf("signal: %v", status.Signal()))
		}
	}
}

// expected are the deaths of which there is nothing to say: of a reader of standard
// output that is gone, and of a signal that a terminal sends to the children, too.
var expected = map[unix.Signal]bool{unix.SIGPIPE: true, unix.SIGINT: true, unix.SIGTERM: true, unix.SIGHUP: true}

// end ends all children and waits for them. No child starts after it.
func (c *children) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for pid := range c.pids {
		unix.Kill(pid, unix.SIGKILL)
	}
	for pid := range c.pids {
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
		delete(c.pids, pid)
	}
}

// scarce tells whether err says that something has run out for the moment.
func scarce(err error) bool {
	for _, errno := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// moment waits before something scarce is asked for again.
func moment() { unix.Poll(nil, 50) }

// report says on standard error what a server that goes on has met.
func report(call string, err error) {
	fmt.Fprintf(prog.Stderr, "domain_sock: %s: %v\n", call, err)
}
