package shared

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
	"ipcbook/shared/sem"
)

func newTransfer(t testing.TB) (*Transfer, []byte) {
	t.Helper()
	mem, _ := proctest.Memory(t, TransferSize)
	b, err := TransferAt(mem)
	must(t, err)
	must(t, b.Init())
	must(t, b.Check())
	return b, mem
}

func TestTransferBytes(t *testing.T) {
	b, mem := newTransfer(t)
	want := make([]byte, TransferSize)
	want[transferWsem], want[transferWsem+8], want[transferRsem+8] = 1, 128, 128
	if !bytes.Equal(mem, want) {
		t.Errorf("after Init:\n% x\nwant\n% x", mem, want)
	}
	if len(b.Buf) != TransferBufSize || cap(b.Buf) != TransferBufSize || &b.Buf[0] != &mem[68] {
		t.Errorf("Buf has %d bytes of %d", len(b.Buf), cap(b.Buf))
	}
	b.SetCnt(0x0102)
	copy(b.Buf, "data")
	if binary.NativeEndian.Uint32(mem[transferCnt:]) != 0x0102 || !bytes.HasPrefix(mem[transferBuf:], []byte("data")) {
		t.Errorf("bytes 64 to 72 are % x", mem[64:72])
	}
	must(t, b.Wsem.Wait())
	must(t, b.Rsem.Post())
	if mem[transferWsem] != 0 || mem[transferRsem] != 1 {
		t.Error("the turn has not changed")
	}
}

func TestTransferCnt(t *testing.T) {
	b, mem := newTransfer(t)
	for _, cnt := range []int32{0, 1, 1023, 1024, -1, -2, 1025, 1 << 30, math.MaxInt32, math.MinInt32} {
		binary.NativeEndian.PutUint32(mem[transferCnt:], uint32(cnt))
		n, err := b.Cnt()
		if cnt >= 0 && cnt <= TransferBufSize {
			if n != int(cnt) || err != nil {
				t.Errorf("Cnt = %d, %v; want %d", n, err, cnt)
			}
			continue
		}
		if says := fmt.Sprintf("cnt is %d, ", cnt); n != 0 || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), says) {
			t.Errorf("Cnt = %d, %v; want ErrCorrupt that says %q", n, err, says)
		}
	}
}

func TestTransferGiveUp(t *testing.T) {
	b, _ := newTransfer(t)
	for n := range TransferBufSize + 1 {
		b.SetCnt(n)
		if b.ReaderGaveUp() {
			t.Fatalf("count %d reads as a reader that gave up", n)
		}
	}
	b.GiveUp()
	if !b.ReaderGaveUp() {
		t.Error("a reader that gave up does not show")
	}
	if n, err := b.Cnt(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Cnt after GiveUp = %d, %v", n, err)
	}
}

func TestTransferCheck(t *testing.T) {
	for name, off := range map[string]int{"wsem": transferWsem, "rsem": transferRsem} {
		b, mem := newTransfer(t)
		setSem(mem, off, 0xffffffff)
		if err := b.Check(); !errors.Is(err, sem.ErrCorrupt) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "0xffffffff") {
			t.Errorf("Check = %v, want ErrCorrupt of %s", err, name)
		}
		must(t, b.Init())
		mem[off+8] = 0
		if err := b.Check(); !errors.Is(err, sem.ErrNotShared) || !strings.Contains(err.Error(), name) {
			t.Errorf("Check = %v, want ErrNotShared of %s", err, name)
		}
	}
}

// Either half may be C: what one reads from a file is what the other writes.
func TestTransferPairs(t *testing.T) {
	pairs(t, func(t *testing.T, _ []byte, one, other *proctest.Proc) {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		random := rand.NewChaCha8([32]byte{1})
		for _, size := range []int{0, 1, 1023, 1024, 1025, 4<<20 + 7} {
			data := make([]byte, size)
			random.Read(data)
			must(t, os.WriteFile(from, data, 0o600))
			ask(t, one, "ok", "transfer")
			other.Say("read %s", to)
			one.Say("write %s", from)
			one.Want("ok")
			other.Want("ok")
			got, err := os.ReadFile(to)
			must(t, err)
			if sha256.Sum256(got) != sha256.Sum256(data) {
				t.Fatalf("sent %d bytes, got %d others", size, len(got))
			}
		}
	})
}

func TestTransferNoAllocation(t *testing.T) {
	b, _ := newTransfer(t)
	if n := testing.AllocsPerRun(100, func() {
		b.Wsem.Wait()
		b.SetCnt(1)
		b.Rsem.Post()
		b.Rsem.Wait()
		b.Cnt()
		b.Wsem.Post()
	}); n != 0 {
		t.Errorf("%v allocations a turn, want 0", n)
	}
}

func ExampleTransfer() {
	mem, err := unix.Mmap(-1, 0, TransferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Munmap(mem)
	b, err := TransferAt(mem)
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Init()
	done := make(chan bool)
	go func() { // the reader
		defer close(done)
		for n := 1; n > 0; {
			b.Rsem.Wait()
			n, _ = b.Cnt()
			fmt.Printf("%s", b.Buf[:n])
			b.Wsem.Post()
		}
	}()
	for _, text := range []string{"one ", "two\n", ""} { // the writer
		b.Wsem.Wait()
		b.SetCnt(copy(b.Buf, text))
		b.Rsem.Post()
	}
	b.Wsem.Wait()
	<-done
	// Output: one two
}
