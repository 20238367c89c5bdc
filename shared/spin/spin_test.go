package spin

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// never is a look that counts how often it looked and finds nothing.
func never(n *int) func() bool { return func() bool { *n++; return false } }

// on returns a look that finds what it looks for at the nth time.
func on(nth int) func() bool {
	n := 0
	return func() bool { n++; return n >= nth }
}

// looks returns how often f calls the look it is given.
func looks(f func(look func() bool)) (n int) {
	f(never(&n))
	return n
}

func TestForReturnsWhatLookReturned(t *testing.T) {
	for _, nth := range []int{1, 2, 100, maxLooks, maxLooks + 1, maxLooks + 2} {
		var w Wait
		n := 0
		got := w.For(func() bool { n++; return n == nth })
		// The scheduler may end the second phase at any look.
		if found := n == nth; got != found || nth <= maxLooks+1 && !found {
			t.Errorf("found at look %d: For = %v after %d looks", nth, got, n)
		}
	}
	var w Wait
	if n := 0; w.For(never(&n)) {
		t.Error("For = true, but look never was")
	}
}

func TestNumberOfLooksIsBounded(t *testing.T) {
	var w Wait
	for range 3 * probe {
		if n := looks(func(look func() bool) { w.For(look) }); n > maxLooks+maxYields {
			t.Fatalf("%d looks in one wait, want at most %d", n, maxLooks+maxYields)
		}
	}
}

// The first phase halves its looks at each failure, is off below minLooks but for
// a probe, and doubles them with each success.
func TestPausingAdapts(t *testing.T) {
	var w Wait
	wait := uint32(0)
	pausing := func() int {
		wait++
		return looks(func(look func() bool) {
			if w.pausing(look, wait) {
				t.Error("pausing found what was not there")
			}
		})
	}
	var got []int
	for range 6 {
		got = append(got, pausing())
	}
	if want := []int{200, 100, 50, 25, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("looks of the first waits = %v, want %v", got, want)
	}
	probes := 0
	for wait < 5*probe {
		switch n := pausing(); {
		case n == minLooks && wait%probe == 0:
			probes++
		case n != 0:
			t.Fatalf("wait %d: %d looks", wait, n)
		}
	}
	if probes != 5 {
		t.Errorf("%d probes in %d waits, want 5", probes, wait)
	}
	for i, want := range []int{2 * minLooks, 4 * minLooks, 8 * minLooks, maxLooks, maxLooks} {
		if !w.pausing(on(minLooks), probe) {
			t.Fatal("the first phase did not find what was there")
		}
		if n := maxLooks - int(w.lost.Load()); n != want {
			t.Errorf("%d looks after success %d, want %d", n, i+1, want)
		}
	}
}

// The second phase is off after maxFailed failures but for a probe, and on again
// after one success.
func TestYieldingAdapts(t *testing.T) {
	var w Wait
	yielding := func(wait uint32) int {
		w.gate.Store(0) // another task may have had the CPU
		return looks(func(look func() bool) {
			if _, found := w.yielding(look, wait); found {
				t.Error("yielding found what was not there")
			}
		})
	}
	for w.failed.Load() < maxFailed {
		if yielding(1) == 0 {
			t.Fatalf("no looks after %d failures", w.failed.Load())
		}
	}
	for wait := uint32(1); wait <= 2*probe; wait++ {
		if n := yielding(wait); (n > 0) != (wait%probe == 0) {
			t.Errorf("wait %d: %d looks", wait, n)
		}
	}
	for done := false; !done; { // one that no other task disturbs
		w.gate.Store(0)
		_, found := w.yielding(on(1), probe)
		done = found && w.failed.Load() == 0
	}
	if yielding(1) == 0 {
		t.Error("no looks after a success")
	}
}

// slow returns a look that finds nothing and takes so long, the first time, that
// the next yield counts as a long one: the clock is read between yield and look.
func slow() func() bool {
	first := true
	return func() bool {
		for start := time.Since(epoch); first && time.Since(epoch)-start <= longYield; {
		}
		first = false
		return false
	}
}

func TestLongYieldClosesTheGate(t *testing.T) {
	var w Wait
	for range 3 {
		w.gate.Store(0)
		start := time.Since(epoch)
		if _, found := w.yielding(slow(), 1); found {
			t.Fatal("yielding found what was not there")
		}
		took := time.Since(epoch) - start
		closed := time.Duration(w.gate.Load()) - start
		if closed < longYield*closedFor || closed > took+min(took*closedFor, maxClosed) {
			t.Errorf("closed for %v, want %v (at most %v) times %d, at most %v", closed, longYield, took, closedFor, maxClosed)
		}
		if n := looks(func(look func() bool) { w.yielding(look, probe) }); n != 0 {
			t.Errorf("%d looks behind a closed gate", n)
		}
	}
}

func TestGateOpensAgain(t *testing.T) {
	var w Wait
	w.yielding(slow(), 1)
	for time.Since(epoch) <= time.Duration(w.gate.Load()) {
		if n := looks(func(look func() bool) { w.yielding(look, probe) }); n != 0 && time.Since(epoch) <= time.Duration(w.gate.Load()) {
			t.Fatal("looks behind a closed gate")
		}
		time.Sleep(time.Millisecond)
	}
	if n := looks(func(look func() bool) { w.yielding(look, probe) }); n == 0 {
		t.Error("no looks though the gate is open")
	}
}

// What is there at the look after a long yield counts.
func TestFoundAfterALongYield(t *testing.T) {
	for {
		var w Wait
		n, late := 0, time.Duration(0)
		_, got := w.yielding(func() bool {
			if n++; n == 1 {
				for start := time.Since(epoch); late <= longYield; late = time.Since(epoch) - start {
				}
				return false
			}
			return true
		}, 1)
		if n == 1 {
			continue // another task had the CPU before the first look already
		}
		if !got || n != 2 {
			t.Errorf("yielding = %v after %d looks, want true after 2", got, n)
		}
		if w.gate.Load() == 0 {
			t.Error("the gate is open after a long yield")
		}
		return
	}
}

// Call sleeps at once, but for a probe, when looking was in vain sure times.
func TestCallLearns(t *testing.T) {
	calls := func(w *Wait, nth int) (n int) {
		w.gate.Store(0) // another task may have had the CPU
		w.Call(func() bool { n++; return n == nth })
		return n
	}
	// Found by the first yield, found never: in vain.
	for name, nth := range map[string]int{"first yield": 2, "never": 0} {
		var w Wait
		w.lost.Store(maxLooks) // no first phase
		for i := range sure {
			if n := calls(&w, nth); n < 1 {
				t.Fatalf("%s: no look in wait %d", name, i+1)
			}
		}
		for w.waits.Load()%probe != probe-1 {
			if n := calls(&w, nth); n != 0 {
				t.Fatalf("%s: %d looks in wait %d", name, n, w.waits.Load())
			}
		}
		if n := calls(&w, nth); n == 0 {
			t.Errorf("%s: no look in a probe", name)
		}
		// One that finds at once ends it.
		w.waits.Store(probe - 1)
		if calls(&w, 1); w.vain.Load() != 0 {
			t.Errorf("%s: vain = %d after a probe that found it at once, want 0", name, w.vain.Load())
		}
		if n := calls(&w, 1); n != 1 {
			t.Errorf("%s: %d looks after that, want 1", name, n)
		}
	}
	// Found at once, in the first phase, by a later yield: not in vain.
	for name, nth := range map[string]int{"at once": 1, "first phase": 3, "later yield": maxLooks + 3} {
		var w Wait
		for range 3 * sure {
			for done := false; !done; { // one that no other task disturbs
				w.lost.Store(0)
				w.vain.Store(sure - 1)
				calls(&w, nth)
				done = w.gate.Load() == 0
			}
			if v := w.vain.Load(); v != 0 {
				t.Fatalf("%s: vain = %d, want 0", name, v)
			}
		}
	}
}

// A wait for a peer that never comes settles at next to no work.
func TestHopelessWaitsAreCheap(t *testing.T) {
	var w Wait
	for range 2 * probe {
		w.For(func() bool { return false })
	}
	n := looks(func(look func() bool) {
		for range probe {
			w.For(look)
		}
	})
	if want := minLooks + maxYields; n > want {
		t.Errorf("%d looks in %d waits, want at most %d", n, probe, want)
	}
}

func TestNoAllocation(t *testing.T) {
	var w Wait
	found, n := false, 0
	for name, call := range map[string]func(){
		"success": func() { w.For(func() bool { found = true; return found }) },
		"failure": func() { w.For(func() bool { n++; return false }) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}

// Goroutines that share a Wait each get the answer of their own look.
func TestSharedByGoroutines(t *testing.T) {
	var w Wait
	var turn atomic.Int32
	var all sync.WaitGroup
	const players, rounds = 3, 200
	for me := range int32(players) {
		all.Go(func() {
			for range rounds {
				for {
					mine := false
					got := w.For(func() bool { mine = turn.Load() == me; return mine })
					if got != mine {
						t.Errorf("For = %v, the last look was %v", got, mine)
					}
					if mine {
						break
					}
					runtime.Gosched()
				}
				turn.Store((me + 1) % players)
			}
		})
	}
	all.Wait()
}

func TestCallReturnsWhatLookReturned(t *testing.T) {
	for _, nth := range []int{1, 2, 100, maxLooks + 1, maxLooks + 2} {
		var w Wait
		n := 0
		got := w.Call(func() bool { n++; return n == nth })
		if found := n == nth; got != found || nth <= maxLooks+2 && !found {
			t.Errorf("found at look %d: Call = %v after %d looks", nth, got, n)
		}
	}
}

func ExampleWait_For() {
	var (
		w     Wait
		ready atomic.Bool
		woken = make(chan bool, 1)
	)
	go func() {
		ready.Store(true)
		woken <- true
	}()
	if !w.For(ready.Load) {
		<-woken // it took longer than a sleep costs
	}
	fmt.Println(ready.Load())
	// Output: true
}
