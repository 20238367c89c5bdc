package sem

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/ctest"
	"ipcbook/shared/internal/proctest"
)

func TestMain(m *testing.M) {
	proctest.Main(m, map[string]proctest.Role{
		"peer":        peer,
		"sleeper":     sleeper,
		"full":        full,
		"withoutProc": withoutProc,
	})
}

// peer is testdata/peer.c in Go. Besides, "ctx OFF MS" is WaitContext, and
// "slow" makes the waits that follow go to sleep without a second look, so that
// they meet the kernel each time.
func peer(args []string) error {
	var mem []byte
	if len(args) > 0 {
		var err error
		if mem, err = proctest.Map(args[0]); err != nil {
			return err
		}
	}
	var (
		named *Named
		slow  bool
		sems  = map[string]*Sem{} // a handle learns: each is made once
	)
	at := func(off string) *Sem {
		if off == "n" {
			return named.Sem
		}
		if sems[off] == nil {
			n, err := strconv.Atoi(off)
			if err != nil {
				panic(err)
			}
			if sems[off], err = At(mem[n:]); err != nil {
				panic(err)
			}
		}
		return sems[off]
	}
	number := func(s string, base int) int {
		n, err := strconv.ParseUint(s, base, 32)
		if err != nil {
			panic(err)
		}
		return int(n)
	}
	wait := func(s *Sem) error {
		if slow {
			return s.sleep(context.Background(), time.Time{})
		}
		return s.Wait()
	}
	name := func(s string) string { return strings.TrimPrefix(s, `""`) }

	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Fields(in.Text())
		var err error
		switch f[0] {
		case "slow":
			slow = true
		case "layout":
			fmt.Printf("size %d align %d max %#x\n", Size, Align, ValueMax)
			continue
		case "init":
			err = at(f[1]).Init(uint32(number(f[2], 0)))
		case "wait":
			err = wait(at(f[1]))
		case "try":
			err = at(f[1]).TryWait()
		case "timed":
			err = at(f[1]).WaitUntil(time.Now().Add(time.Duration(number(f[2], 0)) * time.Millisecond))
		case "ctx":
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(number(f[2], 0))*time.Millisecond)
			err = at(f[1]).WaitContext(ctx)
			cancel()
		case "post":
			err = at(f[1]).Post()
		case "value":
			var v int
			if v, err = at(f[1]).Value(); err == nil {
				fmt.Println("ok", v)
				continue
			}
		case "pingpong":
			mine, theirs := at(f[1]), at(f[2])
			for i := 0; i < number(f[3], 0) && err == nil; i++ {
				if err = wait(mine); err == nil {
					err = theirs.Post()
				}
			}
		case "open":
			var n *Named
			if strings.Contains(f[2], "c") {
				flags := 0
				if strings.Contains(f[2], "x") {
					flags = unix.O_EXCL
				}
				n, err = Create(name(f[1]), flags, fs.FileMode(number(f[3], 8)), uint32(number(f[4], 0)))
			} else {
				n, err = Open(name(f[1]))
			}
			if err == nil {
				named = n
			}
		case "close":
			err = named.Close()
		case "unlink":
			err = Unlink(name(f[1]))
		case "umask":
			unix.Umask(number(f[1], 8))
		default:
			err = fmt.Errorf("? %s", in.Text())
		}
		fmt.Println(answer(err))
	}
	return in.Err()
}

func answer(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func startGo(t testing.TB, args ...string) *proctest.Proc {
	return proctest.Start(t, proctest.Command("peer", args...))
}

// startC needs the program that buildC returned.
func startC(t testing.TB, bin string, args ...string) *proctest.Proc {
	return proctest.Start(t, exec.Command(bin, args...))
}

func buildC(t testing.TB) string {
	t.Helper()
	return ctest.Build(t, "testdata/peer.c")
}

// ask says a command and fails the test unless the answer is want.
func ask(t testing.TB, p *proctest.Proc, want, format string, args ...any) {
	t.Helper()
	p.Say(format, args...)
	if got := p.Line(); got != want {
		t.Fatalf("%s: answer %q, want %q\n%s", fmt.Sprintf(format, args...), got, want, p.Stderr())
	}
}

// memory returns mapped memory with a semaphore at 0 and one at 32.
func memory(t testing.TB) (mem []byte, path string, a, b *Sem) {
	t.Helper()
	mem, path = proctest.Memory(t, 4096)
	a, b = at(t, mem), at(t, mem[Size:])
	if err := errors.Join(a.Init(0), b.Init(0)); err != nil {
		t.Fatal(err)
	}
	return mem, path, a, b
}

func at(t testing.TB, mem []byte) *Sem {
	t.Helper()
	s, err := At(mem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// waiters returns the number of registered waiters.
func waiters(s *Sem) int { return int(s.t.data.Load() >> 32) }

func wantValue(t testing.TB, s *Sem, want int) {
	t.Helper()
	if v, err := s.Value(); v != want || err != nil {
		t.Fatalf("Value = %d, %v; want %d", v, err, want)
	}
}

func within(d time.Duration) time.Time { return time.Now().Add(d) }
