package shared

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ipcbook/shared/futex"
	"ipcbook/shared/internal/proctest"
)

func newMutex(t testing.TB) (m *Mutex, mem []byte, path string) {
	t.Helper()
	mem, path = proctest.Memory(t, 4096)
	m, err := MutexAt(mem)
	must(t, err)
	m.Init()
	return m, mem, path
}

func total(mem []byte) uint64 { return binary.NativeEndian.Uint64(mem[PthreadMutexSize:]) }

// An unlocked word is all that Go needs of a pthread_mutex_t; C makes the rest.
func newPthreadMutex(t testing.TB, bin, kind string) (m *Mutex, mem []byte, path string) {
	t.Helper()
	m, mem, path = newMutex(t)
	ask(t, startC(t, bin, path), "ok", "mutex %s", kind)
	return m, mem, path
}

func TestMutex(t *testing.T) {
	m, mem, _ := newMutex(t)
	word := func(want uint32) {
		t.Helper()
		if v := binary.NativeEndian.Uint32(mem); v != want {
			t.Fatalf("the word is %d, want %d", v, want)
		}
	}
	word(0)
	must(t, m.Lock())
	word(1)
	if err := m.TryLock(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("TryLock of a locked mutex = %v, want EBUSY", err)
	}
	word(1)
	must(t, m.Unlock())
	word(0)
	must(t, m.TryLock())
	word(1)
	must(t, m.Unlock())
	must(t, m.LockUntil(time.Unix(0, 0))) // free: nobody looks at the clock
	must(t, m.Unlock())
	must(t, m.LockContext(over))
	must(t, m.Unlock())
	for range 2 {
		if err := m.Unlock(); err != ErrNotLocked {
			t.Errorf("Unlock of an unlocked mutex = %v, want ErrNotLocked", err)
		}
		word(0)
	}
	if !bytes.Equal(mem[MutexSize:], make([]byte, len(mem)-MutexSize)) {
		t.Error("bytes behind the word were written")
	}
}

// Who cannot have the lock is told in time, and what state the word is in.
func TestMutexTimeout(t *testing.T) {
	m, mem, _ := newMutex(t)
	must(t, m.Lock())
	start := time.Now()
	err := m.LockUntil(start.Add(30 * time.Millisecond))
	if d := time.Since(start); !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), "its word is 2") || d < 30*time.Millisecond {
		t.Errorf("LockUntil = %v after %v", err, d)
	}
	if err := m.LockUntil(time.Unix(0, 0)); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("LockUntil the past = %v, want ETIMEDOUT", err)
	}
	limited, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := m.LockContext(limited); !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), "its word is 2") {
		t.Errorf("LockContext = %v, want ETIMEDOUT", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	go func() {
		for proctest.Sleepers(os.Getpid()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := m.LockContext(cancelled); err != context.Canceled {
		t.Errorf("LockContext = %v, want Canceled", err)
	}
	if mem[0] != 2 {
		t.Errorf("the word is %d, want 2", mem[0])
	}
	must(t, m.Unlock()) // wakes nobody, and that is all
	must(t, m.Lock())
}

func TestMutexCorrupt(t *testing.T) {
	m, mem, _ := newMutex(t)
	for _, v := range []uint32{3, 4, 255, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xffffffff} {
		binary.NativeEndian.PutUint32(mem, v)
		for name, call := range map[string]func() error{
			"Lock":        m.Lock,
			"TryLock":     m.TryLock,
			"Unlock":      m.Unlock,
			"LockUntil":   func() error { return m.LockUntil(within(time.Hour)) },
			"LockContext": func() error { return m.LockContext(context.Background()) },
		} {
			if err := call(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("%#x", v)) {
				t.Errorf("%s at %#x = %v, want ErrCorrupt", name, v, err)
			}
			if got := binary.NativeEndian.Uint32(mem); got != v {
				t.Fatalf("%s made %#x of %#x", name, got, v)
			}
		}
	}
	m.Init()
	must(t, m.Lock())
	done := make(chan error)
	go func() { done <- m.Lock() }()
	proctest.Asleep(t, os.Getpid(), 1)
	binary.NativeEndian.PutUint32(mem, 77) // nobody wakes the waiter
	if err := <-done; !errors.Is(err, ErrCorrupt) {
		t.Errorf("Lock = %v, want ErrCorrupt", err)
	}
}

// Four processes add to a plain counter. Without exclusion some of it is lost.
func TestMutexExcludes(t *testing.T) {
	const iters = 10000
	bin := buildC(t)
	for name, c := range map[string]int{"Go": 0, "half C": 2, "C": 4} {
		t.Run(name, func(t *testing.T) {
			_, mem, path := newPthreadMutex(t, bin, "normal")
			before := bytes.Clone(mem[:PthreadMutexSize])
			var procs []*proctest.Proc
			for i := range 4 {
				p := startGo(t, path)
				if i < c {
					p = startC(t, bin, path)
				}
				procs = append(procs, p)
			}
			for _, p := range procs {
				p.Say("count %d", iters)
			}
			for _, p := range procs {
				p.Want("ok")
			}
			if n := total(mem); n != 4*iters {
				t.Errorf("the total is %d, want %d", n, 4*iters)
			}
			if !bytes.Equal(mem[:PthreadMutexSize], before) {
				t.Errorf("the mutex is now % x", mem[:PthreadMutexSize])
			}
		})
	}
}

// Each half waits for the other, wakes it, and gives up in time.
func TestMutexPairs(t *testing.T) {
	pairs(t, func(t *testing.T, mem []byte, one, other *proctest.Proc) {
		binary.NativeEndian.PutUint32(mem[16:], 128) // what C's half needs besides zeros
		for range 2 {
			ask(t, one, "ok", "lock")
			ask(t, other, "EBUSY", "trylock")
			ask(t, other, "ETIMEDOUT", "timedlock 10")
			other.Say("lock")
			other.Asleep(1)
			ask(t, one, "ok", "unlock")
			other.Want("ok")
			one.Say("timedlock 60000")
			one.Asleep(1)
			ask(t, other, "ok", "unlock")
			one.Want("ok")
			ask(t, one, "ok", "unlock")
			one, other = other, one
		}
		if v := binary.NativeEndian.Uint32(mem); v != 0 {
			t.Errorf("the word is %d in the end", v)
		}
	})
}

// A lock of another kind has the holder's thread id in its word: nothing that
// this protocol may take for its own.
func TestMutexOfAnotherKind(t *testing.T) {
	bin := buildC(t)
	m, _, path := newPthreadMutex(t, bin, "robust")
	p := startC(t, bin, path)
	ask(t, p, "ok", "lock")
	if err := m.Lock(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Lock of a robust mutex = %v, want ErrCorrupt", err)
	}
	if err := m.Unlock(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Unlock of a robust mutex = %v, want ErrCorrupt", err)
	}
	ask(t, p, "ok", "unlock")
}

// sleeper is a waiter up to the moment at which the kernel wakes it.
func sleeper(args []string) error {
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	m, err := MutexAt(mem)
	if err != nil {
		return err
	}
	m.word.Store(contended)
	for m.word.Load() == contended {
		if err := futex.Wait(m.word, contended); err != nil {
			return err
		}
	}
	fmt.Println("woken")
	select {}
}

// The one that Unlock wakes dies before it takes the lock: the next must not
// sleep beside a free mutex.
func TestMutexKilledBetweenWakeAndTake(t *testing.T) {
	m, _, path := newMutex(t)
	must(t, m.Lock())
	first, second := proctest.Start(t, proctest.Command("sleeper", path)), startGo(t, path)
	first.Asleep(1)
	second.Say("lock")
	second.Asleep(1)
	must(t, m.Unlock())
	first.Want("woken")
	first.Kill()
	second.Want("ok")

	// What the next sees of it is a word that becomes 0 without a wake.
	third := startGo(t, path)
	third.Say("lock")
	third.Asleep(1)
	m.word.Store(unlocked)
	third.Want("ok")
	ask(t, third, "ok", "unlock")
}

func TestMutexKilledAsleep(t *testing.T) {
	m, _, path := newMutex(t)
	must(t, m.Lock())
	first, second := startGo(t, path), startGo(t, path)
	for _, p := range []*proctest.Proc{first, second} {
		p.Say("lock")
		p.Asleep(1)
	}
	first.Kill()
	must(t, m.Unlock())
	second.Want("ok")
}

// A dead holder leaves the word as it is. That is reported, not waited for.
func TestMutexHolderKilled(t *testing.T) {
	m, _, path := newMutex(t)
	p := startGo(t, path)
	ask(t, p, "ok", "lock")
	p.Kill()
	if err := m.LockUntil(within(10 * time.Millisecond)); !errors.Is(err, unix.ETIMEDOUT) || !strings.Contains(err.Error(), "its word is 2") {
		t.Errorf("LockUntil = %v, want ETIMEDOUT and the word", err)
	}
}

func TestMutexSignals(t *testing.T) {
	m, mem, path := newMutex(t)
	p := startGo(t, path)
	stop := proctest.Storm(t, p.Pid, unix.SIGURG)
	must(t, m.Lock())
	start := time.Now()
	ask(t, p, "ETIMEDOUT", "timedlock 150")
	if d := time.Since(start); d < 150*time.Millisecond {
		t.Errorf("timed out after %v", d)
	}
	p.Say("count 2000")
	p.Asleep(1)
	for range 200 {
		must(t, m.Unlock())
		must(t, m.LockUntil(within(proctest.Patience)))
	}
	must(t, m.Unlock())
	p.Want("ok")
	if n := total(mem); n != 2000 || stop() == 0 {
		t.Errorf("the total is %d, want 2000", n)
	}
}

func TestMutexGoroutines(t *testing.T) {
	m, _, _ := newMutex(t)
	var all sync.WaitGroup
	n := 0
	for range 8 {
		all.Go(func() {
			for range 2000 {
				if err := m.Lock(); err != nil {
					t.Error(err)
					return
				}
				n++
				if err := m.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n != 8*2000 {
		t.Errorf("counted %d, want %d", n, 8*2000)
	}
}

func TestMutexNoAllocation(t *testing.T) {
	m, _, _ := newMutex(t)
	ctx := context.Background()
	for name, call := range map[string]func(){
		"Lock":        func() { m.Lock(); m.Unlock() },
		"TryLock":     func() { m.TryLock(); m.TryLock(); m.Unlock() },
		"LockUntil":   func() { m.LockUntil(within(time.Hour)); m.Unlock() },
		"LockContext": func() { m.LockContext(ctx); m.Unlock() },
		"slow path":   func() { m.lockSlow(ctx, within(time.Hour)); m.Unlock() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// Whatever Go and C do in turn, at most one has the lock, and when it is let go
// one of those who wait has it.
func TestMutexModel(t *testing.T) {
	bin := buildC(t)
	_, mem, path := newPthreadMutex(t, bin, "normal")
	procs := []*proctest.Proc{startGo(t, path), startC(t, bin, path), startGo(t, path), startC(t, bin, path)}
	owner, waiting := -1, []int(nil)
	unlock := func() {
		ask(t, procs[owner], "ok", "unlock")
		owner = -1
		if len(waiting) == 0 {
			return
		}
		proctest.Until(t, "the next owner", func() bool {
			for at, i := range waiting {
				if line, ok := procs[i].LineWithin(time.Microsecond); ok {
					if line != "ok" {
						t.Fatalf("lock = %q", line)
					}
					owner, waiting = i, slices.Delete(waiting, at, at+1)
					return true
				}
			}
			return false
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		for owner >= 0 {
			unlock()
		}
		idle := func(rt *rapid.T) int {
			var idle []int
			for i := range procs {
				if i != owner && !slices.Contains(waiting, i) {
					idle = append(idle, i)
				}
			}
			if len(idle) == 0 {
				rt.Skip("nobody is idle")
			}
			return rapid.SampledFrom(idle).Draw(rt, "process")
		}
		try := func(rt *rapid.T, command, otherwise string) {
			i := idle(rt)
			if owner >= 0 {
				ask(t, procs[i], otherwise, "%s", command)
				return
			}
			ask(t, procs[i], "ok", "%s", command)
			owner = i
		}
		rt.Repeat(map[string]func(*rapid.T){
			"trylock":   func(rt *rapid.T) { try(rt, "trylock", "EBUSY") },
			"timedlock": func(rt *rapid.T) { try(rt, "timedlock 1", "ETIMEDOUT") },
			"lock": func(rt *rapid.T) {
				if owner < 0 {
					try(rt, "lock", "")
					return
				}
				i := idle(rt)
				procs[i].Say("lock")
				waiting = append(waiting, i)
				procs[i].Asleep(1)
			},
			"unlock": func(rt *rapid.T) {
				if owner < 0 {
					rt.Skip("nobody has the lock")
				}
				unlock()
			},
			"": func(rt *rapid.T) {
				v := binary.NativeEndian.Uint32(mem)
				if v > contended || (v == unlocked) != (owner < 0) || len(waiting) > 0 && v != contended {
					rt.Fatalf("the word is %d, the owner %d, %d wait", v, owner, len(waiting))
				}
			},
		})
	})
}

func ExampleMutex() {
	mem, err := unix.Mmap(-1, 0, MutexSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Munmap(mem)
	m, err := MutexAt(mem)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Lock(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.TryLock())
	fmt.Println(m.Unlock())
	// Output:
	// device or resource busy
	// <nil>
}
