package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A client of any maker calls the door of a server of any maker.
func TestDoorPair(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs[:4], func(t *testing.T, first, second maker) {
		dir := t.TempDir()
		server := serveDoor(t, first, dir)
		for _, id := range []int64{0, 1, -1, 12, 46341, 2147483647, -2147483648, int64(int32(rand.Uint32()))} {
			args := []string{"client", "--", "door", fmt.Sprint(id)}
			if second == twin {
				args = slices.Delete(args, 1, 2) // it has no options
			}
			r := run(t, second.command(t, dir, "doors_emul", args...))
			r.wantExit(t, 0).wantStdout(t, fmt.Sprintf("result = %d\n", id*id))
			server.line(fmt.Sprintf("^door called with id = %d$", id))
		}
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(t, unix.SIGTERM)
		if _, err := os.Lstat(filepath.Join(dir, "door")); !os.IsNotExist(err) {
			t.Errorf("the door after the end: %v", err)
		}
	})
}

func serveDoor(t *testing.T, m maker, dir string) *proc {
	t.Helper()
	server := start(t, m.command(t, dir, "doors_emul", "server", "door"))
	until(t, "a door is there", func() bool {
		st, err := os.Stat(filepath.Join(dir, "door"))
		return err == nil && st.Mode()&os.ModeSocket != 0
	})
	server.mustBlock()
	return server
}

// Many clients call at once; each gets its own result.
func TestDoorManyClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := serveDoor(t, golang, dir)
	before := descriptors(server.pid)
	const n = 40
	clients := make([]*proc, n)
	for i := range n {
		clients[i] = start(t, golang.command(t, dir, "doors_emul", "client", "door", fmt.Sprint(i)))
	}
	for i, c := range clients {
		c.wait().wantExit(t, 0).wantStdout(t, fmt.Sprintf("result = %d\n", i*i))
	}
	until(t, "descriptors closed", func() bool { return fmt.Sprint(descriptors(server.pid)) == fmt.Sprint(before) })
}

// The client of a server that dies in the call says so.
func TestDoorServerDies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := golang.command(t, dir, "doors_emul", "server", "door")
	reader, full := fullPipe(t)
	defer reader.Close()
	cmd.Stdout = full // the procedure stands where it prints
	server := start(t, cmd)
	until(t, "a door is there", func() bool { _, err := os.Stat(filepath.Join(dir, "door")); return err == nil })
	client := start(t, golang.command(t, dir, "doors_emul", "client", "door"))
	until(t, "the server is in the call", func() bool { return blocked(server.pid, unix.SYS_WRITE) })
	client.mustBlock()
	server.signal(unix.SIGKILL)
	server.wait().wantSignal(t, unix.SIGKILL)
	client.wait().wantError(t, "doors_emul", 1, `door_call.*: interrupted system call`)
}
