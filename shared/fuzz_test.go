package shared

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/sem"
)

// arena returns n bytes, aligned to 8, that lie before a page that nobody may
// touch, and a function that tells whether the bytes around them were written.
func arena(t testing.TB, n int) (mem []byte, intact func() bool) {
	t.Helper()
	const page = 4096
	all, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	must(t, err)
	t.Cleanup(func() { unix.Munmap(all) })
	must(t, unix.Mprotect(all[:page], unix.PROT_NONE))
	must(t, unix.Mprotect(all[2*page:], unix.PROT_NONE))
	middle := all[page : 2*page]
	for i := range middle {
		middle[i] = 0xa5
	}
	begin := (page - n) / 8 * 8
	end := begin + n
	around := bytes.Repeat([]byte{0xa5}, page)
	return middle[begin:end:end], func() bool {
		return bytes.Equal(middle[:begin], around[:begin]) && bytes.Equal(middle[end:], around[end:])
	}
}

// expected tells whether an error is one of those that the package knows.
func expected(err error) bool {
	for _, e := range []error{nil, ErrCorrupt, ErrNotLocked, sem.ErrCorrupt, sem.ErrNotShared, context.DeadlineExceeded,
		unix.EMSGSIZE, unix.EINVAL, unix.EOVERFLOW, unix.ETIMEDOUT, unix.EBUSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func semValue(mem []byte, off int) uint32   { return binary.NativeEndian.Uint32(mem[off:]) }
func semWaiters(mem []byte, off int) uint32 { return binary.NativeEndian.Uint32(mem[off+4:]) }

// Any 220 bytes under any operations: an error with the queue as it was, or what
// the layout says.
func FuzzQueue(f *testing.F) {
	mem, intact := arena(f, QueueMapSize)
	q, err := QueueAt(mem)
	must(f, err)
	must(f, q.Init())
	good := bytes.Clone(mem)
	ops := []byte{0, 1, 2, 3, 0, 0, 0, 1}
	f.Add(good, ops, []byte("message"))
	f.Add(make([]byte, QueueMapSize), ops, []byte("m"))
	f.Add(bytes.Repeat([]byte{0xff}, QueueMapSize), ops, bytes.Repeat([]byte("x"), SlotSize))
	for _, current := range []int32{-5, -1, 1, 4, 5, 6, 1000000, math.MaxInt32, math.MinInt32} {
		b := bytes.Clone(good)
		setCurrent(b, current)
		setSem(b, queueEmpty, 2)
		setSem(b, queueFull, 3)
		f.Add(b, ops, []byte("19 bytes and no more"[:19]))
	}
	for _, off := range []int{queueLock, queueEmpty, queueFull} {
		for _, v := range []uint32{0, 2, sem.ValueMax, 0x80000000, 0xffffffff} {
			b := bytes.Clone(good)
			setSem(b, off, v)
			f.Add(b, ops, []byte("a\x00b"))
		}
	}
	f.Fuzz(func(t *testing.T, b, ops, msg []byte) {
		if len(b) != QueueMapSize || len(ops) > 30 {
			return
		}
		copy(mem, b)
		for _, op := range ops {
			before := bytes.Clone(mem)
			current := int32(binary.NativeEndian.Uint32(mem[queueCurrent:]))
			empty, full := semValue(mem, queueEmpty), semValue(mem, queueFull)
			ctx, cancel := over, context.CancelFunc(func() {})
			if op&4 != 0 {
				ctx, cancel = context.WithTimeout(context.Background(), 100*time.Microsecond)
			}
			var (
				err  error
				name string
			)
			switch op & 3 {
			case 0:
				name, err = "Enqueue", q.Enqueue(ctx, msg)
				if err == nil {
					i := current + 1
					if i < 1 || i > QueueSlots || len(msg) >= SlotSize || full == 0 {
						t.Errorf("Enqueue at current %d", current)
					}
					slot := make([]byte, SlotSize)
					copy(slot, msg)
					copy(before[queueMessages+int(i)*SlotSize:], slot)
					setCurrent(before, i)
					setSem(before, queueFull, full-1)
					setSem(before, queueEmpty, empty+1)
				}
			case 1:
				var slot [SlotSize]byte
				var n int
				name = "Dequeue"
				n, err = q.Dequeue(ctx, &slot)
				if err == nil {
					if current < 1 || current > QueueSlots || n < 0 || n > SlotSize || empty == 0 {
						t.Errorf("Dequeue = %d at current %d", n, current)
					}
					if !bytes.Equal(slot[:], before[queueMessages+int(current)*SlotSize:][:SlotSize]) {
						t.Errorf("Dequeue = % x at current %d of % x", slot, current, before)
					}
					setCurrent(before, current-1)
					setSem(before, queueFull, full+1)
					setSem(before, queueEmpty, empty-1)
				}
			case 2:
				name, err = "Check", q.Check()
			case 3:
				name = "Len"
				_, err = q.Len()
			}
			cancel()
			if !expected(err) {
				t.Errorf("%s: %v", name, err)
			}
			for _, off := range []int{queueLock, queueEmpty, queueFull} {
				if semWaiters(before, off) == 0xffffffff { // one more does not fit: the count begins anew
					copy(before[off+4:off+8], mem[off+4:])
				}
			}
			if !bytes.Equal(mem, before) {
				t.Fatalf("%s = %v left\n% x\nwant\n% x", name, err, mem, before)
			}
			if !intact() {
				t.Fatalf("%s wrote outside the queue", name)
			}
		}
	})
}

// Any 1096 bytes under any operations of either half.
func FuzzTransfer(f *testing.F) {
	mem, intact := arena(f, TransferSize)
	b, err := TransferAt(mem)
	must(f, err)
	must(f, b.Init())
	f.Add(bytes.Clone(mem[:72]), []byte{0, 1, 2, 3, 4, 5})
	f.Add(make([]byte, 72), []byte{0, 1, 2, 3, 4, 5})
	f.Add(bytes.Repeat([]byte{0xff}, 72), []byte{0, 1, 2, 3, 4, 5})
	for _, cnt := range []int32{-1, 1024, 1025, math.MaxInt32} {
		head := bytes.Clone(mem[:72])
		binary.NativeEndian.PutUint32(head[transferCnt:], uint32(cnt))
		f.Add(head, []byte{2, 0, 3, 1})
	}
	f.Fuzz(func(t *testing.T, head, ops []byte) {
		if len(head) > TransferSize || len(ops) > 30 {
			return
		}
		copy(mem, head)
		for _, op := range ops {
			cnt := int32(binary.NativeEndian.Uint32(mem[transferCnt:]))
			var err error
			switch op % 6 {
			case 0:
				err = b.Wsem.WaitContext(over)
			case 1:
				err = b.Rsem.Post()
			case 2:
				var n int
				if n, err = b.Cnt(); (err == nil) != (cnt >= 0 && cnt <= TransferBufSize) || err == nil && n != int(cnt) {
					t.Fatalf("Cnt = %d, %v; want %d", n, err, cnt)
				}
				clear(b.Buf[:n]) // what a reader does with it
			case 3:
				if b.ReaderGaveUp() != (cnt == -1) {
					t.Fatalf("ReaderGaveUp at %d", cnt)
				}
			case 4:
				err = b.Check()
			case 5:
				b.GiveUp()
			}
			if !expected(err) {
				t.Errorf("operation %d: %v", op%6, err)
			}
			if !intact() {
				t.Fatalf("operation %d wrote outside the buffer", op%6)
			}
		}
	})
}

// Any word under any operations.
func FuzzMutex(f *testing.F) {
	mem, intact := arena(f, 8)
	m, err := MutexAt(mem)
	must(f, err)
	for _, v := range []uint32{0, 1, 2, 3, 0x40000000, 0x80000000, 0xffffffff} {
		f.Add(v, []byte{0, 1, 2, 3, 0, 3, 3})
	}
	f.Fuzz(func(t *testing.T, word uint32, ops []byte) {
		if len(ops) > 30 {
			return
		}
		binary.NativeEndian.PutUint32(mem, word)
		for _, op := range ops {
			before := binary.NativeEndian.Uint32(mem)
			after, want := before, error(nil) // what the word and the error must be
			var err error
			lock := func(otherwise error, waited uint32) {
				switch {
				case before > contended:
					want = ErrCorrupt
				case before == unlocked:
					after = locked
				default:
					want, after = otherwise, waited
				}
			}
			switch op % 4 {
			case 0:
				err = m.TryLock()
				lock(unix.EBUSY, before)
			case 1:
				err = m.LockUntil(time.Now().Add(50 * time.Microsecond))
				lock(unix.ETIMEDOUT, contended)
			case 2:
				err = m.LockContext(over)
				lock(unix.ETIMEDOUT, contended)
			case 3:
				err = m.Unlock()
				switch {
				case before > contended:
					want = ErrCorrupt
				case before == unlocked:
					want = ErrNotLocked
				default:
					after = unlocked
				}
			}
			if got := binary.NativeEndian.Uint32(mem); got != after || !errors.Is(err, want) || want == nil && err != nil {
				t.Fatalf("operation %d at %#x = %v and %#x, want %v and %#x", op%4, before, err, got, want, after)
			}
			if !intact() {
				t.Fatalf("operation %d wrote outside the word", op%4)
			}
		}
	})
}
