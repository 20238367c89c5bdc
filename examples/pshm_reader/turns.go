package main

import (
	"sync"
	"time"

	"ipcbook/shared"
	"ipcbook/shared/shm"
)

// turns knows whose turn it is, for a signal that ends the reader.
type turns struct {
	m    *shm.Mapping
	shmp *shared.Transfer

	mu    sync.Mutex
	ours  bool
	ended bool // there are no more turns
}

// begin notes that the reader has been given its turn.
func (t *turns) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		select {} // the signal that has given up ends the process
	}
	t.ours = true
}

// over ends the reader's turn with post, which gives it to the writer.
func (t *turns) over(post func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		select {}
	}
	t.ours = false
	return post()
}

// end is called when the reader needs no more turns.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// giveUp tells the writer that the reader ends, which can be done in the reader's
// turn only. It waits a moment for that: long enough for a writer that has
// something to send, and short enough for who has sent the signal.
func (t *turns) giveUp() {
	t.m.Guard(func() error {
		for deadline := time.Now().Add(100 * time.Millisecond); !t.tryGiveUp() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
}

func (t *turns) tryGiveUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return true
	}
	if !t.ours && t.shmp.Rsem.TryWait() != nil {
		return false
	}
	t.shmp.GiveUp()
	t.shmp.Wsem.Post()
	t.ended = true
	return true
}
