package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A placement says where the halves of a workload run.
type placement struct {
	name string
	seat func(seat int) []int // the CPUs of a half; nil: all
	busy bool                 // beside a busy loop on every CPU
}

func (p placement) String() string { return p.name }

func (p placement) cpus(seat int) []int {
	if p.seat == nil {
		return nil
	}
	return p.seat(seat)
}

// one tells whether everything runs on one CPU.
func (p placement) one() bool { return strings.HasPrefix(p.name, "one") }

// placements returns those that this machine has, by name.
func placements(cpus []int) map[string]placement {
	all := map[string]placement{}
	add := func(name string, seat func(int) []int) {
		all[name] = placement{name: name, seat: seat}
		all[name+"+busy"] = placement{name: name + "+busy", seat: seat, busy: true}
	}
	add("free", nil)
	add("one", func(int) []int { return cpus[:1] })
	if len(cpus) > 1 {
		add("two", func(seat int) []int { return cpus[seat%2:][:1] })
	}
	return all
}

// allowed returns the CPUs that this process may run on.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for i := 0; len(cpus) < set.Count(); i++ {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// startOn starts cmd on the CPUs. A process inherits the affinity of the thread
// that starts it, so that a Go half counts its CPUs as it would under taskset(1).
// The caller has locked its goroutine to its thread.
func startOn(cmd *exec.Cmd, cpus []int) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	if cpus == nil {
		return cmd.Start()
	}
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}

// busyLoops starts a loop on each CPU, and returns how to end them.
func (b *bench) busyLoops() (stop func(), err error) {
	var running []*exec.Cmd
	stop = func() {
		for _, cmd := range running {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	for _, cpu := range b.cpus {
		cmd := exec.Command(b.halves[golang], "busy")
		if err := startOn(cmd, []int{cpu}); err != nil {
			stop()
			return nil, fmt.Errorf("busy loop: %w", err)
		}
		running = append(running, cmd)
	}
	return stop, nil
}
