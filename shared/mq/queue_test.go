package mq

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/ctest"
	"ipcbook/shared/internal/proctest"
)

func TestNames(t *testing.T) {
	long := "/" + strings.Repeat("n", 256)
	tests := []struct {
		name string
		want error
	}{
		{"", unix.EINVAL},
		{"q", unix.EINVAL},
		{"q/r", unix.EINVAL},
		{"/q\x00r", unix.EINVAL},
		{"/", unix.ENOENT},
		{"//", unix.EACCES},
		{"/q/r", unix.EACCES},
		{"/q/", unix.EACCES},
		{"/.", unix.EACCES},
		{"/..", unix.EACCES},
		{long, unix.ENAMETOOLONG},
		{"/" + strings.Repeat("n", 5000), unix.ENAMETOOLONG},
		{fmt.Sprintf("/absent.%d", os.Getpid()), unix.ENOENT},
	}
	for _, tt := range tests {
		for _, call := range []struct {
			op string
			f  func() error
		}{
			{"mq_open", func() error { _, err := Open(tt.name, unix.O_RDWR); return err }},
			{"mq_open", func() error {
				if strings.HasPrefix(tt.name, "/absent") {
					return &fs.PathError{Op: "mq_open", Path: tt.name, Err: tt.want} // it would be made
				}
				_, err := Create(tt.name, unix.O_RDWR, 0o600, nil)
				return err
			}},
			{"mq_unlink", func() error { return Unlink(tt.name) }},
		} {
			err := call.f()
			var pe *fs.PathError
			if !errors.As(err, &pe) || pe.Op != call.op || pe.Path != tt.name || pe.Err != tt.want {
				t.Errorf("%s %.20q: got %v, want %v", call.op, tt.name, err, tt.want)
			}
		}
	}
	// The longest name that fits, with any byte in it.
	for _, name := range []string{
		("/" + strings.Repeat("n", 255-12) + fmt.Sprintf("%012d", os.Getpid())),
		fmt.Sprintf("/.%d \xff\n%%s", os.Getpid()),
	} {
		q, err := Create(name, unix.O_RDWR|unix.O_EXCL, 0o600, small)
		if err != nil {
			t.Error(err)
			continue
		}
		q.Close()
		if err := Unlink(name); err != nil {
			t.Error(err)
		}
	}
}

func TestCreateAndOpen(t *testing.T) {
	name := newName(t)
	_, err := Open(name, unix.O_RDWR)
	wantErr(t, err, fs.ErrNotExist)
	_, err = Open(name, unix.O_RDWR|unix.O_CREAT)
	wantErr(t, err, unix.EINVAL)

	old := unix.Umask(0o027)
	q, err := Create(name, unix.O_RDWR|unix.O_EXCL, 0o666, small)
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if q.Name() != name {
		t.Errorf("Name() = %q", q.Name())
	}
	var st unix.Stat_t
	if err := unix.Fstat(q.fd, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode&0o7777 != 0o640 {
		t.Errorf("mode %o, want 640: 666 less the umask", st.Mode&0o7777)
	}
	flags, err := unix.FcntlInt(uintptr(q.fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
	}

	_, err = Create(name, unix.O_RDWR|unix.O_EXCL, 0o600, small)
	wantErr(t, err, fs.ErrExist)
	// On a queue that exists nobody looks at the attributes, even bad ones.
	again, err := Create(name, unix.O_RDWR, 0o600, &Attr{MaxMsg: -1, MsgSize: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	a, err := again.Attr()
	if err != nil || a.MaxMsg != small.MaxMsg || a.MsgSize != small.MsgSize {
		t.Errorf("attributes %+v, %v, want the first ones", a, err)
	}

	if err := Unlink(name); err != nil {
		t.Fatal(err)
	}
	wantErr(t, Unlink(name), fs.ErrNotExist)
	_, err = Open(name, unix.O_RDWR)
	wantErr(t, err, fs.ErrNotExist)
	// The open descriptors go on.
	if err := q.Send([]byte("after"), 1); err != nil {
		t.Error(err)
	}
	buf := make([]byte, small.MsgSize)
	if n, prio, err := again.Receive(buf); err != nil || string(buf[:n]) != "after" || prio != 1 {
		t.Errorf("received %q, %d, %v", buf[:n], prio, err)
	}
	_, err = Open(newQueue(t).Name(), unix.O_RDWR|unix.O_WRONLY)
	wantErr(t, err, unix.EINVAL)
}

func sysctl(t *testing.T, name string) int64 {
	b, err := os.ReadFile("/proc/sys/fs/mqueue/" + name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAttributes(t *testing.T) {
	q, err := Create(newName(t), unix.O_RDWR|unix.O_NONBLOCK, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	q.Send(nil, 0)
	got, err := q.Attr()
	want := Attr{
		Flags:   unix.O_NONBLOCK,
		MaxMsg:  min(sysctl(t, "msg_max"), sysctl(t, "msg_default")),
		MsgSize: min(sysctl(t, "msgsize_max"), sysctl(t, "msgsize_default")),
		CurMsgs: 1,
	}
	if err != nil || got != want {
		t.Errorf("defaults %+v, %v, want %+v", got, err, want)
	}

	// Never allowed: not positive, above the ceilings even of CAP_SYS_RESOURCE.
	for _, a := range []Attr{
		{MaxMsg: 0, MsgSize: 1}, {MaxMsg: 1, MsgSize: 0}, {MaxMsg: -1, MsgSize: 1}, {MaxMsg: 1, MsgSize: -1},
		{MaxMsg: 65537, MsgSize: 1}, {MaxMsg: 1, MsgSize: 16<<20 + 1}, {MaxMsg: 1 << 62, MsgSize: 1 << 62},
	} {
		_, err := Create(newName(t), unix.O_RDWR, 0o600, &a)
		wantErr(t, err, unix.EINVAL)
	}
	// Allowed with CAP_SYS_RESOURCE only.
	a := Attr{MaxMsg: sysctl(t, "msg_max") + 1, MsgSize: 1}
	switch q, err := Create(newName(t), unix.O_RDWR, 0o600, &a); {
	case err == nil:
		defer q.Close()
		if got, err := q.Attr(); err != nil || got.MaxMsg != a.MaxMsg {
			t.Errorf("attributes %+v, %v", got, err)
		}
	default:
		wantErr(t, err, unix.EINVAL)
	}
}

func TestSetNonblock(t *testing.T) {
	q := newQueue(t)
	other := mustOpen(t, q.Name(), unix.O_RDWR)
	buf := make([]byte, small.MsgSize)
	if err := q.SetNonblock(true); err != nil {
		t.Fatal(err)
	}
	if a, err := q.Attr(); err != nil || a.Flags != unix.O_NONBLOCK {
		t.Errorf("attributes %+v, %v", a, err)
	}
	if a, err := other.Attr(); err != nil || a.Flags != 0 {
		t.Errorf("another description: attributes %+v, %v", a, err)
	}
	// Now no form waits.
	_, _, err := q.Receive(buf)
	wantErr(t, err, unix.EAGAIN)
	_, _, err = q.ReceiveUntil(buf, time.Now().Add(time.Hour))
	wantErr(t, err, unix.EAGAIN)
	_, _, err = q.ReceiveContext(t.Context(), buf)
	wantErr(t, err, unix.EAGAIN)
	fill(t, q)
	wantErr(t, q.Send(nil, 0), unix.EAGAIN)
	wantErr(t, q.SendUntil(nil, 0, time.Now().Add(time.Hour)), unix.EAGAIN)
	wantErr(t, q.SendContext(t.Context(), nil, 0), unix.EAGAIN)
	if err := q.SetNonblock(false); err != nil {
		t.Fatal(err)
	}
	if a, err := q.Attr(); err != nil || a.Flags != 0 || a.CurMsgs != small.MaxMsg {
		t.Errorf("attributes %+v, %v", a, err)
	}
	// The kernel knows no other flag.
	if errno := mqGetsetattr(q.fd, &Attr{Flags: unix.O_APPEND}, nil); errno != unix.EINVAL {
		t.Errorf("mq_setattr with O_APPEND: %v", errno)
	}
}

// TestErrors goes through the table of errors of mq_overview(7) in every form
// of the calls.
func TestErrors(t *testing.T) {
	q := newQueue(t)
	rd, wr := mustOpen(t, q.Name(), unix.O_RDONLY), mustOpen(t, q.Name(), unix.O_WRONLY)
	hour := time.Now().Add(time.Hour)
	past := time.Now().Add(-time.Hour)

	sends := map[string]func(q *Queue, msg []byte, prio uint32) error{
		"Send":        (*Queue).Send,
		"TrySend":     (*Queue).TrySend,
		"SendUntil":   func(q *Queue, m []byte, p uint32) error { return q.SendUntil(m, p, hour) },
		"SendContext": func(q *Queue, m []byte, p uint32) error { return q.SendContext(t.Context(), m, p) },
	}
	for name, send := range sends {
		t.Run(name, func(t *testing.T) {
			wantErr(t, send(q, nil, PrioMax), unix.EINVAL)
			wantErr(t, send(q, nil, 1<<32-1), unix.EINVAL)
			wantErr(t, send(q, make([]byte, small.MsgSize+1), 0), unix.EMSGSIZE)
			wantErr(t, send(q, make([]byte, 1<<20), 0), unix.EMSGSIZE)
			wantErr(t, send(rd, nil, 0), unix.EBADF)
			fill(t, q) // the errors come before the wait for room
			wantErr(t, send(q, nil, PrioMax), unix.EINVAL)
			wantErr(t, send(q, make([]byte, small.MsgSize+1), 0), unix.EMSGSIZE)
			drain(t, q)
		})
	}
	receives := map[string]func(q *Queue, buf []byte) (int, uint32, error){
		"Receive":        (*Queue).Receive,
		"TryReceive":     (*Queue).TryReceive,
		"ReceiveUntil":   func(q *Queue, b []byte) (int, uint32, error) { return q.ReceiveUntil(b, hour) },
		"ReceiveContext": func(q *Queue, b []byte) (int, uint32, error) { return q.ReceiveContext(t.Context(), b) },
	}
	for name, receive := range receives {
		t.Run(name, func(t *testing.T) {
			for range 2 { // empty, where it comes before the wait, and not
				for _, buf := range [][]byte{nil, {}, make([]byte, small.MsgSize-1)} {
					_, _, err := receive(q, buf)
					wantErr(t, err, unix.EMSGSIZE)
				}
				_, _, err := receive(wr, make([]byte, small.MsgSize))
				wantErr(t, err, unix.EBADF)
				q.TrySend([]byte("x"), 0)
			}
			drain(t, q)
		})
	}

	wantErr(t, q.SendUntil([]byte("there is room"), 0, past), nil)
	buf := make([]byte, small.MsgSize)
	_, _, err := q.ReceiveUntil(buf, past)
	wantErr(t, err, nil)
	for _, deadline := range []time.Time{past, time.Unix(0, 0), time.Unix(-5, 0), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, _, err = q.ReceiveUntil(buf, deadline)
		wantErr(t, err, unix.ETIMEDOUT)
		fill(t, q)
		wantErr(t, q.SendUntil(nil, 0, deadline), unix.ETIMEDOUT)
		drain(t, q)
	}
	_, _, err = q.TryReceive(buf)
	wantErr(t, err, unix.EAGAIN)
	fill(t, q)
	wantErr(t, q.TrySend(nil, 0), unix.EAGAIN)

	// A bad time is refused even where there is nothing to wait for.
	for _, ts := range []unix.Timespec{{Sec: -1}, {Nsec: -1}, {Nsec: 1e9}} {
		if _, _, errno := mqTimedreceive(q.fd, buf, &ts); errno != unix.EINVAL {
			t.Errorf("mq_timedreceive until %v: %v", ts, errno)
		}
	}
}

func TestNotAQueue(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	q := &Queue{fd: int(f.Fd())}
	wantErr(t, q.Send(nil, 0), unix.EBADF)
	_, _, err = q.Receive(nil)
	wantErr(t, err, unix.EBADF)
	_, err = q.Attr()
	wantErr(t, err, unix.EBADF)
	wantErr(t, q.SetNonblock(true), unix.EBADF)
	wantErr(t, q.NotifyNone(), unix.EBADF)
	wantErr(t, q.NotifyCancel(), unix.EBADF)
}

func drain(t testing.TB, q *Queue) {
	t.Helper()
	buf := make([]byte, small.MsgSize)
	for {
		_, _, err := q.TryReceive(buf)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMessages(t *testing.T) {
	q := newQueue(t)
	for _, msg := range [][]byte{nil, {}, {0}, []byte("\xff\x00\n"), bytes.Repeat([]byte("m"), int(small.MsgSize))} {
		for _, prio := range []uint32{0, 1, PrioMax - 1} {
			if err := q.Send(msg, prio); err != nil {
				t.Fatal(err)
			}
			buf := bytes.Repeat([]byte("-"), int(small.MsgSize)+5)
			n, p, err := q.Receive(buf)
			if err != nil || p != prio || !bytes.Equal(buf[:n], msg) {
				t.Errorf("sent %q with priority %d, received %q, %d, %v", msg, prio, buf[:n], p, err)
			}
			if rest := bytes.Trim(buf[n:], "-"); len(rest) > 0 {
				t.Errorf("bytes behind the message were touched: %q", rest)
			}
		}
	}
}

// TestLargeMessage takes the way of messages that are too long to be tried
// without telling the scheduler, where the system allows such.
func TestLargeMessage(t *testing.T) {
	const size = smallCopy * 2
	q, err := Create(newName(t), unix.O_RDWR, 0o600, &Attr{MaxMsg: 2, MsgSize: size})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EMFILE) {
		// msgsize_max is below: the buffer alone may be that long.
		q = newQueue(t)
	} else if err != nil {
		t.Fatal(err)
	} else {
		defer q.Close()
	}
	a, err := q.Attr()
	if err != nil {
		t.Fatal(err)
	}
	msg := bytes.Repeat([]byte("large"), size/5+1)[:a.MsgSize]
	buf := make([]byte, size)
	_, _, err = q.TryReceive(buf)
	wantErr(t, err, unix.EAGAIN)
	for range a.MaxMsg {
		wantErr(t, q.Send(msg, 3), nil)
	}
	wantErr(t, q.TrySend(msg, 3), unix.EAGAIN)
	wantErr(t, q.SendUntil(msg, 3, time.Now().Add(2*spinRoom)), unix.ETIMEDOUT)
	for range a.MaxMsg {
		n, prio, err := q.Receive(buf)
		if err != nil || prio != 3 || !bytes.Equal(buf[:n], msg) {
			t.Errorf("received %d bytes, priority %d, %v", n, prio, err)
		}
	}
}

func TestPollable(t *testing.T) {
	q := newQueue(t)
	ready := func() int16 {
		p := []unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN | unix.POLLOUT}}
		if _, err := unix.Poll(p, 0); err != nil {
			t.Fatal(err)
		}
		return p[0].Revents
	}
	if r := ready(); r != unix.POLLOUT {
		t.Errorf("empty: %#x", r)
	}
	q.Send(nil, 0)
	if r := ready(); r != unix.POLLIN|unix.POLLOUT {
		t.Errorf("neither empty nor full: %#x", r)
	}
	fill(t, q)
	if r := ready(); r != unix.POLLIN {
		t.Errorf("full: %#x", r)
	}
}

func TestBlocking(t *testing.T) {
	t.Run("Receive", func(t *testing.T) {
		q := newQueue(t)
		testBlocking(t, q, unix.SYS_MQ_TIMEDRECEIVE, func() error {
			_, _, err := q.Receive(make([]byte, small.MsgSize))
			return err
		}, func() error { return q.Send([]byte("x"), 0) })
	})
	t.Run("ReceiveUntil", func(t *testing.T) {
		q := newQueue(t)
		testBlocking(t, q, unix.SYS_MQ_TIMEDRECEIVE, func() error {
			_, _, err := q.ReceiveUntil(make([]byte, small.MsgSize), time.Now().Add(time.Hour))
			return err
		}, func() error { return q.Send([]byte("x"), 0) })
	})
	t.Run("Send", func(t *testing.T) {
		q := newQueue(t)
		fill(t, q)
		testBlocking(t, q, unix.SYS_MQ_TIMEDSEND, func() error { return q.Send([]byte("x"), 0) }, func() error {
			_, _, err := q.Receive(make([]byte, small.MsgSize))
			return err
		})
	})
	t.Run("SendUntil", func(t *testing.T) {
		q := newQueue(t)
		fill(t, q)
		testBlocking(t, q, unix.SYS_MQ_TIMEDSEND, func() error {
			return q.SendUntil([]byte("x"), 0, time.Time{})
		}, func() error {
			_, _, err := q.Receive(make([]byte, small.MsgSize))
			return err
		})
	})
}

// testBlocking sees the call sleep in the kernel, through signals too, and
// return after release.
func testBlocking(t *testing.T, q *Queue, trap int, call, release func() error) {
	returned := make(chan error, 1)
	go func() { returned <- call() }()
	proctest.Until(t, "the call blocks", func() bool { return blockedInKernel(q, trap) == 1 })
	for range 100 {
		unix.Kill(os.Getpid(), unix.SIGURG) // the runtime has a handler and ignores it
	}
	proctest.Until(t, "the call blocks again", func() bool { return blockedInKernel(q, trap) == 1 })
	select {
	case err := <-returned:
		t.Fatalf("returned before release: %v", err)
	default:
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := <-returned; err != nil {
		t.Fatal(err)
	}
}

func TestDeadline(t *testing.T) {
	q := newQueue(t)
	buf := make([]byte, small.MsgSize)
	for _, d := range []time.Duration{time.Microsecond, spinRoom / 2, 20 * time.Millisecond} {
		deadline := time.Now().Add(d)
		_, _, err := q.ReceiveUntil(buf, deadline)
		wantErr(t, err, unix.ETIMEDOUT)
		// Round strips the monotonic clock: the kernel waited for the time of day.
		if now := time.Now().Round(0); now.Before(deadline.Round(0)) {
			t.Errorf("ETIMEDOUT %v before the deadline", deadline.Sub(now))
		}
	}
	fill(t, q)
	deadline := time.Now().Add(20 * time.Millisecond)
	wantErr(t, q.SendUntil(nil, 0, deadline), unix.ETIMEDOUT)
	if now := time.Now().Round(0); now.Before(deadline.Round(0)) {
		t.Errorf("ETIMEDOUT %v before the deadline", deadline.Sub(now))
	}
}

func TestClosed(t *testing.T) {
	q := newQueue(t)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, small.MsgSize)
	calls := map[string]func() error{
		"mq_close":        q.Close,
		"mq_send":         func() error { return q.Send(nil, 0) },
		"try mq_send":     func() error { return q.TrySend(nil, 0) },
		"mq_timedsend":    func() error { return q.SendUntil(nil, 0, time.Unix(1, 0)) },
		"ctx mq_send":     func() error { return q.SendContext(t.Context(), nil, 0) },
		"mq_receive":      func() error { _, _, err := q.Receive(buf); return err },
		"try mq_receive":  func() error { _, _, err := q.TryReceive(buf); return err },
		"mq_timedreceive": func() error { _, _, err := q.ReceiveUntil(buf, time.Unix(1, 0)); return err },
		"ctx mq_receive":  func() error { _, _, err := q.ReceiveContext(t.Context(), buf); return err },
		"mq_getattr":      func() error { _, err := q.Attr(); return err },
		"mq_setattr":      func() error { return q.SetNonblock(true) },
		"mq_notify":       q.NotifyNone,
		"sig mq_notify":   func() error { return q.NotifySignal(unix.SIGURG) },
		"chan mq_notify":  func() error { _, err := q.NotifyChan(); return err },
		"no mq_notify":    q.NotifyCancel,
	}
	for op, call := range calls {
		err := call()
		var pe *fs.PathError
		if !errors.As(err, &pe) || pe.Err != os.ErrClosed || pe.Path != q.Name() || !strings.HasSuffix(op, pe.Op) {
			t.Errorf("%s after Close: %v", op, err)
		}
	}
}

// TestCloseWhileBlocked: Close returns, the blocked call goes on, and the
// descriptor lives until it has returned.
func TestCloseWhileBlocked(t *testing.T) {
	q := newQueue(t)
	other := mustOpen(t, q.Name(), unix.O_RDWR)
	returned := make(chan error, 1)
	buf := make([]byte, small.MsgSize)
	go func() {
		_, _, err := q.Receive(buf)
		returned <- err
	}()
	proctest.Until(t, "Receive blocks", func() bool { return blockedInKernel(q, unix.SYS_MQ_TIMEDRECEIVE) == 1 })
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := q.TryReceive(buf)
	wantErr(t, err, os.ErrClosed)
	if blockedInKernel(q, unix.SYS_MQ_TIMEDRECEIVE) != 1 {
		t.Error("Close woke Receive")
	}
	var st unix.Stat_t
	if err := unix.Fstat(q.fd, &st); err != nil {
		t.Errorf("the descriptor is closed under a blocked call: %v", err)
	}
	if err := other.Send([]byte("late"), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-returned; err != nil || string(buf[:4]) != "late" {
		t.Errorf("received %q, %v", buf[:4], err)
	}
	if err := unix.Fstat(q.fd, &st); err != unix.EBADF {
		t.Errorf("after the last call the descriptor is still open: %v", err)
	}
}

// TestCloseRace closes while others call. A call that used the number of a
// closed descriptor would reach the bystander that takes the number.
func TestCloseRace(t *testing.T) {
	bystander := newName(t)
	name := newName(t)
	for range 100 {
		q := mustOpen(t, name, unix.O_RDWR|unix.O_CREAT)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				buf := make([]byte, small.MsgSize)
				<-start
				for {
					var err error
					if i%2 == 0 {
						err = q.TrySend([]byte("stray"), 1)
					} else {
						_, _, err = q.TryReceive(buf)
					}
					if errors.Is(err, os.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, unix.EAGAIN) {
						t.Error(err)
						return
					}
				}
			})
		}
		close(start)
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		b := mustOpen(t, bystander, unix.O_RDWR|unix.O_CREAT)
		wg.Wait()
		if a, err := b.Attr(); err != nil || a.CurMsgs != 0 {
			t.Fatalf("a message went to another queue: %+v, %v", a, err)
		}
		b.Close()
	}
}

// TestPermission needs a user without privileges to see EACCES.
func TestPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		u, err := user.Lookup("nobody")
		if err != nil {
			ctest.Skip(t, "no user nobody: %v", err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setresuid(-1, uid, 0); err != nil {
			ctest.Skip(t, "cannot become nobody: %v", err)
		}
		defer syscall.Setresuid(-1, 0, 0)
	}
	name := newName(t)
	q, err := Create(name, unix.O_RDWR, 0o200, small)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	_, err = Open(name, unix.O_RDONLY)
	wantErr(t, err, fs.ErrPermission)
	wantErr(t, err, unix.EACCES)
	w, err := Open(name, unix.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	wantErr(t, w.Send(nil, 0), nil)
	// The maker's descriptor reads in spite of the mode, waiting forms too.
	buf := make([]byte, small.MsgSize)
	_, _, err = q.ReceiveContext(t.Context(), buf)
	wantErr(t, err, nil)
}

func TestLimitBytes(t *testing.T) {
	const rlimitMsgqueue = 12
	var old unix.Rlimit
	if err := unix.Getrlimit(rlimitMsgqueue, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(rlimitMsgqueue, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(rlimitMsgqueue, &old)
	_, err := Create(newName(t), unix.O_RDWR, 0o600, small)
	wantErr(t, err, unix.EMFILE)
}

// TestLimitQueues wants an IPC namespace of its own, where queues_max is small
// and the peer has no privilege over the machine.
func TestLimitQueues(t *testing.T) {
	cmd := proctest.Command("nospace")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	got, skip := strings.CutPrefix(strings.TrimSpace(string(out)), "skip: ")
	switch {
	case skip:
		ctest.Skip(t, "queues_max cannot be set: %s", got)
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC):
		ctest.Skip(t, "no user namespaces: %v", err)
	case err != nil:
		t.Error(err)
	case got != unix.ENOSPC.Error():
		t.Errorf("one queue more than queues_max: %s", got)
	}
}

func nospace([]string) error {
	// The first queue of a new namespace is counted like any other.
	if err := os.WriteFile("/proc/sys/fs/mqueue/queues_max", []byte("1"), 0); err != nil {
		fmt.Println("skip:", err)
		return nil
	}
	for i := range 2 {
		q, err := Create(fmt.Sprintf("/q%d", i), unix.O_RDWR, 0o600, small)
		if err != nil {
			fmt.Println(errors.Unwrap(err))
			return nil
		}
		defer q.Close()
	}
	fmt.Println("no error")
	return nil
}

// openFDs lists what this process has open.
func openFDs(t testing.TB) (targets []string) {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ents {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil { // it may be the directory that was just read
			targets = append(targets, to)
		}
	}
	return targets
}

// TestNoLeak opens, waits, registers and closes, and looks at /proc/self/fd.
func TestNoLeak(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a finalizer would close what Close forgot
	cycle := func() {
		q := mustOpen(t, newName(t), unix.O_RDWR|unix.O_CREAT)
		notice, err := q.NotifyChan()
		if err != nil {
			t.Fatal(err)
		}
		pollOnce(t, q)
		fill(t, q)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		for range notice { // its socket is closed before it is
		}
	}
	cycle() // the runtime's own descriptors
	count := func() (n int) {
		for _, to := range openFDs(t) {
			if strings.HasPrefix(to, "anon_inode:[eventpoll]") || strings.HasPrefix(to, "socket:") ||
				strings.HasPrefix(to, "/") && strings.Contains(filepath.Base(to), t.Name()) {
				n++
			}
		}
		return n
	}
	before := count()
	for range 20 {
		cycle()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
