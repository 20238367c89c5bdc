package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ipcbook/bench/phase"
)

// startWorkloads are the start and the end of every program, with arguments that
// none of them accepts: what is measured is a usage message. The base is the C twin
// that is linked statically, as the Go program is.
func (b *bench) startWorkloads() []*workload {
	all := []*workload{{
		name:     "re-exec / fork",
		size:     -1,
		procs:    1,
		variants: []variant{goGo},
		quick:    true,
		busy:     true,
		only:     []string{"one", "free", "free+busy"},
		setup: func(b *bench, w *workload, v variant) (*job, error) {
			return &job{peer: 1, halves: []half{{by: v.first, role: "fork"}}}, nil
		},
	}}
	for _, name := range b.programs() {
		w := &workload{
			name:     "start " + name,
			size:     -1,
			procs:    1,
			variants: []variant{goGo, {Label: "Go, bare", first: bare, second: bare}},
			quick:    slices.Contains(quickStarts, name),
			only:     []string{"one", "free"},
		}
		if b.twin(name, false) != "" {
			w.variants = append(w.variants, variant{Label: "C, dynamic", first: dynamic, second: dynamic})
		}
		w.run = func(b *bench, w *workload, v variant, p placement, ops [3]int) (*result, error) {
			path := filepath.Join(b.bin, "go", name)
			switch v.first {
			case clang:
				path = b.twin(name, true)
			case dynamic:
				path = b.twin(name, false)
			case bare:
				path = b.halves[bare]
			}
			return b.starts(path, p, ops)
		}
		all = append(all, w)
	}
	return all
}

// badArgs are arguments that no program takes.
var badArgs = []string{"a", "b", "c", "d", "e", "f"}

// quickStarts are the programs that a short run starts: all others are built in
// the same way.
var quickStarts = []string{"simple_pipe", "mmap_queue", "pmsg_send", "domain_sock"}

// programs are the names of the suite's programs.
func (b *bench) programs() []string {
	mains, _ := filepath.Glob(filepath.Join(b.root, "examples/*/main.go"))
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	slices.Sort(names)
	return names
}

// twin returns the C twin of a program, or "". Where there are two, the server's
// stands for both.
func (b *bench) twin(name string, static bool) string {
	dir := "c"
	if static {
		dir = "c-static"
	}
	for _, file := range []string{name, "doors_server"} {
		if file == "doors_server" && name != "doors_emul" {
			break
		}
		path := filepath.Join(b.bin, dir, file)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// starts starts a program again and again and waits for each end.
func (b *bench) starts(path string, p placement, ops [3]int) (*result, error) {
	if path == "" {
		return nil, errors.New("there is no such twin")
	}
	res := &result{Ops: ops[phase.Timed], All: ops[phase.Timed]}
	for i := range ops[phase.Warm] + ops[phase.Timed] {
		// Nobody reads the usage message: stderr is /dev/null.
		cmd := exec.Command(path, badArgs...)
		start := time.Now()
		if err := startOn(cmd, p.cpus(0)); err != nil {
			return nil, err
		}
		err := cmd.Wait()
		took := time.Since(start)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !exit.Exited() {
			return nil, fmt.Errorf("%s took its arguments: %v", path, err)
		}
		if i < ops[phase.Warm] {
			continue
		}
		r := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		res.Elapsed += int64(took)
		res.CPU += r.Utime.Nano() + r.Stime.Nano()
		res.Samples = append(res.Samples, int64(took))
	}
	var err error
	res.RSS, err = resident(path, badArgs...)
	return res, err
}
