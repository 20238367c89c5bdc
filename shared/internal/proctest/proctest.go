// Package proctest runs real processes beside a test: the test binary itself in
// a role, or any other program. They speak by lines on standard input and
// output, and die with the test.
package proctest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long a test waits for what must happen.
const Patience = 30 * time.Second

const roleVar = "PROCTEST_ROLE"

// A Role is what the test binary does when Command started it: args are the
// arguments, an error is printed and makes the exit status 1.
type Role func(args []string) error

// Main is for TestMain. In a process that Command started it runs the role,
// elsewhere the tests.
func Main(m *testing.M, roles map[string]Role) {
	name, ok := os.LookupEnv(roleVar)
	if !ok {
		code := m.Run()
		for _, f := range atExit {
			f()
		}
		os.Exit(code)
	}
	os.Unsetenv(roleVar) // a grandchild has no role
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		os.Exit(2)
	}
	if err := role(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var atExit []func()

// AtExit makes f run after the last test.
func AtExit(f func()) { atExit = append(atExit, f) }

// Command returns a command that runs the test binary in a role.
func Command(role string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	return cmd
}

// A Proc is a running process.
type Proc struct {
	Pid int

	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	lines  *bufio.Reader
	stderr string // a file
	status *syscall.WaitStatus
}

// Start starts cmd. Standard input, output and error that cmd does not set are
// the test's. The process is killed, if it still runs, when the test ends, and
// when the test binary dies.
func Start(t testing.TB, cmd *exec.Cmd) *Proc {
	t.Helper()
	p := &Proc{t: t, cmd: cmd, name: strings.Join(cmd.Args, " "), stderr: filepath.Join(t.TempDir(), "stderr")}
	var mine []*os.File // the child's ends
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	if cmd.Stdin == nil {
		r, w := pipe()
		cmd.Stdin, p.stdin, mine = r, w, append(mine, r)
	}
	if cmd.Stdout == nil {
		r, w := pipe()
		cmd.Stdout, p.stdout, mine = w, r, append(mine, w)
		p.lines = bufio.NewReader(r)
	}
	if cmd.Stderr == nil {
		f, err := os.Create(p.stderr)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr, mine = f, append(mine, f)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	err := cmd.Start()
	for _, f := range mine {
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Pid = cmd.Process.Pid
	t.Cleanup(func() {
		if p.status == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		p.CloseStdin()
		if p.stdout != nil {
			p.stdout.Close()
		}
	})
	return p
}

// Say writes a line to the process's standard input.
func (p *Proc) Say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.stdin, format+"\n", args...); err != nil {
		p.t.Fatalf("%s: %v\n%s", p.name, err, p.Stderr())
	}
}

// CloseStdin closes the process's standard input.
func (p *Proc) CloseStdin() {
	if p.stdin != nil {
		p.stdin.Close()
		p.stdin = nil
	}
}

// Line returns the next line of the process's standard output.
func (p *Proc) Line() string {
	p.t.Helper()
	line, ok := p.LineWithin(Patience)
	if !ok {
		p.t.Fatalf("%s: no line within %v\n%s", p.name, Patience, p.Stderr())
	}
	return line
}

// LineWithin is Line with an end; it may be called again.
func (p *Proc) LineWithin(d time.Duration) (line string, ok bool) {
	p.t.Helper()
	if p.lines.Buffered() == 0 {
		p.stdout.SetReadDeadline(time.Now().Add(d))
		if _, err := p.lines.Peek(1); os.IsTimeout(err) {
			return "", false
		}
	}
	p.stdout.SetReadDeadline(time.Now().Add(Patience))
	line, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s: want a line, got %q, %v\n%s", p.name, line, err, p.Stderr())
	}
	return strings.TrimSuffix(line, "\n"), true
}

// Want fails the test unless the next line is want.
func (p *Proc) Want(want string) {
	p.t.Helper()
	if got := p.Line(); got != want {
		p.t.Fatalf("%s: said %q, want %q\n%s", p.name, got, want, p.Stderr())
	}
}

// Rest returns what is left of standard output, up to its end.
func (p *Proc) Rest() string {
	p.t.Helper()
	var b strings.Builder
	p.stdout.SetReadDeadline(time.Now().Add(Patience))
	if _, err := p.lines.WriteTo(&b); err != nil {
		p.t.Fatalf("%s: %v\n%s", p.name, err, p.Stderr())
	}
	return b.String()
}

// Stderr returns what the process has written to standard error.
func (p *Proc) Stderr() string {
	b, err := os.ReadFile(p.stderr)
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return string(b)
}

// Signal sends a signal.
func (p *Proc) Signal(sig unix.Signal) {
	p.t.Helper()
	if err := unix.Kill(p.Pid, sig); err != nil {
		p.t.Fatalf("%s: kill: %v", p.name, err)
	}
}

// Kill kills the process with SIGKILL and waits for its end.
func (p *Proc) Kill() {
	p.t.Helper()
	p.Signal(unix.SIGKILL)
	p.Wait()
}

// Wait waits for the end of the process, which is an error if it does not come.
func (p *Proc) Wait() syscall.WaitStatus {
	p.t.Helper()
	if p.status != nil {
		return *p.status
	}
	late := time.AfterFunc(Patience, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	if !late.Stop() {
		p.t.Errorf("%s: still ran after %v\n%s", p.name, Patience, p.Stderr())
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	p.status = &status
	return status
}

// WantExit waits for the end and fails the test unless the process exited with
// the status.
func (p *Proc) WantExit(status int) {
	p.t.Helper()
	if s := p.Wait(); !s.Exited() || s.ExitStatus() != status {
		p.t.Fatalf("%s: ended with %s, want exit status %d\n%s", p.name, Describe(s), status, p.Stderr())
	}
}

// WantSignal waits for the end and fails the test unless sig killed the process.
func (p *Proc) WantSignal(sig unix.Signal) {
	p.t.Helper()
	if s := p.Wait(); !s.Signaled() || s.Signal() != sig {
		p.t.Fatalf("%s: ended with %s, want death by %v\n%s", p.name, Describe(s), sig, p.Stderr())
	}
}

// Describe says in words what a wait status is.
func Describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("death by %v", s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// Asleep waits until n threads of the process sleep in futex calls on shared
// words.
func (p *Proc) Asleep(n int) {
	p.t.Helper()
	Asleep(p.t, p.Pid, n)
}

// Asleep waits until n threads of a process sleep in futex calls on shared
// words. (The Go runtime's own futex calls are private ones.)
func Asleep(t testing.TB, pid, n int) {
	t.Helper()
	Until(t, fmt.Sprintf("%d threads of %d asleep in futex", n, pid), func() bool { return Sleepers(pid) == n })
}

// Sleepers returns how many threads of a process sleep in futex calls on shared
// words.
func Sleepers(pid int) (n int) {
	const private = 128 // FUTEX_PRIVATE_FLAG
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		f := strings.Fields(string(b)) // number, six arguments, …; or "running"
		if len(f) < 3 || f[0] != strconv.Itoa(unix.SYS_FUTEX) {
			continue
		}
		if op, err := strconv.ParseUint(f[2], 0, 64); err == nil && op&private == 0 {
			n++
		}
	}
	return n
}

// Stop stops the process with SIGSTOP and waits until it stands.
func (p *Proc) Stop() {
	p.t.Helper()
	p.Signal(unix.SIGSTOP)
	Until(p.t, p.name+" stopped", func() bool { return state(p.Pid) == 'T' })
}

// state returns the third field of /proc/PID/stat.
func state(pid int) byte {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	if rest == "" {
		return 0
	}
	return rest[0]
}

// Until waits until done returns true. It looks again each millisecond.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", Patience, what)
		}
	}
}

// Storm sends sig to a process every 100 µs until stop is called, which returns
// how many were sent.
func Storm(t testing.TB, pid int, sig unix.Signal) (stop func() int) {
	quit, sent := make(chan bool), make(chan int)
	go func() {
		n := 0
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				sent <- n
				return
			case <-tick.C:
				if unix.Kill(pid, sig) == nil {
					n++
				}
			}
		}
	}()
	var n int
	var stopped bool
	stop = func() int {
		if !stopped {
			stopped = true
			close(quit)
			n = <-sent
		}
		return n
	}
	t.Cleanup(func() { stop() })
	return stop
}
