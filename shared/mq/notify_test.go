package mq

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// registered tells whether a process is registered for q. If none is, this one
// is for a moment.
func registered(t testing.TB, q *Queue) bool {
	t.Helper()
	err := q.NotifyNone()
	if err == nil {
		wantErr(t, q.NotifyCancel(), nil)
		return false
	}
	wantErr(t, err, unix.EBUSY)
	return true
}

func wantNotice(t testing.TB, c <-chan Notice, want Notice) {
	t.Helper()
	select {
	case n, ok := <-c:
		if !ok || n != want {
			t.Errorf("notice %v, %t, want %v", n, ok, want)
		}
	case <-time.After(proctest.Patience):
		t.Fatalf("no notice, want %v", want)
	}
	if n, ok := <-c; ok {
		t.Errorf("a second notice: %v", n)
	}
}

func noNotice(t testing.TB, q *Queue, c <-chan Notice) {
	t.Helper()
	// The registration that is still there is the condition: the notice and
	// its end come together.
	if !registered(t, q) {
		t.Error("the registration is gone")
	}
	select {
	case n := <-c:
		t.Errorf("notice %v, want none", n)
	default:
	}
}

func notifyChan(t testing.TB, q *Queue) <-chan Notice {
	t.Helper()
	c, err := q.NotifyChan()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNotifyChan(t *testing.T) {
	q := newQueue(t)
	c := notifyChan(t, q)
	if !registered(t, q) {
		t.Error("not registered")
	}
	wantErr(t, q.Send([]byte("1"), 0), nil)
	wantNotice(t, c, Arrived)
	if registered(t, q) {
		t.Error("one notice did not end the registration")
	}

	// Again, on a queue that is not empty: only what comes to the empty one
	// counts. Register first, drain then.
	c = notifyChan(t, q)
	wantErr(t, q.Send([]byte("2"), 0), nil)
	noNotice(t, q, c)
	drain(t, q)
	noNotice(t, q, c)
	wantErr(t, q.Send(nil, 0), nil)
	wantNotice(t, c, Arrived)
	drain(t, q)

	c = notifyChan(t, q)
	_, err := q.NotifyChan()
	wantErr(t, err, unix.EBUSY)
	noNotice(t, q, c)
	wantErr(t, q.NotifyCancel(), nil)
	wantNotice(t, c, Removed)
	wantErr(t, q.NotifyCancel(), nil) // without one: nothing
}

// TestNotifyLoop is the loop that the documentation asks for: nothing is missed.
func TestNotifyLoop(t *testing.T) {
	const n = 300
	q := newQueue(t)
	other := mustOpen(t, q.Name(), unix.O_WRONLY)
	c := notifyChan(t, q)
	sent := make(chan error, 1)
	go func() {
		for range n {
			if err := other.Send([]byte("x"), 0); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	buf := make([]byte, small.MsgSize)
	for got := 0; got < n; {
		wantNotice(t, c, Arrived)
		c = notifyChan(t, q)
		for {
			_, _, err := q.TryReceive(buf)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
	}
	wantErr(t, <-sent, nil)
}

// TestNotifyReceivers: a blocked Receive gets the message in place of the
// notice, a ReceiveContext does not hold the notice back.
func TestNotifyReceivers(t *testing.T) {
	q := newQueue(t)
	buf := make([]byte, small.MsgSize)
	got := make(chan error, 1)
	go func() { _, _, err := q.Receive(buf); got <- err }()
	proctest.Until(t, "Receive blocks", func() bool { return blockedInKernel(q, unix.SYS_MQ_TIMEDRECEIVE) == 1 })
	c := notifyChan(t, q)
	wantErr(t, q.Send(nil, 0), nil)
	wantErr(t, <-got, nil)
	noNotice(t, q, c)

	go func() { _, _, err := q.ReceiveContext(t.Context(), buf); got <- err }()
	proctest.Until(t, "ReceiveContext waits", func() bool { return parked() == 1 })
	wantErr(t, q.Send(nil, 0), nil)
	wantErr(t, <-got, nil)
	wantNotice(t, c, Arrived)
}

// TestNotifyCloses: the close of any descriptor of the queue cancels, and
// nothing that the package closes by itself does.
func TestNotifyCloses(t *testing.T) {
	q := newQueue(t)
	c := notifyChan(t, q)
	pollOnce(t, q)
	q.readable.close()
	noNotice(t, q, c)

	other := mustOpen(t, q.Name(), unix.O_RDONLY)
	noNotice(t, q, c)
	wantErr(t, other.Close(), nil)
	wantNotice(t, c, Removed)

	c = notifyChan(t, q)
	wantErr(t, q.Close(), nil)
	wantNotice(t, c, Removed)
}

func TestNotifySignal(t *testing.T) {
	q := newQueue(t)
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1)
	defer signal.Stop(c)
	for range 3 {
		if err := q.NotifySignal(unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		wantErr(t, q.NotifySignal(unix.SIGUSR1), unix.EBUSY)
		wantErr(t, q.Send(nil, 0), nil)
		select {
		case <-c:
		case <-time.After(proctest.Patience):
			t.Fatal("no signal")
		}
		drain(t, q)
	}
	wantErr(t, q.NotifySignal(syscall.Signal(65)), unix.EINVAL)
	wantErr(t, q.NotifySignal(-1), unix.EINVAL)
}

func TestNotifyNone(t *testing.T) {
	q := newQueue(t)
	wantErr(t, q.NotifyNone(), nil)
	wantErr(t, q.NotifyNone(), unix.EBUSY)
	_, err := q.NotifyChan()
	wantErr(t, err, unix.EBUSY)
	wantErr(t, q.Send(nil, 0), nil) // ends it without a word
	if registered(t, q) {
		t.Error("still registered")
	}
}

// TestNotifyOtherProcess: one process at a time, and its death frees the place.
func TestNotifyOtherProcess(t *testing.T) {
	q := newQueue(t)
	p := proctest.Start(t, proctest.Command("register", q.Name()))
	p.Want("registered")
	_, err := q.NotifyChan()
	wantErr(t, err, unix.EBUSY)
	wantErr(t, q.NotifyCancel(), nil) // not ours: stays
	wantErr(t, q.NotifyNone(), unix.EBUSY)
	wantErr(t, q.Send(nil, 0), nil)
	p.Want("arrived")
	drain(t, q)
	p.Want("registered")
	p.Kill()
	wantNotice(t, func() <-chan Notice {
		c := notifyChan(t, q)
		wantErr(t, q.Send(nil, 0), nil)
		return c
	}(), Arrived)
}

func register(args []string) error {
	q, err := Open(args[0], unix.O_RDONLY)
	if err != nil {
		return err
	}
	for {
		c, err := q.NotifyChan()
		if err != nil {
			return err
		}
		fmt.Println("registered")
		fmt.Println(<-c)
	}
}
