package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen. Only a hang, or a
// machine that stands still, reaches it.
const patience = 30 * time.Second

// A failer is a test, or a transcript.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A proc is a running process, the first of its process group.
type proc struct {
	t      failer
	name   string
	pid    int
	cmd    *exec.Cmd
	stdin  io.WriteCloser // nil unless cmd came without a standard input
	stdout *stream        // nil if cmd came with a standard output
	stderr *stream
	ended  chan struct{}
}

// start starts cmd. If it still runs when the test ends, it is told to end, and then
// killed with its descendants.
func start(t testing.TB, cmd *exec.Cmd) *proc {
	t.Helper()
	p, err := launch(t, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	return p
}

// launch is start without the clean-up.
func launch(t failer, cmd *exec.Cmd) (_ *proc, err error) {
	p := &proc{t: t, cmd: cmd, name: commandLine(cmd), stderr: newStream(), ended: make(chan struct{})}
	if cmd.Stdin == nil {
		if p.stdin, err = cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if cmd.Stdout == nil {
		p.stdout = newStream()
		cmd.Stdout = p.stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.stderr
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	// A descendant that lives on and keeps the output open ends the wait late.
	cmd.WaitDelay = patience / 2
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		cmd.Wait()
		if p.stdout != nil {
			p.stdout.close()
		}
		p.stderr.close()
		close(p.ended)
	}()
	return p, nil
}

// commandLine shows a command in messages.
func commandLine(cmd *exec.Cmd) string {
	var b strings.Builder
	for i, arg := range cmd.Args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if len(arg) > 40 {
			arg = arg[:40] + "…"
		}
		if strings.ContainsFunc(arg, func(r rune) bool { return r <= ' ' || r > '~' }) || arg == "" {
			arg = fmt.Sprintf("%q", arg)
		}
		b.WriteString(arg)
	}
	return b.String()
}

// finish ends the process, if it has not ended, and lets it clean up.
func (p *proc) finish() {
	p.cmd.Process.Signal(unix.SIGTERM)
	late := time.NewTimer(patience / 6)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.kill()
	}
}

// kill kills the process and its group, if it has not ended.
func (p *proc) kill() {
	if !p.hasEnded() {
		unix.Kill(-p.pid, unix.SIGKILL) // it is not reaped, or a descendant lives: the number is still ours
		<-p.ended
	}
}

func (p *proc) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// signal sends sig to the process, signalGroup to its group, as a terminal does.
func (p *proc) signal(sig unix.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v: %v", p.name, sig, err)
	}
}

func (p *proc) signalGroup(sig unix.Signal) {
	p.t.Helper()
	if err := unix.Kill(-p.pid, sig); err != nil {
		p.t.Fatalf("%s: %v: %v", p.name, sig, err)
	}
}

// line waits for a line of the output that matches re and comes after the line of
// the call before.
func (p *proc) line(re string) string {
	p.t.Helper()
	return p.lineOf(p.stdout, re)
}

// errLine is line for standard error.
func (p *proc) errLine(re string) string {
	p.t.Helper()
	return p.lineOf(p.stderr, re)
}

func (p *proc) lineOf(s *stream, re string) string {
	p.t.Helper()
	line, err := s.line(regexp.MustCompile(re))
	if err != nil {
		p.t.Fatalf("%s: line %q: %v\nstderr: %s", p.name, re, err, p.stderr)
	}
	return line
}

// A result is how a process ended.
type result struct {
	name           string
	status         syscall.WaitStatus
	stdout, stderr string
}

// wait waits for the end of the process. It fails the test if the end does not
// come, and if there is a stack trace among the diagnostics.
func (p *proc) wait() result {
	p.t.Helper()
	r, err := p.await(patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *proc) await(patience time.Duration) (result, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		where := whereabouts(p.pid)
		p.kill()
		return result{}, fmt.Errorf("%s: still runs after %v\nstderr: %s\n%s", p.name, patience, p.stderr, where)
	}
	if p.stderr.cut || p.stdout != nil && p.stdout.cut {
		return result{}, fmt.Errorf("%s: ended, but a descendant keeps its output open", p.name)
	}
	r := result{
		name:   p.name,
		status: p.cmd.ProcessState.Sys().(syscall.WaitStatus),
		stderr: p.stderr.String(),
	}
	if p.stdout != nil {
		r.stdout = p.stdout.String()
	}
	for _, trace := range []string{"goroutine ", "panic:", "fatal error:", "runtime error", "internal error"} {
		if strings.Contains(r.stderr, trace) {
			return r, fmt.Errorf("%s: %q among the diagnostics:\n%s", p.name, trace, r.stderr)
		}
	}
	return r, nil
}

// run runs cmd with an empty standard input, unless it has one, to its end.
func run(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	if cmd.Stdin == nil {
		cmd.Stdin = strings.NewReader("")
	}
	return start(t, cmd).wait()
}

// wantExit fails the test unless the process exited with the status.
func (r result) wantExit(t testing.TB, status int) result {
	t.Helper()
	if !r.status.Exited() || r.status.ExitStatus() != status {
		t.Fatalf("%s: %s, want exit status %d\nstderr: %s", r.name, describe(r.status), status, r.stderr)
	}
	return r
}

// wantSignal fails the test unless sig killed the process.
func (r result) wantSignal(t testing.TB, sig unix.Signal) result {
	t.Helper()
	if !r.status.Signaled() || r.status.Signal() != sig {
		t.Fatalf("%s: %s, want death by %v\nstderr: %s", r.name, describe(r.status), sig, r.stderr)
	}
	return r
}

// wantStdout fails the test unless the standard output is want.
func (r result) wantStdout(t testing.TB, want string) result {
	t.Helper()
	if r.stdout != want {
		t.Fatalf("%s: stdout %.200q, want %.200q", r.name, r.stdout, want)
	}
	return r
}

// wantError fails the test unless the program exited with status, printed nothing,
// and began its diagnostics with its name; re must match them.
func (r result) wantError(t testing.TB, program string, status int, re string) result {
	t.Helper()
	r.wantExit(t, status).wantStdout(t, "")
	if !strings.HasPrefix(r.stderr, program+": ") || !regexp.MustCompile(re).MatchString(r.stderr) {
		t.Fatalf("%s: stderr %.300q, want %q and a match of %q", r.name, r.stderr, program+": …", re)
	}
	return r
}

// describe says in words what a wait status is.
func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("death by %v", s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// A stream collects the output of a process.
type stream struct {
	mu      sync.Mutex
	grown   *sync.Cond
	all     []byte
	scanned int // line has looked at as much
	closed  bool
	cut     bool // before its end
}

func newStream() *stream {
	s := &stream{}
	s.grown = sync.NewCond(&s.mu)
	return s
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, b...)
	s.grown.Broadcast()
	return len(b), nil
}

// ReadFrom is what package exec copies with. It finds out whether the end has come
// or the pipe was closed because it did not.
func (s *stream) ReadFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for {
		k, err := r.Read(buf)
		s.Write(buf[:k])
		n += int64(k)
		if err != nil {
			s.cut = err != io.EOF
			return n, nil
		}
	}
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.grown.Broadcast()
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.all)
}

// line waits for the next line that matches re and returns it without its end.
func (s *stream) line(re *regexp.Regexp) (string, error) {
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.grown.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for {
			line, _, ok := bytes.Cut(s.all[s.scanned:], []byte("\n"))
			if !ok {
				break
			}
			s.scanned += len(line) + 1
			if re.Match(line) {
				return string(line), nil
			}
		}
		switch {
		case s.closed:
			return "", fmt.Errorf("does not come, the process has ended; its output: %.500q", s.all)
		case late:
			return "", fmt.Errorf("not within %v; its output: %.500q", patience, s.all)
		}
		s.grown.Wait()
	}
}

// until waits until done returns true. It looks again each millisecond.
func until(t failer, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// seen returns a channel that is closed once line has returned a line.
func (s *stream) seen(re string) <-chan bool {
	c := make(chan bool)
	go func() {
		if _, err := s.line(regexp.MustCompile(re)); err == nil {
			close(c)
		}
	}()
	return c
}
