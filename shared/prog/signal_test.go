package prog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

// heedAll makes the processes that the test starts heed the signals that this one
// was started to ignore, as tests in a shell's background are.
func heedAll() {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGTERM} {
		if signal.Ignored(sig) {
			dieByDefault(sig)
		}
	}
}

// A signal runs the clean-ups, the last registered first, and is then what the
// process dies of.
func TestSignalCleansUp(t *testing.T) {
	t.Parallel()
	heedAll()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		p := proctest.Start(t, proctest.Command("clean"))
		p.Want("ready")
		p.Signal(sig)
		p.Want("third")
		p.Want("second")
		p.Want("first")
		wantQuietDeath(t, p, sig)
	}
}

func TestEndCleansUp(t *testing.T) {
	t.Parallel()
	wantRun(t, proctest.Command("clean"), 0, "ready\nthird\nsecond\nfirst\n", "")
}

// However many signals come, each clean-up runs once.
func TestManySignals(t *testing.T) {
	t.Parallel()
	heedAll()
	p := proctest.Start(t, proctest.Command("clean"))
	p.Want("ready")
	proctest.Storm(t, p.Pid, unix.SIGTERM)
	proctest.Storm(t, p.Pid, unix.SIGURG)
	p.Want("third")
	p.Want("second")
	p.Want("first")
	wantQuietDeath(t, p, unix.SIGTERM)

	p = proctest.Start(t, proctest.Command("clean"))
	p.Want("ready")
	p.Stop()
	p.Signal(unix.SIGINT)
	p.Signal(unix.SIGTERM)
	p.Signal(unix.SIGCONT)
	p.Want("third")
	p.Want("second")
	p.Want("first")
	if rest := p.Rest(); rest != "" {
		t.Errorf("it said %q", rest)
	}
	if s := p.Wait(); !s.Signaled() || s.Signal() != unix.SIGINT && s.Signal() != unix.SIGTERM {
		t.Errorf("ended with %s, want one of the two signals", proctest.Describe(s))
	}
}

// A clean-up that runs when the signal comes is finished, and not begun again.
func TestSignalWithinCleanup(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Command("clean", "slowly"))
	p.Want("ready")
	p.Want("third")
	p.Want("removing")
	p.Signal(unix.SIGTERM)
	p.Say("go on")
	p.Want("second")
	p.Want("first")
	wantQuietDeath(t, p, unix.SIGTERM)
}

// A signal before there is anything to clean up kills as it kills a C program.
func TestSignalWithoutCleanup(t *testing.T) {
	t.Parallel()
	heedAll()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		cmd := proctest.Command("options", "-n")
		cmd.Stdout = fullPipe(t) // it sleeps in write
		cmd.Stdin = r
		p := proctest.Start(t, cmd)
		r.Close()
		proctest.Until(t, "asleep in write", func() bool { return asleepIn(p.Pid, unix.SYS_WRITE) })
		p.Signal(sig)
		p.WantSignal(sig)
		if p.Stderr() != "" {
			t.Errorf("stderr %q", p.Stderr())
		}
	}
}

// SIGQUIT kills at once, without the stacks that the Go runtime prints.
func TestQuit(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Command("clean"))
	p.Want("ready")
	p.Signal(unix.SIGQUIT)
	wantQuietDeath(t, p, unix.SIGQUIT)
}

// What was ignored when the program was started, by nohup or a shell's
// background job, stays ignored.
func TestIgnored(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, shell(`trap '' INT HUP; exec "$@"`, proctest.Command("clean")))
	p.Want("ready")
	if set := signalSet(t, p.Pid, "SigIgn"); set&(1<<(unix.SIGINT-1)) == 0 || set&(1<<(unix.SIGHUP-1)) == 0 {
		t.Errorf("SigIgn is %#x, want SIGINT and SIGHUP in it", set)
	}
	p.Signal(unix.SIGINT)
	p.Signal(unix.SIGHUP)
	p.Say("still there?")
	p.Want("here")
	p.Signal(unix.SIGTERM)
	p.Want("third")
	p.Want("second")
	p.Want("first")
	wantQuietDeath(t, p, unix.SIGTERM)
}

// So do the signals for which the Go runtime has handlers of its own.
func TestIgnoredByRuntime(t *testing.T) {
	t.Parallel()
	signals := []unix.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGTERM, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM}
	p := proctest.Start(t, shell(`trap '' INT HUP TERM QUIT PIPE USR1 USR2 ALRM; exec "$@"`, proctest.Command("clean")))
	p.Want("ready")
	set := signalSet(t, p.Pid, "SigIgn")
	for _, sig := range signals {
		if set&(1<<(sig-1)) == 0 {
			t.Errorf("SigIgn is %#x, want %v in it, for the children's sake", set, sig)
		}
		p.Signal(sig)
	}
	p.Say("still there?")
	p.Want("here")
	p.CloseStdin()
	p.Want("third")
	p.Want("second")
	p.Want("first")
	p.WantExit(0)
}

// A program that was started with no signal ignored ignores none.
func TestNoneIgnored(t *testing.T) {
	t.Parallel()
	heedAll()
	p := proctest.Start(t, shell(`exec "$@"`, proctest.Command("clean")))
	p.Want("ready")
	// posix_spawn of glibc, with which make starts us, ignores its own signal 32.
	if set := signalSet(t, p.Pid, "SigIgn") &^ (1 << (32 - 1)); set != 0 {
		t.Errorf("SigIgn is %#x", set)
	}
	p.Signal(unix.SIGQUIT)
	wantQuietDeath(t, p, unix.SIGQUIT)
}

// signalSet returns a set of /proc/PID/status.
func signalSet(t *testing.T, pid int, field string) uint64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n"+field+":\t")
	set, err := strconv.ParseUint(strings.SplitN(rest, "\n", 2)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Process 1 of a container cannot die of a signal. It ends with the status that a
// shell would give.
func TestProcessOne(t *testing.T) {
	t.Parallel()
	cmd := proctest.Command("clean")
	proctest.Private(t, cmd)
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID
	p := proctest.Start(t, cmd)
	p.Want("ready")
	p.Signal(unix.SIGTERM)
	p.Want("third")
	p.Want("second")
	p.Want("first")
	p.WantExit(128 + int(unix.SIGTERM))
	if p.Stderr() != "" {
		t.Errorf("stderr %q", p.Stderr())
	}
}

// A signal lets the stretch end, tells it by its context, and kills then.
func TestHoldSignals(t *testing.T) {
	t.Parallel()
	heedAll()
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		for _, stretch := range []int{1, 2} {
			p := proctest.Start(t, proctest.Command("hold"))
			p.Want("holding")
			if stretch == 2 {
				p.Say("no signal")
				p.Want("after")
				p.Say("again")
				p.Want("holding")
			}
			p.Signal(sig)
			taken(t, p, sig)
			p.Say("look")
			p.Want("context canceled")
			p.Signal(sig) // one more changes nothing
			p.Say("end")
			p.Want("finished")
			p.Want("clean")
			wantQuietDeath(t, p, sig)
		}
	}
}

// taken waits until the process has a signal no more pending and nothing runs in
// it: it has been dealt with.
func taken(t *testing.T, p *proctest.Proc, sig unix.Signal) {
	t.Helper()
	proctest.Until(t, fmt.Sprintf("%v taken", sig), func() bool {
		return signalSet(t, p.Pid, "ShdPnd")&(1<<(sig-1)) == 0 && idle(p.Pid)
	})
}

// A signal after the stretch kills at once.
func TestSignalAfterHoldSignals(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Command("hold"))
	p.Want("holding")
	p.Say("no signal")
	p.Want("after")
	p.Signal(unix.SIGTERM)
	p.Want("clean")
	wantQuietDeath(t, p, unix.SIGTERM)

	p = proctest.Start(t, proctest.Command("hold"))
	p.Want("holding")
	p.CloseStdin()
	if rest := p.Rest(); rest != "after\nholding\nafter\nclean\n" {
		t.Errorf("it said %q", rest)
	}
	p.WantExit(0)
}

// Two goroutines hold signals: the end of one stretch does not cut the other.
func TestHoldSignalsTwice(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Command("overlap"))
	p.Want("holding")
	p.Signal(unix.SIGTERM)
	p.Want("one left")
	p.Say("end")
	p.Want("finished")
	wantQuietDeath(t, p, unix.SIGTERM)
}

// Whenever the signal comes, the stretch is never cut.
func TestHoldSignalsAlways(t *testing.T) {
	t.Parallel()
	for range 40 {
		mem, path := proctest.Memory(t, 64)
		p := proctest.Start(t, proctest.Command("stretch", path))
		proctest.Until(t, "the loops", func() bool { return mem[63] == 1 })
		for end := time.Now().Add(rand.N(300 * time.Microsecond)); time.Now().Before(end); {
		}
		p.Signal(unix.SIGTERM)
		p.WantSignal(unix.SIGTERM)
		if !bytes.Equal(mem[:63], make([]byte, 63)) {
			t.Fatalf("died within the stretch: % x", mem[:8])
		}
	}
}
