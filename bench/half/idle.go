package main

import (
	"context"

	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
	"ipcbook/shared"
	"ipcbook/shared/door"
	"ipcbook/shared/mq"
	"ipcbook/shared/sem"
)

// The halves here wait for a peer that never comes.

func idle(h *phase.Half, wait func() error) error {
	return h.Serve(func() {
		go func() {
			if err := wait(); err != nil {
				phase.Fail(err)
			}
		}()
	})
}

func idleSem(h *phase.Half) error {
	mem, err := memory(h, semSize)
	if err != nil {
		return err
	}
	s, err := sem.At(mem)
	if err != nil {
		return err
	}
	return idle(h, s.Wait)
}

func idleMutex(h *phase.Half) error {
	mem, err := memory(h, counterSize)
	if err != nil {
		return err
	}
	m, err := shared.MutexAt(mem)
	if err != nil {
		return err
	}
	return idle(h, m.Lock)
}

func idleQueue(h *phase.Half) error {
	q, err := queue(h)
	if err != nil {
		return err
	}
	return idle(h, func() error {
		_, err := q.Dequeue(context.Background(), new([shared.SlotSize]byte))
		return err
	})
}

func idleMQ(h *phase.Half) error {
	q, err := mq.Open(h.Path+".to", unix.O_RDONLY)
	if err != nil {
		return err
	}
	return idle(h, func() error {
		_, _, err := q.Receive(make([]byte, h.Size))
		return err
	})
}

func idleDoor(h *phase.Half) error {
	c, err := door.Open(h.Path)
	if err != nil {
		return err
	}
	return idle(h, func() error { return c.Call(context.Background(), &door.Arg{}) })
}
