package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
	"ipcbook/shared/mq"
	"ipcbook/shared/sem"
	"ipcbook/shared/shm"
)

// The calls with which the programs create exclusively. Each returns what removes
// the object again.
var creators = map[string]struct {
	create func(name string) (remove func(), err error)
	loses  unix.Errno
}{
	"shm": {func(name string) (func(), error) {
		f, err := shm.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o660)
		return func() { f.Close(); shm.Unlink(name) }, err
	}, unix.EEXIST},
	"mq": {func(name string) (func(), error) {
		q, err := mq.Create(name, unix.O_RDWR|unix.O_EXCL, 0o600, &mq.Attr{MaxMsg: 1, MsgSize: 1})
		return func() { q.Close(); mq.Unlink(name) }, err
	}, unix.EEXIST},
	"fifo": {func(name string) (func(), error) {
		return func() { unix.Unlink(name) }, unix.Mkfifo(name, 0o666)
	}, unix.EEXIST},
	"socket": {func(name string) (func(), error) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
			unix.Close(fd)
			return nil, err
		}
		return func() { unix.Close(fd); unix.Unlink(name) }, nil
	}, unix.EADDRINUSE},
	"door": {func(name string) (func(), error) {
		d, err := door.Create(func(*door.Call, any, []byte, []*os.File) {}, nil, 0)
		if err != nil {
			return nil, err
		}
		if err := d.Attach(name); err != nil {
			d.Close()
			return nil, err
		}
		return func() { d.Close() }, nil
	}, unix.EBUSY},
}

// racer creates an object at the same moment as another racer: KIND NAME MEETING I.
// The meeting is a file with a semaphore for each of the two.
func racer(args []string) error {
	kind, name := creators[args[0]], args[1]
	f, err := os.OpenFile(args[2], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	m, err := shm.Map(f, 2*sem.Size, 2*sem.Size)
	if err != nil {
		return err
	}
	mine, err := sem.At(m.Bytes)
	if err != nil {
		return err
	}
	other, err := sem.At(m.Bytes[sem.Size:])
	if err != nil {
		return err
	}
	if args[3] == "1" {
		mine, other = other, mine
	}
	remove := func() {}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "remove" {
			remove()
			remove = func() {}
			fmt.Println("removed")
			continue
		}
		if err := errors.Join(other.Post(), mine.Wait()); err != nil {
			return err
		}
		r, err := kind.create(name)
		if err == nil {
			remove = r
			fmt.Println("won")
			continue
		}
		var errno unix.Errno
		if !errors.As(err, &errno) {
			return err
		}
		fmt.Println(unix.ErrnoName(errno))
	}
	remove()
	return nil
}

// Two processes create the same object at the same moment, a thousand times: one
// has it, and the other has the error that says so.
func TestSiegeRace(t *testing.T) {
	t.Parallel()
	for kind, c := range creators {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, name := t.TempDir(), object(t.Name())
			if kind != "shm" && kind != "mq" {
				name = "object"
			}
			meeting := filepath.Join(dir, "meeting")
			if err := os.WriteFile(meeting, make([]byte, 2*sem.Size), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(meeting, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			m, err := shm.Map(f, 2*sem.Size, 2*sem.Size)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for i := range 2 {
				s, err := sem.At(m.Bytes[i*sem.Size:])
				if err == nil {
					err = s.Init(0)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var racers [2]*proc
			for i := range racers {
				racers[i] = start(t, playing(dir, "racer", kind, name, meeting, fmt.Sprint(i)))
			}
			say := func(p *proc, text string) {
				if _, err := fmt.Fprintln(p.stdin, text); err != nil {
					t.Fatal(err)
				}
			}
			wins := [2]int{}
			for range 1000 {
				for _, p := range racers {
					say(p, "create")
				}
				a, b := racers[0].line(""), racers[1].line("")
				winner, loser := 0, b
				if b == "won" {
					winner, loser = 1, a
				}
				if a != "won" && b != "won" || loser != unix.ErrnoName(c.loses) {
					t.Fatalf("one process: %s, the other: %s; want won and %s", a, b, unix.ErrnoName(c.loses))
				}
				wins[winner]++
				say(racers[winner], "remove")
				racers[winner].line("^removed$")
			}
			t.Logf("won: %v", wins)
			for _, p := range racers {
				p.stdin.Close()
				p.wait().wantExit(t, 0)
			}
		})
	}
}

// A duel is between two processes that create the same object, and keep it.
type duel struct {
	t   *testing.T
	dir string
	two [2]*proc
}

func newDuel(t *testing.T, dir string, args ...string) *duel {
	t.Helper()
	d := &duel{t: t, dir: dir}
	for i := range d.two {
		words := make([]string, len(args))
		for j, arg := range args {
			words[j] = strings.ReplaceAll(arg, "I", fmt.Sprint(i))
		}
		d.two[i] = start(t, golang.command(t, dir, words[0], words[1:]...))
	}
	return d
}

// settled waits until one of the two has ended and the other waits, and returns
// the other. The one that ended must have failed with the message.
func (d *duel) settled(program, message string, calls ...int) *proc {
	d.t.Helper()
	var winner *proc
	for _, p := range d.two {
		until(d.t, p.name+" has ended or waits", func() bool { return p.hasEnded() || blocked(p.pid, calls...) })
		if !p.hasEnded() {
			if winner != nil {
				d.t.Fatalf("%s: both have it", p.name)
			}
			winner = p
			continue
		}
		p.wait().wantError(d.t, program, failure[program], message)
	}
	if winner == nil {
		d.t.Fatalf("%s: neither has it", d.two[0].name)
	}
	return winner
}

// Two programs are started at the same moment. One does its work as if it were
// alone; the other says why it cannot.
func TestSiegeDuel(t *testing.T) {
	t.Parallel()
	races := often(1000, 30)

	t.Run("pshm_writer", func(t *testing.T) {
		t.Parallel()
		for range races {
			dir, name := t.TempDir(), object(t.Name())
			d := newDuel(t, dir, "pshm_writer", name)
			winner := d.settled("pshm_writer", "shm_open .*: file exists\nhint: .*: rm /dev/shm/", unix.SYS_READ)
			reader := start(t, golang.command(t, dir, "pshm_reader", name))
			fmt.Fprint(winner.stdin, "the winner's")
			winner.stdin.Close()
			reader.wait().wantExit(t, 0).wantStdout(t, "the winner's")
			winner.wait().wantExit(t, 0)
			gone(t, "/dev/shm"+name)
		}
	})
	t.Run("pmsg_create", func(t *testing.T) {
		t.Parallel()
		for range races {
			dir, name := t.TempDir(), object(t.Name())
			t.Cleanup(func() { unlinkQueue(name) })
			d := newDuel(t, dir, "pmsg_create", "-cx", "-m", "1", "-s", "1", name)
			a, b := d.two[0].wait(), d.two[1].wait()
			if a.status.ExitStatus() != 0 {
				a, b = b, a
			}
			a.wantExit(t, 0)
			b.wantError(t, "pmsg_create", 1, "mq_open .*: file exists\nhint: pmsg_unlink ")
			if err := unlinkQueue(name); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("fifo_gzip", func(t *testing.T) {
		t.Parallel()
		for range races {
			dir := t.TempDir()
			d := newDuel(t, dir, "fifo_gzip", "-", "out-I")
			winner := d.settled("fifo_gzip", "mkfifo pipe_file: file exists\nhint: .*: rm pipe_file", unix.SYS_READ)
			winner.stdin.Close()
			winner.wait().wantExit(t, 0)
			if list := names(t, dir); len(list) != 2 || list[1] != winner.cmd.Args[2] {
				t.Errorf("in the directory: %q, want %s and nothing else", list[1:], winner.cmd.Args[2])
			}
		}
	})
	t.Run("domain_sock", func(t *testing.T) {
		t.Parallel()
		for i := range races {
			dir := t.TempDir()
			if i%2 == 1 { // what a dead server has left is in the way
				deadSocket(t, dir, "sock", unix.SOCK_STREAM)
			}
			d := newDuel(t, dir, "domain_sock", "server", "sock")
			winner := d.settled("domain_sock", "bind sock: .*: address already in use|bind sock: address already in use", unix.SYS_ACCEPT4)
			run(t, golang.command(t, dir, "domain_sock", "client", "sock")).wantExit(t, 0)
			winner.line("^message from client: hello from a client$")
			winner.signal(unix.SIGTERM)
			winner.wait().wantSignal(t, unix.SIGTERM)
			gone(t, filepath.Join(dir, "sock"))
		}
	})
	// A server takes off the path what door is there, as fdetach does in the
	// original. So the second of two may take the place of the first, and the first
	// goes on without its path. It may also come in between: then one has failed.
	t.Run("doors_emul", func(t *testing.T) {
		t.Parallel()
		failed := 0
		for i := range races {
			dir := t.TempDir()
			if i%2 == 1 {
				deadSocket(t, dir, "door", unix.SOCK_SEQPACKET)
			}
			d := newDuel(t, dir, "doors_emul", "server", "door")
			var live []*proc
			for _, p := range d.two {
				until(t, p.name+" has ended or waits", func() bool { return p.hasEnded() || serves(p.pid) })
				if p.hasEnded() {
					p.wait().wantError(t, "doors_emul", 1, "fattach door: device or resource busy")
					failed++
					continue
				}
				live = append(live, p)
			}
			if len(live) == 0 {
				t.Fatal("neither server is left")
			}
			for id := range 3 {
				run(t, golang.command(t, dir, "doors_emul", "client", "door", fmt.Sprint(id))).
					wantExit(t, 0).wantStdout(t, fmt.Sprintf("result = %d\n", id*id))
			}
			var served []string
			for _, p := range live {
				p.signal(unix.SIGTERM)
				if out := p.wait().wantSignal(t, unix.SIGTERM).stdout; out != "" {
					served = append(served, out)
				}
			}
			if want := "door called with id = 0\ndoor called with id = 1\ndoor called with id = 2\n"; len(served) != 1 || served[0] != want {
				t.Errorf("the calls were served by %d servers: %q", len(served), served)
			}
			gone(t, filepath.Join(dir, "door"))
		}
		t.Logf("failed: %d of %d", failed, races)
	})
	// The producer truncates the file that it finds, as the original does. Two of
	// them make one queue or disturb each other; whatever they do, they end, and the
	// next pair works.
	t.Run("mmap_queue", func(t *testing.T) {
		t.Parallel()
		for range races {
			dir := t.TempDir()
			d := newDuel(t, dir, "mmap_queue", "producer", "--timeout", "20ms")
			for _, p := range d.two {
				r := p.wait().wantExit(t, 255)
				wantText(t, r.stderr, "^mmap_queue: (.*timed out after 20ms waiting for a consumer|.*truncated while it was mapped|.*: (current|semaphore [a-z]+) is |.*has \\d+ bytes, want )")
			}
			producer := start(t, golang.command(t, dir, "mmap_queue", "producer"))
			producer.line("^enqueued 4$")
			run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "100")).wantExit(t, 0)
			producer.stdin.Close()
			producer.wait().wantExit(t, 0)
		}
	})
}

// deadSocket leaves the socket of a server that has died.
func deadSocket(t testing.TB, dir, name string, kind int) {
	t.Helper()
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", at.Fd(), name)}); err != nil {
		t.Fatal(err)
	}
}

// listens tells whether a process has a UNIX socket at which it listens.
func listens(pid int) bool {
	table, _ := os.ReadFile("/proc/net/unix")
	for _, target := range descriptors(pid) {
		inode, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		for line := range strings.Lines(string(table)) {
			const accepts = "00010000" // __SO_ACCEPTCON
			f := strings.Fields(line)  // Num RefCount Protocol Flags Type St Inode Path
			if len(f) > 6 && f[3] == accepts && f[6]+"]" == inode {
				return true
			}
		}
	}
	return false
}

// serves tells whether a door server has attached its door and waits for calls,
// perhaps without its path by now. All looks must see the process at the same
// standstill: before it attaches the door it looks like one that has been detached,
// and a moment later it may sleep until another server is done with the directory.
func serves(pid int) bool {
	before := threads(pid)
	return (listens(pid) || detached(pid)) && blocked(pid) && maps.Equal(before, threads(pid))
}

// detached tells whether a door server, if it waits, has no door attached: it has
// neither a socket nor a directory open.
func detached(pid int) bool {
	open := descriptors(pid)
	for _, target := range open {
		if strings.HasPrefix(target, scratch) || strings.HasPrefix(target, "socket:") {
			return false
		}
	}
	return len(open) > 0
}

func gone(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s after the end: %v", path, err)
	}
}
