package main

import (
	"encoding/binary"
	"fmt"

	"ipcbook/bench/phase"
	"ipcbook/shared/sem"
)

// The memory of the ping-pong: two semaphores on one line of cache, and a count
// that the two halves take turns to raise in the warm-up.
const (
	semA     = 0
	semB     = sem.Size
	semCount = 64
	semSize  = 128
)

type rally struct {
	mem        []byte
	mine, peer *sem.Sem
}

func newRally(h *phase.Half, mine, peer int) (*rally, error) {
	mem, err := memory(h, semSize)
	if err != nil {
		return nil, err
	}
	r := &rally{mem: mem}
	if r.mine, err = sem.At(mem[mine:]); err != nil {
		return nil, err
	}
	if r.peer, err = sem.At(mem[peer:]); err != nil {
		return nil, err
	}
	return r, nil
}

// count raises the count and checks that it was n.
func (r *rally) count(n int) error {
	got := binary.NativeEndian.Uint64(r.mem[semCount:])
	binary.NativeEndian.PutUint64(r.mem[semCount:], got+1)
	if got != uint64(n) {
		return fmt.Errorf("the count is %d, want %d", got, n)
	}
	return nil
}

func semPing(h *phase.Half) error {
	r, err := newRally(h, semA, semB)
	if err != nil {
		return err
	}
	return h.Run(true, func(i int) error {
		if h.Phase == phase.Warm {
			if err := r.count(2 * i); err != nil {
				return err
			}
		}
		h.Sum++
		if err := r.peer.Post(); err != nil {
			return err
		}
		return r.mine.Wait()
	})
}

func semPong(h *phase.Half) error {
	r, err := newRally(h, semB, semA)
	if err != nil {
		return err
	}
	return h.Run(false, func(i int) error {
		if err := r.mine.Wait(); err != nil {
			return err
		}
		if h.Phase == phase.Warm {
			if err := r.count(2*i + 1); err != nil {
				return err
			}
		}
		h.Sum++
		return r.peer.Post()
	})
}
