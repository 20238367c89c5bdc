package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever holds the mutex in a file keeps the others out, Go or C.
func TestMutexPair(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs[:4], func(t *testing.T, first, second maker) {
		dir := t.TempDir()
		holder := start(t, first.command(t, dir, "futex_mutex", "hold", "mutex", "600s"))
		holder.line("^locked$")
		run(t, second.command(t, dir, "futex_mutex", "try", "mutex")).wantExit(t, 1).wantStdout(t, "busy\n")
		waiter := start(t, second.command(t, dir, "futex_mutex", "hold", "mutex", "1ms"))
		waiter.mustBlock(unix.SYS_FUTEX)
		if got := waiter.stdout.String(); got != "" {
			t.Fatalf("while another has the mutex: %q", got)
		}
		if first == twin {
			// The twin does not unlock on a signal; it sleeps the time that it was given.
			holder.signal(unix.SIGTERM)
			holder.wait().wantSignal(t, unix.SIGTERM)
			waiter.mustBlock(unix.SYS_FUTEX)
			return
		}
		holder.signal(unix.SIGTERM)
		holder.wait().wantSignal(t, unix.SIGTERM)
		waiter.wait().wantExit(t, 0).wantStdout(t, "locked\n")
		run(t, second.command(t, dir, "futex_mutex", "try", "mutex")).wantExit(t, 0).wantStdout(t, "acquired\n")
	})
}

// A holder whose time is over wakes the one that waits.
func TestMutexHandOver(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs[:4], func(t *testing.T, first, second maker) {
		dir := t.TempDir()
		holder := start(t, first.command(t, dir, "futex_mutex", "hold", "mutex", "300ms"))
		holder.line("^locked$")
		waiter := start(t, second.command(t, dir, "futex_mutex", "hold", "mutex", "0s"))
		holder.wait().wantExit(t, 0)
		waiter.wait().wantExit(t, 0).wantStdout(t, "locked\n")
	})
}

// Go and C take the same mutex by turns, many times; nobody is left asleep.
func TestMutexTurns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	need(t, "sh")
	var all []*proc
	for _, m := range []maker{golang, twin, golang, twin} {
		hold := m.command(t, dir, "futex_mutex", "hold", filepath.Join(dir, "mutex"), "0s")
		loop := *hold
		loop.Path = need(t, "sh")
		loop.Args = append([]string{"sh", "-c", `for i in 1 2 3 4 5 6 7 8 9 10; do "$0" "$@" || exit 1; done`, hold.Path}, hold.Args[1:]...)
		all = append(all, start(t, &loop))
	}
	for _, p := range all {
		p.wait().wantExit(t, 0).wantStdout(t, strings.Repeat("locked\n", 10))
	}
}

func TestMutexCount(t *testing.T) {
	t.Parallel()
	for _, m := range []maker{golang, twin} {
		for _, procs := range []int{1, 2, 7} {
			t.Run(fmt.Sprintf("%s-%d", m, procs), func(t *testing.T) {
				const iters = 5000
				r := run(t, m.command(t, t.TempDir(), "futex_mutex", "--procs", fmt.Sprint(procs), "--iters", fmt.Sprint(iters)))
				r.wantExit(t, 0).wantStdout(t, fmt.Sprintf("%d\n", procs*iters))
			})
		}
	}
}

// A process that dies with the lock: the program says so and ends, and no other
// process stays behind.
func TestMutexAdderDies(t *testing.T) {
	t.Parallel()
	p := start(t, golang.command(t, t.TempDir(), "futex_mutex", "--procs", "3", "--iters", "1000000000000"))
	unix.Kill(p.child("futex_mutex:adder"), unix.SIGKILL)
	p.wait().wantError(t, "futex_mutex", 1, `^futex_mutex: adder: signal: killed\n$`)
}
