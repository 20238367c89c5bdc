package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A duo is a pair of processes that work together, so that one can be killed and
// the other watched.
type duo struct {
	name    string
	prepare func(t *testing.T, dir, name string)
	first   half // is started first, and waits for the second, or has ended
	second  half // none: the first has it as a child
}

// A half is one of the two: see use for the arguments.
type half struct {
	args    []string
	in      string // standard input
	serves  bool   // it goes on until it gets SIGTERM
	endless bool   // it has no --timeout
}

func (h half) program() string { return h.args[0] }

func (h half) command(t *testing.T, dir, name, timeout string) *exec.Cmd {
	t.Helper()
	args := slices.Clone(h.args)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "NAME", name)
	}
	if i := slices.Index(args, "--timeout"); i >= 0 {
		if args[i+1] = timeout; timeout == "" {
			args = slices.Delete(args, i, i+2)
		}
	}
	cmd := golang.command(t, dir, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(h.in)
	return cmd
}

var duos = []duo{
	{name: "pshm",
		first:  half{args: []string{"pshm_writer", "--timeout", "TIME", "NAME"}, in: strings.Repeat("0123456789", 250)},
		second: half{args: []string{"pshm_reader", "--timeout", "TIME", "NAME"}}},
	{name: "mmap",
		first:  half{args: []string{"mmap_producer"}, endless: true},
		second: half{args: []string{"mmap_consumer"}, endless: true}},
	{name: "mmap_queue",
		first:  half{args: []string{"mmap_queue", "producer", "--timeout", "TIME"}},
		second: half{args: []string{"mmap_queue", "consumer", "--timeout", "TIME", "--count", "100"}}},
	{name: "pmsg", prepare: emptyQueue,
		first:  half{args: []string{"pmsg_receive", "--timeout", "TIME", "NAME"}},
		second: half{args: []string{"pmsg_send", "--timeout", "TIME", "NAME", "message"}}},
	{name: "domain_sock",
		first:  half{args: []string{"domain_sock", "server", "sock"}, serves: true, endless: true},
		second: half{args: []string{"domain_sock", "client", "--timeout", "TIME", "sock"}}},
	{name: "doors_emul",
		first:  half{args: []string{"doors_emul", "server", "door"}, serves: true, endless: true},
		second: half{args: []string{"doors_emul", "client", "--timeout", "TIME", "door"}}},
	{name: "futex_mutex-hold",
		first:  half{args: []string{"futex_mutex", "hold", "--timeout", "TIME", "mutex", "20ms"}},
		second: half{args: []string{"futex_mutex", "hold", "--timeout", "TIME", "mutex", "0s"}}},
	{name: "futex_mutex-robust",
		first:  half{args: []string{"futex_mutex", "hold", "--robust", "--timeout", "TIME", "mutex", "20ms"}},
		second: half{args: []string{"futex_mutex", "hold", "--robust", "--timeout", "TIME", "mutex", "0s"}}},
	{name: "futex_mutex-count", first: half{args: []string{"futex_mutex", "--procs", "2", "--iters", "100"}, endless: true}},
	{name: "futex_mutex-count-robust", first: half{args: []string{"futex_mutex", "--robust", "--procs", "2", "--iters", "100"}, endless: true}},
	{name: "fifo_gzip", prepare: inputFile,
		first: half{args: []string{"fifo_gzip", "--timeout", "TIME", "in", "out"}}},
	{name: "simple_pipe", first: half{args: []string{"simple_pipe", "It was a bright cold day"}, endless: true}},
	{name: "fork_pipe", first: half{args: []string{"fork_pipe"}, endless: true}},
}

// TestFaultKilledAtEveryCall kills a half at a system call that it is about to make,
// each time at another one (see noise for those that do not count). The other half
// ends, with success or a message, or goes on; without --timeout SIGINT ends it; no
// process is left. What stays behind does not keep the pair from its work, or the
// message of its next run tells the command that removes it.
//
// A normal run leaves out what each program does before its main, and takes the
// first call of each kind and every 23rd of the rest. With SOAK=1 none is left out.
func TestFaultKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	mayTrace(t)
	for _, d := range duos {
		victims := []string{"first", "second"}
		if d.second.args == nil {
			victims[1] = "child"
		}
		if d.name == "domain_sock" {
			victims = append(victims, "child")
		}
		for _, victim := range victims {
			t.Run(d.name+"/"+victim, func(t *testing.T) {
				t.Parallel()
				calls := d.kill(t, victim, 0, true)
				var at []int
				begin := beforeMain(t, calls)
				for i, nr := range calls {
					if soak() || i >= begin && (i%23 == 0 || !slices.Contains(calls[begin:i], nr)) {
						at = append(at, i+1)
					}
				}
				t.Logf("%d of %d calls", len(at), len(calls))
				// Most of a run is waiting: some go on side by side.
				next := make(chan int)
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						for i := range next {
							n := at[i]
							t.Run(fmt.Sprintf("%d-of-%d-%d", n, len(calls), calls[n-1]), func(t *testing.T) {
								d.kill(t, victim, n, i%5 != 0)
							})
						}
					})
				}
				for i := range at {
					if t.Failed() {
						break
					}
					next <- i
				}
				close(next)
				wg.Wait()
			})
		}
	}
}

// beforeMain returns how many of the calls the Go runtime makes before a program
// begins: those that another program makes too.
func beforeMain(t *testing.T, calls []int) (n int) {
	cmd, seen := traced(t, golang.command(t, t.TempDir(), "sleep_alarm", "0"), plan{})
	run(t, cmd).wantExit(t, 0)
	for i, nr := range seen().Calls {
		if i == len(calls) || calls[i] != nr {
			return i
		}
	}
	return 0
}

// kill runs the pair once; before its at-th call the victim is killed. It returns
// the victim's calls.
func (d duo) kill(t *testing.T, victim string, at int, timeout bool) []int {
	t.Helper()
	dir, name := t.TempDir(), object(t.Name())
	if d.prepare != nil {
		d.prepare(t, dir, name)
	}
	var seen func() report
	launch := func(h half, traceIt bool) *proc {
		cmd := h.command(t, dir, name, map[bool]string{true: "100ms"}[timeout || traceIt])
		if traceIt {
			cmd, seen = traced(t, cmd, plan{At: at, Child: victim == "child"})
		}
		p := start(t, cmd)
		until(t, h.program()+" ended or waiting", func() bool { return p.hasEnded() || allBlocked(p.pid) })
		return p
	}
	first := launch(d.first, victim != "second")
	procs, halves := []*proc{first}, []half{d.first}
	if d.second.args != nil {
		second := launch(d.second, victim == "second")
		procs, halves = append(procs, second), append(halves, d.second)
		ended(t, second, d.second, victim == "second", timeout)
	}
	ended(t, first, d.first, victim != "second", timeout)
	for i, p := range procs {
		until(t, halves[i].program()+" has left no process", func() bool { return unix.Kill(-p.pid, 0) == unix.ESRCH })
	}
	r := seen()
	d.recover(t, dir, name)
	os.Remove("/dev/shm" + name)
	unlinkQueue(name)
	os.RemoveAll(dir)
	return r.Calls
}

// ended waits for the end of a half, which may need a signal for it.
func ended(t *testing.T, p *proc, h half, isVictim, timeout bool) {
	t.Helper()
	if h.serves && !p.hasEnded() {
		p.cmd.Process.Signal(unix.SIGTERM)
	}
	if !timeout && !isVictim && !h.serves {
		until(t, h.program()+" ended or waiting", func() bool { return p.hasEnded() || allBlocked(p.pid) })
		p.cmd.Process.Signal(unix.SIGINT)
	}
	r := p.wait()
	switch {
	case r.status.Signaled() && (isVictim || r.status.Signal() == unix.SIGINT && !timeout || r.status.Signal() == unix.SIGTERM && h.serves):
	case r.status.Exited() && r.status.ExitStatus() == 0:
	case r.status.Exited() && r.status.ExitStatus() == failure[h.program()] && strings.HasPrefix(r.stderr, h.program()+": "):
	default:
		t.Errorf("%s (victim: %v): %s\nstderr: %s", r.name, isVictim, describe(r.status), r.stderr)
	}
}

// recover runs the pair again, in peace. It may have to do first what its message
// says.
func (d duo) recover(t *testing.T, dir, name string) {
	t.Helper()
	rm := regexp.MustCompile(`\nhint: .*\b(rm|pmsg_unlink) (\S+?)(,|\n|$)`)
	for try := 0; ; try++ {
		ok, said := d.works(t, dir, name)
		if ok {
			return
		}
		m := rm.FindStringSubmatch(said)
		if m == nil || try == 2 {
			t.Errorf("the next run fails, and names no command that helps: %s", said)
			return
		}
		path := m[2]
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := os.Remove(path); err != nil {
			t.Errorf("the message says rm %s: %v", m[2], err)
			return
		}
	}
}

// works tells whether the pair does its work, and what it says if not.
func (d duo) works(t *testing.T, dir, name string) (ok bool, said string) {
	t.Helper()
	first := start(t, d.first.command(t, dir, name, "5s"))
	until(t, "ended or waiting", func() bool { return first.hasEnded() || allBlocked(first.pid) })
	if d.second.args != nil && first.hasEnded() && first.wait().status != 0 {
		return false, first.stderr.String() // there is nobody to work with
	}
	if d.second.args != nil {
		r := start(t, d.second.command(t, dir, name, "5s")).wait()
		ok, said = r.status == 0, r.stderr
		if d.first.serves {
			first.cmd.Process.Signal(unix.SIGTERM)
			r := first.wait()
			return ok && r.status.Signaled() && r.status.Signal() == unix.SIGTERM, r.stderr + said
		}
		if d.name == "mmap_queue" {
			first.wait()
			return ok && strings.Contains(first.stdout.String(), "message queue written\n"), first.stderr.String() + said
		}
	}
	r := first.wait()
	if d.second.args == nil {
		ok = true
	}
	return ok && r.status == 0, fmt.Sprint(r.stderr, said)
}

// allBlocked tells whether a process and its children stand still in waits.
func allBlocked(pid int) bool {
	if !blocked(pid) {
		return false
	}
	return !slices.ContainsFunc(children(pid), func(kid int) bool { return !allBlocked(kid) })
}
