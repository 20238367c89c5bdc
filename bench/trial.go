package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
)

// A maker is where a half comes from.
type maker int

const (
	golang  maker = iota
	clang         // C with glibc
	cgo           // Go that calls glibc
	bound         // C that spins and never enters the kernel
	dynamic       // a C twin that is linked dynamically
	bare          // a Go program that does nothing
	makers
)

func (m maker) String() string {
	return [...]string{"Go", "C", "cgo", "bound", "C, dynamic", "Go, bare"}[m]
}

// A half is one process of a workload.
type half struct {
	by      maker
	role    string
	seat    int  // 0 or 1: which CPU in the placement "two"
	serves  bool // others look for it when they start
	passive bool // others say how much there is to do, as for a server
	sign    int  // +1 for what is sent, -1 for what is received: the sums must meet
	files   []*os.File
}

// A job is a workload that is ready to run once: its objects exist.
type job struct {
	halves  []half
	size    int
	peer    int    // processes on each side
	path    string // where halves meet by name
	verify  func(ops [3]int) error
	cleanup []func()
}

func (j *job) close() {
	for i := len(j.cleanup) - 1; i >= 0; i-- {
		j.cleanup[i]()
	}
	for _, h := range j.halves {
		for _, f := range h.files {
			f.Close()
		}
	}
}

// A result is what a trial has shown.
type result struct {
	All      int     // operations of the timed phase, with those before the clock runs
	Ops      int     // of the timed phase
	Elapsed  int64   // ns, from the first start to the last end
	Skew     int64   // ns, from the first start to the last
	CPU      int64   // ns, of all halves
	Switches int64   // from one process to another, of all halves
	Allocs   int64   // of the Go halves
	RSS      int64   // KiB, of the largest half
	Samples  []int64 // ns, of single operations
	Calls    int     // system calls in the timed phase, if traced
}

func (r *result) ns() float64    { return float64(r.Elapsed) / float64(r.Ops) }
func (r *result) cpuNs() float64 { return float64(r.CPU) / float64(r.All) }

// A runner is a half that runs.
type runner struct {
	half
	cmd    *exec.Cmd
	report *os.File
	in     *bufio.Reader
	words  *os.File // of a passive half
	trace  string
}

// A report of a phase.
type report struct {
	start, end, cpu, switches, allocs int64
	sum                               uint64
}

// run runs a job once: ops are the operations of each phase, of all processes of
// a side together.
func (b *bench) run(j *job, p placement, ops [3]int, traced bool) (res *result, err error) {
	// The collector of this process is not to run beside the halves.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	t := &trial{deadline: time.Now().Add(b.patience)}
	defer t.end()
	for i := range ops {
		ops[i] = max(1, ops[i]/j.peer)
	}
	if err := t.start(b, j, p, ops, traced); err != nil {
		return nil, err
	}
	res = &result{Ops: ops[phase.Timed] * j.peer, All: (ops[phase.Warm] + ops[phase.Timed]) * j.peer}
	var calls counter
	defer calls.close()
	if traced && b.tracepoint != 0 {
		for _, r := range t.runners {
			if err := calls.add(b.tracepoint, r.cmd.Process.Pid); err != nil {
				return nil, err
			}
		}
	}
	for i := range ops {
		before, err := calls.read()
		if err != nil {
			return nil, err
		}
		reports, err := t.phase()
		if err != nil {
			return nil, fmt.Errorf("phase %d: %w", i, err)
		}
		if err := t.sums(reports); err != nil {
			return nil, fmt.Errorf("phase %d: %w", i, err)
		}
		if i == phase.Timed {
			res.add(t.runners, reports)
			after, err := calls.read()
			if err != nil {
				return nil, err
			}
			// Those of the protocol are not the workload's.
			res.Calls = max(0, after-before-protocolCalls*len(t.runners))
		}
	}
	if err := t.finish(res); err != nil {
		return nil, err
	}
	for i := range ops {
		ops[i] *= j.peer
	}
	if j.verify != nil {
		return res, j.verify(ops)
	}
	return res, nil
}

// protocolCalls are what a half itself does in a phase: it reads a byte, looks at
// the clock and at its use of CPU, sets marks, and writes a report.
const protocolCalls = 9

type trial struct {
	runners  []*runner
	deadline time.Time
	active   [3]*os.File // by which the halves are told to start a phase
	next     int         // phase
}

// start starts the halves and waits until all are ready.
func (t *trial) start(b *bench, j *job, p placement, ops [3]int, traced bool) error {
	var active [3]*os.File
	for i := range active {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		active[i], t.active[i] = r, w
	}
	for _, serves := range []bool{true, false} {
		first := len(t.runners)
		for i, h := range j.halves {
			if h.serves != serves {
				continue
			}
			words := active
			r := &runner{half: h}
			if h.passive { // it is told of ends, too, and has a pipe of its own
				pr, pw, err := os.Pipe()
				if err != nil {
					return err
				}
				defer pr.Close()
				words = [3]*os.File{pr, pr, pr}
				r.words = pw
			}
			if traced && b.tracepoint == 0 {
				r.trace = fmt.Sprintf("%s/trace.%d", b.tmp, i)
			}
			if err := r.start(b, j, p.cpus(h.seat), ops, words); err != nil {
				return err
			}
			t.runners = append(t.runners, r)
			r.report.SetReadDeadline(t.deadline)
		}
		for _, r := range t.runners[first:] {
			if line, err := r.line(); err != nil || line != "ready" {
				return r.failed(line, err)
			}
		}
	}
	return nil
}

func (r *runner) start(b *bench, j *job, cpus []int, ops [3]int, words [3]*os.File) error {
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	defer pw.Close()
	args := []string{
		b.halves[r.by], r.role,
		fmt.Sprintf("warm=%d", ops[phase.Warm]),
		fmt.Sprintf("timed=%d", ops[phase.Timed]),
		fmt.Sprintf("sampled=%d", ops[phase.Sampled]),
		fmt.Sprintf("peer=%d", j.peer),
		fmt.Sprintf("size=%d", max(j.size, 0)),
	}
	if j.path != "" {
		args = append(args, "path="+j.path)
	}
	if r.by == bound {
		args[1] = "spin." + args[1]
	}
	if r.trace != "" {
		args = append([]string{b.strace, "-f", "-qq", "-o", r.trace}, args...)
	}
	r.cmd = exec.Command(args[0], args[1:]...)
	r.cmd.Stderr = os.Stderr
	r.cmd.ExtraFiles = append(append(words[:], pw), r.files...)
	if err := startOn(r.cmd, cpus); err != nil {
		pr.Close()
		return err
	}
	r.report, r.in = pr, bufio.NewReaderSize(pr, 1<<16)
	return nil
}

// line returns the next line of a half's report, or the error that it reports.
func (r *runner) line() (string, error) {
	line, err := r.in.ReadString('\n')
	if err == io.EOF {
		err = errors.New("it ended")
	}
	line = strings.TrimSuffix(line, "\n")
	if text, ok := strings.CutPrefix(line, "error "); ok {
		err = errors.New(text)
	}
	return line, err
}

func (r *runner) failed(line string, err error) error {
	if err == nil {
		err = fmt.Errorf("said %q", line)
	}
	return fmt.Errorf("%v half %s: %w", r.by, r.role, err)
}

// phase runs the next phase and returns the reports.
func (t *trial) phase() ([]report, error) {
	if err := t.begin(); err != nil {
		return nil, err
	}
	return t.collect()
}

// begin starts the next phase. One write starts all halves of a kind, so that
// none has a head start of more than a wake.
func (t *trial) begin() error {
	passive, err := t.tell()
	if err != nil {
		return err
	}
	_, err = t.active[t.next].Write(make([]byte, len(t.runners)-passive))
	t.next++
	return err
}

// tell writes a byte to each passive half, and returns how many they are.
func (t *trial) tell() (n int, err error) {
	for _, r := range t.runners {
		if r.passive {
			n++
			if _, err := r.words.Write([]byte{0}); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// collect waits for the end of the phase, tells the servers, and returns the
// reports.
func (t *trial) collect() ([]report, error) {
	reports := make([]report, len(t.runners))
	for _, passive := range []bool{false, true} {
		if passive {
			if _, err := t.tell(); err != nil {
				return nil, err
			}
		}
		for i, r := range t.runners {
			if r.passive != passive {
				continue
			}
			line, err := r.line()
			if err != nil {
				return nil, r.failed(line, err)
			}
			p := &reports[i]
			if _, err := fmt.Sscanf(line, "phase %d %d %d %d %d %d", &p.start, &p.end, &p.cpu, &p.switches, &p.allocs, &p.sum); err != nil {
				return nil, r.failed(line, nil)
			}
		}
	}
	return reports, nil
}

// sums checks that what was sent was received.
func (t *trial) sums(reports []report) error {
	var balance, sent uint64
	for i, r := range t.runners {
		balance += uint64(int64(r.sign)) * reports[i].sum
		if r.sign > 0 {
			sent += reports[i].sum
		}
	}
	if balance != 0 {
		return fmt.Errorf("the numbers sent add up to %d, those received to %d", sent, sent-balance)
	}
	return nil
}

// add takes over the figures of the timed phase.
func (res *result) add(runners []*runner, reports []report) {
	var start, last, end int64
	for i, r := range runners {
		p := reports[i]
		res.CPU += p.cpu
		res.Switches += p.switches
		res.Allocs += p.allocs
		if r.passive {
			continue
		}
		if start == 0 || p.start < start {
			start = p.start
		}
		last, end = max(last, p.start), max(end, p.end)
	}
	res.Skew = last - start
	res.Elapsed = max(1, end-start)
}

// finish reads the samples and waits for the halves' end.
func (t *trial) finish(res *result) error {
	for _, r := range t.runners {
		var rss int64
		var n int
		for _, f := range []struct {
			format string
			to     any
		}{{"rss %d", &rss}, {"samples %d", &n}} {
			line, err := r.line()
			if err != nil {
				return r.failed(line, err)
			}
			if _, err := fmt.Sscanf(line, f.format, f.to); err != nil {
				return r.failed(line, nil)
			}
		}
		res.RSS = max(res.RSS, rss)
		b := make([]byte, 8*n)
		if _, err := io.ReadFull(r.in, b); err != nil {
			return r.failed("", err)
		}
		for ; len(b) > 0; b = b[8:] {
			res.Samples = append(res.Samples, int64(binary.NativeEndian.Uint64(b)))
		}
	}
	for _, r := range t.runners {
		r.cmd.Wait() // the report was complete: a late complaint does not matter
		if r.trace != "" {
			n, err := countCalls(r.trace)
			if err != nil {
				return err
			}
			res.Calls += n
		}
	}
	return nil
}

// end ends what still runs.
func (t *trial) end() {
	for _, f := range t.active {
		if f != nil {
			f.Close()
		}
	}
	for _, r := range t.runners {
		if r.words != nil {
			r.words.Close()
		}
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Signal(unix.SIGKILL)
			r.cmd.Wait()
		}
		r.report.Close()
		if r.trace != "" {
			os.Remove(r.trace)
		}
	}
}
