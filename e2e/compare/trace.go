package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// traced are the system calls that strace is asked for. What is not in this list
// is no call of the lesson: memory of the runtime, scheduling, signals' handlers,
// polling for readiness (epoll, poll: when a process waits is timing), clocks,
// stat, fcntl and socket options.
var traced = strings.Join([]string{
	"?clone", "?clone3", "?fork", "?vfork", "execve", "wait4", "waitid",
	"?pipe", "pipe2", "dup", "?dup2", "dup3", "?open", "openat", "?creat", "close",
	"read", "write", "readv", "writev", "pread64", "pwrite64", "lseek",
	"?mknod", "mknodat", "?unlink", "unlinkat", "?link", "linkat", "?rename", "?renameat", "renameat2",
	"?chmod", "fchmod", "fchmodat", "ftruncate", "truncate", "fallocate", "mmap", "munmap", "memfd_create",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
	"socket", "socketpair", "bind", "listen", "accept", "accept4", "connect", "shutdown",
	"sendto", "recvfrom", "sendmsg", "recvmsg", "?sendmmsg", "?recvmmsg", "sendfile", "splice",
	"?alarm", "setitimer", "?pause", "rt_sigsuspend", "kill",
}, ",")

// A tracer runs programs under strace.
type tracer struct {
	args  []string
	cause string // why there is none
}

// newTracer looks whether strace is there and may trace.
func newTracer(ctx context.Context, dir string) *tracer {
	path, err := exec.LookPath("strace")
	if err != nil {
		return &tracer{cause: "no strace on this machine"}
	}
	// -D: the traced program is our child, and strace is not in its way. The
	// filter in the kernel stops the program at these calls only.
	args := []string{path, "-D", "-f", "-y", "-s", "64", "-e", "signal=none", "-e", "trace=" + traced}
	var out []byte
	for _, more := range [][]string{{"--seccomp-bpf"}, nil} {
		t := &tracer{args: append(args[:len(args):len(args)], more...)}
		probe := append(t.args[1:len(t.args):len(t.args)], "-o", filepath.Join(dir, "probe"), "true")
		if out, err = exec.CommandContext(ctx, path, probe...).CombinedOutput(); err == nil {
			return t
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return &tracer{cause: fmt.Sprintf("strace may not trace here: %s (%v)", first, err)}
}

func (t *tracer) ok() bool { return t != nil && t.cause == "" }

// A tracing is the trace of one process and its children.
type tracing struct {
	t    *tracer
	fifo string
	rw   *os.File
	out  *output // ends when the last of the processes has
}

// trace prepares a trace, which comes through a FIFO at path.
func (t *tracer) trace(path string) (*tracing, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("mkfifo %s: %w", path, err)
	}
	// Both ways, so that the open does not wait; and away with our own end for
	// writing once strace has had its chance to open it, which is when the first
	// bytes come.
	rw, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	tr := &tracing{t: t, fifo: path, rw: rw, out: newOutput()}
	go func() {
		first := make([]byte, 1)
		_, err := rw.Read(first)
		r, oerr := os.Open(path)
		rw.Close()
		if err := errors.Join(err, oerr); err != nil {
			return
		}
		tr.out.mu.Lock()
		tr.out.buf.Write(first)
		tr.out.mu.Unlock()
		tr.out.collect(r)
	}()
	return tr, nil
}

// stop ends the wait for a strace that never came.
func (t *tracing) stop() { t.rw.Close() }

func (t *tracing) command(path string, args []string) (string, []string) {
	full := append(t.t.args[1:len(t.t.args):len(t.t.args)], "-o", t.fifo, "--", path)
	return t.t.args[0], append(full, args...)
}

// A call is one system call as strace shows it.
type call struct {
	tid  int
	name string
	args []string
	ret  string
	err  string // the errno's name, or ""
	file string // what the returned descriptor is
}

var (
	lineForm       = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumedForm    = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	supersededForm = regexp.MustCompile(`^\+\+\+ superseded by execve in pid (\d+) `)
	changedForm    = regexp.MustCompile(`<pid changed to (\d+) \.\.\.>$`)
	callForm       = regexp.MustCompile(`^(\w+)\((.*)\) += (\?|-?\d+|0x[0-9a-f]+)(?:<(.*)>)?(?:\(deleted\))?(?: ([A-Z][A-Z0-9_]*) ?.*)?(?: \(.*\))?$`)
)

// parseTrace returns the calls of a trace in the order in which they returned: a
// thread that waits while others go on comes to its turn when its wait is over.
// Calls that never returned are left out. killed are the processes that a signal
// ended.
func parseTrace(text string) (calls []call, killed map[int]bool, err error) {
	type slot struct {
		tid  int
		text string
	}
	var slots []slot
	pending := map[int]slot{}
	killed = map[int]bool{}
	for l := range strings.Lines(text) {
		m := lineForm.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			return nil, nil, fmt.Errorf("strace: what is %q?", l)
		}
		var tid int
		fmt.Sscan(m[1], &tid)
		rest := m[2]
		switch {
		case strings.HasPrefix(rest, "+++ killed"):
			killed[tid] = true
		case supersededForm.MatchString(rest):
			// The execve of a thread that is not the first goes on under the
			// number of the first.
			var thread int
			fmt.Sscan(supersededForm.FindStringSubmatch(rest)[1], &thread)
			if s, ok := pending[thread]; ok {
				delete(pending, thread)
				pending[tid] = s
			}
		case strings.HasPrefix(rest, "+++"), strings.HasPrefix(rest, "---"):
		case strings.HasSuffix(rest, "<detached ...>"):
			// strace was told to end and let the process go in the middle of a
			// call that waits: it never came back.
		case strings.HasSuffix(rest, "<unfinished ...>"):
			pending[tid] = slot{tid, strings.TrimSuffix(rest, "<unfinished ...>")}
		case changedForm.MatchString(rest): // likewise
			var leader int
			fmt.Sscan(changedForm.FindStringSubmatch(rest)[1], &leader)
			pending[leader] = slot{tid, changedForm.ReplaceAllString(rest, "")}
		case resumedForm.MatchString(rest):
			m := resumedForm.FindStringSubmatch(rest)
			s, ok := pending[tid]
			if !ok || !strings.HasPrefix(s.text, m[1]+"(") {
				return nil, nil, fmt.Errorf("strace: resumed without a beginning: %q", l)
			}
			delete(pending, tid)
			slots = append(slots, slot{s.tid, s.text + m[2]})
		default:
			slots = append(slots, slot{tid, rest})
		}
	}
	for _, s := range slots {
		m := callForm.FindStringSubmatch(s.text)
		if m == nil {
			return nil, nil, fmt.Errorf("strace: what is %q?", s.text)
		}
		if m[3] == "?" && m[5] == "" {
			continue // the process ended in it
		}
		calls = append(calls, call{tid: s.tid, name: m[1], args: splitArgs(m[2]), ret: m[3], file: m[4], err: m[5]})
		if m[3] != "-1" && m[3] != "?" {
			calls[len(calls)-1].err = ""
		}
	}
	return calls, killed, nil
}

// splitArgs splits at the commas that are not inside of something.
func splitArgs(text string) []string {
	var args []string
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("([{<", c) >= 0:
			depth++
		case c == '>' && i > 0 && text[i-1] == '-': // "->" inside of a socket's name
		case strings.IndexByte(")]}>", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			args = append(args, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		args = append(args, rest)
	}
	return args
}
