package sem

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/futex"
	"ipcbook/shared/internal/proctest"
)

// C and Go initialise to the same bytes, and leave alone the ones that glibc
// leaves alone.
func TestLayoutIsThatOfC(t *testing.T) {
	bin := buildC(t)
	mem, path := proctest.Memory(t, 4096)
	c, g := startC(t, bin, path), startGo(t, path)
	for _, p := range []*proctest.Proc{c, g} {
		ask(t, p, "size 32 align 8 max 0x7fffffff", "layout")
	}
	for _, value := range []uint32{0, 1, 5, 0x12345678, ValueMax} {
		for i := range mem {
			mem[i] = 0xa5
		}
		ask(t, c, "ok", "init 64 %d 1", value)
		ask(t, g, "ok", "init 128 %d 1", value)
		if !bytes.Equal(mem[64-Size:64+2*Size], mem[128-Size:128+2*Size]) {
			t.Errorf("value %#x:\nC  % x\nGo % x", value, mem[64:96], mem[128:160])
		}
		s := at(t, mem[64:])
		if err := s.Check(); err != nil {
			t.Errorf("Check of C's semaphore: %v", err)
		}
		wantValue(t, s, int(value))
		ask(t, c, fmt.Sprint("ok ", value), "value 128")
	}
	ask(t, c, "EINVAL", "init 0 0x80000000 1")
	ask(t, g, "EINVAL", "init 0 0x80000000 1")

	ask(t, c, "ok", "init 0 3 0") // private to the C process
	if err := at(t, mem).Check(); !errors.Is(err, ErrNotShared) {
		t.Errorf("Check of a private semaphore = %v, want ErrNotShared", err)
	}
}

func TestAt(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	for off := range 4096 + 1 {
		s, err := At(mem[off:])
		good := off%Align == 0 && 4096-off >= Size
		if good != (err == nil) || good != (s != nil) || !good && !errors.Is(err, unix.EINVAL) {
			t.Fatalf("At(mem[%d:]) = %v, %v", off, s, err)
		}
	}
	if _, err := At(nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("At(nil) = %v, want EINVAL", err)
	}
	if err := at(t, mem).Check(); !errors.Is(err, ErrNotShared) {
		t.Errorf("Check of zero bytes = %v, want ErrNotShared", err)
	}
	if !bytes.Equal(mem, make([]byte, len(mem))) {
		t.Error("At or Check has written")
	}
}

func TestOperations(t *testing.T) {
	mem, _, s, _ := memory(t)
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Fatalf("%s = %v, want %v", what, got, want)
		}
	}
	want("TryWait at 0", s.TryWait(), unix.EAGAIN)
	want("WaitUntil the past", s.WaitUntil(time.Unix(0, 0)), unix.ETIMEDOUT)
	want("Post", s.Post(), nil)
	want("Post", s.Post(), nil)
	want("Post", s.Post(), nil)
	want("Post", s.Post(), nil)
	wantValue(t, s, 4)
	want("TryWait", s.TryWait(), nil)
	want("Wait", s.Wait(), nil)
	want("WaitUntil the past at 2", s.WaitUntil(time.Unix(0, 0)), nil)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	want("WaitContext that is over, at 1", s.WaitContext(over), nil)
	want("WaitContext that is over, at 0", s.WaitContext(over), context.Canceled)
	want("Init above the maximum", s.Init(ValueMax+1), unix.EINVAL)
	wantValue(t, s, 0)
	want("Init", s.Init(ValueMax), nil)
	want("Post at the maximum", s.Post(), unix.EOVERFLOW)
	wantValue(t, s, ValueMax)
	want("Wait at the maximum", s.Wait(), nil)
	wantValue(t, s, ValueMax-1)
	want("Post below the maximum", s.Post(), nil)
	wantValue(t, s, ValueMax)
	if waiters(s) != 0 || !bytes.Equal(mem[12:32], make([]byte, 20)) {
		t.Errorf("bytes are % x", mem[:32])
	}
}

// C finds EOVERFLOW where Go does.
func TestOverflowAsInC(t *testing.T) {
	_, path, s, _ := memory(t)
	c := startC(t, buildC(t), path)
	if err := s.Init(ValueMax - 1); err != nil {
		t.Fatal(err)
	}
	ask(t, c, "ok", "post 0")
	ask(t, c, "EOVERFLOW", "post 0")
	if err := s.Post(); !errors.Is(err, unix.EOVERFLOW) {
		t.Errorf("Post = %v, want EOVERFLOW", err)
	}
	wantValue(t, s, ValueMax)
}

func TestCorruptValue(t *testing.T) {
	mem, _, s, _ := memory(t)
	for _, value := range []uint32{0x80000000, 0x80000001, 0xc0000000, 0xfffffffe, 0xffffffff} {
		for _, waiters := range []uint32{0, 1, 0xffffffff} {
			binary.NativeEndian.PutUint32(mem, value)
			binary.NativeEndian.PutUint32(mem[4:], waiters)
			before := bytes.Clone(mem)
			for name, call := range map[string]func() error{
				"Post":        s.Post,
				"TryWait":     s.TryWait,
				"Wait":        s.Wait,
				"WaitUntil":   func() error { return s.WaitUntil(within(time.Hour)) },
				"WaitContext": func() error { return s.WaitContext(context.Background()) },
				"Value":       func() error { _, err := s.Value(); return err },
				"Check":       s.Check,
			} {
				if err := call(); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s at %#x = %v, want ErrCorrupt", name, value, err)
				}
				if !bytes.Equal(mem, before) {
					t.Fatalf("%s at %#x changed the memory", name, value)
				}
			}
		}
	}
}

func TestCorruptedWhileAsleep(t *testing.T) {
	mem, _, s, _ := memory(t)
	done := make(chan error)
	go func() { done <- s.Wait() }()
	proctest.Until(t, "a waiter", func() bool { return waiters(s) == 1 })
	proctest.Asleep(t, os.Getpid(), 1)
	mem[3] = 0xff // nobody wakes the waiter
	if err := <-done; !errors.Is(err, ErrCorrupt) {
		t.Errorf("Wait = %v, want ErrCorrupt", err)
	}
	if n := waiters(s); n != 0 {
		t.Errorf("%d waiters left", n)
	}
}

// The four kinds of halves wake each other, ten thousand times.
func TestPingPong(t *testing.T) {
	const rounds = 10000
	run := func(t *testing.T, one, other *proctest.Proc, a, b *Sem) {
		t.Helper()
		one.Say("pingpong 0 32 %d", rounds)
		other.Say("pingpong 32 0 %d", rounds)
		if err := a.Post(); err != nil { // kick-off
			t.Fatal(err)
		}
		one.Want("ok")
		other.Want("ok")
		wantValue(t, a, 1)
		wantValue(t, b, 0)
		if waiters(a) != 0 || waiters(b) != 0 {
			t.Errorf("waiters left: %d and %d", waiters(a), waiters(b))
		}
	}
	slow := func(t *testing.T, path string) *proctest.Proc {
		p := startGo(t, path)
		ask(t, p, "ok", "slow")
		return p
	}
	t.Run("Go-Go", func(t *testing.T) {
		_, path, a, b := memory(t)
		run(t, startGo(t, path), startGo(t, path), a, b)
	})
	t.Run("Go-Go asleep", func(t *testing.T) {
		_, path, a, b := memory(t)
		run(t, slow(t, path), slow(t, path), a, b)
	})
	t.Run("Go-C", func(t *testing.T) {
		bin := buildC(t)
		_, path, a, b := memory(t)
		run(t, startGo(t, path), startC(t, bin, path), a, b)
	})
	t.Run("C-Go", func(t *testing.T) {
		bin := buildC(t)
		_, path, a, b := memory(t)
		run(t, startC(t, bin, path), startGo(t, path), a, b)
	})
	t.Run("Go asleep-C", func(t *testing.T) {
		bin := buildC(t)
		_, path, a, b := memory(t)
		run(t, slow(t, path), startC(t, bin, path), a, b)
	})
}

// Each side sees the other's waiters where its own post looks for them, wakes
// them, and sees them go when their time is up.
func TestWaitersInOtherProcesses(t *testing.T) {
	bin := buildC(t)
	for name, start := range map[string]func(t *testing.T, path string) *proctest.Proc{
		"Go": func(t *testing.T, path string) *proctest.Proc { return startGo(t, path) },
		"C":  func(t *testing.T, path string) *proctest.Proc { return startC(t, bin, path) },
	} {
		t.Run(name, func(t *testing.T) {
			_, path, s, _ := memory(t)
			w, c := start(t, path), startC(t, bin, path)
			sleeping := func(n int) {
				t.Helper()
				w.Asleep(1)
				if got := waiters(s); got != n {
					t.Fatalf("%d waiters, want %d", got, n)
				}
			}
			w.Say("wait 0")
			sleeping(1)
			if err := s.Post(); err != nil {
				t.Fatal(err)
			}
			w.Want("ok")
			wantValue(t, s, 0)
			w.Say("wait 0")
			sleeping(1)
			ask(t, c, "ok", "post 0")
			w.Want("ok")
			ask(t, c, "ok 0", "value 0")

			w.Say("timed 0 60000")
			sleeping(1)
			ask(t, c, "ok", "post 0")
			w.Want("ok")
			start := time.Now()
			ask(t, w, "ETIMEDOUT", "timed 0 30")
			if d := time.Since(start); d < 29*time.Millisecond {
				t.Errorf("timed out after %v, want 30 ms", d)
			}
			ask(t, w, "ETIMEDOUT", "timed 0 0")
			ask(t, w, "EAGAIN", "try 0")
			if n := waiters(s); n != 0 {
				t.Errorf("%d waiters left", n)
			}
			ask(t, c, "ok", "post 0")
			ask(t, w, "ok", "timed 0 0") // the value is looked at before the clock
			ask(t, c, "ok", "post 0")
			ask(t, w, "ok", "try 0")
			wantValue(t, s, 0)
		})
	}
}

// A waiter killed in its sleep leaves the count of waiters too high, which costs
// a wake call now and then, and nobody waits longer for it.
func TestKilledAsleep(t *testing.T) {
	_, path, s, _ := memory(t)
	first, second := startGo(t, path), startGo(t, path)
	first.Say("wait 0")
	first.Asleep(1)
	second.Say("wait 0")
	second.Asleep(1)
	first.Kill()
	if err := s.Post(); err != nil {
		t.Fatal(err)
	}
	second.Want("ok")
	wantValue(t, s, 0)
	if n := waiters(s); n != 1 {
		t.Errorf("%d waiters, want the one that died", n)
	}
	ask(t, second, "ok", "post 0")
	ask(t, second, "ok", "wait 0")
	ask(t, second, "ETIMEDOUT", "timed 0 1")
	wantValue(t, s, 0)
}

// sleeper is a waiter up to the moment at which the kernel wakes it.
func sleeper(args []string) error {
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	s, err := At(mem)
	if err != nil {
		return err
	}
	s.t.data.Add(oneWaiter)
	for s.value.Load() == 0 {
		if err := futex.Wait(s.value, 0); err != nil {
			return err
		}
	}
	fmt.Println("woken")
	select {}
}

// A post wakes the one that sleeps longest. If that one dies before it takes the
// semaphore the next must not sleep beside a value of 1.
func TestKilledBetweenWakeAndTake(t *testing.T) {
	_, path, s, _ := memory(t)
	first, second := proctest.Start(t, proctest.Command("sleeper", path)), startGo(t, path)
	first.Asleep(1)
	second.Say("wait 0")
	second.Asleep(1)
	if err := s.Post(); err != nil {
		t.Fatal(err)
	}
	first.Want("woken")
	first.Kill()
	second.Want("ok")
	wantValue(t, s, 0)

	// What the second sees of it is a value that rises without a wake.
	second.Say("wait 0")
	second.Asleep(1)
	s.t.data.Add(1)
	second.Want("ok")
	wantValue(t, s, 0)
}

// Whichever of them SIGKILL hits, wherever it is, the others take what is posted.
func TestKilledAnywhere(t *testing.T) {
	_, path, s, _ := memory(t)
	const n = 3
	var procs [n]*proctest.Proc
	for round := range 20 {
		for i := range procs {
			if procs[i] == nil {
				procs[i] = startGo(t, path)
				procs[i].Say("pingpong 0 32 1000000")
				procs[i].Asleep(1)
			}
		}
		for range n {
			if err := s.Post(); err != nil {
				t.Fatal(err)
			}
		}
		victim := round % n
		procs[victim].Kill()
		procs[victim] = nil
		proctest.Until(t, "value 0", func() bool { v, err := s.Value(); return v == 0 && err == nil })
	}
}

// Somebody initialises the semaphore anew under a waiter, as a producer does that
// is started again. The waiter hears the next post all the same.
func TestInitialisedUnderAWaiter(t *testing.T) {
	renew := map[string]func(t *testing.T, mem []byte, path string){
		"by Init": func(t *testing.T, mem []byte, _ string) {
			if err := at(t, mem).Init(0); err != nil {
				t.Fatal(err)
			}
		},
		"by zeroing and Init": func(t *testing.T, mem []byte, _ string) {
			clear(mem)
			if err := at(t, mem).Init(0); err != nil {
				t.Fatal(err)
			}
		},
		"by pwrite": func(t *testing.T, mem []byte, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var fresh [Size]byte
			fresh[8] = sharedFlag
			if _, err := f.WriteAt(fresh[:], 0); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, renew := range renew {
		t.Run(name, func(t *testing.T) {
			mem, path, s, _ := memory(t)
			one, two := startGo(t, path), startGo(t, path)
			for _, p := range []*proctest.Proc{one, two} {
				p.Say("wait 0")
				p.Asleep(1)
			}
			renew(t, mem, path)
			for range 2 {
				if err := s.Post(); err != nil {
					t.Fatal(err)
				}
			}
			one.Want("ok")
			two.Want("ok")
			wantValue(t, s, 0)
			if n := waiters(s); n != 0 {
				t.Errorf("%d waiters left", n)
			}
		})
	}
}

func TestWaitContext(t *testing.T) {
	_, _, s, _ := memory(t)
	for name, c := range map[string]struct {
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		"cancelled while asleep": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				for proctest.Sleepers(os.Getpid()) == 0 {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			return ctx, cancel
		}, context.Canceled},
		"cancelled long before its deadline": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			cancel()
			return ctx, cancel
		}, context.Canceled},
		"deadline": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 30*time.Millisecond)
		}, context.DeadlineExceeded},
		"deadline in the past": {func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(context.Background(), time.Unix(1, 0))
		}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := c.ctx()
			defer cancel()
			if err := s.WaitContext(ctx); err != c.want {
				t.Errorf("WaitContext = %v, want %v itself", err, c.want)
			}
			// Its own bound is a tenth of a second; the rest is for a busy machine.
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			if n := waiters(s); n != 0 {
				t.Errorf("%d waiters left", n)
			}
		})
	}
	wantValue(t, s, 0)
}

func TestNoAllocation(t *testing.T) {
	_, _, s, _ := memory(t)
	ctx := context.Background()
	for name, call := range map[string]func(){
		"Post and Wait":        func() { s.Post(); s.Wait() },
		"Post and TryWait":     func() { s.Post(); s.TryWait() },
		"Post and WaitUntil":   func() { s.Post(); s.WaitUntil(within(time.Hour)) },
		"Post and WaitContext": func() { s.Post(); s.WaitContext(ctx) },
		"TryWait at 0":         func() { s.TryWait() },
		"WaitUntil at 0":       func() { s.WaitUntil(within(20 * time.Microsecond)) },
		"slow path at 0":       func() { s.sleep(context.Background(), within(20*time.Microsecond)) },
		"Value":                func() { s.Value() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
	wantValue(t, s, 0)
}

func TestSignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGURG, unix.SIGCHLD} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			_, path, s, b := memory(t)
			p := startGo(t, path)
			ask(t, p, "ok", "slow")
			stop := proctest.Storm(t, p.Pid, sig)
			start := time.Now()
			ask(t, p, "ETIMEDOUT", "timed 0 150")
			if d := time.Since(start); d < 150*time.Millisecond {
				t.Errorf("timed out after %v", d)
			}
			p.Say("pingpong 0 32 500")
			for range 500 {
				if err := s.Post(); err != nil {
					t.Fatal(err)
				}
				if err := b.WaitUntil(within(proctest.Patience)); err != nil {
					t.Fatal(err)
				}
			}
			p.Want("ok")
			if stop() == 0 {
				t.Error("no signal was sent")
			}
			if waiters(s) != 0 {
				t.Errorf("%d waiters left", waiters(s))
			}
		})
	}
}

// Goroutines share handles, and a process may map the memory twice.
func TestGoroutines(t *testing.T) {
	_, path, s, _ := memory(t)
	again, err := proctest.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(again)
	handles := []*Sem{s, at(t, again)}
	const pairs, rounds = 4, 2000
	var all sync.WaitGroup
	for i := range pairs {
		all.Go(func() {
			for range rounds {
				if err := handles[i%2].Post(); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range rounds {
				if err := handles[(i+1)%2].WaitUntil(within(proctest.Patience)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantValue(t, s, 0)
	if n := waiters(s); n != 0 {
		t.Errorf("%d waiters left", n)
	}
}

// A semaphore of 1 excludes: four processes, half of them C, take turns.
func TestManyProcesses(t *testing.T) {
	bin := buildC(t)
	_, path, a, b := memory(t)
	const rounds = 2000
	var procs []*proctest.Proc
	for i := range 4 {
		p := startGo(t, path)
		if i%2 == 1 {
			p = startC(t, bin, path)
		}
		p.Say("pingpong 0 32 " + strconv.Itoa(rounds))
		procs = append(procs, p)
	}
	for range 4 * rounds {
		if err := a.Post(); err != nil {
			t.Fatal(err)
		}
		if err := b.WaitUntil(within(proctest.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range procs {
		p.Want("ok")
	}
	wantValue(t, a, 0)
	wantValue(t, b, 0)
	if waiters(a) != 0 || waiters(b) != 0 {
		t.Errorf("waiters left: %d and %d", waiters(a), waiters(b))
	}
}

func ExampleAt() {
	mem, err := unix.Mmap(-1, 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Munmap(mem)
	s, err := At(mem)
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Init(1)
	fmt.Println(s.Wait(), s.TryWait())
	// Output: <nil> resource temporarily unavailable
}
