// Package phase is what every half of a benchmark has in common: its arguments,
// the three phases in which it works, and the report of each. The halves in C
// keep to the same protocol (c/half.c).
//
// A half is started as
//
//	half ROLE key=value …
//
// with descriptors 3, 4 and 5, from which it reads one byte at the start of the
// first, second and third phase, descriptor 6, to which it reports, and the
// workload's own files from 7 on. (All halves read from the same pipes, so that one
// write starts all; with one pipe for all phases a fast half would take the byte
// that belongs to a slow one.) It reports lines:
//
//	ready
//	phase START END CPU SWITCHES ALLOCS SUM     after each phase, times in ns
//	rss KIB                            once, at the end
//	samples N                          once, followed by N times eight bytes, ns
//	error TEXT                         instead of any of these
//
// The phases are: warm-up, in which the data are checked byte for byte; the
// timed one, in which no clock is read between two operations; and the sampled
// one, in which each operation is timed. The timed phase begins with as many
// operations as the warm-up had, before START: until they are done all halves have
// got going after their sleep, and so has what a runtime does when its process
// wakes. CPU, SWITCHES and ALLOCS are of all operations of a phase.
package phase

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors of a half.
const (
	goFD     = 3
	reportFD = goFD + phases
	firstFD  = reportFD + 1
)

// The phases.
const (
	Warm = iota
	Timed
	Sampled
	phases
)

// A Half is a process that takes part in a workload.
type Half struct {
	Role string
	Ops  [phases]int // operations of each phase
	Size int         // bytes of a message
	Peer int         // processes on each side
	Path string      // a name, where the two sides meet by name

	Phase int    // the present one
	Sum   uint64 // of the numbers sent or received in the present phase

	samples []int64
}

// New parses the arguments.
func New(args []string) (*Half, error) {
	if len(args) < 1 {
		return nil, fmt.Errorf("want a role")
	}
	h := &Half{Role: args[0]}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		if key == "path" {
			h.Path = value
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, err
		}
		switch key {
		case "warm":
			h.Ops[Warm] = n
		case "timed":
			h.Ops[Timed] = n
		case "sampled":
			h.Ops[Sampled] = n
		case "size":
			h.Size = n
		case "peer":
			h.Peer = n
		default:
			return nil, fmt.Errorf("argument %q", arg)
		}
	}
	h.samples = make([]int64, h.Ops[Sampled])
	return h, nil
}

// FD returns the number of the workload's i-th descriptor.
func (h *Half) FD(i int) int { return firstFD + i }

// File returns the workload's i-th descriptor as a file.
func (h *Half) File(i int) *os.File {
	return os.NewFile(uintptr(h.FD(i)), "descriptor "+strconv.Itoa(h.FD(i)))
}

// Run calls op for each operation of each phase, with its number in the phase.
// sample says that the third phase is to be sampled in this half: it is in the
// one that asks or sends.
func (h *Half) Run(sample bool, op func(i int) error) error {
	h.ready()
	for h.Phase = Warm; h.Phase < phases; h.Phase++ {
		h.Sum = 0
		before := usage()
		if err := h.wait(); err != nil {
			return err
		}
		start, err := h.work(sample, op)
		end := now()
		if err != nil {
			return err
		}
		if h.Phase == Timed {
			mark()
		}
		h.report(start, end, before)
	}
	h.finish(sample)
	return nil
}

// work returns when the clock began to run.
func (h *Half) work(sample bool, op func(i int) error) (start int64, err error) {
	switch {
	case h.Phase == Timed:
		mark()
		if err := h.repeat(0, h.Ops[Warm], op); err != nil {
			return 0, err
		}
		start = now()
		return start, h.repeat(h.Ops[Warm], h.Ops[Timed], op)
	case h.Phase == Sampled && sample:
		start = now()
		return start, h.sample(op)
	}
	start = now()
	return start, h.repeat(0, h.Ops[h.Phase], op)
}

// repeat does n operations, of which the first has the number i.
func (h *Half) repeat(i, n int, op func(i int) error) error {
	for end := i + n; i < end; i++ {
		if err := op(i); err != nil {
			return h.failed(i, err)
		}
	}
	return nil
}

func (h *Half) failed(i int, err error) error {
	return fmt.Errorf("operation %d in phase %d: %w", i, h.Phase, err)
}

func (h *Half) sample(op func(i int) error) error {
	epoch := time.Now()
	last := time.Since(epoch)
	for i := range h.samples {
		if err := op(i); err != nil {
			return h.failed(i, err)
		}
		t := time.Since(epoch)
		h.samples[i] = int64(t - last)
		last = t
	}
	return nil
}

// Serve is Run for a half whose work is done elsewhere in the process: it waits
// for the end of each phase, which is another byte. begin, if not nil, is called
// when the timed phase begins.
func (h *Half) Serve(begin func()) error {
	h.ready()
	for h.Phase = Warm; h.Phase < phases; h.Phase++ {
		before := usage()
		if err := h.wait(); err != nil {
			return err
		}
		if h.Phase == Timed {
			mark()
			if begin != nil {
				begin()
			}
		}
		start := now()
		if err := h.wait(); err != nil {
			return err
		}
		end := now()
		if h.Phase == Timed {
			mark()
		}
		h.report(start, end, before)
	}
	h.finish(false)
	return nil
}

func (h *Half) ready() { say("ready\n") }

// wait waits for the byte that starts a phase. The coordinator closes its end
// when it wants no more.
func (h *Half) wait() error {
	var b [1]byte
	for {
		n, err := unix.Read(goFD+h.Phase, b[:])
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			return fmt.Errorf("no word from the coordinator: %v", err)
		}
		return nil
	}
}

func (h *Half) report(start, end int64, before used) {
	after := usage()
	say(fmt.Sprintf("phase %d %d %d %d %d %d\n", start, end,
		after.cpu-before.cpu, after.switches-before.switches, after.allocs-before.allocs, h.Sum))
}

func (h *Half) finish(sample bool) {
	n := 0
	if sample {
		n = len(h.samples)
	}
	kib, _ := Resident("/proc/self/status")
	b := fmt.Appendf(nil, "rss %d\nsamples %d\n", kib, n)
	for _, s := range h.samples[:n] {
		b = binary.NativeEndian.AppendUint64(b, uint64(s))
	}
	say(string(b))
}

// Resident returns the most memory that a process had resident, in KiB: VmHWM of its
// /proc/PID/status. What rusage(2) calls maxrss begins with the parent's at fork.
func Resident(status string) (kib int64, err error) {
	b, err := os.ReadFile(status)
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(b), "\nVmHWM:")
	if !ok {
		return 0, fmt.Errorf("%s: no VmHWM", status)
	}
	_, err = fmt.Sscan(after, &kib)
	return kib, err
}

// Fail reports an error and ends the process.
func Fail(err error) {
	say("error " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\n")
	os.Exit(1)
}

func say(s string) {
	for len(s) > 0 {
		n, err := unix.Write(reportFD, []byte(s))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			os.Exit(1)
		}
		s = s[n:]
	}
}

// used is what a process has used up: ns of CPU, context switches, allocations.
type used struct{ cpu, switches, allocs int64 }

func usage() used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := used{allocs: int64(m.Mallocs)}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		unix.Getrusage(who, &r)
		u.cpu += r.Utime.Nano() + r.Stime.Nano()
		u.switches += r.Nvcsw + r.Nivcsw
	}
	return u
}

// now is a clock that all processes of the machine share.
func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// mark makes a system call that nothing else here makes, so that a trace shows
// where the timed phase begins and ends.
func mark() { unix.Getpgid(0) }
