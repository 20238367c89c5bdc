package main

import (
	"fmt"
	"math"
	"time"

	"ipcbook/bench/phase"
)

// A Row is a line of the table: a variant of a workload in a placement, beside C.
type Row struct {
	Workload  string
	Variant   string
	Size      int // bytes; -1: none
	Procs     int
	Scale     bool // a point of a curve over processes
	Placement string

	This Side  // the variant
	C    *Side // nil without a C compiler

	Ratio    Spread  // This/C of each round
	CPURatio Spread  // the same of CPU time
	Verdict  string  // ahead, behind, level
	Limit    float64 `json:",omitempty"` // what the median ratio is to reach
	Reached  bool
	Bound    float64 `json:",omitempty"` // median of This/bound, where there is a bound
	Error    string  `json:",omitempty"`
}

// A Side is one side of a comparison.
type Side struct {
	Ops      int       // a round, timed
	Ns       []float64 // an operation, wall clock, by round
	CPUNs    []float64 // an operation, CPU of all processes, by round
	Median   float64   // of Ns
	Latency  Latency
	Allocs   float64 // an operation, of the Go halves: the median
	Switches float64 // from one process to another, an operation, of all halves: the median
	Calls    float64 // system calls an operation; -1: not known
	RSS      int64   // KiB, the largest process
}

// A contestant is a variant while it is measured.
type contestant struct {
	variant
	ops    [3]int
	rounds []*result
	calls  float64
}

// measure measures a workload in a placement: all variants and C, interleaved.
func (b *bench) measure(w *workload, p placement, trials time.Duration) ([]Row, error) {
	if p.busy {
		stop, err := b.busyLoops()
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	var all []*contestant
	for _, v := range append([]variant{base}, w.variants...) {
		if b.halves[v.first] != "" && b.halves[v.second] != "" && v.fits(p, len(b.cpus)) {
			all = append(all, &contestant{variant: v, calls: -1})
		}
	}
	target := trials / time.Duration(len(all)*(b.rounds+calibrations))
	if b.tracing(w, p) && b.tracepoint != 0 {
		target = trials / time.Duration(len(all)*(b.rounds+calibrations+1))
	}
	for _, c := range all {
		if err := b.calibrate(w, p, c, target); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Label, err)
		}
	}
	for round := range b.rounds {
		b.progress(w, p, round)
		for i := range all {
			c := all[i]
			if round%2 == 1 {
				c = all[len(all)-1-i]
			}
			res, err := b.trial(w, p, c.variant, c.ops, false)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Label, err)
			}
			c.rounds = append(c.rounds, res)
		}
	}
	if b.tracing(w, p) {
		for _, c := range all {
			if c.first == bound {
				continue // it makes none
			}
			ops := c.ops
			if b.tracepoint == 0 {
				n := 64 * w.procs
				ops = [3]int{n / 4, n, w.procs}
			}
			res, err := b.trial(w, p, c.variant, ops, true)
			if err != nil {
				return nil, fmt.Errorf("%s while its system calls are counted: %w", c.Label, err)
			}
			c.calls = float64(res.Calls) / float64(res.All)
		}
	}
	return b.rows(w, p, all), nil
}

// calibrations is about how many trials the search for a number of operations
// takes.
const calibrations = 2

// longestGoal keeps a busy machine, on which processes start one by one, from
// making a trial endless.
const longestGoal = 200 * time.Millisecond

const (
	leastOps    = 8
	mostSamples = 4000
)

// calibrate finds how many operations take about the target time. Its last trial
// is the warm-up of the rounds.
func (b *bench) calibrate(w *workload, p placement, c *contestant, target time.Duration) error {
	n := leastOps
	for {
		c.ops = w.ops(n)
		res, err := b.trial(w, p, c.variant, c.ops, false)
		if err != nil {
			return err
		}
		n = c.ops[phase.Timed]
		// The work is to last long in comparison with the start of all processes.
		goal := max(target, min(10*time.Duration(res.Skew), longestGoal))
		factor := float64(goal) / float64(res.Elapsed)
		if n = int(float64(n) * min(factor, 64)); factor < 4 || w.maxOps > 0 && n >= w.maxOps {
			c.ops = w.ops(n)
			return nil
		}
	}
}

// ops returns the operations of the three phases, for about n in the timed one.
func (w *workload) ops(n int) [3]int {
	if w.maxOps > 0 {
		n = min(n, w.maxOps)
	}
	whole := func(n, least int) int { return max(n/w.procs, least) * w.procs }
	n = whole(n, leastOps)
	return [3]int{whole(n/3, 2), n, whole(min(n/4, mostSamples), 2)}
}

// trial sets up a workload and runs it once.
func (b *bench) trial(w *workload, p placement, v variant, ops [3]int, traced bool) (*result, error) {
	if w.run != nil {
		return w.run(b, w, v, p, ops)
	}
	if v.first == bound {
		// The bound is what the memory allows: two loops that never give up the
		// CPU must not land on the same one.
		p = placements(b.cpus)["two"]
	}
	j, err := w.setup(b, w, v)
	defer j.close()
	if err != nil {
		return nil, err
	}
	return b.run(j, p, ops, traced)
}

// tracing tells whether a run follows the rounds in which system calls are
// counted.
func (b *bench) tracing(w *workload, p placement) bool {
	if w.run != nil {
		return false
	}
	if b.tracepoint != 0 {
		return true
	}
	return b.strace != "" && !p.busy && w.procs <= 2 && (!b.quick || p.name != "two" && w.size <= 1024)
}

// rows turns what was measured into lines of the table.
func (b *bench) rows(w *workload, p placement, all []*contestant) []Row {
	var rows []Row
	var c, limit *Side
	for _, x := range all {
		s := x.side()
		switch x.first {
		case clang:
			if x.second == clang {
				c = s
			}
		case bound:
			limit = s
		}
	}
	for _, x := range all {
		if x.first == clang && x.second == clang {
			continue
		}
		r := Row{
			Workload: w.name, Variant: x.Label, Size: w.size, Procs: w.procs, Scale: w.scale,
			Placement: p.name, This: *x.side(), C: c,
		}
		if c != nil {
			r.Ratio = spread(ratios(r.This.Ns, c.Ns))
			r.CPURatio = spread(ratios(r.This.CPUNs, c.CPUNs))
			r.Verdict = verdict(r.Ratio)
			if limit, ok := reach(w, x.variant, p); ok {
				r.Limit, r.Reached = limit, r.Ratio.Median <= limit
			}
		}
		if limit != nil && x.first == golang {
			r.Bound = median(ratios(r.This.Ns, limit.Ns))
		}
		rows = append(rows, r)
	}
	return rows
}

func (c *contestant) side() *Side {
	s := &Side{Calls: c.calls}
	h := newHistogram()
	var allocs, switches []float64
	for _, r := range c.rounds {
		s.Ops = r.Ops
		s.Ns = append(s.Ns, r.ns())
		s.CPUNs = append(s.CPUNs, math.Max(r.cpuNs(), 1e-3)) // rusage counts µs: never divide by 0
		allocs = append(allocs, float64(r.Allocs)/float64(r.All))
		switches = append(switches, float64(r.Switches)/float64(r.All))
		s.RSS = max(s.RSS, r.RSS)
		record(h, r.Samples)
	}
	s.Median = median(s.Ns)
	s.Allocs = median(allocs)
	s.Switches = median(switches)
	s.Latency = latency(h)
	return s
}
