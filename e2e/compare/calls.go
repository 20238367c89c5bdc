package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The rules by which a trace becomes a list that can be compared.
//
// Kept are the calls on what the program itself makes or opens for the lesson:
// pipes, FIFOs, sockets, files and objects of the run, queues, shared memory, and
// the creation and end of children. Each process has its own list, the children
// in the order in which they were created, so that the list does not depend on who
// ran when. A call stands where it returned; a wait for a child also behind the
// creation of the last.
//
// Made alike are: open, creat and openat; pipe and pipe2; accept and accept4; dup2
// and dup3; unlink and unlinkat, link and linkat, rename and its relatives; wait4
// and waitid; send and write, recv and read on a connected socket; and
// descriptors, which are named by what they are open to.
//
// Left out are:
//   - what depends on timing: futex calls on shared memory, calls that ended with
//     EINTR, EAGAIN or a restart and are made again, waits with WNOHANG or
//     WNOWAIT, a wait that finds no child any more, calls that never returned,
//     message queue calls with a deadline long past, which look before they wait;
//   - flags of descriptors: O_CLOEXEC, O_NONBLOCK, O_LARGEFILE, SOCK_CLOEXEC, …;
//   - standard input and output as the program was given them: what goes there is
//     compared as such;
//   - the close of what nobody else can notice: files, queues, shared memory;
//     that of a pipe, FIFO or socket is kept;
//   - what the last calls of a process are before its exit, if they only undo what
//     that undoes: munmap, close;
//   - the signal by which a program kills itself after its clean-up, and tries of
//     execve along PATH that find nothing;
//   - how Go starts a child: everything from clone to execve, the pipe that
//     reports a failed execve, and the child of its test for pidfds. Fork and
//     clone with execve are both "create child".
//   - of a FIFO, the number of pieces: pieces in a row are one.

// calls returns what the trace of a program shows.
func (r *scene) calls(p *proc) ([]string, error) {
	text := string(p.trace.out.bytes())
	calls, killed, err := parseTrace(r.generic(text))
	if err != nil {
		return nil, err
	}
	root := p.cmd.Process.Pid
	return normalise(calls, killed, root), nil
}

const (
	createChild  = "create child"
	waitForChild = "wait for child"
)

// A process is one of a trace.
type process struct {
	pid      int
	vfork    bool // made to execute another program at once
	execs    int
	program  string // of the first process: the file
	parent   *process
	children []*process
	events   []event

	maps    map[string]string // address → what is mapped there
	objects map[string]int    // how many objects of a kind it has seen
	names   map[string]string // object → name
}

// An event is a call of a process, or the creation of a child.
type event struct {
	call
	early bool // before the execve of a child that is made for one
	child *process
}

// A world is what the processes of a trace have in common.
type world struct {
	noise map[string]bool // pipes that are none of the program's own
	fifos map[string]bool // names of FIFOs

	killed map[int]bool // processes that a signal ended
}

// normalise applies the rules.
func normalise(calls []call, killed map[int]bool, root int) []string {
	first := tree(calls, root)
	w := world{noise: reportPipes(first), fifos: map[string]bool{}, killed: killed}
	var lines []string
	var walk func(p *process, name string)
	walk = func(p *process, name string) {
		own := p.lines(w)
		for _, l := range own {
			lines = append(lines, name+l)
		}
		n := 0
		for _, c := range p.children {
			if c.vfork && c.execs == 0 {
				continue
			}
			n++
			sub := fmt.Sprintf("child %d: ", n)
			if name != "" {
				sub = strings.TrimSuffix(name, ": ") + "." + fmt.Sprintf("%d: ", n)
			}
			walk(c, sub)
		}
	}
	walk(first, "")
	return lines
}

// tree sorts the calls by process.
func tree(calls []call, root int) *process {
	first := &process{pid: root}
	procs := map[int]*process{root: first}
	// A child may be seen before the call that made it has returned.
	for changed := true; changed; {
		changed = false
		for _, c := range calls {
			parent := procs[c.tid]
			id, _ := strconv.Atoi(c.ret)
			if parent == nil || !creates(c.name) || id <= 0 || procs[id] != nil {
				continue
			}
			flags := strings.Join(c.args, ",")
			if strings.Contains(flags, "CLONE_THREAD") {
				procs[id] = parent
			} else {
				procs[id] = &process{pid: id, parent: parent, vfork: c.name == "vfork" || strings.Contains(flags, "CLONE_VM")}
			}
			changed = true
		}
	}
	for _, c := range calls {
		p := procs[c.tid]
		if p == nil {
			continue
		}
		e := event{call: c, early: p.vfork && p.execs == 0}
		switch {
		case creates(c.name):
			id, _ := strconv.Atoi(c.ret)
			child := procs[id]
			if child == nil || child == p {
				continue // a thread
			}
			p.children = append(p.children, child)
			e.child = child
		case c.name == "execve" && c.err == "":
			program := unquote(c.args[0])
			p.execs++
			if p == first && p.execs == 1 {
				p.program = program
				continue
			}
			if program == first.program || program == "/proc/self/exe" {
				continue // the program itself, in another role
			}
			e.early = false
		}
		p.events = append(p.events, e)
	}
	return first
}

func creates(name string) bool {
	return slices.Contains([]string{"clone", "clone3", "fork", "vfork"}, name)
}

var (
	fdForm   = regexp.MustCompile(`^(-?\d+|AT_FDCWD)(?:<(.*)>)?(?:\(deleted\))?$`)
	pipeForm = regexp.MustCompile(`pipe:\[\d+\]`)
)

// object returns what a descriptor is open to.
func object(arg string) string {
	if m := fdForm.FindStringSubmatch(arg); m != nil {
		return m[2]
	}
	return ""
}

// reportPipes finds the pipes through which a child of Go reports that its execve
// failed: made with O_CLOEXEC, and used by nobody but their maker, who closes both
// ends and reads 8 bytes once, which are not there.
func reportPipes(first *process) map[string]bool {
	report := map[string]bool{}
	var each func(p *process, f func(p *process, e event))
	each = func(p *process, f func(*process, event)) {
		for _, e := range p.events {
			f(p, e)
		}
		for _, c := range p.children {
			each(c, f)
		}
	}
	maker := map[string]*process{}
	each(first, func(p *process, e event) {
		if e.name == "pipe2" && strings.Contains(strings.Join(e.args, ","), "O_CLOEXEC") {
			if m := pipeForm.FindString(e.args[0]); m != "" {
				maker[m], report[m] = p, true
			}
		}
	})
	each(first, func(p *process, e event) {
		if e.early || e.name == "pipe2" {
			return
		}
		for _, a := range e.args {
			o := object(a)
			if !report[o] {
				continue
			}
			if maker[o] != p || e.name != "close" && (e.name != "read" || e.ret != "0" || e.args[2] != "8") {
				report[o] = false
			}
		}
	})
	return report
}

// lines returns the list of one process.
func (p *process) lines(w world) []string {
	p.maps, p.objects, p.names = map[string]string{}, map[string]int{}, map[string]string{}
	if p.parent != nil { // what fork leaves mapped
		for addr, name := range p.parent.maps {
			p.maps[addr] = name
		}
	}
	type item struct {
		text string
		undo bool // what the end of the process does, too
	}
	var items []item
	for _, e := range p.events {
		switch {
		case e.early, retry(e.call):
			continue
		case e.child != nil:
			if !e.child.vfork || e.child.execs > 0 {
				items = append(items, item{text: createChild})
			}
			continue
		}
		text := p.line(e.call, w)
		if text == "" {
			continue
		}
		if n := len(items); n > 0 {
			if joined, ok := join(items[n-1].text, text); ok {
				items[n-1].text = joined
				continue
			}
		}
		items = append(items, item{text, e.name == "close" || e.name == "munmap"})
	}
	for n := len(items); n > 0 && items[n-1].undo && !w.killed[p.pid]; n-- {
		items = items[:n-1]
	}
	// Waits that were over before the last child was created go behind that.
	last := -1
	for i, it := range items {
		if it.text == createChild {
			last = i
		}
	}
	var early, rest []item
	for i, it := range items {
		if i < last && it.text == waitForChild {
			early = append(early, it)
			continue
		}
		rest = append(rest, it)
	}
	items = slices.Insert(rest, last+1-len(early), early...)
	lines := make([]string, len(items))
	for i, it := range items {
		lines[i] = it.text
	}
	return lines
}

// retry tells whether a call did nothing and is made again, or only looked.
func retry(c call) bool {
	switch c.err {
	case "EINTR", "EAGAIN", "ERESTARTSYS", "ERESTART_RESTARTBLOCK", "ERESTARTNOINTR", "ERESTARTNOHAND":
		return c.name != "pause" && c.name != "rt_sigsuspend" // it is how they end
	case "ETIMEDOUT":
		return strings.HasPrefix(c.name, "mq_timed") && strings.HasPrefix(c.args[len(c.args)-1], "{tv_sec=0, tv_nsec=0}")
	case "ECHILD":
		return true
	}
	return false
}

var piece = regexp.MustCompile(`^((?:read|write) FIFO .*?) (\d+)$`)

// join makes one of two pieces in a row.
func join(a, b string) (string, bool) {
	m, n := piece.FindStringSubmatch(a), piece.FindStringSubmatch(b)
	if m == nil || n == nil || m[1] != n[1] || n[2] == "0" {
		return "", false
	}
	x, _ := strconv.Atoi(m[2])
	y, _ := strconv.Atoi(n[2])
	return fmt.Sprintf("%s %d", m[1], x+y), true
}

// name returns the name of an object in the list, or "" if it is none of the
// program's own.
func (p *process) name(o string, w world) string {
	kind := ""
	switch {
	case w.noise[o]:
		return ""
	case strings.HasPrefix(o, "pipe:"):
		if p.names[o] == "" && !p.inherits(o) {
			return "" // standard input or output as it was given
		}
		kind = "pipe"
	case strings.HasPrefix(o, "socket:"):
		kind = "socket"
	case strings.HasPrefix(o, "/memfd:"):
		return "memfd " + strings.TrimPrefix(o, "/memfd:")
	default:
		if name := pathName(o); w.fifos[name] {
			return "FIFO " + name
		} else {
			return name
		}
	}
	return p.number(o, kind)
}

// number gives a pipe or socket its name when the first of the processes sees it.
func (p *process) number(o, kind string) string {
	for q := p.parent; q != nil; q = q.parent {
		if q.names[o] != "" {
			return q.names[o]
		}
	}
	if p.names[o] == "" {
		p.objects[kind]++
		p.names[o] = kind
		if n := p.objects[kind]; n > 1 {
			p.names[o] = fmt.Sprintf("%s %d", kind, n)
		}
	}
	return p.names[o]
}

// inherits tells whether a process before this one has made the pipe.
func (p *process) inherits(o string) bool {
	for q := p.parent; q != nil; q = q.parent {
		if q.names[o] != "" {
			return true
		}
	}
	return false
}

// pathName returns the name of a file or object of the run, or "".
func pathName(path string) string {
	switch {
	case path == "$DIR", path == "$DIR/":
		return "."
	case strings.HasPrefix(path, "$DIR/"):
		return strings.TrimPrefix(path, "$DIR/")
	case strings.HasPrefix(path, "$NAME"), strings.HasPrefix(path, "NAME"), strings.HasPrefix(path, "/dev/shm$NAME"):
		return path
	case strings.HasPrefix(path, "/dev/shm/"):
		return path
	case path != "" && !filepath.IsAbs(path) && !strings.Contains(path, ":["):
		return path // in the working directory
	}
	return ""
}

func unquote(arg string) string {
	if s, err := strconv.Unquote(arg); err == nil {
		return s
	}
	return strings.Trim(arg, `"`)
}
