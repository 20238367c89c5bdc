package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// threads returns what the kernel says of each thread of a process: its state,
// and how often it was put to sleep or pushed aside.
func threads(pid int) map[string]string {
	state := map[string]string{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for l := range strings.Lines(string(b)) {
			if strings.HasPrefix(l, "State:") || strings.Contains(l, "ctxt_switches:") {
				state[file] += l
			}
		}
	}
	return state
}

// stands waits until every thread of a process sleeps, and has not run for a
// number of looks.
func stands(ctx context.Context, pid int) error {
	const looks = 10
	var before map[string]string
	same := 0
	return poll(ctx, func() bool {
		now := threads(pid)
		same++
		for _, s := range now {
			if !strings.HasPrefix(s, "State:\tS") {
				same = 0
			}
		}
		if len(now) == 0 || !maps.Equal(before, now) {
			same = 0
		}
		before = now
		return same >= looks
	})
}

// hasChildren tells whether a process has children. Zombies do not count if so
// said.
func hasChildren(pid int, notZombies bool) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(b), ") ") // state, ppid, …
		f := strings.Fields(rest)
		if len(f) > 1 && f[1] == strconv.Itoa(pid) && !(notZombies && f[0] == "Z") {
			return true
		}
	}
	return false
}
