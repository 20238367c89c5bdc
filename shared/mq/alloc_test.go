package mq

import (
	"context"
	"testing"
	"time"
)

// TestAllocs: a message that goes through does not allocate, nor does a try
// that fails, nor a wait in the kernel.
func TestAllocs(t *testing.T) {
	q := newQueue(t)
	msg, buf := []byte("message"), make([]byte, small.MsgSize)
	hour := time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pair := func(send func() error, receive func() (int, uint32, error)) func() {
		return func() {
			if err := send(); err != nil {
				t.Error(err)
			}
			if _, _, err := receive(); err != nil {
				t.Error(err)
			}
		}
	}
	// Ping-pong with a goroutine: every Receive has to wait.
	there, back := newQueue(t), newQueue(t)
	end := make(chan struct{})
	go func() {
		defer close(end)
		buf := make([]byte, small.MsgSize)
		for {
			n, _, err := there.Receive(buf)
			if n == 0 || err != nil {
				return
			}
			back.Send(buf[:n], 0)
		}
	}()
	for name, f := range map[string]func(){
		"plain": pair(func() error { return q.Send(msg, 1) }, func() (int, uint32, error) { return q.Receive(buf) }),
		"try":   pair(func() error { return q.TrySend(msg, 1) }, func() (int, uint32, error) { return q.TryReceive(buf) }),
		"until": pair(func() error { return q.SendUntil(msg, 1, hour) }, func() (int, uint32, error) { return q.ReceiveUntil(buf, hour) }),
		"ctx":   pair(func() error { return q.SendContext(ctx, msg, 1) }, func() (int, uint32, error) { return q.ReceiveContext(ctx, buf) }),
		"empty": func() { q.TryReceive(buf) },
		"ping-pong": func() {
			there.Send(msg, 0)
			back.Receive(buf)
		},
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	there.Send(nil, 0)
	<-end
}

func BenchmarkSendReceive(b *testing.B) {
	q := newQueue(b)
	msg, buf := []byte("message"), make([]byte, small.MsgSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Send(msg, 0); err != nil {
			b.Fatal(err)
		}
		if _, _, err := q.Receive(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTryReceiveEmpty(b *testing.B) {
	q := newQueue(b)
	buf := make([]byte, small.MsgSize)
	b.ReportAllocs()
	for b.Loop() {
		q.TryReceive(buf)
	}
}
