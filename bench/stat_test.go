package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
	in := []float64{3, 1, 2}
	median(in)
	if in[0] != 3 {
		t.Error("median has sorted its argument")
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(spread(nil).Median) {
		t.Error("the median of nothing is a number")
	}
}

// The ratio is taken round by round: a round that was slow on both sides does not
// count.
func TestRatios(t *testing.T) {
	got := spread(ratios([]float64{1, 100, 2}, []float64{2, 200, 4}))
	if want := (Spread{0.5, 0.5, 0.5}); got != want {
		t.Errorf("spread %v, want %v", got, want)
	}
	if r := ratios([]float64{1, 2}, nil); len(r) != 0 {
		t.Errorf("ratios to nothing: %v", r)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		min, max float64
		want     string
	}{
		{0.2, 0.99, ahead},
		{0.2, 1.0, level},
		{0.9, 1.1, level},
		{1.0, 1.2, level},
		{1.01, 3, behind},
	} {
		if got := verdict(Spread{(c.min + c.max) / 2, c.min, c.max}); got != c.want {
			t.Errorf("verdict of %v to %v is %q, want %q", c.min, c.max, got, c.want)
		}
	}
}

func TestLatency(t *testing.T) {
	h := newHistogram()
	var samples []int64
	for i := range int64(1000) {
		samples = append(samples, (i+1)*1000)
	}
	record(h, append(samples, 0, 1<<62)) // out of its range on both sides: they count, too
	l := latency(h)
	near := func(got, want int64) bool { return math.Abs(float64(got-want)) <= 0.002*float64(want) }
	if l.N != 1002 || !near(l.P50, 500e3) || !near(l.P99, 991e3) || !near(l.P999, 1000e3) {
		t.Errorf("latency %+v", l)
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{
		0.5: "0.50ns", 15.64: "15.6ns", 232: "232ns", 1890: "1.89µs", 64.9e3: "64.9µs", 12e6: "12.0ms", 2.5e9: "2.50s",
	} {
		if got := duration(ns); got != want {
			t.Errorf("duration(%v) = %q, want %q", ns, got, want)
		}
	}
}

func TestReach(t *testing.T) {
	here := placements([]int{0, 1})
	sem := &workload{name: "sem ping-pong"}
	for _, c := range []struct {
		w     *workload
		v     variant
		place string
		want  float64
	}{
		{sem, goGo, "two", 0.02},
		{sem, goGo, "free", 0.02},
		{sem, goGo, "one", 0.80},
		{sem, goGo, "one+busy", 1.05},
		{sem, goC, "one", 0.95},
		{sem, cGo, "two", 0.05},
		{sem, cgoCgo, "two", 0},
		{sem, spinBound, "two", 0},
		{&workload{name: "queue 5×20"}, goC, "free", 0.1},
		{&workload{name: "queue 5×20 n:n", procs: 8}, goGo, "free", 2},
		{&workload{name: "stream one way"}, goGo, "one", 1.05},
		{&workload{name: "start simple_pipe"}, goGo, "one", 1.4},
		{&workload{name: "re-exec / fork"}, goGo, "one", 0},
	} {
		got, ok := reach(c.w, c.v, here[c.place])
		if got != c.want || ok != (c.want > 0) {
			t.Errorf("%s, %s, %s: limit %v, want %v", c.w.name, c.v.Label, c.place, got, c.want)
		}
	}
}

func TestMissed(t *testing.T) {
	run := &Run{
		Rows: []Row{
			{Workload: "sem ping-pong", Variant: "Go", Placement: "two", This: Side{Ops: 5000, Allocs: 1}, Limit: 0.02, Reached: true, Bound: 2},
			{Workload: "mq one way", Variant: "Go", Placement: "two", Limit: 0.5},
			{Workload: "pipe one way", Variant: "Go", Placement: "two", This: Side{Ops: 5000, Allocs: 1}, Limit: 1, Reached: true},
		},
		Idle: []IdleRow{{Wait: "mutex", Go: 0.1, Limit: 0.5}, {Wait: "door", Go: 3, Limit: 0.5}},
	}
	misses, goals := missed(run)
	// The semaphore's bound and allocations, the queue's ratio, the door's wait.
	if len(misses) != 4 || goals != 7 {
		t.Errorf("%d goals, missed %q", goals, misses)
	}
}

func TestCallName(t *testing.T) {
	for line, want := range map[string]string{
		`17 futex(0x7f, FUTEX_WAKE, 1) = 1`:            "futex",
		`17 read(3,  <unfinished ...>`:                 "read",
		`17 <... read resumed>"\0", 1) = 1`:            "",
		`17 --- SIGURG {si_signo=SIGURG} ---`:          "",
		`17 +++ exited with 0 +++`:                     "",
		`  9 getpgid(0) = 9`:                           "getpgid",
		`17 write(6, "a(b", 3) = 3`:                    "write",
		`17 exit_group(0)                         = ?`: "exit_group",
	} {
		if got := callName(line); got != want {
			t.Errorf("%q is a call of %q, want %q", line, got, want)
		}
	}
}
