package sem

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Any 32 bytes under any operations: no panic, no hang, no byte changed that is
// not the semaphore's, and a result that follows from the value.
func FuzzMemory(f *testing.F) {
	word := func(value, waiters, private uint32) []byte {
		b := make([]byte, Size)
		binary.NativeEndian.PutUint32(b, value)
		binary.NativeEndian.PutUint32(b[4:], waiters)
		binary.NativeEndian.PutUint32(b[8:], private)
		return b
	}
	all := []byte{0, 1, 2, 3, 4, 5, 6}
	for _, b := range [][]byte{
		make([]byte, Size),
		word(0, 0, 128), word(1, 0, 128), word(2, 1, 128),
		word(ValueMax, 0, 128), word(ValueMax, 0xffffffff, 128),
		word(0, 0xffffffff, 128), word(0x80000000, 0, 128), word(0xffffffff, 0xffffffff, 0),
		bytes.Repeat([]byte{0xff}, Size), bytes.Repeat([]byte{0x7f}, Size),
	} {
		f.Add(b, all)
	}
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		f.Fatal(err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, b, ops []byte) {
		if len(b) < Size || len(ops) > 50 {
			return
		}
		copy(mem, b[:Size])
		s, err := At(mem)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			before := bytes.Clone(mem[:Size])
			value := binary.NativeEndian.Uint32(before)
			waiters := binary.NativeEndian.Uint32(before[4:])
			var (
				name string
				err  error
				next = value // what the value must be afterwards, and the error
				want error
			)
			take := func(otherwise error) {
				if value > 0 {
					next--
				} else {
					want = otherwise
				}
			}
			switch op % 7 {
			case 0:
				name, err = "Post", s.Post()
				if next++; value == ValueMax {
					next, want = value, unix.EOVERFLOW
				}
			case 1:
				name, err = "TryWait", s.TryWait()
				take(unix.EAGAIN)
			case 2:
				name, err = "WaitUntil", s.WaitUntil(time.Now().Add(50*time.Microsecond))
				take(unix.ETIMEDOUT)
			case 3:
				name, err = "WaitContext", s.WaitContext(over)
				take(context.Canceled)
			case 4:
				name, err = "sleep", s.sleep(context.Background(), time.Now().Add(50*time.Microsecond))
				take(unix.ETIMEDOUT)
			case 5:
				var v int
				name = "Value"
				if v, err = s.Value(); err == nil && v != int(value) {
					t.Errorf("Value = %d, want %d", v, value)
				}
			case 6:
				name, err = "Check", s.Check()
				if binary.NativeEndian.Uint32(before[8:]) != sharedFlag {
					want = ErrNotShared
				}
			}
			if value > ValueMax && want != ErrNotShared {
				next, want = value, ErrCorrupt
			}
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Fatalf("%s on % x = %v, want %v", name, before, err, want)
			}
			if got := binary.NativeEndian.Uint32(mem); got != next {
				t.Fatalf("%s on % x left the value at %#x, want %#x", name, before, got, next)
			}
			// One waiter more than fits makes the count 0, as in glibc.
			if got := binary.NativeEndian.Uint32(mem[4:]); got != waiters && waiters != 0xffffffff {
				t.Fatalf("%s on % x left %d waiters, want %d", name, before, got, waiters)
			}
			if !bytes.Equal(mem[8:Size], before[8:]) {
				t.Fatalf("%s on % x changed the rest: % x", name, before, mem[:Size])
			}
		}
	})
}
