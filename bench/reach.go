package main

import (
	"fmt"
	"strings"
)

// What the suite wants to reach: the most that the median of the ratios Go/C may
// be. 0: no limit is set.
type goal struct {
	workload        string // the beginning of its name
	mixed           bool   // pairs with one C half
	cores, one, bsy float64
}

// goals are searched in this order; the first that fits counts.
var goals = []goal{
	{workload: "sem ping-pong", cores: 0.02, one: 0.80, bsy: 1.05},
	{workload: "sem ping-pong", mixed: true, cores: 0.05, one: 0.95, bsy: 1.05},
	{workload: "pshm transfer", cores: 0.02, one: 0.80, bsy: 1.0},
	{workload: "pshm transfer", mixed: true, cores: 0.05, one: 0.95, bsy: 1.05},
	{workload: "queue 5×20 n:n", cores: 2, one: 2},
	{workload: "queue 5×20", cores: 0.05, one: 0.45, bsy: 1.0},
	{workload: "queue 5×20", mixed: true, cores: 0.1, one: 1.0, bsy: 1.0},
	{workload: "mutex uncontended", cores: 1.0, one: 1.0, bsy: 1.0},
	{workload: "mutex contended", cores: 0.8, one: 1.0, bsy: 1.0},
	{workload: "mq round trip", cores: 0.1, one: 1.0, bsy: 1.05},
	{workload: "mq one way", cores: 0.5, one: 1.05, bsy: 1.05},
	{workload: "mq n:n", cores: 2, one: 2},
	{workload: "pipe round trip", cores: 1.0, one: 1.3, bsy: 1.1},
	{workload: "pipe one way", cores: 1.0, one: 1.05, bsy: 1.1},
	{workload: "FIFO round trip", cores: 1.0, one: 1.3, bsy: 1.1},
	{workload: "FIFO one way", cores: 1.0, one: 1.05, bsy: 1.1},
	{workload: "stream round trip", cores: 1.0, one: 1.3, bsy: 1.1},
	{workload: "stream one way", cores: 1.0, one: 1.05, bsy: 1.1},
	{workload: "seqpacket round trip", cores: 1.0, one: 1.3, bsy: 1.1},
	{workload: "seqpacket one way", cores: 1.0, one: 1.05, bsy: 1.1},
	{workload: "datagram round trip", cores: 1.0, one: 1.3, bsy: 1.1},
	{workload: "datagram one way", cores: 1.0, one: 1.05, bsy: 1.1},
	{workload: "door call", cores: 0.1, one: 1.0, bsy: 1.05},
	{workload: "door n clients", cores: 2, one: 2},
	{workload: "start ", cores: 1.8, one: 1.4},
}

// Limits on what is no ratio to C.
const (
	boundLimit = 1.5  // Go/bound of the semaphore, on two cores
	idleLimit  = 0.5  // percent of a core, for a wait in vain
	allocLimit = 0.01 // allocations an operation: less is a goroutine of the runtime
)

// reach returns the goal for a variant in a placement. Baselines have none.
func reach(w *workload, v variant, p placement) (limit float64, ok bool) {
	mixed := v.first != v.second
	if v.Label != "Go" && !mixed {
		return 0, false
	}
	for _, g := range goals {
		if !strings.HasPrefix(w.name, g.workload) || g.mixed != mixed {
			continue
		}
		switch {
		case p.busy:
			limit = g.bsy
		case p.one():
			limit = g.one
		default:
			limit = g.cores
		}
		return limit, limit > 0
	}
	return 0, false
}

// allocates lists what must not allocate.
var allocates = []string{"sem ", "pshm ", "queue ", "mutex ", "mq ", "door "}

// missed says what this run did not reach, and how many goals it had.
func missed(run *Run) (misses []string, goals int) {
	check := func(ok bool, format string, args ...any) {
		goals++
		if !ok {
			misses = append(misses, fmt.Sprintf(format, args...))
		}
	}
	for _, r := range run.Rows {
		what := fmt.Sprintf("%s, %s, %s", r.label(), r.Variant, r.Placement)
		if r.Error != "" {
			check(false, "%s: %s", what, r.Error)
			continue
		}
		if r.Limit > 0 {
			check(r.Reached, "%s: ratio %.3g, wanted at most %g", what, r.Ratio.Median, r.Limit)
		}
		if r.Bound > 0 && r.Workload == "sem ping-pong" && r.Variant == "Go" {
			check(r.Bound <= boundLimit, "%s: %.3g times the bound, wanted at most %g", what, r.Bound, boundLimit)
		}
		for _, prefix := range allocates {
			inline := !strings.HasPrefix(r.Workload, "door") || r.Size <= 64<<10 && !strings.Contains(r.Workload, "descriptor")
			if r.Variant == "Go" && strings.HasPrefix(r.Workload, prefix) && inline && r.This.Ops >= 1000 {
				check(r.This.Allocs < allocLimit, "%s: %.3g allocations an operation", what, r.This.Allocs)
			}
		}
	}
	for _, r := range run.Idle {
		check(r.Go < r.Limit, "wait in vain for a %s: %.2g %% of a core, wanted less than %g %%", r.Wait, r.Go, r.Limit)
	}
	return misses, goals
}
