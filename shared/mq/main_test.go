package mq

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
)

func TestMain(m *testing.M) {
	proctest.Main(m, map[string]proctest.Role{
		"register": register,
		"threads":  threads,
		"nospace":  nospace,
	})
}

var names atomic.Int32

// newName returns a name that no other test or process uses and has it removed
// at the end of the test.
func newName(t testing.TB) string {
	clean := strings.Map(func(r rune) rune {
		if r == '/' || r == '.' {
			return '_'
		}
		return r
	}, t.Name())
	name := fmt.Sprintf("/%s.%d.%d", clean, os.Getpid(), names.Add(1))
	t.Cleanup(func() {
		if err := Unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return name
}

// small is the queue of most tests. It takes little of the user's
// RLIMIT_MSGQUEUE, which all processes of the user share.
var small = &Attr{MaxMsg: 3, MsgSize: 16}

func newQueue(t testing.TB) *Queue {
	t.Helper()
	return mustOpen(t, newName(t), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

func mustOpen(t testing.TB, name string, flags int) *Queue {
	t.Helper()
	q, err := open(name, flags, 0o600, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// fill sends until the queue is full.
func fill(t testing.TB, q *Queue) {
	t.Helper()
	for {
		err := q.TrySend([]byte("fill"), 0)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// blockedInKernel tells how many threads of this process sleep in system call
// trap on q. A try shows there only while it runs: "running" in place of a number.
func blockedInKernel(q *Queue, trap int) int {
	files, _ := filepath.Glob("/proc/self/task/*/syscall")
	want := fmt.Sprintf("%d 0x%x ", trap, q.fd)
	n := 0
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if strings.HasPrefix(string(b), want) {
			n++
		}
	}
	return n
}

// parked tells how many goroutines wait inside the package's poll function.
func parked() int {
	buf := make([]byte, 4<<20)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(g, "mq.(*Queue).poll(") &&
			(strings.Contains(head, "[IO wait") || strings.Contains(head, "[select")) {
			n++
		}
	}
	return n
}
