package mq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// pollOnce makes ReceiveContext wait once.
func pollOnce(t testing.TB, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		_, _, err := q.ReceiveContext(ctx, make([]byte, small.MsgSize))
		got <- err
	}()
	proctest.Until(t, "ReceiveContext waits", func() bool { return parked() > 0 })
	cancel()
	wantErr(t, <-got, context.Canceled)
}

func TestContextDelivers(t *testing.T) {
	q := newQueue(t)
	other := mustOpen(t, q.Name(), unix.O_RDWR)
	buf := make([]byte, small.MsgSize)
	type result struct {
		n    int
		prio uint32
		err  error
	}
	for i := range 50 {
		got := make(chan result, 1)
		go func() {
			n, prio, err := q.ReceiveContext(t.Context(), buf)
			got <- result{n, prio, err}
		}()
		proctest.Until(t, "ReceiveContext waits", func() bool { return parked() == 1 })
		if err := other.Send([]byte(strconv.Itoa(i)), uint32(i)); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r.err != nil || string(buf[:r.n]) != strconv.Itoa(i) || r.prio != uint32(i) {
			t.Fatalf("received %q, %+v", buf[:r.n], r)
		}
	}
	fill(t, q)
	for i := range 50 {
		got := make(chan error, 1)
		go func() { got <- q.SendContext(t.Context(), []byte(strconv.Itoa(i)), 7) }()
		proctest.Until(t, "SendContext waits", func() bool { return parked() == 1 })
		if _, _, err := other.Receive(buf); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
	if a, err := q.Attr(); err != nil || a.CurMsgs != small.MaxMsg {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestContextOne uses a queue that is either empty or full: what one direction
// waits for never looks like what the other waits for.
func TestContextOne(t *testing.T) {
	const n = 200
	q, err := Create(newName(t), unix.O_RDWR, 0o600, &Attr{MaxMsg: 1, MsgSize: small.MsgSize})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := q.SendContext(t.Context(), []byte(strconv.Itoa(i)), 0); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	proctest.Until(t, "SendContext waits", func() bool { return parked() == 1 })
	buf := make([]byte, small.MsgSize)
	for i := range n {
		n, _, err := q.ReceiveContext(t.Context(), buf)
		if err != nil || string(buf[:n]) != strconv.Itoa(i) {
			t.Fatalf("received %q, %v, want %d", buf[:n], err, i)
		}
	}
	wantErr(t, <-sent, nil)
}

func TestContextCancel(t *testing.T) {
	q := newQueue(t)
	buf := make([]byte, small.MsgSize)
	done, cancelled := context.WithCancel(context.Background())
	cancelled()

	// Done before: neither takes nor sends, though both could.
	wantErr(t, q.Send(nil, 0), nil)
	_, _, err := q.ReceiveContext(done, buf)
	wantErr(t, err, context.Canceled)
	wantErr(t, q.SendContext(done, nil, 0), context.Canceled)
	if a, err := q.Attr(); err != nil || a.CurMsgs != 1 {
		t.Errorf("%+v, %v", a, err)
	}

	for _, dir := range []struct {
		name    string
		prepare func(testing.TB, *Queue)
		call    func(context.Context) error
		release func() error
	}{
		{"Receive", drain,
			func(ctx context.Context) error {
				_, _, err := q.ReceiveContext(ctx, make([]byte, small.MsgSize))
				return err
			},
			func() error { return q.TrySend(nil, 0) }},
		{"Send", fill,
			func(ctx context.Context) error { return q.SendContext(ctx, nil, 0) },
			func() error { _, _, err := q.TryReceive(buf); return err }},
	} {
		t.Run(dir.name, func(t *testing.T) {
			dir.prepare(t, q)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			wantErr(t, dir.call(ctx), context.DeadlineExceeded)

			// Three wait; only one has the turn. Each is cancelled alone, the
			// last two in either order.
			const n = 3
			var cancels [n]context.CancelFunc
			var got [n]chan error
			for i := range n {
				ctx, cancel := context.WithCancel(context.Background())
				cancels[i] = cancel
				defer cancel()
				got[i] = make(chan error, 1)
				go func() { got[i] <- dir.call(ctx) }()
				proctest.Until(t, "one more waits", func() bool { return parked() == i+1 })
			}
			cancels[1]()
			wantErr(t, <-got[1], context.Canceled)
			cancels[0]()
			wantErr(t, <-got[0], context.Canceled)
			proctest.Until(t, "the last one waits", func() bool { return parked() == 1 })
			select {
			case err := <-got[2]:
				t.Fatalf("not cancelled, but: %v", err)
			default:
			}
			if err := dir.release(); err != nil {
				t.Fatal(err)
			}
			wantErr(t, <-got[2], nil)
		})
	}
}

func TestContextClose(t *testing.T) {
	q := newQueue(t)
	const n = 5
	got := make(chan error, n)
	for range n {
		go func() {
			_, _, err := q.ReceiveContext(t.Context(), make([]byte, small.MsgSize))
			got <- err
		}()
	}
	proctest.Until(t, "all wait", func() bool { return parked() == n })
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for range n {
		wantErr(t, <-got, os.ErrClosed)
	}
	var st unix.Stat_t
	proctest.Until(t, "the descriptor is closed", func() bool { return unix.Fstat(q.fd, &st) == unix.EBADF })
}

// TestContextCloseFirst: a call that Close overtakes makes nothing that nobody
// would wake or close.
func TestContextCloseFirst(t *testing.T) {
	q := newQueue(t)
	if !q.acquire() {
		t.Fatal("closed")
	}
	defer q.release()
	wantErr(t, q.Close(), nil)
	_, _, err := q.pollReceive(t.Context(), make([]byte, small.MsgSize))
	wantErr(t, err, os.ErrClosed)
	if q.readable.file != nil {
		t.Error("a descriptor was made after Close")
	}
}

// TestContextNothingLost has receivers give up at random moments: each message
// must reach exactly one.
func TestContextNothingLost(t *testing.T) {
	const senders, receivers, each = 3, 5, 400
	q := newQueue(t)
	var seen [senders * each]int
	var mu sync.Mutex
	all, stop := context.WithCancel(context.Background())
	defer stop()
	left := senders * each
	var wg sync.WaitGroup
	for range receivers {
		wg.Go(func() {
			buf := make([]byte, small.MsgSize)
			for all.Err() == nil {
				ctx, cancel := context.WithTimeout(all, time.Duration(rand.IntN(200))*time.Microsecond)
				n, _, err := q.ReceiveContext(ctx, buf)
				cancel()
				switch {
				case err == nil:
					mu.Lock()
					seen[binary.LittleEndian.Uint32(buf[:n])]++
					if left--; left == 0 {
						stop()
					}
					mu.Unlock()
				case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
					t.Error(err)
					return
				}
			}
		})
	}
	for s := range senders {
		wg.Go(func() {
			for i := 0; i < each; {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(200))*time.Microsecond)
				err := q.SendContext(ctx, binary.LittleEndian.AppendUint32(nil, uint32(s*each+i)), uint32(s))
				cancel()
				switch {
				case err == nil:
					i++
				case !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i, n := range seen {
		if n != 1 {
			t.Errorf("message %d arrived %d times", i, n)
		}
	}
}

// TestContextThreads: a hundred waiting goroutines do not cost a hundred
// threads. It runs in a process of its own, whose threads can be counted.
func TestContextThreads(t *testing.T) {
	name := newName(t)
	q := mustOpen(t, name, unix.O_RDWR|unix.O_CREAT)
	for _, how := range []string{"one", "each"} {
		p := proctest.Start(t, proctest.Command("threads", name, how))
		n, err := strconv.Atoi(p.Line())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("100 receivers, %s Queue: %d threads", how, n)
		if n > 25 {
			t.Errorf("100 receivers, %s Queue: %d threads", how, n)
		}
		for range 100 {
			if err := q.Send([]byte("x"), 0); err != nil {
				t.Fatal(err)
			}
		}
		p.Want("100")
		p.WantExit(0)
	}
}

func threads(args []string) error {
	const n = 100
	shared, err := Open(args[0], unix.O_RDONLY)
	if err != nil {
		return err
	}
	errs := make(chan error, n)
	for range n {
		q := shared
		if args[1] == "each" {
			if q, err = Open(args[0], unix.O_RDONLY); err != nil {
				return err
			}
		}
		go func() {
			_, _, err := q.ReceiveContext(context.Background(), make([]byte, 16))
			errs <- err
		}()
	}
	for parked() < n {
		runtime.Gosched()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "Threads:")
	fmt.Println(strings.Fields(after)[0])
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	fmt.Println(n)
	return nil
}
