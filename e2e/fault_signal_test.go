package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// storm sends the signals to the processes and their children, one after the other,
// every 100 µs until stop is called. SIGSTOP is followed by SIGCONT.
func storm(procs []*proc, signals ...unix.Signal) (stop func() (sent int)) {
	quit, count := make(chan bool), make(chan int)
	go func() {
		sent := 0
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				for _, p := range procs {
					p.cmd.Process.Signal(unix.SIGCONT)
				}
				count <- sent
				return
			case <-tick.C:
			}
			for _, p := range procs {
				// Not by number: the process may have been waited for.
				if p.cmd.Process.Signal(signals[i%len(signals)]) == nil {
					sent++
				}
			}
		}
	}()
	return func() int { close(quit); return <-count }
}

// Signals that mean nothing to the programs, and being stopped and continued again
// and again, change nothing in what they do.
func TestFaultSignalStorm(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]unix.Signal{
		"SIGURG":  {unix.SIGURG},
		"SIGCHLD": {unix.SIGCHLD},
		"STOP":    {unix.SIGSTOP, unix.SIGCONT, unix.SIGCONT},
	} {
		// under runs the first process, the second beside it, and both in the storm.
		under := func(t *testing.T, procs ...*proc) {
			t.Helper()
			stop := storm(procs, signals...)
			for _, p := range procs {
				p.wait().wantExit(t, 0)
			}
			t.Logf("%d signals", stop())
		}
		t.Run(name+"/pshm", func(t *testing.T) {
			t.Parallel()
			dir, object := t.TempDir(), object(t.Name())
			data := strings.Repeat("0123456789abcdef", 20_000)
			cmd := golang.command(t, dir, "pshm_writer", object)
			cmd.Stdin = strings.NewReader(data)
			writer := start(t, cmd)
			writer.mustBlock(unix.SYS_FUTEX)
			reader := start(t, golang.command(t, dir, "pshm_reader", object))
			under(t, writer, reader)
			reader.wait().wantStdout(t, data)
			var n, turns, m, turnsToo int
			fmt.Sscanf(writer.stderr.String(), "Sent %d bytes (%d xfrs)\n", &n, &turns)
			fmt.Sscanf(reader.stderr.String(), "Received %d bytes (%d xfrs)\n", &m, &turnsToo)
			if n != len(data) || m != n || turns != turnsToo {
				t.Errorf("writer %q, reader %q", writer.stderr, reader.stderr)
			}
		})
		t.Run(name+"/mmap_queue", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := golang.command(t, dir, "mmap_queue", "producer")
			cmd.Stdin = strings.NewReader("")
			producer := start(t, cmd)
			producer.line("^enqueued 4$")
			consumer := start(t, golang.command(t, dir, "mmap_queue", "consumer", "--count", "100"))
			under(t, producer, consumer)
			got := messages(t, consumer.stdout.String())
			slices.Sort(got)
			if len(slices.Compact(got)) != 100 {
				t.Errorf("messages taken: %v, want each from 0 to 99 once", got)
			}
		})
		t.Run(name+"/pmsg", func(t *testing.T) {
			t.Parallel()
			dir, queue := t.TempDir(), object(t.Name())
			emptyQueue(t, dir, queue)
			receiver := start(t, golang.command(t, dir, "pmsg_receive", queue))
			receiver.mustBlock()
			stop := storm([]*proc{receiver}, signals...)
			until(t, "signals came", func() bool { return switched(receiver.pid) > 50 })
			sender := start(t, golang.command(t, dir, "pmsg_send", queue, "message"))
			sender.wait().wantExit(t, 0)
			receiver.wait().wantExit(t, 0).wantStdout(t, "Read 7 bytes; priority = 0\nmessage\n")
			stop()
		})
		t.Run(name+"/futex_mutex", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			holder := start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "50ms"))
			holder.line("^locked$")
			waiter := start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "50ms"))
			under(t, holder, waiter)
			waiter.wait().wantStdout(t, "locked\n")
		})
		for _, u := range []use{
			{args: []string{"simple_pipe", strings.Repeat("It was a bright cold day ", 1000)}},
			{args: []string{"fork_pipe"}},
			{args: []string{"fifo_gzip", "in", "-"}, prepare: inputFile},
			{args: []string{"futex_mutex", "--procs", "3", "--iters", "5000"}},
			{args: []string{"domain_sock", "client", "sock"}, prepare: socketServer},
			{args: []string{"doors_emul", "client", "door"}, prepare: doorServer},
		} {
			t.Run(name+"/"+u.args[0], func(t *testing.T) {
				t.Parallel()
				want := run(t, u.command(t, golang)).wantExit(t, 0)
				c := u.command(t, golang)
				c.Stdin = strings.NewReader("")
				p := start(t, c)
				under(t, p)
				p.wait().wantStdout(t, want.stdout)
			})
		}
	}
}

// switched returns how often the threads of a process have begun to run or to wait.
func switched(pid int) (n int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		for line := range strings.Lines(string(b)) {
			var k int
			if _, after, ok := strings.Cut(line, "voluntary_ctxt_switches:"); ok {
				fmt.Sscan(after, &k)
				n += k
			}
		}
	}
	return n
}
