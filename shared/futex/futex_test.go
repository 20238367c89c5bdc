package futex_test

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/futex"
	"ipcbook/shared/internal/proctest"
)

func TestMain(m *testing.M) {
	proctest.Main(m, map[string]proctest.Role{
		"waiter": waiter,
		"toggle": toggle,
		"storm":  storm,
		"oneP":   oneP,
	})
}

// attach maps the word at args[1] of the file args[0].
func attach(args []string) (*atomic.Uint32, error) {
	mem, err := proctest.Map(args[0])
	if err != nil {
		return nil, err
	}
	off, err := strconv.Atoi(args[1])
	return wordAt(mem, off), err
}

// waiter waits until the word is not 0 and prints its value.
func waiter(args []string) error {
	word, err := attach(args)
	if err != nil {
		return err
	}
	for word.Load() == 0 {
		if err := futex.Wait(word, 0); err != nil {
			return err
		}
	}
	_, err = fmt.Println(word.Load())
	return err
}

func startWaiter(t *testing.T, path string, off int) *proctest.Proc {
	return proctest.Start(t, proctest.Command("waiter", path, strconv.Itoa(off)))
}

func TestWakeWaitersInOtherProcesses(t *testing.T) {
	// The last word of the second page: the processes map it at different
	// addresses, the kernel must find it by file and offset.
	off := 2*os.Getpagesize() - 4
	mem, path := proctest.Memory(t, 2*os.Getpagesize())
	word := wordAt(mem, off)
	var waiters []*proctest.Proc
	for range 3 {
		w := startWaiter(t, path, off)
		waiters = append(waiters, w)
		w.Asleep(1)
	}
	wake := func(w *atomic.Uint32, n, want int) {
		t.Helper()
		if got, err := futex.Wake(w, n); got != want || err != nil {
			t.Fatalf("Wake(%d) = %d, %v; want %d", n, got, err, want)
		}
	}
	wake(wordAt(mem, off-4), 3, 0)                // its neighbour
	wake(wordAt(mem, off-os.Getpagesize()), 3, 0) // the same place on another page
	wake(word, 0, 0)                              // nobody
	word.Store(7)                                 //
	wake(word, 2, 2)                              // two of the three …
	proctest.Until(t, "one left", func() bool { return asleep(waiters) == 1 })
	wake(word, math.MaxInt32, 1) // … and the last
	wake(word, math.MaxInt32, 0)
	for _, w := range waiters {
		w.Want("7")
		w.WantExit(0)
	}
}

func asleep(procs []*proctest.Proc) (n int) {
	for _, p := range procs {
		n += proctest.Sleepers(p.Pid)
	}
	return n
}

// toggle answers: whenever the word is odd it makes it even, n times.
func toggle(args []string) error {
	word, err := attach(args)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for i := range uint32(n) {
		for v := word.Load(); v != 2*i+1; v = word.Load() {
			if err := futex.WaitUntil(word, v, time.Now().Add(proctest.Patience)); err != nil {
				return fmt.Errorf("round %d: %w", i, err)
			}
		}
		word.Add(1)
		if _, err := futex.Wake(word, 1); err != nil {
			return err
		}
	}
	return nil
}

// No wake is lost: each of the rounds needs both halves to hear the other.
func TestPingPong(t *testing.T) {
	const rounds = 5000
	mem, path := proctest.Memory(t, 4096)
	word := wordAt(mem, 64)
	peer := proctest.Start(t, proctest.Command("toggle", path, "64", strconv.Itoa(rounds)))
	for range rounds {
		v := word.Add(1)
		if _, err := futex.Wake(word, 1); err != nil {
			t.Fatal(err)
		}
		for word.Load() == v {
			if err := futex.WaitUntil(word, v, time.Now().Add(proctest.Patience)); err != nil {
				t.Fatalf("at %d: %v", v, err)
			}
		}
	}
	peer.WantExit(0)
}

func TestWaitReturnsAtChangedWord(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	word := wordAt(mem, 0)
	for _, v := range []uint32{1, 1 << 31, math.MaxUint32} {
		word.Store(v)
		if err := futex.Wait(word, v-1); err != nil {
			t.Errorf("word %#x: Wait = %v, want nil", v, err)
		}
		if err := futex.WaitUntil(word, v-1, time.Now().Add(time.Hour)); err != nil {
			t.Errorf("word %#x: WaitUntil = %v, want nil", v, err)
		}
		// The word is looked at before the clock.
		if err := futex.WaitUntil(word, v-1, time.Time{}); err != nil {
			t.Errorf("word %#x: WaitUntil the past = %v, want nil", v, err)
		}
	}
}

func TestWaitUntilTimesOut(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	word := wordAt(mem, 0)
	for _, c := range []struct {
		name     string
		deadline func(time.Time) time.Time
		least    time.Duration
	}{
		{"in 30 ms", func(now time.Time) time.Time { return now.Add(30 * time.Millisecond) }, 30 * time.Millisecond},
		{"in 30 ms of the wall clock", func(now time.Time) time.Time { return now.Round(0).Add(30 * time.Millisecond) }, 29 * time.Millisecond},
		{"in 1 ns", func(now time.Time) time.Time { return now.Add(1) }, 1},
		{"now", func(now time.Time) time.Time { return now }, 0},
		{"an hour ago", func(now time.Time) time.Time { return now.Add(-time.Hour) }, 0},
		{"the zero Time", func(time.Time) time.Time { return time.Time{} }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			var err error
			for end := c.deadline(start); err == nil; { // a signal ends a sleep too
				err = futex.WaitUntil(word, 0, end)
			}
			if err != error(unix.ETIMEDOUT) {
				t.Errorf("WaitUntil = %v, want ETIMEDOUT itself", err)
			}
			if d := time.Since(start); d < c.least || d > proctest.Patience {
				t.Errorf("took %v, want at least %v", d, c.least)
			}
		})
	}
}

// A deadline that no timespec of the kernel's clock holds is far, not past.
func TestWaitUntilFarFuture(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	word := wordAt(mem, 0)
	done := make(chan error)
	go func() {
		var err error
		for word.Load() == 0 && err == nil {
			err = futex.WaitUntil(word, 0, time.Unix(1<<60, 0))
		}
		done <- err
	}()
	proctest.Asleep(t, os.Getpid(), 1)
	word.Store(1)
	if n, err := futex.Wake(word, 1); n != 1 || err != nil {
		t.Errorf("Wake = %d, %v; want 1", n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMemoryThatIsGone(t *testing.T) {
	fault := func(t *testing.T, word *atomic.Uint32) {
		t.Helper()
		for name, call := range map[string]func() error{
			"Wait":      func() error { return futex.Wait(word, 0) },
			"WaitUntil": func() error { return futex.WaitUntil(word, 0, time.Now().Add(proctest.Patience)) },
			"Wake":      func() error { _, err := futex.Wake(word, 1); return err },
		} {
			var syscall *os.SyscallError
			err := call()
			if !errors.Is(err, unix.EFAULT) || !errors.As(err, &syscall) || syscall.Syscall != "futex" {
				t.Errorf("%s = %v, want futex: EFAULT", name, err)
			}
		}
	}
	t.Run("unmapped", func(t *testing.T) {
		// Page 0 of the address space is never mapped, whatever else the
		// process maps meanwhile.
		fault(t, nil)
	})
	t.Run("file truncated", func(t *testing.T) {
		mem, path := proctest.Memory(t, 4096)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		fault(t, wordAt(mem, 0))
	})
	t.Run("truncated while asleep", func(t *testing.T) {
		mem, path := proctest.Memory(t, 4096)
		done := make(chan error)
		go func() {
			var err error
			for err == nil || err == error(unix.ETIMEDOUT) { // the next sleep is the one that fails
				err = futex.WaitUntil(wordAt(mem, 0), 0, time.Now().Add(100*time.Millisecond))
			}
			done <- err
		}()
		proctest.Asleep(t, os.Getpid(), 1)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, unix.EFAULT) {
			t.Errorf("WaitUntil = %v, want EFAULT", err)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	word := wordAt(mem, 0)
	past := time.Now()
	for name, call := range map[string]func(){
		"Wait":                   func() { futex.Wait(word, 1) },
		"WaitUntil":              func() { futex.WaitUntil(word, 1, past) },
		"WaitUntil that is over": func() { futex.WaitUntil(word, 0, past) },
		"WaitUntil that sleeps":  func() { futex.WaitUntil(word, 0, time.Now().Add(10*time.Microsecond)) },
		"Wake":                   func() { futex.Wake(word, 1) },
	} {
		if n := testing.AllocsPerRun(200, call); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}

// storm catches SIGUSR1, sleeps until a deadline that WaitUntil has to keep
// under a storm of signals, then sleeps until it is woken.
func storm(args []string) error {
	word, err := attach(args)
	if err != nil {
		return err
	}
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, unix.SIGUSR1)
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	<-usr1

	start, looks := time.Now(), 0
	end := start.Add(100 * time.Millisecond)
	for err == nil {
		err = futex.WaitUntil(word, 0, end)
		looks++
	}
	if d := time.Since(start); err != error(unix.ETIMEDOUT) || d < 100*time.Millisecond {
		return fmt.Errorf("WaitUntil = %v after %v and %d looks", err, d, looks)
	}
	fmt.Println("timed out")
	for word.Load() == 0 {
		if err := futex.Wait(word, 0); err != nil {
			return err
		}
	}
	_, err = fmt.Println("woken")
	return err
}

func TestSignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGURG, unix.SIGUSR1, unix.SIGCHLD} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			mem, path := proctest.Memory(t, 4096)
			p := proctest.Start(t, proctest.Command("storm", path, "0"))
			p.Want("ready")
			stop := proctest.Storm(t, p.Pid, sig)
			p.Say("go")
			p.Signal(unix.SIGUSR1)
			p.Want("timed out")
			wordAt(mem, 0).Store(1)
			if _, err := futex.Wake(wordAt(mem, 0), 1); err != nil {
				t.Error(err)
			}
			p.Want("woken")
			if n := stop(); n == 0 {
				t.Error("no signal was sent")
			}
			p.WantExit(0)
		})
	}
}

// oneP waits in one goroutine while another works, on a single P.
func oneP([]string) error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return err
	}
	word := wordAt(mem, 0)
	done := make(chan error)
	go func() {
		var err error
		for word.Load() == 0 && err == nil {
			err = futex.Wait(word, 0)
		}
		done <- err
	}()
	for n := 0; n == 0; { // until the other has slept
		time.Sleep(time.Millisecond)
		if n, err = futex.Wake(word, 1); err != nil {
			return err
		}
	}
	word.Store(1)
	if _, err := futex.Wake(word, 1); err != nil {
		return err
	}
	return <-done
}

// A thread that sleeps must not hold the only P.
func TestWaitLeavesTheProcessor(t *testing.T) {
	cmd := proctest.Command("oneP")
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	p := proctest.Start(t, cmd)
	p.WantExit(0)
}

func ExampleWait() {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Munmap(mem)
	word := wordAt(mem, 0)
	go func() {
		word.Store(1)
		futex.Wake(word, 1)
	}()
	for word.Load() == 0 { // a return says "look again", not "it has changed"
		if err := futex.Wait(word, 0); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(word.Load())
	// Output: 1
}
