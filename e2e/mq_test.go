package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// What one sends the other receives: any bytes, by priority, Go and C.
func TestQueueMessages(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs[:4], func(t *testing.T, first, second maker) {
		dir, name := t.TempDir(), object(t.Name())
		t.Cleanup(func() { unlinkQueue(name) })
		run(t, first.command(t, dir, "pmsg_create", "-c", "-x", "-m", "5", "-s", "8192", name)).wantExit(t, 0).wantStdout(t, "")

		var all strings.Builder // every byte that an argument can hold
		for b := 1; b < 256; b++ {
			all.WriteByte(byte(b))
		}
		for _, msg := range []string{"hello", "", "\xff\xfe\n", all.String(), strings.Repeat("\x80", 8192)} {
			run(t, first.command(t, dir, "pmsg_send", name, msg, "7")).wantExit(t, 0).wantStdout(t, "")
			run(t, second.command(t, dir, "pmsg_receive", name)).wantExit(t, 0).
				wantStdout(t, fmt.Sprintf("Read %d bytes; priority = 7\n%s\n", len(msg), msg))
		}

		// The higher priority comes first, of one priority the older.
		for i, prio := range []int{0, 32767, 3, 0, 3} {
			run(t, first.command(t, dir, "pmsg_send", name, fmt.Sprint("message ", i), fmt.Sprint(prio))).wantExit(t, 0)
		}
		run(t, second.command(t, dir, "pmsg_getattr", name)).wantExit(t, 0).wantStdout(t,
			"Maximum # of messages on queue:   5\nMaximum message size:             8192\n# of messages currently on queue: 5\n")
		for _, want := range []struct{ prio, i int }{{32767, 1}, {3, 2}, {3, 4}, {0, 0}, {0, 3}} {
			run(t, second.command(t, dir, "pmsg_receive", name)).wantExit(t, 0).
				wantStdout(t, fmt.Sprintf("Read 9 bytes; priority = %d\nmessage %d\n", want.prio, want.i))
		}

		// One that waits is woken by the other.
		receiver := start(t, second.command(t, dir, "pmsg_receive", name))
		receiver.mustBlock()
		run(t, first.command(t, dir, "pmsg_send", name, "wake up")).wantExit(t, 0)
		receiver.wait().wantExit(t, 0).wantStdout(t, "Read 7 bytes; priority = 0\nwake up\n")
		for range 5 {
			run(t, first.command(t, dir, "pmsg_send", name, "x")).wantExit(t, 0)
		}
		sender := start(t, first.command(t, dir, "pmsg_send", name, "last"))
		sender.mustBlock()
		run(t, second.command(t, dir, "pmsg_receive", "-n", name)).wantExit(t, 0)
		sender.wait().wantExit(t, 0)

		// Too long, full, empty, gone: status 1.
		run(t, first.command(t, dir, "pmsg_send", "-n", name, "full")).wantError(t, "pmsg_send", 1, "(?i)resource temporarily unavailable")
		run(t, first.command(t, dir, "pmsg_send", name, strings.Repeat("x", 8193))).wantError(t, "pmsg_send", 1, "(?i)message too long")
		for range 5 {
			run(t, second.command(t, dir, "pmsg_receive", name)).wantExit(t, 0)
		}
		run(t, second.command(t, dir, "pmsg_receive", "-n", name)).wantError(t, "pmsg_receive", 1, "(?i)resource temporarily unavailable")
		run(t, first.command(t, dir, "pmsg_create", "-c", "-x", name)).wantError(t, "pmsg_create", 1, "(?i)file exists")
		run(t, second.command(t, dir, "pmsg_unlink", name)).wantExit(t, 0).wantStdout(t, "")
		run(t, second.command(t, dir, "pmsg_unlink", name)).wantError(t, "pmsg_unlink", 1, "(?i)no such file")
		run(t, first.command(t, dir, "pmsg_receive", name)).wantError(t, "pmsg_receive", 1, "(?i)no such file")
	})
}

// The kernel's own view of a queue, in the file system that shows them.
func TestQueueFile(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), object(t.Name())
	emptyQueue(t, dir, name)
	run(t, golang.command(t, dir, "pmsg_send", name, "twelve bytes")).wantExit(t, 0)
	cmd := exec.Command(need(t, "unshare"), "--mount", "--propagation", "private", "sh", "-c",
		`mount -t mqueue none "$0" && exec cat "$0$1"`, dir, name)
	r := run(t, cmd)
	if r.status.ExitStatus() != 0 {
		skip(t, "no mqueue file system of our own: %s", r.stderr)
	}
	if !strings.HasPrefix(r.stdout, "QSIZE:12 ") {
		t.Errorf("the queue's file says %q, want QSIZE:12", r.stdout)
	}
}

// Several receivers, Go and C, take each message once.
func TestQueueReceivers(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), object(t.Name())
	emptyQueue(t, dir, name)
	const n = 8
	var receivers []*proc
	for i := range n {
		m := []maker{golang, twin}[i%2]
		p := start(t, m.command(t, dir, "pmsg_receive", name))
		p.mustBlock()
		receivers = append(receivers, p)
	}
	for i := range n {
		run(t, golang.command(t, dir, "pmsg_send", name, fmt.Sprint(i))).wantExit(t, 0)
	}
	got := make(map[string]bool)
	for _, p := range receivers {
		got[p.wait().wantExit(t, 0).stdout] = true
	}
	if len(got) != n {
		t.Errorf("%d receivers have %d different messages: %v", n, len(got), got)
	}
}
