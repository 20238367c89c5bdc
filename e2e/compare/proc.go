package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A proc is a running process with its ends in our hands.
type proc struct {
	who    string
	lang   Lang
	cmd    *exec.Cmd
	stdin  *os.File // nil once closed
	stdout *output
	stderr *output
	trace  *tracing
	ended  chan struct{}
	end    string // how it ended, once ended is closed
}

// launch starts a process. The streams are pipes: to read from, or as Proc says.
func launch(path, arg0 string, p Proc, dir string, tr *tracing) (_ *proc, err error) {
	name, args := path, append([]string{}, p.Args...)
	if tr != nil {
		name, args = tr.command(path, args)
	}
	cmd := exec.Command(name, args...)
	if tr == nil {
		cmd.Args[0] = arg0
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pr := &proc{cmd: cmd, trace: tr, ended: make(chan struct{})}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	in, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, theirs, pr.stdin = in, append(theirs, in), w
	if pr.stdout, cmd.Stdout, err = sink(p.Stdout, &theirs); err != nil {
		return nil, err
	}
	if pr.stderr, cmd.Stderr, err = sink(Kept, &theirs); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		pr.end = ending(cmd.ProcessState.Sys().(syscall.WaitStatus))
		close(pr.ended)
	}()
	pr.feed(p.Stdin, !p.Hold)
	return pr, nil
}

// sink makes a process's standard output or error.
func sink(kind Sink, theirs *[]*os.File) (*output, *os.File, error) {
	if kind == Full {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		*theirs = append(*theirs, f)
		return closedOutput(), f, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	*theirs = append(*theirs, w)
	if kind == Gone {
		return closedOutput(), w, r.Close()
	}
	out := newOutput()
	go out.collect(r)
	return out, w, nil
}

// feed writes to standard input in the background, and closes it if that is all.
func (p *proc) feed(text string, all bool) {
	w := p.stdin
	if all {
		p.stdin = nil
	}
	write := func() {
		io.WriteString(w, text) // EPIPE, if the process does not want it
		if all {
			w.Close()
		}
	}
	if len(text) <= 4096 { // it fits into the pipe
		write()
		return
	}
	go write()
}

// kill ends the process and its children, if it still runs, and lets go of it.
func (p *proc) kill() {
	select {
	case <-p.ended:
	default:
		unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.ended
	}
	if p.stdin != nil {
		p.stdin.Close()
		p.stdin = nil
	}
	if p.trace != nil {
		p.trace.stop()
	}
}

// ending says how a process ended.
func ending(s syscall.WaitStatus) string {
	if s.Signaled() {
		return unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// An output is what comes out of a pipe, as it comes.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	eof     bool
	changed chan struct{} // closed when there is more
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// closedOutput is an output to which nothing comes.
func closedOutput() *output {
	o := newOutput()
	o.eof = true
	return o
}

func (o *output) collect(r *os.File) {
	defer r.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		o.mu.Lock()
		o.buf.Write(b[:n])
		o.eof = err != nil
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// bytes returns what has come.
func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

var errEOF = errors.New("its output has ended")

// wait waits until done says so of what has come. At the end of the output it
// fails with errEOF.
func (o *output) wait(ctx context.Context, done func(b []byte, eof bool) bool) error {
	for {
		o.mu.Lock()
		ok, eof, changed := done(o.buf.Bytes(), o.eof), o.eof, o.changed
		o.mu.Unlock()
		if ok {
			return nil
		}
		if eof {
			return errEOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// line waits for a complete line that begins with text.
func (o *output) line(ctx context.Context, text string) error {
	return o.wait(ctx, func(b []byte, _ bool) bool {
		for l := range strings.Lines(string(b)) {
			if strings.HasPrefix(l, text) && strings.HasSuffix(l, "\n") {
				return true
			}
		}
		return false
	})
}

// all waits for the end of the output.
func (o *output) all(ctx context.Context) error {
	return o.wait(ctx, func(_ []byte, eof bool) bool { return eof })
}

// errPatience is the cause of a wait that took too long.
var errPatience = fmt.Errorf("it did not happen within %v", patience)

// patient bounds a wait.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, errPatience)
}

// poll waits until done, which it asks each millisecond.
func poll(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
