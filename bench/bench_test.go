package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// prepared builds the halves into the test's folder.
func prepared(t *testing.T, programs bool) *bench {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	b, err := newBench()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(b.tmp) })
	b.raiseLimits()
	if err := b.build(programs); err != nil {
		t.Fatal(err)
	}
	b.patience = 30 * time.Second
	if b.halves[clang] == "" && os.Getenv("CI") == "true" {
		t.Fatal("CI=true, and no C compiler")
	}
	return b
}

// Every workload does its work in every variant: run checks the numbers of the
// messages and what is left behind. Doors and channels are checked byte for byte
// in the warm-up.
func TestWorkloads(t *testing.T) {
	b := prepared(t, true)
	free := placements(b.cpus)["free"]
	for _, w := range b.workloads() {
		if w.procs > 8 || strings.HasPrefix(w.name, "start ") && w.name != "start mmap_consumer" {
			continue
		}
		for _, v := range append([]variant{base}, w.variants...) {
			t.Run(w.String()+"/"+v.Label, func(t *testing.T) {
				if b.halves[v.first] == "" || b.halves[v.second] == "" || !v.fits(free, len(b.cpus)) {
					t.Skipf("no %v half and %v half here", v.first, v.second)
				}
				ops := [3]int{4 * w.procs, 8 * w.procs, 4 * w.procs}
				res, err := b.trial(w, free, v, ops, false)
				if err != nil {
					t.Fatal(err)
				}
				if res.Ops != ops[1] || res.Elapsed <= 0 || len(res.Samples) == 0 {
					t.Errorf("result %+v", res)
				}
			})
		}
	}
	if left, _ := filepath.Glob("/dev/mqueue/bench.*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if left, _ := os.ReadDir(b.tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a half sends and nobody receives is found.
func TestSums(t *testing.T) {
	tr := &trial{runners: []*runner{{half: half{sign: +1}}, {half: half{sign: -1}}}}
	if err := tr.sums([]report{{sum: 6}, {sum: 6}}); err != nil {
		t.Error(err)
	}
	if err := tr.sums([]report{{sum: 6}, {sum: 5}}); err == nil {
		t.Error("a lost message was not found")
	}
}

// A half that dies is an error of the trial, not a wait without end.
func TestDeadHalf(t *testing.T) {
	b := prepared(t, false)
	j := &job{peer: 1, halves: []half{{by: golang, role: "no such role"}}}
	_, err := b.run(j, placement{}, [3]int{1, 1, 1}, false)
	if err == nil || !strings.Contains(err.Error(), "no role") {
		t.Errorf("error %v", err)
	}
}

// A whole run, from the rounds to the table and the plots.
func TestRun(t *testing.T) {
	b := prepared(t, false)
	b.rounds = 2
	b.results = t.TempDir()
	chosen, err := b.choose("^(sem ping-pong|seqpacket one way (64 B|1 KiB)|mutex contended ×[24])$", "free")
	if err != nil {
		t.Fatal(err)
	}
	if len(chosen) != 5 {
		t.Fatalf("chosen: %v", chosen)
	}
	run, err := b.runAll(chosen, true, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Rows {
		if r.Error != "" {
			t.Errorf("%s: %s", r.label(), r.Error)
		}
		if len(r.This.Ns) != 2 {
			t.Errorf("%s, %s: %d rounds, want 2", r.label(), r.Variant, len(r.This.Ns))
		}
		if r.C != nil && (math.IsNaN(r.Ratio.Median) || r.Verdict == "") {
			t.Errorf("%s, %s: no ratio", r.label(), r.Variant)
		}
	}
	if !slices.ContainsFunc(run.Rows, func(r Row) bool { return r.Variant == "Go" && r.Workload == "sem ping-pong" }) {
		t.Error("no line for the semaphore")
	}
	if len(run.Idle) != len(idleKinds) {
		t.Errorf("waits in vain: %v", run.Idle)
	}
	file, err := b.save(run)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadRun(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := plots(again, b.results); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"throughput-free.svg", "ratio-free.svg", "scaling-free.svg"} {
		if _, err := os.Stat(filepath.Join(b.results, name)); err != nil && b.halves[clang] != "" {
			t.Error(err)
		}
	}
	var table strings.Builder
	if err := printTable(&table, again); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sem ping-pong", "seqpacket one way 64 B", run.Env.Kernel} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}
