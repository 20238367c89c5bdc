package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary can run a program as strace does, and do something to it when it
// makes a certain system call: a plan in the environment turns it into a tracer.
// The tracer has the program's standard input, output and error, passes signals
// on to it, and ends as it ended.

// A plan says what the tracer does.
type plan struct {
	Path string // of the program

	// Child: the victim is not the program but the first of its children that calls
	// execve. Then its calls count from there.
	Child bool

	// At is the number of the victim's counted call, from 1, before which it happens.
	// See noise for what is not counted. Woken instead: it happens when a wait in a
	// futex that processes share returns to the victim because somebody woke it, and
	// the victim has not looked at the word yet.
	At    int
	Woken bool

	// What happens: the victim is killed; or, if Truncate names a file, that gets the
	// size and the victim goes on.
	Truncate string
	Size     int64

	Report string // the file for the report
}

// A report is what the tracer has seen.
type report struct {
	Calls    []int // the victim's counted calls
	Happened bool  // what was planned
}

const (
	planVar      = "E2E_TRACE"
	faultRoleVar = "E2E_FAULT_ROLE"
)

func init() {
	if role, ok := os.LookupEnv(faultRoleVar); ok {
		os.Unsetenv(faultRoleVar)
		fmt.Fprintln(os.Stderr, role, faultRoles[role](os.Args[1:]))
		os.Exit(1)
	}
	text, ok := os.LookupEnv(planVar)
	if !ok {
		return
	}
	os.Unsetenv(planVar)
	var p plan
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = trace(p)
	}
	fmt.Fprintln(os.Stderr, "tracer:", err)
	os.Exit(99)
}

// traced makes cmd run under the tracer. The returned function reads the report
// once it has ended.
func traced(t testing.TB, cmd *exec.Cmd, p plan) (*exec.Cmd, func() report) {
	t.Helper()
	mayTrace(t)
	p.Path = cmd.Path
	p.Report = filepath.Join(t.TempDir(), "report")
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	tracer := *cmd
	tracer.Path = "/proc/self/exe"
	tracer.Env = append(cmd.Environ(), planVar+"="+string(text))
	return &tracer, func() (r report) {
		t.Helper()
		text, err := os.ReadFile(p.Report)
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// mayTrace skips the test where ptrace(2) is forbidden.
func mayTrace(t testing.TB) {
	t.Helper()
	if cause := cannotTrace(); cause != "" {
		skip(t, "no ptrace: %s", cause)
	}
}

var cannotTrace = sync.OnceValue(func() string {
	text, _ := json.Marshal(plan{Path: "/bin/true", Report: os.DevNull})
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), planVar+"="+string(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return ""
})

// A tracer is the state of trace.
type tracer struct {
	plan
	report
	main   int          // process id of the program
	victim int          // process id of the victim, 0 as long as there is none
	group  map[int]int  // the process of each thread
	woken  map[int]bool // threads that wait in a shared futex
}

// trace runs the program by the plan and ends as it has ended.
func trace(p plan) error {
	// A tracer is a thread. All requests have to come from it.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	proc, err := os.StartProcess(p.Path, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return err
	}
	tr := &tracer{plan: p, main: proc.Pid, group: make(map[int]int), woken: make(map[int]bool)}
	go func() {
		for sig := range signals {
			unix.Kill(tr.main, sig.(syscall.Signal))
		}
	}()
	status, err := tr.run()
	if err != nil {
		return err
	}
	text, err := json.Marshal(tr.report)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.Report, text, 0o600); err != nil {
		return err
	}
	if status.Signaled() {
		// The runtime has handlers of its own for all signals but SIGKILL, not across execve.
		sh := []string{"sh", "-c", fmt.Sprintf("kill -%d $$", status.Signal())}
		return unix.Exec("/bin/sh", sh, nil)
	}
	os.Exit(status.ExitStatus())
	return nil
}

// run is the loop of the tracer: it ends when everything that it traces has ended.
func (tr *tracer) run() (status unix.WaitStatus, err error) {
	var ws unix.WaitStatus
	if _, err := unix.Wait4(tr.main, &ws, unix.WALL, nil); err != nil { // the stop in execve
		return 0, os.NewSyscallError("wait4", err)
	}
	if !ws.Stopped() {
		return 0, fmt.Errorf("%s did not start: %#x", tr.Path, ws)
	}
	options := unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE
	if tr.Child {
		options |= unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	} else {
		tr.victim = tr.main
	}
	if err := unix.PtraceSetOptions(tr.main, options); err != nil {
		return 0, os.NewSyscallError("ptrace", err)
	}
	tr.group[tr.main] = tr.main
	tr.resume(tr.main, 0)
	for {
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD:
			return status, nil
		case err != nil:
			return 0, os.NewSyscallError("wait4", err)
		case ws.Stopped():
			tr.stopped(tid, ws)
		default:
			if tid == tr.main {
				status = ws
			}
			delete(tr.group, tid)
			delete(tr.woken, tid)
		}
	}
}

// stopped handles a stop of a thread and lets it go on.
func (tr *tracer) stopped(tid int, ws unix.WaitStatus) {
	_, known := tr.group[tid]
	if !known {
		tr.group[tid] = threadGroup(tid)
	}
	sig := ws.StopSignal()
	switch {
	case sig == unix.SIGTRAP|0x80:
		tr.call(tid)
		sig = 0
	case sig == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
		if tr.victim == 0 && tid != tr.main {
			tr.victim = tid
		}
		sig = 0
	case sig == unix.SIGTRAP && ws.TrapCause() > 0:
		sig = 0
	case sig == unix.SIGSTOP && !known: // how a new thread begins
		sig = 0
	}
	tr.resume(tid, sig)
}

func (tr *tracer) resume(tid int, sig syscall.Signal) {
	// ESRCH: it has been killed.
	if tr.victim != 0 && tr.group[tid] == tr.victim {
		unix.PtraceSyscall(tid, int(sig))
	} else {
		unix.PtraceCont(tid, int(sig))
	}
}

// call handles a stop of the victim at a system call.
func (tr *tracer) call(tid int) {
	info, err := getSyscallInfo(tid)
	if err != nil {
		return
	}
	const entry, exit = 1, 2
	switch info.op {
	case entry:
		if !noise(int(info.nr), info.args) {
			tr.Calls = append(tr.Calls, int(info.nr))
			if tr.At == len(tr.Calls) {
				tr.act()
			}
		}
		tr.woken[tid] = int(info.nr) == unix.SYS_FUTEX && sharedWait[info.args[1]]
	case exit:
		if tr.Woken && tr.woken[tid] && info.nr == 0 {
			tr.act()
		}
	}
}

func (tr *tracer) act() {
	if tr.Happened {
		return
	}
	tr.Happened = true
	if tr.Truncate == "" {
		unix.Kill(tr.victim, unix.SIGKILL)
	} else if err := os.Truncate(tr.Truncate, tr.Size); err != nil && !os.IsNotExist(err) {
		fmt.Fprintln(os.Stderr, "tracer:", err)
	}
}

const futexPrivate = 128 // FUTEX_PRIVATE_FLAG

// sharedWait are FUTEX_WAIT, and FUTEX_WAIT_BITSET with and without
// FUTEX_CLOCK_REALTIME, on words that processes share.
var sharedWait = map[uint64]bool{0: true, 9: true, 9 | 256: true}

// noise tells whether a call is one of those by which the Go runtime manages
// threads, memory and time. It makes them when it likes; they change nothing that
// another process can see. All others count, from execve on.
func noise(nr int, args [6]uint64) bool {
	switch nr {
	case unix.SYS_FUTEX:
		return args[1]&futexPrivate != 0
	case unix.SYS_MMAP:
		return args[3]&unix.MAP_ANONYMOUS != 0
	case unix.SYS_CLONE:
		return args[0]&unix.CLONE_THREAD != 0
	case unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_MADVISE, unix.SYS_TGKILL,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_RESTART_SYSCALL, unix.SYS_PRCTL, unix.SYS_PRLIMIT64,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_GETRANDOM:
		return true
	}
	return archNoise[nr]
}

// threadGroup returns the process of a thread.
func threadGroup(tid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range strings.Lines(string(b)) {
		var pid int
		if n, _ := fmt.Sscanf(line, "Tgid: %d", &pid); n == 1 {
			return pid
		}
	}
	return tid
}
