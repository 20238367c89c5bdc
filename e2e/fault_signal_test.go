package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A weather is what rains upon the processes of a test, a signal every 100 µs, one
// after the other of the list.
type weather struct {
	name    string
	signals []unix.Signal
	caught  bool // they kill a process that has no handler for them (yet)
	timed   bool // with --timeout: its waits are others, which EINTR ends
}

// SIGUSR1 has a handler in each Go program, that of the runtime, which does nothing.
// The C programs get one.
var weathers = []weather{
	{name: "SIGURG", signals: []unix.Signal{unix.SIGURG}},
	{name: "SIGCHLD", signals: []unix.Signal{unix.SIGCHLD}},
	{name: "SIGUSR1", signals: []unix.Signal{unix.SIGUSR1}, caught: true, timed: true},
	{name: "STOP", signals: []unix.Signal{unix.SIGSTOP, unix.SIGCONT, unix.SIGCONT}, timed: true},
}

// enough is how many signals have to reach a process, and each kind of children; few
// is enough for those that end at once, however often they are started. No more than
// twice as many are sent: on a slow machine, a process that is stopped at each step
// would never end.
func enough() int { return often(2000, 300) }
func few() int    { return often(100, 30) }

// A storm sends the signals of a weather to processes and all their descendants.
type storm struct {
	weather
	t         *testing.T
	dir, name string
	quit      chan bool
	quiet     chan bool

	mu    sync.Mutex
	marks map[int]*mark  // by process id
	sent  map[string]int // by label
}

// A mark is a process that is in the storm.
type mark struct {
	label   string
	pidfd   int
	golang  bool
	program string // argv[0] of the process that the test has started
	child   bool
	ready   bool // may get the signals
	over    bool // has had them
	threads []int
}

func newStorm(t *testing.T, w weather) *storm {
	s := &storm{weather: w, t: t, dir: t.TempDir(), name: object(t.Name()), quit: make(chan bool), quiet: make(chan bool),
		marks: make(map[int]*mark), sent: make(map[string]int)}
	go s.rage()
	t.Cleanup(func() {
		close(s.quit)
		<-s.quiet
		for label, n := range s.sent {
			t.Logf("%s: %d signals", label, n)
		}
	})
	return s
}

// rage sends until the test ends.
func (s *storm) rage() {
	defer close(s.quiet)
	// Go's timers keep to the millisecond, those of a thread to what it says.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the end of the thread would kill what it has started: Pdeathsig
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	for i := 0; ; i++ {
		pause := unix.NsecToTimespec(int64(100 * time.Microsecond))
		unix.Nanosleep(&pause, nil)
		select {
		case <-s.quit:
			s.end()
			return
		default:
		}
		s.mu.Lock()
		if i%10 == 0 {
			s.look()
		}
		for pid, m := range s.marks {
			sig := s.signals[i%len(s.signals)]
			switch {
			case !m.ready || m.over:
				continue
			case s.sent[m.label] > 2*enough():
				m.over, sig = true, unix.SIGCONT
			}
			if err := m.send(pid, sig, s.sent[m.label]); err != nil {
				unix.Close(m.pidfd) // it has ended
				delete(s.marks, pid)
				continue
			}
			s.sent[m.label]++
		}
		s.mu.Unlock()
	}
}

// send sends the i-th signal. The kernel would choose a thread that does not sleep in
// the wait of the program, so each is chosen in turn.
func (m *mark) send(pid int, sig unix.Signal, i int) error {
	if len(m.threads) == 0 || sig == unix.SIGSTOP || sig == unix.SIGCONT {
		return unix.PidfdSendSignal(m.pidfd, sig, nil, 0)
	}
	err := unix.PidfdSendSignal(m.pidfd, 0, nil, 0) // the number is still its own
	if err == nil {
		unix.Tgkill(pid, m.threads[i%len(m.threads)], sig) // that thread may have ended
	}
	return err
}

// end lets everything go on that has been stopped.
func (s *storm) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.marks {
		unix.PidfdSendSignal(m.pidfd, unix.SIGCONT, nil, 0)
		unix.Close(m.pidfd)
	}
	clear(s.marks)
}

// look marks new children, and sees who is ready.
func (s *storm) look() {
	for pid, m := range s.marks {
		var kids []int
		m.threads, kids = family(pid)
		for _, kid := range kids {
			// Not those of C: a child of its socket server takes an interrupted read for the
			// end of its patience.
			if s.marks[kid] == nil && m.golang {
				s.mark(kid, &mark{label: strings.TrimSuffix(m.label, "'s child") + "'s child", golang: true, program: m.program, child: true})
			}
		}
		m.ready = m.ready || s.mayGet(pid, m)
	}
}

func (s *storm) mark(pid int, m *mark) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	m.pidfd = fd
	s.marks[pid] = m
}

// mayGet tells whether the process has its handlers. Before execve, a child has those
// of its parent, but only until a moment later.
func (s *storm) mayGet(pid int, m *mark) bool {
	if !s.caught {
		return true
	}
	if m.child && !strings.HasPrefix(role(pid), m.program+":") {
		return false
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, set, _ := strings.Cut(string(status), "\nSigCgt:\t")
	set, _, _ = strings.Cut(set, "\n")
	bits, err := strconv.ParseUint(set, 16, 64)
	return err == nil && !slices.ContainsFunc(s.signals, func(sig unix.Signal) bool { return bits&(1<<(sig-1)) == 0 })
}

// family returns the threads of a process, and its children, faster than children.
func family(pid int) (tids, pids []int) {
	dir := fmt.Sprintf("/proc/%d/task/", pid)
	tasks, _ := os.ReadDir(dir)
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		tids = append(tids, tid)
		text, _ := os.ReadFile(dir + task.Name() + "/children")
		for _, f := range strings.Fields(string(text)) {
			kid, _ := strconv.Atoi(f)
			pids = append(pids, kid)
		}
	}
	return tids, pids
}

// command returns a command for a process of the storm. NAME in the arguments stands
// for the object; "--timeout" is left out unless the weather is timed.
func (s *storm) command(m maker, args ...string) *exec.Cmd {
	s.t.Helper()
	args = slices.Clone(args)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "NAME", s.name)
	}
	if i := slices.Index(args, "--timeout"); i >= 0 && (!s.timed || m == twin) {
		args = slices.Delete(args, i, i+2)
	}
	cmd := m.command(s.t, s.dir, args[0], args[1:]...)
	if s.caught && m == twin {
		library := filepath.Join(s.dir, "caught.so")
		if _, err := os.Stat(library); err != nil {
			job := exec.Command("cc", "-std=c11", "-Wall", "-Wextra", "-pedantic", "-shared", "-fPIC", "-o", library, "testdata/caught.c")
			if err := compile([]*exec.Cmd{job}, true); err != nil {
				s.t.Fatal(err)
			}
		}
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+library)
	}
	return cmd
}

// start starts the command in the storm; label is for the counts.
func (s *storm) start(label string, cmd *exec.Cmd) *proc {
	s.t.Helper()
	p := start(s.t, cmd)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(p.pid, &mark{label: label, golang: strings.HasPrefix(cmd.Path, goDir+"/"), program: filepath.Base(cmd.Args[0])})
	return p
}

// had tells whether n signals have been sent to the processes of each label.
func (s *storm) had(n int, labels ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(labels, func(label string) bool { return s.sent[label] < n })
}

// await waits until it is enough.
func (s *storm) await(labels ...string) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%d signals to %q", enough(), labels), func() bool { return s.had(enough(), labels...) })
}

// repeat calls f until n signals have been sent to processes that do not last.
func (s *storm) repeat(n int, label string, f func()) {
	s.t.Helper()
	for end := time.Now().Add(4 * patience); !s.had(n, label); f() {
		if time.Now().After(end) {
			s.t.Fatalf("no %d signals to %q", n, label)
		}
	}
}

// Signals that mean nothing to the programs, and being stopped and continued again
// and again, change nothing in what they do, nor in what their children do. Each
// process gets hundreds of them, while it works and while it waits.
func TestFaultSignalStorm(t *testing.T) {
	t.Parallel()
	for _, w := range weathers {
		for _, pair := range stormPairs {
			for _, makers := range pairs[:3] {
				if makers != pairs[0] && !w.caught {
					continue // C hears nothing of the others
				}
				t.Run(fmt.Sprintf("%s/%s/%s-%s", w.name, pair.name, makers[0], makers[1]), func(t *testing.T) {
					t.Parallel()
					pair.test(newStorm(t, w), makers[0], makers[1])
				})
			}
		}
		for _, one := range stormSingles {
			t.Run(w.name+"/"+one.name, func(t *testing.T) {
				t.Parallel()
				one.test(newStorm(t, w))
			})
		}
	}
}

// The two halves have the labels "first" and "second".
var stormPairs = []struct {
	name string
	test func(s *storm, first, second maker)
}{
	{"pshm", func(s *storm, first, second maker) {
		writer := s.start("first", s.command(first, "pshm_writer", "--timeout", "20s", "NAME"))
		writer.mustReach(unix.SYS_READ)
		reader := s.start("second", s.command(second, "pshm_reader", "--timeout", "20s", "NAME"))
		data := ""
		for i := 0; i < 20 || !s.had(enough(), "first", "second"); i++ {
			piece := strings.Repeat(fmt.Sprintf("%08d", i), 700)
			data += piece
			io.WriteString(writer.stdin, piece)
			until(s.t, "the piece arrived", func() bool { return reader.hasEnded() || len(reader.stdout.String()) == len(data) })
		}
		writer.stdin.Close()
		w, r := writer.wait().wantExit(s.t, 0), reader.wait().wantExit(s.t, 0).wantStdout(s.t, data)
		var sent, received, turns, turnsToo int
		fmt.Sscanf(w.stderr, "Sent %d bytes (%d xfrs)\n", &sent, &turns)
		fmt.Sscanf(r.stderr, "Received %d bytes (%d xfrs)\n", &received, &turnsToo)
		if sent != len(data) || received != sent || turns != turnsToo {
			s.t.Errorf("writer %q, reader %q", w.stderr, r.stderr)
		}
	}},
	{"mmap", func(s *storm, first, second maker) {
		producer := s.start("first", s.command(first, "mmap_producer"))
		producer.line("^memory mapped")
		consume := func() {
			s.start("second", s.command(second, "mmap_consumer")).wait().wantExit(s.t, 0).wantStdout(s.t, "Hello World\n")
		}
		if consume(); second == golang { // the twin ends before a signal comes
			s.repeat(few(), "second", consume)
		}
		s.await("first")
		producer.stdin.Close()
		producer.wait().wantExit(s.t, 0)
	}},
	{"mmap_queue", func(s *storm, first, second maker) {
		for range often(10, 1) {
			producer := s.start("first", s.command(first, "mmap_queue", "producer", "--timeout", "20s"))
			producer.mustReach(unix.SYS_FUTEX) // the queue is full
			s.await("first")
			consumer := s.start("second", s.command(second, "mmap_queue", "consumer", "--timeout", "20s"))
			consumer.line("^100: ")
			s.await("second") // the queue is empty
			if producer.hasEnded() || consumer.hasEnded() {
				s.t.Fatalf("producer %q, consumer %q", producer.stderr, consumer.stderr)
			}
			producer.stdin.Close()
			producer.wait().wantExit(s.t, 0)
			consumer.signal(unix.SIGTERM)
			r := consumer.wait().wantSignal(s.t, unix.SIGTERM)
			got := messages(s.t, r.stdout)
			slices.Sort(got)
			if len(got) != 100 || len(slices.Compact(got)) != 100 {
				s.t.Errorf("messages taken: %v, want each from 0 to 99 once", got)
			}
		}
	}},
	{"pmsg", func(s *storm, first, second maker) {
		emptyQueue(s.t, s.dir, s.name)
		receive := func() *proc { return s.start("second", s.command(second, "pmsg_receive", "--timeout", "20s", "NAME")) }
		send := func(text string) *proc {
			return s.start("first", s.command(first, "pmsg_send", "--timeout", "20s", "NAME", text))
		}
		receiver := receive()
		s.await("second") // the queue is empty
		send("early").wait().wantExit(s.t, 0)
		receiver.wait().wantExit(s.t, 0).wantStdout(s.t, "Read 5 bytes; priority = 0\nearly\n")
		send("one").wait().wantExit(s.t, 0)
		send("two").wait().wantExit(s.t, 0)
		sender := send("late")
		s.await("first") // the queue is full
		for _, want := range []string{"one", "two", "late"} {
			receive().wait().wantExit(s.t, 0).wantStdout(s.t, fmt.Sprintf("Read %d bytes; priority = 0\n%s\n", len(want), want))
		}
		sender.wait().wantExit(s.t, 0)
	}},
	{"domain_sock", func(s *storm, first, second maker) {
		server := s.start("first", s.command(first, "domain_sock", "server", "sock"))
		path := shortPath(s.t, filepath.Join(s.dir, "sock"))
		until(s.t, "the server listens", func() bool {
			conn, err := dial(path)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		s.await("first")
		if first == golang {
			// A child that waits for its message.
			conn, err := dial(path)
			if err != nil {
				s.t.Fatal(err)
			}
			defer conn.Close()
			s.await("first's child")
			io.WriteString(conn, "after the storm")
			conn.SetDeadline(time.Now().Add(patience))
			if answer, err := io.ReadAll(conn); string(answer) != "hello from server" {
				s.t.Errorf("answer %q, %v", answer, err)
			}
			server.line("^message from client: after the storm$")
		}
		// A client that waits for its answer.
		listener, err := net.Listen("unix", shortPath(s.t, filepath.Join(s.dir, "mine")))
		if err != nil {
			s.t.Fatal(err)
		}
		defer listener.Close()
		client := s.start("second", s.command(second, "domain_sock", "client", "--timeout", "20s", "mine"))
		other, err := listener.Accept()
		if err != nil {
			s.t.Fatal(err)
		}
		defer other.Close()
		s.await("second")
		io.WriteString(other, "at last")
		client.wait().wantExit(s.t, 0).wantStdout(s.t, "message from server: at last\n")
		for range 20 {
			client := s.start("second", s.command(second, "domain_sock", "client", "--timeout", "20s", "sock"))
			if client.wait(); server.hasEnded() {
				s.t.Fatalf("the server has ended: %v\nstderr: %s", server.cmd.ProcessState, server.stderr)
			}
			client.wait().wantExit(s.t, 0).wantStdout(s.t, "message from server: hello from server\n")
			server.line("^message from client: hello from a client$")
		}
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(s.t, unix.SIGTERM)
	}},
	{"doors_emul", func(s *storm, first, second maker) {
		server := s.start("first", s.command(first, "doors_emul", "server", "door"))
		path := filepath.Join(s.dir, "door")
		until(s.t, "a door is there", func() bool {
			st, err := os.Stat(path)
			return err == nil && st.Mode()&os.ModeSocket != 0
		})
		until(s.t, "the first call", func() bool {
			return run(s.t, golang.command(s.t, s.dir, "doors_emul", "client", "door", "0")).status == 0
		})
		server.line("^door called with id = 0$")
		id := 0
		s.await("first")
		s.repeat(few(), "second", func() {
			id++
			s.start("second", s.command(second, "doors_emul", "client", "--timeout", "20s", "door", fmt.Sprint(id))).
				wait().wantExit(s.t, 0).wantStdout(s.t, fmt.Sprintf("result = %d\n", id*id))
			server.line(fmt.Sprintf("^door called with id = %d$", id))
		})
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(s.t, unix.SIGTERM)
	}},
	{"futex_mutex-hold", func(s *storm, first, second maker) {
		s.repeat(enough(), "second", func() {
			holder := s.start("first", s.command(first, "futex_mutex", "hold", "--timeout", "20s", "mutex", "50ms"))
			holder.line("^locked$")
			waiter := s.start("second", s.command(second, "futex_mutex", "hold", "--timeout", "20s", "mutex", "10ms"))
			holder.wait().wantExit(s.t, 0).wantStdout(s.t, "locked\n")
			waiter.wait().wantExit(s.t, 0).wantStdout(s.t, "locked\n")
		})
	}},
}

// The program has the label "first".
var stormSingles = []struct {
	name string
	test func(s *storm)
}{
	{"simple_pipe", func(s *storm) {
		text := strings.Repeat("It was a bright cold day ", 5000)
		r, w, err := os.Pipe()
		if err != nil {
			s.t.Fatal(err)
		}
		defer r.Close()
		cmd := s.command(golang, "simple_pipe", text)
		cmd.Stdout = w
		p := s.start("first", cmd)
		w.Close()
		s.await("first", "first's child") // its output is a full pipe
		got, err := io.ReadAll(r)
		if string(got) != text+"\n" {
			s.t.Errorf("%d bytes, want %d; %v", len(got), len(text)+1, err)
		}
		p.wait().wantExit(s.t, 0)
	}},
	{"fork_pipe", func(s *storm) {
		s.repeat(few(), "first's child", func() {
			s.start("first", s.command(golang, "fork_pipe")).wait().wantExit(s.t, 0).wantStdout(s.t, "child sent value = 5000\n")
		})
	}},
	{"futex_mutex-count", func(s *storm) {
		const procs = 3
		iters := often(400_000, 20_000)
		size := []string{"--procs", fmt.Sprint(procs), "--iters", fmt.Sprint(iters)}
		count := func(label string, args ...string) {
			s.repeat(enough(), label+"'s child", func() {
				s.start(label, s.command(golang, append(args, size...)...)).wait().wantExit(s.t, 0).wantStdout(s.t, fmt.Sprintln(procs*iters))
			})
		}
		count("first", "futex_mutex")
		count("robust", "futex_mutex", "--robust")
	}},
	{"fifo_gzip", func(s *storm) {
		cmd := s.command(golang, "fifo_gzip", "--timeout", "20s", "-", "-")
		if s.caught {
			// Like any program, gzip has no handlers when it begins. That of Go's library
			// is in a child that has.
			cmd.Env = []string{"PATH="}
		} else {
			need(s.t, "gzip")
		}
		p := s.start("first", cmd)
		data := ""
		for i := 0; i < 20 || !s.had(enough(), "first", "first's child"); i++ {
			piece := fmt.Sprintf("piece %d of the input\n", i)
			data += piece
			if _, err := io.WriteString(p.stdin, piece); err != nil {
				break
			}
			time.Sleep(time.Millisecond) // a slow writer
		}
		p.stdin.Close()
		r := p.wait().wantExit(s.t, 0)
		z, err := gzip.NewReader(strings.NewReader(r.stdout))
		if err != nil {
			s.t.Fatal(err)
		}
		if got, err := io.ReadAll(z); !bytes.Equal(got, []byte(data)) {
			s.t.Errorf("%d bytes, want %d; %v", len(got), len(data), err)
		}
	}},
	{"sleep_alarm", func(s *storm) {
		s.repeat(enough(), "first", func() {
			s.start("first", s.command(golang, "sleep_alarm", "--style", "channel", "1")).wait().wantExit(s.t, 0).wantStdout(s.t, "sleepFor returned: 0\n")
		})
	}},
}

// mustReach waits until a thread of the process is in the system call. It may stand
// there and not stand still.
func (p *proc) mustReach(call int) {
	p.t.Helper()
	until(p.t, p.name+" has come to its wait", func() bool {
		if p.hasEnded() {
			p.t.Fatalf("%s: ended; %s\nstderr: %s", p.name, p.cmd.ProcessState, p.stderr)
		}
		for _, th := range threads(p.pid) {
			if th.in(call) {
				return true
			}
		}
		return false
	})
}
