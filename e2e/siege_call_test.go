package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

const mebi = 1 << 20

// doorServerRole is a door server: PATH. Its procedure goes by the argument:
//
//	hang NAME  says so, hangs until the client is gone, and says so
//	work N     reads a line from the descriptor that came, and returns 1 MiB made of
//	           N, with a pipe from which the line can be read
func doorServerRole(args []string) error {
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	d, err := door.Config{MaxCalls: 128}.Create(func(call *door.Call, _ any, arg []byte, desc []*os.File) {
		verb, what, _ := strings.Cut(string(arg), " ")
		switch verb {
		case "hang":
			say("hangs %s", what)
			<-call.Context().Done()
			say("released %s", what)
		case "work":
			if err := work(call, what, desc); err != nil {
				say("error: %v", err)
			}
		}
	}, nil, 0)
	if err != nil {
		return err
	}
	if err := d.Attach(args[0]); err != nil {
		return err
	}
	say("ready")
	io.Copy(io.Discard, os.Stdin)
	return d.Close()
}

func work(call *door.Call, what string, desc []*os.File) error {
	n, err := strconv.Atoi(what)
	if err != nil || len(desc) != 1 {
		return fmt.Errorf("work %q with %d descriptors", what, len(desc))
	}
	line, err := io.ReadAll(desc[0])
	if err != nil {
		return err
	}
	r, err := pipeOf(line)
	if err != nil {
		return err
	}
	defer r.Close()
	return call.Return(megabyte(n), r)
}

// pipeOf returns a pipe from which data can be read, and then the end.
func pipeOf(data []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	return r, errors.Join(err, w.Close())
}

// megabyte is 1 MiB that no other n has.
func megabyte(n int) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, uint64(n)+1), mebi/8)
}

// doorCaller makes calls on PATH with CLIENTS clients at once, CALLS of each; a
// client's calls are FIRST and those that follow.
func doorCaller(args []string) error {
	path := args[0]
	n := make([]int, 3)
	for i := range n {
		n[i], _ = strconv.Atoi(args[1+i])
	}
	clients, calls, first := n[0], n[1], n[2]
	errs := make(chan error)
	for i := range clients {
		go func() {
			errs <- func() error {
				c, err := door.Open(path)
				for errors.Is(err, unix.ETIMEDOUT) { // five seconds, on a busy machine
					c, err = door.Open(path)
				}
				if err != nil {
					return err
				}
				defer c.Close()
				for j := range calls {
					if err := exchangeGifts(c, first+i*calls+j); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	var all error
	for range clients {
		all = errors.Join(all, <-errs)
	}
	if all == nil {
		fmt.Println("done")
	}
	return all
}

func exchangeGifts(c *door.Client, n int) error {
	text := fmt.Sprintf("descriptor of %d", n)
	r, err := pipeOf([]byte(text))
	if err != nil {
		return err
	}
	defer r.Close()
	arg := door.Arg{Data: fmt.Appendf(nil, "work %d", n), Desc: []*os.File{r}, RDesc: 1}
	if err := c.Call(context.Background(), &arg); err != nil {
		return err
	}
	if !bytes.Equal(arg.Data, megabyte(n)) || len(arg.Desc) != 1 {
		return fmt.Errorf("call %d: wrong result of %d bytes, %d descriptors", n, len(arg.Data), len(arg.Desc))
	}
	defer arg.Desc[0].Close()
	back, err := io.ReadAll(arg.Desc[0])
	if err == nil && string(back) != text {
		err = fmt.Errorf("call %d: the descriptor says %q", n, back)
	}
	return err
}

// doorHanger makes a call that hangs: PATH NAME [TIMEOUT]. It prints the errno.
func doorHanger(args []string) error {
	c, err := door.Open(args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := context.Background()
	if len(args) > 2 {
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	err = c.Call(ctx, &door.Arg{Data: []byte("hang " + args[1])})
	for _, errno := range []unix.Errno{unix.ETIMEDOUT, unix.EINTR} {
		if errors.Is(err, errno) {
			fmt.Println(unix.ErrnoName(errno))
			return nil
		}
	}
	return fmt.Errorf("call: %w", err)
}

func startDoorServer(t *testing.T, dir, name string) *proc {
	t.Helper()
	server := start(t, playing(dir, "door-server", name))
	server.line("^ready$")
	return server
}

// Sixty-four clients in four processes call at once, with results of 1 MiB and
// descriptors both ways. Meanwhile other clients are killed in a call and give up
// calls, and another server dies: each hears of its own, and only of that.
func TestSiegeDoorCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startDoorServer(t, dir, "door")
	mortal := startDoorServer(t, dir, "mortal")
	if err := warm(filepath.Join(dir, "door"), t); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection is closed", func() bool { return len(descriptors(server.pid)) == doorIdle })
	before := descriptors(server.pid)

	const procs, clients = 4, 16
	calls := often(200, 10)
	var callers []*proc
	for i := range procs {
		callers = append(callers, start(t, playing(dir, "door-caller", "door",
			fmt.Sprint(clients), fmt.Sprint(calls), fmt.Sprint(i*clients*calls))))
	}

	hang := func(s *proc, path, name string, more ...string) *proc {
		p := start(t, playing(dir, "door-hanger", append([]string{path, name}, more...)...))
		s.line("^hangs " + name + "$")
		return p
	}
	for i := range 3 {
		// A client is killed in the call: the procedure hears of it.
		victim := hang(server, "door", fmt.Sprint("victim", i))
		victim.signal(unix.SIGKILL)
		victim.wait().wantSignal(t, unix.SIGKILL)
		server.line(fmt.Sprintf("^released victim%d$", i))
		// A call's time runs out: the caller hears of it.
		run(t, playing(dir, "door-hanger", "door", fmt.Sprint("late", i), "50ms")).wantExit(t, 0).wantStdout(t, "ETIMEDOUT\n")
	}
	// A server is killed: all who wait for it hear of it, and nobody else.
	patient := hang(server, "door", "patient")
	var orphans []*proc
	for i := range 4 {
		orphans = append(orphans, hang(mortal, "mortal", fmt.Sprint("orphan", i)))
	}
	mortal.signal(unix.SIGKILL)
	mortal.wait().wantSignal(t, unix.SIGKILL)
	for _, p := range orphans {
		p.wait().wantExit(t, 0).wantStdout(t, "EINTR\n")
	}
	for _, p := range callers {
		if r := p.wait().wantExit(t, 0).wantStdout(t, "done\n"); r.stderr != "" {
			t.Errorf("stderr %q", r.stderr)
		}
	}
	patient.mustBlock()

	// A server that ends in good order does so in the middle of a call, too.
	peakKiB := peak(t, server.pid)
	patient.kill()
	server.line("^released patient$")
	until(t, "the server has the descriptors that it had before", func() bool {
		return fmt.Sprint(descriptors(server.pid)) == fmt.Sprint(before)
	})
	// So has the procedure, if it was called at all.
	for i := range 3 {
		out := server.stdout.String()
		if name := fmt.Sprint("late", i, "\n"); strings.Contains(out, "hangs "+name) != strings.Contains(out, "released "+name) {
			t.Errorf("the procedure has not heard that the time of the call ran out:\n%s", out)
		}
	}
	last := hang(server, "door", "last")
	server.stdin.Close()
	last.wait().wantExit(t, 0).wantStdout(t, "EINTR\n")
	if r := server.wait().wantExit(t, 0); r.stderr != "" || strings.Contains(r.stdout, "error") {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	gone(t, filepath.Join(dir, "door"))
	t.Logf("the server has used %d KiB", peakKiB)
	if peakKiB > 512<<10 {
		t.Errorf("the server has used %d KiB for 64 clients with 1 MiB each", peakKiB)
	}
}

// warm makes a call, so that the server has all descriptors that it keeps.
func warm(path string, t *testing.T) error {
	c, err := door.Open(shortPath(t, path))
	if err != nil {
		return err
	}
	defer c.Close()
	return exchangeGifts(c, 0)
}
