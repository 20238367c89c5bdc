//go:build amd64 || arm64

package prog

import "golang.org/x/sys/unix"

// slackOfRuntime is the timer slack, in ns, of the threads that the Go runtime starts
// before main: the one that matters is its monitor (runtime/proc.go, sysmon).
//
// A goroutine that does nothing but short system calls for more than 10 ms looks to
// the monitor like one that must be preempted, so the monitor never goes to its longer
// sleeps and wakes every 20 µs and the slack, 50 µs by default. On the CPU on which
// two processes hand messages to each other that is a switch there and back every 70 µs
// for each of them: a round trip through a pipe takes 1.4 times as long as C's, and 1.15
// times with a slack of a millisecond (make bench).
//
// The odd nanoseconds tell a slack that a process of ours handed down by fork.
var slackOfRuntime int64 = 1_000_003

// defaultSlack is the kernel's (init/init_task.c).
const defaultSlack = 50_000

// slackAtStart is the process's timer slack before that, or 0 in a binary that begins
// elsewhere.
var slackAtStart int64

// init gives the main thread its slack back, and with it the threads that it starts
// from now on. A few that the runtime has started before keep the monitor's.
func init() { restoreSlack() }

// restoreSlack gives the calling thread the slack that the program was started with.
func restoreSlack() {
	if slackAtStart == slackOfRuntime {
		slackAtStart = defaultSlack
	}
	if slackAtStart > 0 {
		unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slackAtStart), 0, 0, 0)
	}
}
