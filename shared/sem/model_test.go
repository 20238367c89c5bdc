package sem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ipcbook/shared/internal/proctest"
)

// model is a semaphore as a number and the set of those who wait for it, beside
// the semaphore of real processes, Go and C.
type model struct {
	t     testing.TB
	sem   *Sem
	start []func() *proctest.Proc
	procs []*proctest.Proc

	value   int
	blocked []int // processes that wait
	dead    int   // registrations of killed waiters
}

func (m *model) reset(rt *rapid.T) {
	if m.value < 0 { // the run before has failed: nobody knows where the processes are
		for i, p := range m.procs {
			p.Kill()
			m.procs[i] = m.start[i]()
		}
		m.blocked = nil
	}
	for len(m.blocked) > 0 {
		m.post(rt, m.idle()[0])
	}
	m.value, m.dead = 0, 0
	if err := m.sem.Init(0); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) idle() (idle []int) {
	for i := range m.procs {
		if !slices.Contains(m.blocked, i) {
			idle = append(idle, i)
		}
	}
	return idle
}

func (m *model) post(rt *rapid.T, i int) {
	m.ask(rt, i, "post 0", "ok")
	if len(m.blocked) == 0 {
		m.value++
		return
	}
	// One of those who wait has it, and only one.
	released := -1
	proctest.Until(m.t, "a blocked waiter to return", func() bool {
		for at, i := range m.blocked {
			if line, ok := m.procs[i].LineWithin(time.Microsecond); ok {
				if line != "ok" {
					rt.Fatalf("wait of %d = %q", i, line)
				}
				released = at
				return true
			}
		}
		return false
	})
	m.blocked = slices.Delete(m.blocked, released, released+1)
}

func (m *model) ask(rt *rapid.T, i int, command, want string) {
	m.procs[i].Say("%s", command)
	if got := m.procs[i].Line(); got != want {
		rt.Fatalf("process %d: %s = %q, want %q", i, command, got, want)
	}
}

// take is an operation that does not block.
func (m *model) take(rt *rapid.T, i int, command, otherwise string) {
	if m.value == 0 {
		m.ask(rt, i, command, otherwise)
		return
	}
	m.ask(rt, i, command, "ok")
	m.value--
}

func (m *model) check(rt *rapid.T) {
	if v, err := m.sem.Value(); v != m.value || err != nil {
		rt.Fatalf("value = %d, %v; want %d", v, err, m.value)
	}
	proctest.Until(m.t, "registered waiters", func() bool { return waiters(m.sem) == len(m.blocked)+m.dead })
	for _, i := range m.blocked {
		if line, ok := m.procs[i].LineWithin(time.Microsecond); ok {
			rt.Fatalf("wait of %d = %q beside a value of 0", i, line)
		}
	}
}

func (m *model) run(rt *rapid.T) {
	m.reset(rt)
	value := m.value
	defer func() {
		if rt.Failed() {
			value = -1
		}
		m.value = value
	}()
	pick := func(rt *rapid.T) int { return rapid.SampledFrom(m.idle()).Draw(rt, "process") }
	rt.Repeat(map[string]func(*rapid.T){
		"post":       func(rt *rapid.T) { m.post(rt, pick(rt)) },
		"post again": func(rt *rapid.T) { m.post(rt, pick(rt)) }, // as often as value is taken
		"try":        func(rt *rapid.T) { m.take(rt, pick(rt), "try 0", "EAGAIN") },
		"timed":      func(rt *rapid.T) { m.take(rt, pick(rt), "timed 0 1", "ETIMEDOUT") },
		"over":       func(rt *rapid.T) { m.take(rt, pick(rt), "timed 0 0", "ETIMEDOUT") },
		"value":      func(rt *rapid.T) { m.ask(rt, pick(rt), "value 0", fmt.Sprint("ok ", m.value)) },
		"wait": func(rt *rapid.T) {
			i := pick(rt)
			switch {
			case m.value > 0:
				m.take(rt, i, "wait 0", "")
			case len(m.idle()) == 1:
				rt.Skip("somebody must stay awake")
			default:
				m.procs[i].Say("wait 0")
				m.blocked = append(m.blocked, i)
			}
		},
		"kill": func(rt *rapid.T) {
			if len(m.blocked) == 0 {
				rt.Skip("nobody sleeps")
			}
			at := rapid.IntRange(0, len(m.blocked)-1).Draw(rt, "victim")
			i := m.blocked[at]
			m.procs[i].Asleep(1)
			m.procs[i].Kill()
			m.procs[i] = m.start[i]()
			m.blocked = slices.Delete(m.blocked, at, at+1)
			m.dead++
		},
		"": m.check,
	})
	value = m.value
}

// Whatever four processes do in turn, two of them Go and two C, the semaphore is
// a number that nobody takes below 0.
func TestModel(t *testing.T) {
	bin := buildC(t)
	_, path, s, _ := memory(t)
	startGo := func() *proctest.Proc { return startGo(t, path) }
	startC := func() *proctest.Proc { return startC(t, bin, path) }
	m := &model{t: t, sem: s, start: []func() *proctest.Proc{startGo, startC, startGo, startC}}
	for _, start := range m.start {
		m.procs = append(m.procs, start())
	}
	rapid.Check(t, m.run)
}

// The same without processes: every operation against the number, from values at
// both ends.
func TestModelInOneProcess(t *testing.T) {
	mem, _, s, _ := memory(t)
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(ValueMax-2, ValueMax)).Draw(rt, "value")
		if err := s.Init(uint32(value)); err != nil {
			rt.Fatal(err)
		}
		take := func(err error) {
			if (err == nil) != (value > 0) {
				rt.Fatalf("took from %d: %v", value, err)
			}
			value = max(value-1, 0)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"post": func(rt *rapid.T) {
				if err := s.Post(); (err == nil) != (value < ValueMax) {
					rt.Fatalf("posted at %d: %v", value, err)
				}
				value = min(value+1, ValueMax)
			},
			"try":   func(*rapid.T) { take(s.TryWait()) },
			"over":  func(*rapid.T) { take(s.WaitUntil(time.Unix(0, 0))) },
			"timed": func(*rapid.T) { take(s.WaitUntil(within(10 * time.Microsecond))) },
			"sleep": func(*rapid.T) { take(s.sleep(context.Background(), within(10*time.Microsecond))) },
			"": func(rt *rapid.T) {
				if v, err := s.Value(); v != value || err != nil {
					rt.Fatalf("value = %d, %v; want %d", v, err, value)
				}
				if err := errors.Join(s.Check()); err != nil || waiters(s) != 0 {
					rt.Fatalf("Check = %v, bytes % x", err, mem[:Size])
				}
			},
		})
	})
}
