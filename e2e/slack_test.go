package e2e

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The Go runtime's monitor has a timer slack of a millisecond. The main thread has the
// one that the program was started with. A program that a child becomes has that, or the
// kernel's own if its parent forked on another thread, but never the monitor's.
func TestTimerSlack(t *testing.T) {
	const given, usual, monitors = 70_000, 50_000, 1_000_003

	// What is started here inherits the slack of this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, given, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the thread's own again

	dir := t.TempDir()
	for _, args := range [][]string{{"sleep_alarm", "1000"}, {"fifo_gzip", "-", "out"}} {
		p := start(t, golang.command(t, dir, args[0], args[1:]...))
		p.mustBlock()
		monitor := false
		for tid := range threads(p.pid) {
			switch slack, err := timerSlack(tid); {
			case errors.Is(err, unix.EPERM):
				skip(t, "no CAP_SYS_NICE: %v", err)
			case err != nil:
				t.Fatal(err)
			case tid == p.pid && slack != given:
				t.Errorf("%s: timer slack of the main thread = %d ns, want %d", p.name, slack, given)
			case slack == monitors:
				monitor = true
			}
		}
		if !monitor {
			t.Errorf("%s: no thread has a timer slack of %d ns", p.name, monitors)
		}
		for _, kid := range children(p.pid) {
			if slack, err := timerSlack(kid); err != nil || slack != given && slack != usual {
				t.Errorf("%s: timer slack of its child = %d ns, %v, want %d or %d", p.name, slack, err, given, usual)
			}
		}
	}
}

func timerSlack(tid int) (ns int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
