package shared

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
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
		"peer":    peer,
		"sleeper": sleeper,
		"robust":  robustPeer,
	})
}

// locker is what Mutex and RobustMutex have in common.
type locker interface {
	Lock() error
	LockContext(context.Context) error
	TryLock() error
	Unlock() error
}

// peer is testdata/peer.c in Go. Besides, "robust" chooses RobustMutex for the
// commands that follow. All of them run on the main thread, which owns its mutexes.
func peer(args []string) error {
	runtime.LockOSThread()
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	var (
		queue    *Queue
		transfer *Transfer
		robust   *RobustMutex
		mutex    locker
	)
	if len(mem) >= QueueMapSize {
		if queue, err = QueueAt(mem); err != nil {
			return err
		}
	}
	if len(mem) >= TransferSize {
		if transfer, err = TransferAt(mem); err != nil {
			return err
		}
	}
	if mutex, err = MutexAt(mem); err != nil {
		return err
	}
	ctx := context.Background()
	over, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	dequeue := func(ctx context.Context) (string, error) {
		var slot [SlotSize]byte
		n, err := queue.Dequeue(ctx, &slot)
		return string(slot[:n]), err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := append(strings.Fields(in.Text()), "")
		n, _ := strconv.Atoi(f[1])
		var (
			err  error
			says string
		)
		switch f[0] {
		case "queue":
			err = queue.Init()
		case "enqueue":
			err = queue.Enqueue(ctx, []byte(f[1]))
		case "tryenqueue":
			err = queue.Enqueue(over, []byte(f[1]))
		case "dequeue":
			says, err = dequeue(ctx)
		case "trydequeue":
			says, err = dequeue(over)
		case "produce":
			var from, to int
			fmt.Sscanf(f[1], "%d-%d", &from, &to)
			for i := from; i < to && err == nil; i++ {
				err = queue.Enqueue(ctx, []byte(strconv.Itoa(i)))
			}
		case "consume":
			for range n {
				says, err := dequeue(ctx)
				if err != nil {
					return err
				}
				fmt.Println(says)
			}
			continue
		case "transfer":
			err = transfer.Init()
		case "write":
			err = write(transfer, f[1])
		case "read":
			err = read(transfer, f[1])
		case "robust":
			if robust, err = RobustMutexAt(mem); err == nil {
				mutex, err = robust, robust.Check()
			}
		case "lock":
			err = mutex.Lock()
		case "trylock":
			err = mutex.TryLock()
		case "timedlock":
			ctx, cancel := context.WithTimeout(ctx, time.Duration(n)*time.Millisecond)
			err = mutex.LockContext(ctx)
			cancel()
		case "unlock":
			err = mutex.Unlock()
		case "consistent":
			err = robust.Consistent()
		case "count":
			total := mem[PthreadMutexSize:]
			for i := 0; i < n && err == nil; i++ {
				err = mutex.Lock()
				if errors.Is(err, ErrOwnerDead) {
					err = robust.Consistent()
				}
				if err != nil {
					break
				}
				binary.NativeEndian.PutUint64(total, binary.NativeEndian.Uint64(total)+1)
				err = mutex.Unlock()
			}
		default:
			err = fmt.Errorf("? %s", in.Text())
		}
		fmt.Println(answer(says, err))
	}
	return in.Err()
}

// answer says an error by the name that C gives it.
func answer(says string, err error) string {
	var errno unix.Errno
	switch {
	case err == nil && says != "":
		return "ok " + says
	case err == nil:
		return "ok"
	case errors.Is(err, context.DeadlineExceeded):
		return "EAGAIN"
	case errors.Is(err, ErrOwnerDead):
		return "EOWNERDEAD"
	case errors.Is(err, ErrNotRecoverable):
		return "ENOTRECOVERABLE"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// write and read are the two halves of the slides, as the examples write them.
func write(b *Transfer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 1; n > 0; {
		if err := b.Wsem.Wait(); err != nil {
			return err
		}
		if n, err = f.Read(b.Buf); err != nil && err != io.EOF {
			return err
		}
		b.SetCnt(n)
		if err := b.Rsem.Post(); err != nil {
			return err
		}
	}
	return b.Wsem.Wait()
}

func read(b *Transfer, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 1; n > 0; {
		if err := b.Rsem.Wait(); err != nil {
			return err
		}
		if n, err = b.Cnt(); err != nil {
			return err
		}
		if _, err := f.Write(b.Buf[:n]); err != nil {
			return err
		}
		if err := b.Wsem.Post(); err != nil {
			return err
		}
	}
	return nil
}

func startGo(t testing.TB, path string) *proctest.Proc {
	return proctest.Start(t, proctest.Command("peer", path))
}

func startC(t testing.TB, bin, path string) *proctest.Proc {
	return proctest.Start(t, exec.Command(bin, path))
}

func buildC(t testing.TB) string {
	t.Helper()
	return ctest.Build(t, "testdata/peer.c")
}

// pairs runs a test with each pair of Go and C processes on a mapped file of one
// page.
func pairs(t *testing.T, test func(t *testing.T, mem []byte, one, other *proctest.Proc)) {
	bin := buildC(t)
	start := map[string]func(t testing.TB, path string) *proctest.Proc{
		"Go": startGo,
		"C":  func(t testing.TB, path string) *proctest.Proc { return startC(t, bin, path) },
	}
	for _, pair := range []string{"Go-Go", "Go-C", "C-Go"} {
		t.Run(pair, func(t *testing.T) {
			mem, path := proctest.Memory(t, 4096)
			one, other, _ := strings.Cut(pair, "-")
			test(t, mem, start[one](t, path), start[other](t, path))
		})
	}
}

// ask says a command and fails the test unless the answer is want.
func ask(t testing.TB, p *proctest.Proc, want, format string, args ...any) {
	t.Helper()
	p.Say(format, args...)
	if got := p.Line(); got != want {
		t.Fatalf("%s: answer %q, want %q\n%s", fmt.Sprintf(format, args...), got, want, p.Stderr())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(d time.Duration) time.Time { return time.Now().Add(d) }
