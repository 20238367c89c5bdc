package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A thread is what /proc tells about a thread at one moment.
type thread struct {
	state    string // R, S, D, T, Z
	switches string // how often it began and ceased to run
	call     string // the system call that it is in, with its arguments
}

// threads looks at all threads of a process.
func threads(pid int) map[int]thread {
	all := make(map[int]thread)
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, dir := range dirs {
		tid, err := strconv.Atoi(filepath.Base(dir))
		status, err1 := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || err1 != nil {
			continue
		}
		var th thread
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			switch key {
			case "State":
				th.state, _, _ = strings.Cut(value, " ")
			case "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches":
				th.switches += value + " "
			}
		}
		call, _ := os.ReadFile(filepath.Join(dir, "syscall"))
		th.call = strings.TrimSpace(string(call))
		all[tid] = th
	}
	return all
}

// in tells whether the thread is in the system call nr; for SYS_FUTEX, on a word
// that processes share. The Go runtime's own waits are on private words.
func (th thread) in(nr int) bool {
	f := strings.Fields(th.call)
	if len(f) < 3 || f[0] != strconv.Itoa(nr) {
		return false
	}
	const private = 128 // FUTEX_PRIVATE_FLAG
	op, err := strconv.ParseUint(f[2], 0, 64)
	return nr != unix.SYS_FUTEX || err == nil && op&private == 0
}

// mustBlock waits until the process stands still: no thread runs, and none has run
// between two looks at all of them. If calls are given, a thread must be in one of
// these system calls. The test fails if the process ends instead.
func (p *proc) mustBlock(calls ...int) {
	p.t.Helper()
	until(p.t, p.name+" blocked", func() bool {
		p.t.Helper()
		if p.hasEnded() {
			p.t.Fatalf("%s: ended, want it to block; %s\nstderr: %s", p.name, p.cmd.ProcessState, p.stderr)
		}
		return blocked(p.pid, calls...)
	})
}

func blocked(pid int, calls ...int) bool {
	before := threads(pid)
	found := len(calls) == 0
	for _, th := range before {
		if th.state != "S" {
			return false
		}
		found = found || slices.ContainsFunc(calls, th.in)
	}
	return found && len(before) > 0 && maps.Equal(before, threads(pid))
}

// whereabouts says for a message what the threads of a process do.
func whereabouts(pid int) string {
	var b strings.Builder
	for tid, th := range threads(pid) {
		wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/wchan", pid, tid))
		fmt.Fprintf(&b, "thread %d: state %s, system call %s, %s\n", tid, th.state, th.call, wchan)
	}
	return b.String()
}

// children returns the child processes of a process, zombies too.
func children(pid int) []int {
	return processesWhere(func(_ string, parent, _ int) bool { return parent == pid })
}

// alive tells whether a process group has a member that is no zombie. An orphan that
// has ended stays one until the init of the machine looks after it.
func alive(group int) bool {
	return len(processesWhere(func(state string, _, pgrp int) bool { return pgrp == group && state != "Z" })) > 0
}

// processesWhere returns the processes of the machine with such a state, parent and
// process group.
func processesWhere(match func(state string, parent, pgrp int) bool) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		stat, _ := os.ReadFile(name)
		// The name of the program, in parentheses, may hold anything.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(f) < 3 {
			continue
		}
		parent, _ := strconv.Atoi(f[1])
		pgrp, _ := strconv.Atoi(f[2])
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && match(f[0], parent, pgrp) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// role returns argv[0] of a process: "simple_pipe:child" for one of ours.
func role(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	arg0, _, _ := strings.Cut(string(b), "\x00")
	return filepath.Base(arg0)
}

// child waits for a child of the process that has the role, and returns its id.
func (p *proc) child(want string) (pid int) {
	p.t.Helper()
	until(p.t, p.name+" has a child "+want, func() bool {
		p.t.Helper()
		if p.hasEnded() {
			p.t.Fatalf("%s: ended, want a child %s\nstderr: %s", p.name, want, p.stderr)
		}
		for _, kid := range children(p.pid) {
			if role(kid) == want {
				pid = kid
				return true
			}
		}
		return false
	})
	return pid
}

// descriptors returns the open descriptors of a process and what they refer to,
// apart from those of the Go runtime itself: it waits for others by some, and by the
// files of its control group it knows how many processors it may use.
func descriptors(pid int) map[int]string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, _ := os.ReadDir(dir)
	open := make(map[int]string)
	for _, n := range names {
		fd, _ := strconv.Atoi(n.Name())
		target, err := os.Readlink(filepath.Join(dir, n.Name()))
		switch target {
		case "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[pidfd]":
			continue
		}
		if err == nil && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			open[fd] = target
		}
	}
	return open
}
