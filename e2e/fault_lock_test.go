package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/sem"
	"ipcbook/shared/shm"
)

// faultRoles are what the test binary does as a process that dies at a certain point.
// They do not return unless they fail.
var faultRoles = map[string]func(args []string) error{
	// lock FILE takes the lock of the queue in FILE.
	"lock": func(args []string) error {
		m, err := mapFile(args[0], shared.QueueMapSize)
		if err != nil {
			return err
		}
		lock, err := sem.At(m.Bytes) // the first field
		if err == nil {
			err = lock.Wait()
		}
		if err == nil {
			fmt.Println("locked")
			_, err = os.Stdin.Read(make([]byte, 1))
		}
		return err
	},
}

// inFaultRole returns a command that runs the test binary in a role.
func inFaultRole(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), faultRoleVar+"="+role)
	return cmd
}

func mapFile(name string, size int) (*shm.Mapping, error) {
	f, err := shm.OpenFile(name, unix.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return shm.Map(f, size, size)
}

// queueIn returns the queue in a file, for the test itself.
func queueIn(t *testing.T, path string) *shared.Queue {
	t.Helper()
	m, err := mapFile(path, shared.QueueMapSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	q, err := shared.QueueAt(m.Bytes)
	if err == nil {
		err = q.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func wantLen(t *testing.T, q *shared.Queue, want int) {
	t.Helper()
	if n, err := q.Len(); n != want || err != nil {
		t.Errorf("the queue holds %d messages, %v; want %d", n, err, want)
	}
}

// killed kills a process with SIGKILL and waits for its end.
func killed(t testing.TB, p *proc) {
	t.Helper()
	p.signal(unix.SIGKILL)
	p.wait().wantSignal(t, unix.SIGKILL)
}

// A process dies with the queue's lock. Who waits, or comes to wait, says so when
// its time is over, a signal ends it, and the message or the slot that it had
// counted off is there again. What the message tells to do makes the pair work.
func TestFaultQueueLockOfDead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	queued(t, dir, "")
	q := queueIn(t, filepath.Join(dir, "shared.dat"))
	holder := start(t, inFaultRole("lock", filepath.Join(dir, "shared.dat")))
	holder.line("^locked$")

	consumer := func(args ...string) *proc {
		p := start(t, golang.command(t, dir, "mmap_queue", append([]string{"consumer"}, args...)...))
		p.mustBlock(unix.SYS_FUTEX)
		return p
	}
	endless := consumer()
	limited := consumer("--timeout", "500ms")
	killed(t, holder)
	late := consumer("--timeout", "500ms")
	for _, p := range []*proc{limited, late} {
		p.wait().wantError(t, "mmap_queue", 255,
			`^mmap_queue: timed out after 500ms waiting for .*semaphore lock.* 0\b.*\nhint: .*rm shared\.dat`)
	}
	wantLen(t, q, 4) // endless has counted one off
	endless.signal(unix.SIGINT)
	endless.wait().wantSignal(t, unix.SIGINT).wantStdout(t, "")
	wantLen(t, q, 5)

	if err := os.Remove(filepath.Join(dir, "shared.dat")); err != nil {
		t.Fatal(err)
	}
	testQueueIn(t, dir)

	// A producer meets the dead one's lock too, if it has the file mapped already.
	producer := start(t, golang.command(t, dir, "mmap_queue", "producer"))
	producer.line("^enqueued 4$")
	producer.mustBlock(unix.SYS_FUTEX) // the queue is full
	q = queueIn(t, filepath.Join(dir, "shared.dat"))
	holder = start(t, inFaultRole("lock", filepath.Join(dir, "shared.dat")))
	holder.line("^locked$")
	killed(t, holder)
	free(t, filepath.Join(dir, "shared.dat")) // lets the producer come to the lock
	until(t, "slot taken", func() bool { return freeSlots(t, filepath.Join(dir, "shared.dat")) == 0 })
	producer.mustBlock(unix.SYS_FUTEX)
	producer.signal(unix.SIGTERM)
	producer.wait().wantSignal(t, unix.SIGTERM)
	wantLen(t, q, 5)
	if n := freeSlots(t, filepath.Join(dir, "shared.dat")); n != 1 {
		t.Errorf("%d free slots, want back the one that the producer had counted off", n)
	}
}

// full is the semaphore that counts the free slots of the queue in a file.
func full(t *testing.T, path string, use func(full *sem.Sem) error) {
	t.Helper()
	m, err := mapFile(path, shared.QueueMapSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s, err := sem.At(m.Bytes[64:])
	if err == nil {
		err = use(s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T, path string) {
	t.Helper()
	full(t, path, (*sem.Sem).Post)
}

func freeSlots(t *testing.T, path string) (n int) {
	t.Helper()
	full(t, path, func(s *sem.Sem) (err error) { n, err = s.Value(); return err })
	return n
}

// testQueueIn passes all messages through the queue once.
func testQueueIn(t *testing.T, dir string) {
	t.Helper()
	producer := start(t, golang.command(t, dir, "mmap_queue", "producer"))
	producer.line("^enqueued 0$")
	r := run(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "100")).wantExit(t, 0)
	if got := len(messages(t, r.stdout)); got != 100 {
		t.Errorf("%d messages of 100", got)
	}
	producer.stdin.Close()
	producer.wait().wantExit(t, 0)
}

// A process dies with the mutex: the others say what state it is in when their
// time is over, and how to get rid of it.
func TestFaultMutexOfDead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder := start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "600s"))
	holder.line("^locked$")
	hold := func(args ...string) *proc {
		return start(t, golang.command(t, dir, "futex_mutex", append([]string{"hold"}, args...)...))
	}
	endless := hold("mutex", "0s")
	endless.mustBlock(unix.SYS_FUTEX)
	limited := hold("--timeout", "500ms", "mutex", "0s")
	limited.mustBlock(unix.SYS_FUTEX)
	killed(t, holder)
	late := hold("--timeout", "500ms", "mutex", "0s")
	for _, p := range []*proc{limited, late} {
		p.wait().wantError(t, "futex_mutex", 1,
			`^futex_mutex: timed out after 500ms waiting for the mutex in mutex: mutex is held, its word is 2\nhint: .*rm mutex\n$`)
	}
	run(t, golang.command(t, dir, "futex_mutex", "try", "mutex")).wantExit(t, 1).wantStdout(t, "busy\n")
	endless.signal(unix.SIGINT)
	endless.wait().wantSignal(t, unix.SIGINT).wantStdout(t, "")
	if err := os.Remove(filepath.Join(dir, "mutex")); err != nil {
		t.Fatal(err)
	}
	hold("mutex", "0s").wait().wantExit(t, 0).wantStdout(t, "locked\n")
}

// A waiter is killed after the kernel has woken it and before it has taken what it
// was woken for. Another waiter does so, and soon.
func TestFaultKilledBetweenWakeAndTake(t *testing.T) {
	t.Parallel()
	mayTrace(t)
	for _, m := range []maker{golang, twin} {
		t.Run("queue/"+string(m), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			emptied(t, dir, "")
			q := queueIn(t, filepath.Join(dir, "shared.dat"))
			cmd, seen := traced(t, m.command(t, dir, "mmap_queue", "consumer"), plan{Woken: true})
			victim := start(t, cmd)
			tracee := victim.tracee()
			other := start(t, golang.command(t, dir, "mmap_queue", "consumer"))
			other.mustBlock(unix.SYS_FUTEX)
			// Which of the two is woken depends on who has gone to sleep first, and
			// a Go program looks again ten times a second.
			sent := 0
			for !victim.hasEnded() {
				if err := q.Enqueue(context.Background(), []byte("message\n")); err != nil {
					t.Fatal(err)
				}
				sent++
				until(t, "message taken", func() bool {
					n, _ := q.Len()
					return n == 0 && (victim.hasEnded() || blocked(tracee, unix.SYS_FUTEX)) && blocked(other.pid, unix.SYS_FUTEX)
				})
			}
			r := victim.wait().wantSignal(t, unix.SIGKILL)
			if !seen().Happened {
				t.Fatal("the victim has died of something else")
			}
			if got := strings.Count(r.stdout, "\n") + strings.Count(other.stdout.String(), "\n"); got != sent {
				t.Errorf("%d messages of %d were taken", got, sent)
			}
			wantLen(t, q, 0)
			other.signal(unix.SIGTERM)
			other.wait().wantSignal(t, unix.SIGTERM)
		})
		t.Run("mutex/"+string(m), func(t *testing.T) {
			t.Parallel()
			wakeAndTake(t, m, nil)
		})
	}
	t.Run("robust", func(t *testing.T) {
		t.Parallel()
		wakeAndTake(t, golang, []string{"--robust"})
	})
}

func wakeAndTake(t *testing.T, m maker, options []string) {
	dir := t.TempDir()
	hold := func(m maker) *exec.Cmd {
		return m.command(t, dir, "futex_mutex", append(append([]string{"hold"}, options...), "mutex", "600s")...)
	}
	other := start(t, hold(golang))
	other.line("^locked$")
	for woken := false; !woken; {
		holder := other
		cmd, _ := traced(t, hold(m), plan{Woken: true})
		victim := start(t, cmd)
		tracee := victim.tracee()
		other = start(t, hold(golang))
		other.mustBlock(unix.SYS_FUTEX)
		holder.signal(unix.SIGTERM)
		holder.wait().wantSignal(t, unix.SIGTERM)
		has := func(p *proc) bool { return strings.Contains(p.stdout.String(), "locked") }
		until(t, "somebody has it", func() bool { return has(other) || has(victim) })
		if has(victim) { // it came to look by itself
			victim.signal(unix.SIGTERM)
			victim.wait().wantSignal(t, unix.SIGTERM)
			other.line("^locked$")
			continue
		}
		until(t, "victim dead or asleep", func() bool { return victim.hasEnded() || blocked(tracee, unix.SYS_FUTEX) })
		if woken = victim.hasEnded(); !woken {
			victim.kill() // the other was the first in the kernel's list
		}
	}
	other.signal(unix.SIGTERM)
	r := other.wait().wantSignal(t, unix.SIGTERM)
	if r.stderr != "" {
		t.Errorf("stderr %q; nobody has died with the lock", r.stderr)
	}
}

// tracee waits until the program that p traces is asleep in a futex that processes
// share, and returns its process id.
func (p *proc) tracee() (pid int) {
	p.t.Helper()
	until(p.t, p.name+" waits under the tracer", func() bool {
		for _, pid = range children(p.pid) {
			if blocked(pid, unix.SYS_FUTEX) {
				return true
			}
		}
		return false
	})
	return pid
}

// The owner of a robust mutex is killed, Go or C. The next owner, Go or C, learns
// of it and goes on, also if it waits already.
func TestFaultRobustOwnerDies(t *testing.T) {
	t.Parallel()
	program := compileHere(t, "robust.c")
	dirs := func(t *testing.T) (hold map[maker]func(args ...string) *proc, path string) {
		dir := t.TempDir()
		return map[maker]func(args ...string) *proc{
			golang: func(args ...string) *proc {
				return start(t, golang.command(t, dir, "futex_mutex", append(append([]string{"hold", "--robust"}, args...), "mutex", "600s")...))
			},
			twin: func(args ...string) *proc {
				cmd := exec.Command(program, append([]string{"mutex"}, args...)...)
				cmd.Dir = dir
				return start(t, cmd)
			},
		}, filepath.Join(dir, "mutex")
	}
	died := func(t *testing.T, m maker, p *proc) {
		t.Helper()
		if m == twin {
			p.line("^locked, the owner died$")
			return
		}
		p.errLine("^futex_mutex: the owner died with the lock; going on$")
		p.line("^locked$")
	}
	letGo := func(m maker, p *proc) {
		if m == twin {
			p.stdin.Close()
			p.wait().wantExit(t, 0)
			return
		}
		p.signal(unix.SIGTERM)
		p.wait().wantSignal(t, unix.SIGTERM)
	}
	eachPair(t, pairs[:4], func(t *testing.T, first, second maker) {
		hold, _ := dirs(t)
		for _, asleep := range []bool{true, false} {
			owner := hold[first]()
			owner.line("^locked$")
			var next *proc
			if asleep {
				next = hold[second]()
				next.mustBlock(unix.SYS_FUTEX)
			}
			killed(t, owner)
			if !asleep {
				next = hold[second]()
			}
			died(t, second, next)
			// It is as good as new.
			waiter := hold[first]()
			waiter.mustBlock(unix.SYS_FUTEX)
			letGo(second, next)
			waiter.line("^locked$")
			letGo(first, waiter)
			if r := waiter.wait(); r.stderr != "" {
				t.Errorf("after the recovery: %q", r.stderr)
			}
		}
	})
	// A next owner who puts nothing right spoils the mutex for all.
	t.Run("spoilt", func(t *testing.T) {
		t.Parallel()
		hold, path := dirs(t)
		owner := hold[golang]()
		owner.line("^locked$")
		killed(t, owner)
		spoiler := hold[twin]("spoil")
		died(t, twin, spoiler)
		waiter := hold[golang]()
		waiter.mustBlock(unix.SYS_FUTEX)
		spoiler.stdin.Close()
		spoiler.wait().wantExit(t, 0)
		waiter.wait().wantError(t, "futex_mutex", 1, `mutex.*not recoverable.*\nhint: .*rm mutex\n`)
		run(t, golang.command(t, filepath.Dir(path), "futex_mutex", "try", "--robust", "mutex")).
			wantError(t, "futex_mutex", 1, `mutex.*not recoverable.*\nhint: .*rm mutex\n`)
	})
}

// compileHere compiles a C program of testdata.
func compileHere(t *testing.T, name string) string {
	t.Helper()
	if noCompiler != "" {
		skip(t, "%s", noCompiler)
	}
	out := filepath.Join(t.TempDir(), "program")
	job := exec.Command("cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-pthread", "-o", out, filepath.Join("testdata", name))
	if err := compile([]*exec.Cmd{job}, true); err != nil {
		t.Fatal(err)
	}
	return out
}
