package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/sem"
	"ipcbook/shared/shm"
)

// Offsets of the fields in the layouts, from the C declarations.
const (
	queueLock, queueEmpty, queueFull, queueCurrent = 0, 32, 64, 96
	shmWsem, shmRsem, shmCnt                       = 0, 32, 64
	mutexWord, mutexKind                           = 0, 16
)

// poke stores a 32-bit value in a file that others have mapped.
func poke(t *testing.T, path string, off int64, value uint32) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(binary.NativeEndian.AppendUint32(nil, value), off)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// signed is an int32 as it lies in memory.
func signed(v int32) uint32 { return uint32(v) }

// Impossible values are refused with field and value by the half that comes to
// them, whether it finds them or they appear while it waits.
func TestFaultQueueValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		off   int64
		value uint32
		says  string
	}{
		{queueLock, 0xffffffff, `semaphore lock\b.* 0xffffffff`},
		{queueEmpty, 0xffffffff, `semaphore empty\b.* 0xffffffff`},
		{queueFull, 0xffffffff, `semaphore full\b.* 0xffffffff`},
		{queueLock, 2, `semaphore lock is 2, want 0 to 1`},
		{queueEmpty, 6, `semaphore empty is 6, want 0 to 5`},
		{queueFull, 6, `semaphore full is 6, want 0 to 5`},
		{queueCurrent, signed(-5), `current is -5, want 0 to 5`},
		{queueCurrent, 6, `current is 6, want 0 to 5`},
		{queueCurrent, 1000000, `current is 1000000, want 0 to 5`},
		{queueCurrent, math.MaxInt32, `current is 2147483647, want 0 to 5`},
	} {
		t.Run(fmt.Sprintf("found/%d-%#x", tt.off, tt.value), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			queued(t, dir, "")
			poke(t, filepath.Join(dir, "shared.dat"), tt.off, tt.value)
			run(t, golang.command(t, dir, "mmap_queue", "consumer", "--timeout", "10s")).
				wantError(t, "mmap_queue", 255, `^mmap_queue: shared\.dat holds no queue: .*`+tt.says)
			// It is no obstacle to a new pair.
			testQueueIn(t, dir)
		})
	}
	for _, tt := range []struct {
		off   int64
		value uint32
		says  string // of producer and consumer; "" if it is none of its business
		takes string
	}{
		{queueLock, 0xffffffff, `semaphore lock\b.* 0xffffffff`, `semaphore lock\b.* 0xffffffff`},
		{queueEmpty, 0xffffffff, `semaphore empty\b.* 0xffffffff`, `semaphore empty\b.* 0xffffffff`},
		{queueFull, 0xffffffff, `semaphore full\b.* 0xffffffff`, `semaphore full\b.* 0xffffffff`},
		{queueCurrent, signed(-5), `current is -5, want 0 to 4`, `current is -5, want 1 to 5`},
		{queueCurrent, 6, `current is 6, want 0 to 4`, `current is 6, want 1 to 5`},
		{queueCurrent, 1000000, `current is 1000000, want 0 to 4`, `current is 1000000, want 1 to 5`},
	} {
		t.Run(fmt.Sprintf("appears/%d-%#x", tt.off, tt.value), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "shared.dat")
			producer := start(t, golang.command(t, dir, "mmap_queue", "producer"))
			producer.line("^enqueued 4$")
			producer.mustBlock(unix.SYS_FUTEX)
			poke(t, path, queueCurrent, 4) // as if a message had been taken
			poke(t, path, tt.off, tt.value)
			if tt.off != queueFull {
				poke(t, path, queueFull, 1) // lets it go on
			}
			producer.wait().wantExit(t, 255)
			wantMatch(t, producer.stderr.String(), `^mmap_queue: message 5: .*`+tt.says)

			os.Remove(path)
			emptied(t, dir, "")
			consumer := start(t, golang.command(t, dir, "mmap_queue", "consumer"))
			consumer.mustBlock(unix.SYS_FUTEX)
			poke(t, path, queueCurrent, 1) // as if there was a message
			poke(t, path, tt.off, tt.value)
			if tt.off != queueEmpty {
				poke(t, path, queueEmpty, 1)
			}
			consumer.wait().wantError(t, "mmap_queue", 255, `^mmap_queue: .*`+tt.takes)
		})
	}
}

func TestFaultTransferValues(t *testing.T) {
	t.Parallel()
	for _, cnt := range []int32{-1, 1025, math.MaxInt32, math.MinInt32} {
		t.Run(fmt.Sprintf("cnt-%d", cnt), func(t *testing.T) {
			t.Parallel()
			dir, name := t.TempDir(), object(t.Name())
			writingOn(t, dir, name)
			reader := start(t, golang.command(t, dir, "pshm_reader", name))
			reader.mustBlock(unix.SYS_FUTEX)
			poke(t, "/dev/shm"+name, shmCnt, signed(cnt))
			poke(t, "/dev/shm"+name, shmRsem, 1) // the reader's turn
			reader.wait().wantError(t, "pshm_reader", 1, fmt.Sprintf(`cnt is %d, want 0 to 1024\n$`, cnt))
		})
	}
	// The writer of a reader that has found such a value ends too.
	t.Run("writer", func(t *testing.T) {
		t.Parallel()
		dir, name := t.TempDir(), object(t.Name())
		writer := start(t, golang.command(t, dir, "pshm_writer", name))
		writer.stdin.Write([]byte("a turn"))
		writer.mustBlock(unix.SYS_FUTEX)
		poke(t, "/dev/shm"+name, shmCnt, 1025)
		run(t, golang.command(t, dir, "pshm_reader", name)).wantError(t, "pshm_reader", 1, `cnt is 1025, want 0 to 1024\n$`)
		writer.wait().wantError(t, "pshm_writer", 1, `the reader gave up\n$`)
		wantGone(t, name)
	})
	for field, off := range map[string]int64{"wsem": shmWsem, "rsem": shmRsem} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			dir, name := t.TempDir(), object(t.Name())
			writer := start(t, golang.command(t, dir, "pshm_writer", name))
			writer.mustBlock(unix.SYS_READ)
			reader := start(t, golang.command(t, dir, "pshm_reader", name))
			reader.mustBlock(unix.SYS_FUTEX)
			poke(t, "/dev/shm"+name, off, 0xffffffff)
			says := field + `.* 0xffffffff`
			run(t, golang.command(t, dir, "pshm_reader", name)).wantError(t, "pshm_reader", 1, says)
			if field == "rsem" {
				reader.wait().wantError(t, "pshm_reader", 1, says)
			}
			writer.stdin.Write([]byte("a turn"))
			writer.wait().wantError(t, "pshm_writer", 1, says)
			wantGone(t, name)
			if field == "wsem" { // the reader finds it when it gives the turn back
				reader.wait().wantExit(t, 1).wantStdout(t, "a turn")
				wantMatch(t, reader.stderr.String(), `^pshm_reader: .*`+says)
			}
		})
	}
}

// wantGone fails the test if the shared memory object is still there.
func wantGone(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat("/dev/shm" + name); !os.IsNotExist(err) {
		t.Errorf("the object %s is still there: %v", name, err)
	}
}

func TestFaultMutexValues(t *testing.T) {
	t.Parallel()
	for _, word := range []uint32{3, 0x7fffffff, 0x80000000, 0xffffffff} {
		t.Run(fmt.Sprintf("%#x", word), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "mutex")
			holder := start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "600s"))
			holder.line("^locked$")
			waiter := start(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "0s"))
			waiter.mustBlock(unix.SYS_FUTEX)
			poke(t, path, mutexWord, word)
			says := fmt.Sprintf(`mutex word is %#x, want 0, 1 or 2\n$`, word)
			waiter.wait().wantError(t, "futex_mutex", 1, says)
			run(t, golang.command(t, dir, "futex_mutex", "try", "mutex")).wantError(t, "futex_mutex", 1, says)
			run(t, golang.command(t, dir, "futex_mutex", "hold", "mutex", "0s")).wantError(t, "futex_mutex", 1, says)
			holder.signal(unix.SIGTERM)
			holder.wait().wantSignal(t, unix.SIGTERM)
		})
		t.Run(fmt.Sprintf("robust-%#x", word), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run(t, golang.command(t, dir, "futex_mutex", "try", "--robust", "mutex")).wantExit(t, 0)
			poke(t, filepath.Join(dir, "mutex"), mutexWord, word)
			r := run(t, golang.command(t, dir, "futex_mutex", "hold", "--robust", "--timeout", "150ms", "mutex", "0s"))
			if word&0x40000000 != 0 { // FUTEX_OWNER_DIED: that is how it looks
				r.wantExit(t, 0).wantStdout(t, "locked\n")
				return
			}
			r.wantError(t, "futex_mutex", 1, fmt.Sprintf(`mutex is held by thread %d\b`, word&0x3fffffff))
		})
	}
	for _, kind := range []uint32{0, 1, 129, 130, 144, 0xffffffff} {
		t.Run(fmt.Sprintf("kind-%d", kind), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run(t, golang.command(t, dir, "futex_mutex", "try", "mutex")).wantExit(t, 0)
			poke(t, filepath.Join(dir, "mutex"), mutexKind, kind)
			run(t, golang.command(t, dir, "futex_mutex", "try", "mutex")).
				wantError(t, "futex_mutex", 1, fmt.Sprintf(`^futex_mutex: mutex: mutex has kind %d, want 128\nhint: `, kind))
		})
	}
}

// Every byte of each layout gets a wrong value while a half is at work. It refuses
// it with field and value, or waits until its time is over, or is not concerned.
func TestFaultEveryByte(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Millisecond
	ctx := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		t.Cleanup(cancel)
		return ctx
	}
	expect := func(t *testing.T, err error) {
		t.Helper()
		switch {
		case err == nil, errors.Is(err, shared.ErrCorrupt), errors.Is(err, sem.ErrCorrupt), errors.Is(err, sem.ErrNotShared),
			errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT), errors.Is(err, unix.EOVERFLOW), errors.Is(err, unix.EBUSY),
			errors.Is(err, shared.ErrNotRecoverable), errors.Is(err, shared.ErrOwnerDead), errors.Is(err, unix.EPERM):
		default:
			t.Errorf("unexpected: %v", err)
		}
		if err != nil && (errors.Is(err, shared.ErrCorrupt) || errors.Is(err, sem.ErrCorrupt)) && !strings.ContainsAny(err.Error(), "0123456789") {
			t.Errorf("the message names no value: %v", err)
		}
	}
	each := func(t *testing.T, size, touch int, use func(t *testing.T, m *shm.Mapping, spoil func())) {
		t.Parallel()
		seed := rand.Uint64()
		t.Logf("random bytes from seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		path := filepath.Join(t.TempDir(), "memory")
		for off := range touch {
			for _, value := range []byte{0x00, 0xff, byte(random.Uint32())} {
				if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
					t.Fatal(err)
				}
				m, err := mapFile(path, size)
				if err != nil {
					t.Fatal(err)
				}
				use(t, m, func() { m.Bytes[off] = value })
				if t.Failed() {
					t.Fatalf("byte %d set to %#x", off, value)
				}
				m.Close()
			}
		}
	}
	t.Run("queue", func(t *testing.T) {
		each(t, shared.QueueMapSize, shared.QueueMapSize, func(t *testing.T, m *shm.Mapping, spoil func()) {
			q, err := shared.QueueAt(m.Bytes)
			if err == nil {
				err = q.Init()
			}
			if err == nil {
				err = q.Enqueue(ctx(), []byte("one"))
			}
			if err != nil {
				t.Fatal(err)
			}
			spoil()
			expect(t, q.Check())
			expect(t, q.Enqueue(ctx(), []byte("two")))
			var slot [shared.SlotSize]byte
			for range 2 {
				n, err := q.Dequeue(ctx(), &slot)
				expect(t, err)
				if n < 0 || n > len(slot) {
					t.Errorf("a message of %d bytes", n)
				}
			}
		})
	})
	t.Run("shmbuf", func(t *testing.T) {
		const headAndSome = 80
		each(t, shared.TransferSize, headAndSome, func(t *testing.T, m *shm.Mapping, spoil func()) {
			x, err := shared.TransferAt(m.Bytes)
			if err == nil {
				err = x.Init()
			}
			if err == nil {
				err = x.Wsem.WaitContext(ctx())
			}
			if err != nil {
				t.Fatal(err)
			}
			x.SetCnt(12)
			spoil()
			expect(t, x.Check())
			expect(t, x.Rsem.Post())
			expect(t, x.Rsem.WaitContext(ctx()))
			n, err := x.Cnt()
			expect(t, err)
			if n < 0 || n > len(x.Buf) {
				t.Errorf("cnt %d", n)
			}
			expect(t, x.Wsem.Post())
			expect(t, x.Wsem.WaitContext(ctx()))
		})
	})
	t.Run("mutex", func(t *testing.T) {
		each(t, shared.PthreadMutexSize, shared.PthreadMutexSize, func(t *testing.T, m *shm.Mapping, spoil func()) {
			x, err := shared.MutexAt(m.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			x.Init()
			spoil()
			if err := x.LockContext(ctx()); err == nil {
				err = x.Unlock()
				expect(t, err)
			} else {
				expect(t, err)
			}
		})
	})
	t.Run("robust", func(t *testing.T) {
		each(t, shared.PthreadMutexSize, shared.PthreadMutexSize, func(t *testing.T, m *shm.Mapping, spoil func()) {
			x, err := shared.RobustMutexAt(m.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			x.Init()
			spoil()
			expect(t, x.Check())
			err = x.LockContext(ctx())
			expect(t, err)
			if err == nil || err == shared.ErrOwnerDead {
				expect(t, x.Unlock())
			}
		})
	})
}
