package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A scene is one run of a case or a pair: processes, and the place where they
// meet.
type scene struct {
	s     *Suite
	dir   string // $DIR
	name  string // $NAME
	lang  [3]Lang
	prog  string // of the case, in lang[Left]
	run   Proc
	trace bool
	loose []string // generic names of files

	procs map[string]*proc
	looks []string
}

// An outcome is what a run has shown.
type outcome struct {
	Stdout, Stderr []byte
	End            string
	Objects        []string
	Calls          []string
	Outputs        map[string][]byte // of every process
	Err            error             // the run did not go as described
}

var scenes atomic.Int64

// fixed is held by the run whose original has the name of its object built in.
var fixed sync.Mutex

// newScene makes the place of a run of programs. done removes it.
func (s *Suite) newScene(progs ...string) (r *scene, done func(), err error) {
	n := scenes.Add(1)
	r = &scene{
		s:     s,
		dir:   filepath.Join(s.work, "run", fmt.Sprint(n)),
		name:  fmt.Sprintf("/ipcbook-compare-%d-%d", os.Getpid(), n),
		procs: map[string]*proc{},
	}
	done = r.clean
	for _, p := range s.built() {
		if p.OrigName == "" || !slices.Contains(progs, p.Name) || !s.original(p) {
			continue
		}
		fixed.Lock()
		r.name = p.OrigName
		if exists(shmDir + r.name) {
			fixed.Unlock()
			return nil, nil, fmt.Errorf("%s is in use: the original knows no other name", shmDir+r.name)
		}
		done = func() { r.clean(); fixed.Unlock() }
		break
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

// errNoTrace means that a case needs strace to see when to go on.
var errNoTrace = errors.New("needs strace")

// runCase runs a case of a program in one language, beside peers in C.
func (s *Suite) runCase(ctx context.Context, p Program, c Case, lang Lang) outcome {
	r, done, err := s.newScene(p.Name)
	if err != nil {
		return outcome{Err: err}
	}
	defer done()
	if !s.strace.ok() && slices.ContainsFunc(c.Do, func(s Step) bool { return s.Do == Called }) {
		return outcome{Err: errNoTrace}
	}
	r.lang = [3]Lang{Peer: C, Left: lang}
	r.prog, r.run, r.trace = p.Name, c.Run, c.Trace && s.strace.ok()
	r.run.Side = Left
	for _, path := range c.Loose {
		r.loose = append(r.loose, r.generic(r.place(path)))
	}
	steps := c.Do
	if steps == nil {
		steps = []Step{run, {Do: End}}
	}
	return r.play(ctx, c.Files, c.Queue, steps)
}

// runPair runs a pair, each half in its language.
func (s *Suite) runPair(ctx context.Context, p Pair, l, rt Lang) outcome {
	r, done, err := s.newScene(p.Left, p.Right)
	if err != nil {
		return outcome{Err: err}
	}
	defer done()
	r.lang = [3]Lang{Peer: C, Left: l, Right: rt}
	return r.play(ctx, p.Files, nil, p.Do)
}

func (r *scene) play(ctx context.Context, files []File, q *Queue, steps []Step) (o outcome) {
	defer func() {
		for _, p := range r.procs {
			p.kill()
		}
	}()
	o.Err = r.steps(ctx, files, q, steps)
	o.Outputs = map[string][]byte{}
	for who, p := range r.procs {
		o.Outputs[who] = p.stdout.bytes()
	}
	if p := r.procs[""]; p != nil {
		o.Stdout, o.Stderr = p.stdout.bytes(), p.stderr.bytes()
		select {
		case <-p.ended:
			o.End = p.end
		default:
			o.End = "runs"
		}
		if r.trace && o.Err == nil {
			o.Calls, o.Err = r.calls(p)
		}
	}
	o.Objects = append(r.looks, r.left()...)
	return o
}

func (r *scene) steps(ctx context.Context, files []File, q *Queue, steps []Step) error {
	for _, f := range files {
		if err := r.make(f); err != nil {
			return fmt.Errorf("before the run: %w", err)
		}
	}
	if q != nil {
		if err := r.makeQueue(q); err != nil {
			return fmt.Errorf("before the run: %w", err)
		}
	}
	for _, s := range steps {
		ctx, cancel := patient(ctx)
		err := r.step(ctx, s)
		cancel()
		if err != nil {
			return err
		}
	}
	for who, p := range r.procs {
		select {
		case <-p.ended:
		default:
			return fmt.Errorf("%s still runs", label(who))
		}
	}
	return nil
}

// label names a process in a message.
func label(who string) string {
	if who == "" {
		return "the program"
	}
	return who
}

func (r *scene) step(ctx context.Context, s Step) error {
	if s.Do == Start {
		return r.start(s)
	}
	p := r.procs[s.Who]
	fail := func(what string, err error) error {
		if err == nil {
			return nil
		}
		msg := fmt.Sprintf("%s: %v", what, err)
		if p != nil {
			msg = fmt.Sprintf("%s (%v): %s; it printed %.300q, and %.300q as diagnostics",
				label(s.Who), p.lang, msg, p.stdout.bytes(), p.stderr.bytes())
		}
		return errors.New(r.generic(msg))
	}
	switch s.Do {
	case Until, Look:
		p = nil
		if err := poll(ctx, func() bool { return r.is(s.Object) }); err != nil {
			now := strings.Join(r.describe(r.place(s.Object.Path)), "\n")
			return fail(fmt.Sprintf("wait for %+v, have %s", *s.Object, now), err)
		}
		if s.Do == Look {
			r.looks = append(r.looks, r.describe(r.place(s.Object.Path))...)
		}
		return nil
	}
	if p == nil {
		return fmt.Errorf("no process %q", s.Who)
	}
	switch s.Do {
	case Line:
		return fail(fmt.Sprintf("wait for the line %q", s.Text), p.stdout.line(ctx, s.Text))
	case Called:
		re, err := regexp.Compile(s.Text)
		if err != nil || p.trace == nil {
			return fmt.Errorf("wait for the call %s: it is not traced (%v)", s.Text, err)
		}
		return fail(fmt.Sprintf("wait for the call %s", s.Text),
			p.trace.out.wait(ctx, func(b []byte, _ bool) bool { return re.Match(b) }))
	case Still:
		return fail("wait until it stands still", stands(ctx, p.cmd.Process.Pid))
	case Alone:
		// The originals' servers do not wait for their children.
		zombies := p.lang == C && r.s.originalNamed(r.prog)
		return fail("wait for the end of its children", poll(ctx, func() bool { return !hasChildren(p.cmd.Process.Pid, zombies) }))
	case Eof:
		p.feed("", true)
	case Kill:
		return fail("kill", unix.Kill(p.cmd.Process.Pid, s.Signal))
	case End:
		return fail("end", r.end(ctx, p, s))
	}
	return nil
}

func (r *scene) start(s Step) error {
	p := s.Proc
	if s.Who == "" {
		p = r.run
		p.Prog = r.prog
	}
	args := make([]string, len(p.Args))
	for i, a := range p.Args {
		args[i] = r.expand(a)
	}
	lang := r.lang[p.Side]
	path, args, err := r.s.command(lang, p.Prog, args)
	if err != nil {
		return err
	}
	p.Args, p.Stdin = args, r.expand(p.Stdin)
	var tr *tracing
	if s.Who == "" && r.trace {
		if tr, err = r.s.strace.trace(r.dir + ".strace"); err != nil {
			return err
		}
	}
	pr, err := launch(path, p.Prog, p, r.dir, tr)
	if err != nil {
		return err
	}
	pr.who, pr.lang = s.Who, lang
	r.procs[s.Who] = pr
	return nil
}

// end waits for the end of a process, and of its output.
func (r *scene) end(ctx context.Context, p *proc, s Step) error {
	select {
	case <-p.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	outs := []*output{p.stdout, p.stderr}
	if p.trace != nil {
		outs = append(outs, p.trace.out)
	}
	for _, o := range outs {
		if err := o.all(ctx); err != nil {
			return fmt.Errorf("something holds its output open: %w", err)
		}
	}
	want := s.Text
	if want == "" {
		want = "exit status 0"
	}
	if s.Who != "" && p.end != want {
		return fmt.Errorf("%s, want %s", p.end, want)
	}
	return nil
}
