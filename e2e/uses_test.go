package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// failure is the exit status of each program for every failure: that of its
// original.
var failure = map[string]int{
	"domain_sock":   255,
	"doors_emul":    1,
	"fifo_gzip":     1,
	"fork_pipe":     255,
	"futex_mutex":   1,
	"mmap_consumer": 255,
	"mmap_producer": 255,
	"mmap_queue":    255,
	"pmsg_create":   1,
	"pmsg_getattr":  1,
	"pmsg_receive":  1,
	"pmsg_send":     1,
	"pmsg_unlink":   1,
	"pshm_reader":   1,
	"pshm_writer":   1,
	"simple_pipe":   1,
	"sleep_alarm":   1,
}

// A use is a normal use of a program.
type use struct {
	name    string   // of the subtest, if the program's is not enough
	args    []string // the program and its arguments; NAME stands for an object
	prepare func(t *testing.T, dir, name string)
	status  int  // with which it ends
	silent  bool // prints nothing on standard output
}

func (u use) program() string { return u.args[0] }

func (u use) String() string {
	if u.name != "" {
		return u.name
	}
	return u.program()
}

// command prepares the use in a directory of its own.
func (u use) command(t *testing.T, m maker) *exec.Cmd {
	t.Helper()
	if u.program() == "fifo_gzip" {
		need(t, "gzip")
	}
	dir, name := t.TempDir(), object(t.Name())
	if u.prepare != nil {
		u.prepare(t, dir, name)
	}
	args := make([]string, len(u.args))
	for i, arg := range u.args {
		args[i] = strings.ReplaceAll(arg, "NAME", name)
	}
	if m == twin && u.program() == "mmap_queue" {
		args = args[:2] // the twin knows no options
	}
	return m.command(t, dir, args[0], args[1:]...)
}

// uses are normal uses of all programs that end by themselves.
var uses = []use{
	{args: []string{"simple_pipe", "hello"}},
	{args: []string{"fork_pipe"}},
	{args: []string{"fifo_gzip", "in"}, prepare: inputFile, silent: true},
	{name: "fifo_gzip-stdout", args: []string{"fifo_gzip", "in", "-"}, prepare: inputFile},
	{args: []string{"mmap_producer"}},
	{args: []string{"mmap_consumer"}, prepare: mapped},
	{name: "mmap_queue-producer", args: []string{"mmap_queue", "producer", "--timeout", "1ms"}, status: 255},
	{name: "mmap_queue-consumer", args: []string{"mmap_queue", "consumer", "--count", "1"}, prepare: queued},
	{args: []string{"pshm_writer", "--timeout", "1ms", "NAME"}, status: 1, silent: true},
	{args: []string{"pshm_reader", "NAME"}, prepare: writing},
	{args: []string{"pmsg_create", "-cx", "-m", "2", "-s", "64", "NAME"}, prepare: unlinked, silent: true},
	{args: []string{"pmsg_send", "NAME", "message"}, prepare: emptyQueue, silent: true},
	{args: []string{"pmsg_receive", "NAME"}, prepare: fullQueue},
	{args: []string{"pmsg_getattr", "NAME"}, prepare: emptyQueue},
	{args: []string{"pmsg_unlink", "NAME"}, prepare: emptyQueue, silent: true},
	{args: []string{"domain_sock", "client", "sock"}, prepare: socketServer},
	{args: []string{"doors_emul", "client", "door"}, prepare: doorServer},
	{args: []string{"sleep_alarm", "0"}},
	{args: []string{"futex_mutex", "--procs", "2", "--iters", "10"}},
	{name: "futex_mutex-try", args: []string{"futex_mutex", "try", "mutex"}},
	{name: "futex_mutex-hold", args: []string{"futex_mutex", "hold", "mutex", "0s"}},
}

func inputFile(t *testing.T, dir, _ string) {
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("It was a bright cold day\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}

func mapped(t *testing.T, dir, _ string) {
	run(t, golang.command(t, dir, "mmap_producer")).wantExit(t, 0)
}

func queued(t *testing.T, dir, _ string) {
	run(t, golang.command(t, dir, "mmap_queue", "producer", "--timeout", "1ms")).wantExit(t, 255)
}

func writing(t *testing.T, dir, name string) {
	cmd := golang.command(t, dir, "pshm_writer", name)
	cmd.Stdin = strings.NewReader("one turn\n")
	start(t, cmd).mustBlock(unix.SYS_FUTEX)
}

func unlinked(t *testing.T, _, name string) {
	t.Cleanup(func() { unlinkQueue(name) })
}

func socketServer(t *testing.T, dir, _ string) {
	server := start(t, golang.command(t, dir, "domain_sock", "server", "sock"))
	server.mustBlock(unix.SYS_ACCEPT4)
}

func doorServer(t *testing.T, dir, _ string) {
	server := start(t, golang.command(t, dir, "doors_emul", "server", "door"))
	until(t, "a door is there", func() bool {
		st, err := os.Stat(filepath.Join(dir, "door"))
		return err == nil && st.Mode()&os.ModeSocket != 0
	})
	server.mustBlock()
}
