// Bench measures the packages and programs of the suite beside C.
//
// # Usage
//
//	bench [-run REGEXP] [-place LIST] [-rounds N] [-time DURATION] [-list]
//	bench -show FILE.json
//
// It builds the halves in Go and in C, runs them in turn, and prints one table.
// QUICK=1 in the environment makes a run that ends within a minute. README.md says
// how the figures are made and how to read them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
)

// A bench is one run.
type bench struct {
	root, dir, bin, results string // the suite, this folder, what is built, what is found
	tmp                     string
	halves                  map[maker]string
	strace                  string // its path, or ""
	tracepoint              uint64 // by which system calls are counted, or 0

	cpus     []int
	quick    bool
	rounds   int
	patience time.Duration // for a trial

	queues sync.Map // names of message queues, which outlive processes

	notes    []string
	serials  int
	began    time.Time
	row, all int
	terminal bool
}

// What a short run allows itself.
const (
	quickTotal = 51 * time.Second // of a minute, the rest is for building
	quickIdle  = time.Second
	fullIdle   = 2 * time.Second
	processes  = 3 * time.Millisecond // to start two, a trial
)

func main() {
	run := flag.String("run", "", "measure the workloads whose name matches `REGEXP`")
	place := flag.String("place", "", "measure in the placements of `LIST`: one, two, free, each also with +busy")
	rounds := flag.Int("rounds", 7, "measure `N` rounds")
	length := flag.Duration("time", 100*time.Millisecond, "let a trial take about `DURATION`; ignored with QUICK=1")
	list := flag.Bool("list", false, "list the workloads")
	show := flag.String("show", "", "print the table of `FILE` and draw its plots again")
	results := flag.String("results", "results", "write results and plots to `FOLDER`")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	// Affinity belongs to a thread, and processes die with the thread that has
	// started them (see startOn).
	runtime.LockOSThread()
	err := do(*run, *place, *rounds, *length, *list, *show, *results)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func do(pattern, places string, rounds int, length time.Duration, list bool, show, results string) error {
	if show != "" {
		r, err := loadRun(show)
		if err != nil {
			return err
		}
		if err := plots(r, results); err != nil {
			return err
		}
		return printTable(os.Stdout, r)
	}
	b, err := newBench()
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	go b.cleanUp()
	b.quick = os.Getenv("QUICK") == "1"
	b.rounds = rounds
	b.results = results
	if b.quick {
		b.patience = 5 * time.Second
	}
	b.raiseLimits()
	chosen, err := b.choose(pattern, places)
	if err != nil {
		return err
	}
	if list {
		for _, c := range chosen {
			fmt.Printf("%s\t%s\n", c.w, c.p)
		}
		return nil
	}
	if rounds < 1 {
		return errors.New("at least one round")
	}
	if rounds < 7 {
		b.note("Fewer than 7 rounds: the verdicts mean little.")
	}
	if err := os.MkdirAll(b.results, 0o777); err != nil {
		return err
	}
	r, err := b.runAll(chosen, pattern == "", length)
	if err != nil {
		return err
	}
	file, err := b.save(r)
	if err != nil {
		return err
	}
	if err := plots(r, b.results); err != nil {
		return err
	}
	if err := printTable(os.Stdout, r); err != nil {
		return err
	}
	fmt.Printf("\nAll rounds are in %s, plots beside it.\n", file)
	return nil
}

// newBench finds the suite around this module.
func newBench() (*bench, error) {
	b := &bench{halves: map[maker]string{}, patience: 20 * time.Second, began: time.Now(), rounds: 7}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	b.dir = filepath.Dir(strings.TrimSpace(string(out)))
	b.root = filepath.Dir(b.dir)
	b.bin = filepath.Join(b.dir, "bin")
	if _, err := os.Stat(filepath.Join(b.root, "shared/shared.h")); err != nil {
		return nil, fmt.Errorf("run it in the folder bench of the suite: %w", err)
	}
	for _, sub := range []string{"go", "c", "c-static"} {
		if err := os.MkdirAll(filepath.Join(b.bin, sub), 0o777); err != nil {
			return nil, err
		}
	}
	if b.cpus, err = allowed(); err != nil {
		return nil, err
	}
	if b.tmp, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	b.tracepoint = tracepoint()
	b.strace, _ = exec.LookPath("strace")
	_, err = unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	b.terminal = err == nil
	return b, nil
}

// cleanUp removes what outlives the run when a signal ends it. The halves die
// with this process.
func (b *bench) cleanUp() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	sig := (<-c).(unix.Signal)
	b.queues.Range(func(name, _ any) bool {
		mq.Unlink(name.(string))
		return true
	})
	os.RemoveAll(b.tmp)
	signal.Reset(sig)
	unix.Kill(unix.Getpid(), sig)
}

// A choice is a workload in a placement.
type choice struct {
	w *workload
	p placement
}

// choose returns what the flags ask for.
func (b *bench) choose(pattern, places string) ([]choice, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	here := placements(b.cpus)
	names := []string{"two", "free", "one", "free+busy", "one+busy", "two+busy"}
	if b.quick {
		names = names[:5]
	}
	if places != "" {
		names = strings.Split(places, ",")
	}
	var chosen []choice
	missing := ""
	for _, busy := range []bool{false, true} { // the more telling ones first
		for _, w := range b.workloads() {
			if !re.MatchString(w.String()) || b.quick && !w.quick {
				continue
			}
			for _, name := range names {
				p, ok := here[name]
				if !ok {
					if _, ok := placements([]int{0, 1})[name]; !ok {
						return nil, fmt.Errorf("no placement %q", name)
					}
					missing = name
					continue
				}
				if p.busy == busy && w.here(p) && (!b.quick || places != "" || w.hurried(p)) {
					chosen = append(chosen, choice{w, p})
				}
			}
		}
	}
	if missing != "" {
		b.note("This machine lets the run have one CPU: nothing was measured on two.")
	}
	if len(chosen) == 0 {
		return nil, errors.New("nothing to measure: see -list")
	}
	return chosen, nil
}

// runAll measures all that was chosen.
func (b *bench) runAll(chosen []choice, idle bool, length time.Duration) (*Run, error) {
	programs := false
	for _, c := range chosen {
		programs = programs || c.w.run != nil
	}
	fmt.Fprintln(os.Stderr, "building")
	if err := b.build(programs); err != nil {
		return nil, err
	}
	switch {
	case b.tracepoint != 0:
	case b.strace != "":
		b.note("System calls were counted with strace, which stops a process at each of them: who waits for whom is not as it was in the rounds. (As root, with tracefs mounted, they are counted by the kernel.)")
	default:
		b.note("System calls were not counted: no strace here, and no permission to use the kernel's counter.")
	}
	run := &Run{Env: b.env(), Args: os.Args[1:], Quick: b.quick, Rounds: b.rounds}
	b.all = len(chosen)
	end := b.began.Add(quickTotal)
	if idle {
		d := fullIdle
		if b.quick {
			d = quickIdle
		}
		var err error
		if run.Idle, err = b.idle(d); err != nil {
			return nil, fmt.Errorf("waits in vain: %w", err)
		}
	}
	for i, c := range chosen {
		b.row = i + 1
		sides := len(c.w.variants) + 1
		trials := sides * (b.rounds + calibrations)
		budget := length * time.Duration(trials)
		if c.p.busy {
			budget *= 5 // a turn of the busy loops takes milliseconds
		}
		if b.quick {
			left := time.Until(end)
			if left < 0 {
				b.note("The minute was over before the last %d of %d lines: %s and what follows.", b.all-i, b.all, c.w)
				break
			}
			budget = max(left/time.Duration(b.all-i)-processes*time.Duration(trials), time.Millisecond*time.Duration(trials)) / 3
		}
		b.progress(c.w, c.p, 0)
		rows, err := b.measure(c.w, c.p, budget)
		if err != nil {
			rows = []Row{{Workload: c.w.name, Variant: "–", Size: c.w.size, Procs: c.w.procs, Placement: c.p.name, Error: err.Error()}}
		}
		run.Rows = append(run.Rows, rows...)
	}
	b.progressEnd()
	run.Env.LoadEnd = load()
	run.Notes = b.notes
	return run, nil
}

// raiseLimits lets message queues take as much memory as the system permits.
func (b *bench) raiseLimits() {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MSGQUEUE, &lim) != nil {
		return
	}
	lim.Cur = lim.Max
	unix.Setrlimit(unix.RLIMIT_MSGQUEUE, &lim)
	// More than that needs CAP_SYS_RESOURCE.
	unix.Setrlimit(unix.RLIMIT_MSGQUEUE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

// serial returns another number each time, name a path with one in it.
func (b *bench) serial() int {
	b.serials++
	return b.serials
}

func (b *bench) name() string { return filepath.Join(b.tmp, fmt.Sprintf("n%d", b.serial())) }

func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// progress keeps one line on stderr up to date, or prints a line for each row if
// that is no terminal.
func (b *bench) progress(w *workload, p placement, round int) {
	text := fmt.Sprintf("%4d/%d  %5.1fs  %s  %s", b.row, b.all, time.Since(b.began).Seconds(), w, p)
	switch {
	case b.terminal:
		fmt.Fprintf(os.Stderr, "\r\033[K%s  round %d/%d", text, round+1, b.rounds)
	case round == 0:
		fmt.Fprintln(os.Stderr, text)
	}
}

func (b *bench) progressEnd() {
	if b.terminal {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
}
