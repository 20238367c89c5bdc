package main

import (
	"context"
	"encoding/binary"
	"fmt"

	"ipcbook/bench/phase"
	"ipcbook/shared"
)

func transfer(h *phase.Half) (*shared.Transfer, error) {
	mem, err := memory(h, shared.TransferSize)
	if err != nil {
		return nil, err
	}
	return shared.TransferAt(mem)
}

func transferWrite(h *phase.Half) error {
	t, err := transfer(h)
	if err != nil {
		return err
	}
	data := make([]byte, shared.TransferBufSize)
	phase.Fill(data)
	return h.Run(true, func(i int) error {
		h.Stamp(data, i)
		if err := t.Wsem.Wait(); err != nil {
			return err
		}
		t.SetCnt(copy(t.Buf, data))
		return t.Rsem.Post()
	})
}

func transferRead(h *phase.Half) error {
	t, err := transfer(h)
	if err != nil {
		return err
	}
	data := make([]byte, shared.TransferBufSize)
	return h.Run(false, func(i int) error {
		if err := t.Rsem.Wait(); err != nil {
			return err
		}
		n, err := t.Cnt()
		if err != nil {
			return err
		}
		copy(data, t.Buf[:n])
		if err := t.Wsem.Post(); err != nil {
			return err
		}
		return h.Check(data[:n], i)
	})
}

func queue(h *phase.Half) (*shared.Queue, error) {
	mem, err := memory(h, shared.QueueMapSize)
	if err != nil {
		return nil, err
	}
	return shared.QueueAt(mem)
}

// A message of the queue holds no NUL: its number is in seven bits of each of the
// first five bytes.
const queueMsg = shared.SlotSize - 1

func queuePut(h *phase.Half) error {
	q, err := queue(h)
	if err != nil {
		return err
	}
	msg := make([]byte, queueMsg)
	for i := range msg {
		msg[i] = 'x'
	}
	ctx := context.Background()
	return h.Run(true, func(i int) error {
		n := uint64(i) + 1
		h.Sum += n
		for j := range 5 {
			msg[j] = 0x80 | byte(n>>(7*j))
		}
		return q.Enqueue(ctx, msg)
	})
}

func queueTake(h *phase.Half) error {
	q, err := queue(h)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var slot [shared.SlotSize]byte
	return h.Run(false, func(int) error {
		length, err := q.Dequeue(ctx, &slot)
		if err != nil {
			return err
		}
		if length != queueMsg || slot[queueMsg-1] != 'x' {
			return fmt.Errorf("message of %d bytes %q", length, slot)
		}
		var n uint64
		for j := range 5 {
			n |= uint64(slot[j]&0x7f) << (7 * j)
		}
		h.Sum += n
		return nil
	})
}

// The memory of the mutex workload is struct counter of shared.h: what the mutex
// guards lies behind it.
const (
	counterTotal = shared.PthreadMutexSize
	counterSize  = counterTotal + 8
)

func mutexLock(h *phase.Half) error {
	mem, err := memory(h, counterSize)
	if err != nil {
		return err
	}
	m, err := shared.MutexAt(mem)
	if err != nil {
		return err
	}
	total := mem[counterTotal:counterSize]
	return h.Run(true, func(int) error {
		if err := m.Lock(); err != nil {
			return err
		}
		binary.NativeEndian.PutUint64(total, binary.NativeEndian.Uint64(total)+1)
		h.Sum++
		return m.Unlock()
	})
}
