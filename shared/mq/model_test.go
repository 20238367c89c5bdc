package mq

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

type message struct {
	prio uint32
	data []byte
}

// model is what a queue should be: messages in the order of arrival.
type model struct {
	attr Attr
	msgs []message
}

func (m *model) send(msg message) error {
	switch {
	case msg.prio >= PrioMax:
		return unix.EINVAL
	case len(msg.data) > int(m.attr.MsgSize):
		return unix.EMSGSIZE
	case len(m.msgs) == int(m.attr.MaxMsg):
		return unix.EAGAIN
	}
	m.msgs = append(m.msgs, msg)
	return nil
}

func (m *model) receive(size int) (message, error) {
	if size < int(m.attr.MsgSize) {
		return message{}, unix.EMSGSIZE
	}
	if len(m.msgs) == 0 {
		return message{}, unix.EAGAIN
	}
	first := 0 // of the highest priority
	for i, msg := range m.msgs {
		if msg.prio > m.msgs[first].prio {
			first = i
		}
	}
	msg := m.msgs[first]
	m.msgs = slices.Delete(m.msgs, first, first+1)
	return msg, nil
}

// TestModel runs random calls on two descriptors of a queue and on the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := model{attr: Attr{
			MaxMsg:  rapid.Int64Range(1, 6).Draw(rt, "maxmsg"),
			MsgSize: rapid.Int64Range(1, 24).Draw(rt, "msgsize"),
		}}
		name := newName(t)
		var qs [2]*Queue
		for i := range qs {
			q, err := Create(name, unix.O_RDWR, 0o600, &m.attr)
			if err != nil {
				rt.Fatal(err)
			}
			defer q.Close()
			qs[i] = q
		}
		defer Unlink(name)

		q := func(rt *rapid.T) *Queue { return rapid.SampledFrom(qs[:]).Draw(rt, "descriptor") }
		past := time.Unix(1, 0)
		// Few priorities, so that equals meet; the odd ones, too.
		prios := rapid.SampledFrom([]uint32{0, 0, 1, 1, 2, 7, PrioMax - 1, PrioMax, 1<<32 - 1})
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				a, err := q(rt).Attr()
				want := m.attr
				want.CurMsgs = int64(len(m.msgs))
				a.Flags = 0
				if err != nil || a != want {
					rt.Fatalf("attributes %+v, %v, want %+v", a, err, want)
				}
			},
			"send": func(rt *rapid.T) {
				msg := message{prios.Draw(rt, "prio"), rapid.SliceOfN(rapid.Byte(), 0, int(m.attr.MsgSize)+1).Draw(rt, "data")}
				want := m.send(msg)
				var err error
				switch rapid.IntRange(0, 1).Draw(rt, "form") {
				case 0:
					err = q(rt).TrySend(msg.data, msg.prio)
				case 1:
					if want == unix.EAGAIN {
						want = unix.ETIMEDOUT
					}
					d := q(rt)
					err = d.SendUntil(msg.data, msg.prio, past)
					if a, _ := d.Attr(); a.Flags != 0 && want == unix.ETIMEDOUT {
						want = unix.EAGAIN
					}
				}
				if !errors.Is(err, want) {
					rt.Fatalf("send %+v: %v, want %v", msg, err, want)
				}
			},
			"receive": func(rt *rapid.T) {
				buf := make([]byte, rapid.IntRange(int(m.attr.MsgSize)-1, int(m.attr.MsgSize)+1).Draw(rt, "size"))
				want, wantErr := m.receive(len(buf))
				n, prio, err := q(rt).TryReceive(buf)
				if !errors.Is(err, wantErr) || prio != want.prio || !bytes.Equal(buf[:n], want.data) {
					rt.Fatalf("received %q, %d, %v, want %+v, %v", buf[:n], prio, err, want, wantErr)
				}
			},
			"nonblock": func(rt *rapid.T) {
				if err := q(rt).SetNonblock(rapid.Bool().Draw(rt, "on")); err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}
