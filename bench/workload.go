package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A workload is something that two or more processes do together.
type workload struct {
	name     string
	size     int       // bytes of a message; -1: it has none
	procs    int       // processes on each side, or all that there are of a mutex
	variants []variant // what is measured beside C; the first is Go
	quick    bool      // part of a short run
	busy     bool      // also measured beside busy loops
	scale    bool      // one point of a curve over processes
	maxOps   int       // of a trial; 0: as many as the time allows
	only     []string  // placements; nil: all

	// setup makes the objects of a trial.
	setup func(b *bench, w *workload, v variant) (*job, error)
	// run is for a workload that has no halves.
	run func(b *bench, w *workload, v variant, p placement, ops [3]int) (*result, error)
}

// A variant says who the two halves are.
type variant struct {
	Label         string
	first, second maker
	io            string // "file" or "fd" where there is a choice
}

// base is what every variant is compared with.
var base = variant{Label: "C", first: clang, second: clang}

// The usual variants. In a mixed pair the first half is the one that asks, sends,
// writes, or puts.
var (
	goGo      = variant{Label: "Go", first: golang, second: golang}
	goC       = variant{Label: "Go, C half", first: golang, second: clang}
	cGo       = variant{Label: "C, Go half", first: clang, second: golang}
	cgoCgo    = variant{Label: "cgo", first: cgo, second: cgo}
	spinBound = variant{Label: "bound", first: bound, second: bound}
)

// fits tells whether a variant makes sense in a placement: two loops that never
// give up the CPU are no bound when they have to share it.
func (v variant) fits(p placement, cpus int) bool {
	return v.first != bound || !p.one() && !p.busy && cpus > 1
}

func (w *workload) String() string {
	s := w.name
	if w.size >= 0 {
		s += " " + bytes(w.size)
	}
	if w.procs > 1 {
		s += fmt.Sprintf(" ×%d", w.procs)
	}
	return s
}

func bytes(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// here tells whether w is measured in a placement.
func (w *workload) here(p placement) bool {
	if p.busy && !w.busy {
		return false
	}
	if w.only == nil {
		return true
	}
	for _, name := range w.only {
		if name == p.name {
			return true
		}
	}
	return false
}

// hurried tells whether a short run measures w in a placement.
func (w *workload) hurried(p placement) bool {
	switch {
	case strings.HasPrefix(w.name, "start "):
		return p.name == "free"
	case w.scale && w.procs > 2, p.busy && w.size == 64:
		return p.name == "free" || p.name == "free+busy"
	case p.name == "free" && w.name != "mq "+roundTrip && w.name != "mq "+oneWay &&
		(strings.HasSuffix(w.name, roundTrip) || strings.HasSuffix(w.name, oneWay)):
		return false
	case p.name == "free", p.name == "one" && !strings.HasPrefix(w.name, "door"):
		return w.size <= 1<<10
	}
	return true
}

// workloads returns all there are, the most telling first.
func (b *bench) workloads() []*workload {
	var all []*workload
	all = append(all, semWorkloads()...)
	all = append(all, sharedWorkloads()...)
	all = append(all, mqWorkloads()...)
	all = append(all, doorWorkloads()...)
	all = append(all, channelWorkloads()...)
	all = append(all, b.startWorkloads()...)
	all = append(all, scaleWorkloads()...)
	return all
}

// memory makes shared memory without a name, for a job's halves to map.
func (j *job) memory(size int) ([]byte, *os.File, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "bench memory")
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		f.Close()
		return nil, nil, os.NewSyscallError("ftruncate", err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	j.cleanup = append(j.cleanup, func() {
		unix.Munmap(mem)
		f.Close()
	})
	return mem, f, nil
}

// sides adds n halves of each of two roles; files are given to each half.
func (j *job) sides(v variant, n int, first, second string, files ...*os.File) {
	j.peer = n
	for range n {
		j.halves = append(j.halves,
			half{by: v.first, role: first, seat: 0, sign: +1, files: files},
			half{by: v.second, role: second, seat: 1, sign: -1, files: files})
	}
}

// verifyAlso adds a check for after the halves' end.
func (j *job) verifyAlso(check func(ops [3]int) error) {
	before := j.verify
	j.verify = func(ops [3]int) error {
		if before != nil {
			if err := before(ops); err != nil {
				return err
			}
		}
		return check(ops)
	}
}
