package shared

import (
	"fmt"
	"testing"

	"ipcbook/shared/internal/proctest"
)

// The layouts are those of shared.h as a C compiler sees them, and those of the
// textbook's programs.
func TestLayouts(t *testing.T) {
	_, path := proctest.Memory(t, 4096)
	p := startC(t, buildC(t), path)
	p.Say("layout")
	for _, c := range []struct{ name, ours, original string }{
		{
			"Queue",
			fmt.Sprintf("queue %d %d %d lock %d empty %d full %d current %d slots %d map %d",
				QueueSize, QueueSlots, SlotSize, queueLock, queueEmpty, queueFull, queueCurrent, queueMessages, QueueMapSize),
			"queue 200 5 20 lock 0 empty 32 full 64 current 96 slots 100 map 220",
		}, {
			"Transfer",
			fmt.Sprintf("transfer %d %d wsem %d rsem %d cnt %d buf %d",
				TransferSize, TransferBufSize, transferWsem, transferRsem, transferCnt, transferBuf),
			"transfer 1096 1024 wsem 0 rsem 32 cnt 64 buf 68",
		}, {
			"Mutex",
			fmt.Sprintf("mutex %d %d %d total %d", MutexSize, PthreadMutexSize, PthreadMutexSize, PthreadMutexSize),
			"mutex 4 40 40 total 40",
		},
	} {
		if c.ours != c.original {
			t.Errorf("%s: the original is %q, ours %q", c.name, c.original, c.ours)
		}
		if got := p.Line(); got != c.ours {
			t.Errorf("%s: C has %q, Go %q", c.name, got, c.ours)
		}
	}
}

// Handles look at nothing outside the memory they are given and refuse what is
// too short or lies askew.
func TestHandles(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	for _, h := range []struct {
		name        string
		size, align int
		at          func(mem []byte) error
	}{
		{"MutexAt", MutexSize, 4, func(b []byte) error { _, err := MutexAt(b); return err }},
		{"RobustMutexAt", PthreadMutexSize, 8, func(b []byte) error { _, err := RobustMutexAt(b); return err }},
		{"QueueAt", QueueMapSize, 8, func(b []byte) error { _, err := QueueAt(b); return err }},
		{"TransferAt", TransferSize, 8, func(b []byte) error { _, err := TransferAt(b); return err }},
	} {
		for off := range 17 {
			for _, n := range []int{0, 1, h.size - 1, h.size, h.size + 1} {
				err := h.at(mem[off:][:n:n])
				if good := n >= h.size && off%h.align == 0; good != (err == nil) {
					t.Errorf("%s of %d bytes at %d: %v", h.name, n, off, err)
				}
			}
		}
		if h.at(nil) == nil {
			t.Errorf("%s of nil: no error", h.name)
		}
	}
	for i, b := range mem {
		if b != 0 {
			t.Fatalf("byte %d was written", i)
		}
	}
}
