package shared

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

func newRobust(t testing.TB) (m *RobustMutex, mem []byte, path string) {
	t.Helper()
	mem, path = proctest.Memory(t, 4096)
	m, err := RobustMutexAt(mem)
	must(t, err)
	m.Init()
	must(t, m.Check())
	return m, mem, path
}

// robustPairs is pairs on a robust mutex that the first process has made ready
// for both.
func robustPairs(t *testing.T, test func(t *testing.T, mem []byte, start [2]func() *proctest.Proc)) {
	bin := buildC(t)
	for _, pair := range []string{"Go-Go", "Go-C", "C-Go"} {
		t.Run(pair, func(t *testing.T) {
			_, mem, path := newRobust(t)
			g := func() *proctest.Proc {
				p := startGo(t, path)
				ask(t, p, "ok", "robust")
				return p
			}
			c := func() *proctest.Proc { return startC(t, bin, path) }
			kinds := map[string]func() *proctest.Proc{"Go": g, "C": c}
			one, other, _ := strings.Cut(pair, "-")
			test(t, mem, [2]func() *proctest.Proc{kinds[one], kinds[other]})
		})
	}
}

// Go and C make the same bytes.
func TestRobustLayout(t *testing.T) {
	bin := buildC(t)
	_, mem, path := newRobust(t)
	ours := string(mem[:PthreadMutexSize])
	clear(mem)
	ask(t, startC(t, bin, path), "ok", "mutex robust")
	if c := string(mem[:PthreadMutexSize]); c != ours {
		t.Errorf("C has\n% x\nGo\n% x", c, ours)
	}
	ask(t, startC(t, bin, path), "ok", "mutex normal")
	m, err := RobustMutexAt(mem)
	must(t, err)
	if err := m.Check(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "kind is 128") {
		t.Errorf("Check of a normal mutex = %v, want ErrCorrupt", err)
	}
}

func TestRobustPairs(t *testing.T) {
	robustPairs(t, func(t *testing.T, mem []byte, start [2]func() *proctest.Proc) {
		one, other := start[0](), start[1]()
		for range 2 {
			ask(t, one, "ok", "lock")
			if owner := binary.NativeEndian.Uint32(mem[8:]); int(owner) != one.Pid {
				t.Errorf("the owner is %d, want %d", owner, one.Pid)
			}
			ask(t, other, "EBUSY", "trylock")
			ask(t, other, "EPERM", "unlock")
			ask(t, other, "ETIMEDOUT", "timedlock 10")
			other.Say("lock")
			other.Asleep(1)
			ask(t, one, "ok", "unlock")
			other.Want("ok")
			ask(t, other, "EINVAL", "consistent")
			one.Say("timedlock 60000")
			one.Asleep(1)
			ask(t, other, "ok", "unlock")
			one.Want("ok")
			ask(t, one, "ok", "unlock")
			one, other = other, one
		}
		for name, off := range map[string]int{"word": 0, "owner": 8, "nusers": 12} { // glibc leaves count at 1
			if v := binary.NativeEndian.Uint32(mem[off:]); v != 0 {
				t.Errorf("the free mutex has %s %#x", name, v)
			}
		}
	})
}

// The next owner, Go or C, hears that the last one died, whether it slept, came
// later, or only tried; and puts it right, or does not.
func TestRobustOwnerDies(t *testing.T) {
	robustPairs(t, func(t *testing.T, _ []byte, start [2]func() *proctest.Proc) {
		next, third := start[1](), start[0]()
		for _, how := range []string{"lock", "trylock", "timedlock 60000"} {
			owner := start[0]()
			ask(t, owner, "ok", "lock")
			owner.Kill()
			ask(t, next, "EOWNERDEAD", "%s", how)
			ask(t, third, "EBUSY", "trylock")
			ask(t, next, "ok", "consistent")
			ask(t, next, "ok", "unlock")
			ask(t, third, "ok", "lock")
			ask(t, third, "ok", "unlock")

			if how == "trylock" {
				continue
			}
			owner = start[0]()
			ask(t, owner, "ok", "lock")
			next.Say("%s", how)
			next.Asleep(1)
			owner.Kill()
			next.Want("EOWNERDEAD")
			ask(t, next, "ok", "consistent")
			ask(t, next, "ok", "unlock")
		}
		// An owner that dies before it has put things right hands that on.
		owner, second := start[0](), start[1]()
		ask(t, owner, "ok", "lock")
		owner.Kill()
		ask(t, second, "EOWNERDEAD", "lock")
		second.Kill()
		ask(t, third, "EOWNERDEAD", "lock")
		// Without consistent nobody can lock it again, those who wait included.
		next.Say("lock")
		next.Asleep(1)
		ask(t, third, "ok", "unlock")
		next.Want("ENOTRECOVERABLE")
		ask(t, third, "ENOTRECOVERABLE", "lock")
		ask(t, next, "ENOTRECOVERABLE", "lock")
		ask(t, next, "ENOTRECOVERABLE", "trylock")
	})
}

// Four processes, half of them C, count under the mutex while others that count
// too are killed, wherever they are. Nobody is stranded and nobody adds twice.
func TestRobustKilledAnywhere(t *testing.T) {
	bin := buildC(t)
	_, mem, path := newRobust(t)
	robust := func() *proctest.Proc {
		p := startGo(t, path)
		ask(t, p, "ok", "robust")
		return p
	}
	counters := []*proctest.Proc{robust(), startC(t, bin, path), robust(), startC(t, bin, path)}
	const iters = 3000
	for i := range 10 {
		before := total(mem)
		victims := []*proctest.Proc{robust(), startC(t, bin, path)}
		for _, v := range victims {
			v.Say("count 1000000000")
		}
		proctest.Until(t, "the counter moves", func() bool { return total(mem) > before+uint64(i) })
		for _, c := range counters {
			c.Say("count %d", iters)
		}
		for _, v := range victims {
			v.Kill()
		}
		dead := total(mem)
		for _, c := range counters {
			c.Want("ok")
		}
		if n := total(mem); n < dead || n < before+4*iters {
			t.Fatalf("the total is %d, was %d and %d", n, before, dead)
		}
	}
	// Undisturbed, every addition is there.
	before := total(mem)
	for _, c := range counters {
		c.Say("count %d", iters)
	}
	for _, c := range counters {
		c.Want("ok")
	}
	if n := total(mem); n != before+4*iters {
		t.Errorf("the total is %d, want %d", n, before+4*iters)
	}
}

// Goroutines own mutexes by their threads; one that ends without unlocking takes
// its thread with it.
func TestRobustGoroutines(t *testing.T) {
	m, mem, _ := newRobust(t)
	other, err := RobustMutexAt(mem[64:])
	must(t, err)
	other.Init()
	n := 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if err := errors.Join(m.Lock(), other.Lock()); err != nil {
					t.Error(err)
					return
				}
				n++
				if err := errors.Join(m.Unlock(), other.Unlock()); err != nil { // not in the order of a stack
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n != 2000 {
		t.Errorf("counted %d, want 2000", n)
	}
	locked, dead := make(chan error), make(chan bool)
	defer close(dead)
	var die func()
	die = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the runtime would park the main thread, not end it
			go die()
			<-dead
			runtime.UnlockOSThread()
			return
		}
		locked <- errors.Join(m.Lock(), other.Lock())
	}
	go die()
	must(t, <-locked)
	for _, m := range []*RobustMutex{m, other} {
		if err := m.LockContext(context.Background()); err != ErrOwnerDead {
			t.Fatalf("LockContext = %v, want ErrOwnerDead", err)
		}
		must(t, m.Consistent())
	}
	must(t, errors.Join(m.Unlock(), other.Unlock()))
}

func TestRobustErrors(t *testing.T) {
	m, mem, path := newRobust(t)
	if err := m.Unlock(); !errors.Is(err, unix.EPERM) {
		t.Errorf("Unlock of an unlocked mutex = %v, want EPERM", err)
	}
	if err := m.Consistent(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Consistent = %v, want EINVAL", err)
	}
	p := startGo(t, path)
	ask(t, p, "ok", "robust")
	ask(t, p, "ok", "lock")
	limited, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	says := "held by thread "
	if err := m.LockContext(limited); !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), says) {
		t.Errorf("LockContext = %v, want ETIMEDOUT that says %q", err, says)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.LockContext(cancelled); err != context.Canceled {
		t.Errorf("LockContext = %v, want Canceled", err)
	}
	ask(t, p, "EDEADLK", "lock") // C waits for itself
	ask(t, p, "ok", "unlock")
	if mem[0] != 0 || mem[3] != 0 {
		t.Errorf("the word is % x", mem[:4])
	}
}
