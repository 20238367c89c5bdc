package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A wait is a program that waits for something that does not come.
type wait struct {
	use
	in     []int    // the system calls in which it may stand; none: it runs
	leaves []string // the files that it leaves behind, being its data
	output string   // "" or "blocked": standard output is a full pipe
	kids   bool     // it has children
	own    []string // signals that have handlers of its own
}

var waits = []wait{
	{use: use{args: []string{"mmap_producer"}}, in: []int{unix.SYS_READ}, leaves: []string{"shared.dat"}},
	{use: use{name: "mmap_queue-full", args: []string{"mmap_queue", "producer"}}, in: []int{unix.SYS_FUTEX}, leaves: []string{"shared.dat"}},
	{use: use{name: "mmap_queue-empty", args: []string{"mmap_queue", "consumer"}, prepare: emptied}, in: []int{unix.SYS_FUTEX}},
	{use: use{args: []string{"pshm_writer", "NAME"}}, in: []int{unix.SYS_READ}},
	{use: use{args: []string{"pshm_reader", "NAME"}, prepare: writingOn}, in: []int{unix.SYS_FUTEX}},
	{use: use{args: []string{"simple_pipe", strings.Repeat("long ", 20_000)}}, output: "blocked", kids: true},
	{use: use{args: []string{"fork_pipe"}}, output: "blocked"},
	{use: use{name: "fifo_gzip-stdin", args: []string{"fifo_gzip", "-", "out"}}, in: []int{unix.SYS_READ}, kids: true},
	{use: use{name: "fifo_gzip-fifo", args: []string{"fifo_gzip", "fifo", "out"}, prepare: fifo}, in: []int{unix.SYS_OPENAT}},
	{use: use{name: "fifo_gzip-stdout", args: []string{"fifo_gzip", "/dev/zero", "-"}}, output: "blocked", kids: true},
	{use: use{args: []string{"sleep_alarm", "1000"}}, in: []int{}, own: []string{"SIGINT"}},
	{use: use{name: "futex_mutex-count", args: []string{"futex_mutex", "--iters", "1000000000000"}}, kids: true},
	{use: use{name: "futex_mutex-wait", args: []string{"futex_mutex", "hold", "mutex", "0s"}, prepare: held}, in: []int{unix.SYS_FUTEX}},
	{use: use{name: "futex_mutex-hold", args: []string{"futex_mutex", "hold", "mutex", "10m"}}, in: []int{}, leaves: []string{"mutex"}},
	{use: use{name: "pmsg_send-full", args: []string{"pmsg_send", "NAME", "more"}, prepare: fullQueue}, in: []int{}},
	{use: use{name: "pmsg_receive-empty", args: []string{"pmsg_receive", "NAME"}, prepare: emptyQueue}, in: []int{}},
	{use: use{name: "domain_sock-server", args: []string{"domain_sock", "server", "sock"}}, in: []int{unix.SYS_ACCEPT4}},
	{use: use{name: "domain_sock-client", args: []string{"domain_sock", "client", "sock"}, prepare: deafServer}, in: []int{unix.SYS_READ}},
	{use: use{name: "doors_emul-server", args: []string{"doors_emul", "server", "door"}}, in: []int{}},
	{use: use{name: "doors_emul-client", args: []string{"doors_emul", "client", "door"}, prepare: deafDoor}, in: []int{}},
}

// SIGINT, SIGTERM and SIGHUP end every wait at once. The wait status tells of the
// signal, the program has cleaned up, and nobody is left.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, w := range waits {
		for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
			if slices.Contains(w.own, unix.SignalName(sig)) {
				continue
			}
			t.Run(fmt.Sprintf("%v/%s", w, unix.SignalName(sig)), func(t *testing.T) {
				t.Parallel()
				w.end(t, func(p *proc) { p.signal(sig) }, sig)
			})
		}
		// A terminal sends it to the children, too.
		if w.kids {
			t.Run(w.String()+"/group", func(t *testing.T) {
				t.Parallel()
				w.end(t, func(p *proc) { p.signalGroup(unix.SIGINT) }, unix.SIGINT)
			})
		}
	}
}

func (w wait) end(t *testing.T, kill func(*proc), sig unix.Signal) {
	c := w.command(t, golang)
	before := names(t, c.Dir)
	var reader *os.File
	if w.output == "blocked" {
		reader, c.Stdout = fullPipe(t)
	}
	p := start(t, c)
	w.begun(t, p)
	kill(p)
	if reader != nil {
		// As in C, a child that writes goes on until its reader is gone.
		until(t, w.String()+" dead", func() bool {
			th, ok := threads(p.pid)[p.pid]
			return !ok || th.state == "Z"
		})
		reader.Close()
	}
	r := p.wait().wantSignal(t, sig)
	if r.stderr != "" {
		t.Errorf("stderr %q", r.stderr)
	}
	until(t, "no process in its group", func() bool { return !alive(p.pid) })
	after := slices.DeleteFunc(names(t, c.Dir), func(name string) bool { return slices.Contains(w.leaves, name) })
	if !slices.Equal(after, before) {
		t.Errorf("files before: %q, after: %q", before, after)
	}
}

// begun waits until the program waits.
func (w wait) begun(t *testing.T, p *proc) {
	t.Helper()
	switch {
	case w.output == "blocked":
		// It stands in write, or its child that writes does.
		until(t, w.String()+" blocked in write", func() bool {
			writers := []int{p.pid}
			if w.kids {
				writers = children(p.pid)
			}
			return slices.ContainsFunc(writers, func(pid int) bool { return blocked(pid, unix.SYS_WRITE) })
		})
	case w.in != nil:
		p.mustBlock(w.in...)
	default:
		p.child("futex_mutex:adder")
	}
}

// A child that alone gets the signal is a failure of the program, and no more.
func TestChildSignalled(t *testing.T) {
	t.Parallel()
	for _, w := range waits {
		if !w.kids {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			c := w.command(t, golang)
			if w.output == "blocked" {
				_, c.Stdout = fullPipe(t)
			}
			p := start(t, c)
			w.begun(t, p)
			unix.Kill(children(p.pid)[0], unix.SIGTERM)
			p.wait().wantError(t, w.program(), failure[w.program()], "signal: terminated")
			if after := names(t, c.Dir); len(after) > 1 {
				t.Errorf("files left: %q", after)
			}
		})
	}
}

// SIGQUIT leaves no stack trace either.
func TestQuit(t *testing.T) {
	t.Parallel()
	for _, w := range waits {
		if w.name != "" {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			c := w.command(t, golang)
			if w.output == "blocked" {
				_, c.Stdout = fullPipe(t)
			}
			p := start(t, c)
			w.begun(t, p)
			p.signalGroup(unix.SIGQUIT)
			r := p.wait().wantSignal(t, unix.SIGQUIT)
			if r.stderr != "" {
				t.Errorf("stderr %q", r.stderr)
			}
			if w.program() == "pshm_writer" {
				os.Remove("/dev/shm" + c.Args[1]) // no program cleans up after SIGQUIT
			}
		})
	}
}

// A signal that was ignored when the program was started, as by nohup, is ignored.
func TestIgnoredSignals(t *testing.T) {
	t.Parallel()
	for _, w := range waits {
		if w.output != "" || w.in == nil || w.own != nil {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			c := w.command(t, golang)
			cmd := redirected(t, c, "")
			cmd.Args[2] = `trap "" HUP INT; ` + cmd.Args[2]
			p := start(t, cmd)
			p.mustBlock(w.in...)
			p.signal(unix.SIGINT)
			p.signal(unix.SIGHUP)
			p.mustBlock(w.in...)
			p.signal(unix.SIGTERM)
			p.wait().wantSignal(t, unix.SIGTERM)
		})
	}
}

// fullPipe returns the ends of a pipe that is full.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	fd := int(w.Fd())
	unix.SetNonblock(fd, true)
	for _, n := range []int{1 << 16, 1} {
		for err == nil {
			_, err = unix.Write(fd, make([]byte, n))
		}
		err = nil
	}
	unix.SetNonblock(fd, false) // of the description, which the program shares
	return r, w
}

// names lists the files in a directory and those below.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		list = append(list, strings.TrimPrefix(path, dir+"/"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func emptied(t *testing.T, dir, name string) {
	queued(t, dir, name)
	run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "5")).wantExit(t, 0)
}

// writingOn starts a writer whose input does not end.
func writingOn(t *testing.T, dir, name string) {
	writer := start(t, golang.command(t, dir, "pshm_writer", name))
	writer.mustBlock(unix.SYS_READ)
}

func fifo(t *testing.T, dir, _ string) {
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
}

func held(t *testing.T, dir, _ string) {
	start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "10m")).line("^locked$")
}

func emptyQueue(t *testing.T, dir, name string) {
	run(t, golang.command(t, dir, "pmsg_create", "-cx", "-m", "2", "-s", "64", name)).wantExit(t, 0)
	t.Cleanup(func() { unlinkQueue(name) })
}

func fullQueue(t *testing.T, dir, name string) {
	emptyQueue(t, dir, name)
	for range 2 {
		run(t, golang.command(t, dir, "pmsg_send", name, "message", "1")).wantExit(t, 0)
	}
}

// deafServer makes a listening socket at which nobody accepts.
func deafServer(t *testing.T, dir, _ string) { listenAt(t, dir, "sock", unix.SOCK_STREAM) }

func deafDoor(t *testing.T, dir, _ string) { listenAt(t, dir, "door", unix.SOCK_SEQPACKET) }

func listenAt(t *testing.T, dir, name string, kind int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: shortPath(t, filepath.Join(dir, name))}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
}
