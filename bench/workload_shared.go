package main

import (
	"encoding/binary"
	"fmt"

	"ipcbook/shared"
	"ipcbook/shared/sem"
)

func sharedWorkloads() []*workload {
	all := []*workload{{
		name:     "pshm transfer",
		size:     shared.TransferBufSize,
		procs:    1,
		variants: []variant{goGo, goC, cGo, spinBound},
		quick:    true,
		busy:     true,
		maxOps:   64 << 10, // 64 MiB
		setup:    setupTransfer,
	}, {
		name:     "queue 5×20",
		size:     -1,
		procs:    1,
		variants: []variant{goGo, goC, cGo, spinBound},
		quick:    true,
		busy:     true,
		setup:    setupQueue,
	}, {
		name:     "mutex uncontended",
		size:     -1,
		procs:    1,
		variants: []variant{goGo},
		quick:    true,
		busy:     true,
		only:     []string{"one", "free", "one+busy", "free+busy"},
		setup:    setupMutex,
	}}
	for procs := 2; procs <= 64; procs *= 2 {
		all = append(all, &workload{
			name:     "mutex contended",
			size:     -1,
			procs:    procs,
			variants: []variant{goGo},
			quick:    procs == 2,
			busy:     procs <= 4,
			scale:    true,
			setup:    setupMutex,
		})
	}
	return all
}

func setupTransfer(b *bench, w *workload, v variant) (*job, error) {
	j := &job{size: w.size}
	mem, f, err := j.memory(shared.TransferSize)
	if err != nil {
		return j, err
	}
	t, err := shared.TransferAt(mem)
	if err != nil {
		return j, err
	}
	if err := t.Init(); err != nil {
		return j, err
	}
	j.verifyAlso(func([3]int) error { return empty(t.Rsem) })
	j.sides(v, 1, "transfer.write", "transfer.read", f)
	return j, nil
}

func setupQueue(b *bench, w *workload, v variant) (*job, error) {
	j := &job{size: shared.SlotSize}
	mem, f, err := j.memory(shared.QueueMapSize)
	if err != nil {
		return j, err
	}
	q, err := shared.QueueAt(mem)
	if err != nil {
		return j, err
	}
	if err := q.Init(); err != nil {
		return j, err
	}
	j.verifyAlso(func([3]int) error {
		if n, err := q.Len(); err != nil || n != 0 {
			return fmt.Errorf("%d messages are left in the queue (%v)", n, err)
		}
		return q.Check()
	})
	j.sides(v, w.procs, "queue.put", "queue.take", f)
	return j, nil
}

// setupMutex makes struct counter of shared.h, with a pthread_mutex_t that either
// language can lock.
func setupMutex(b *bench, w *workload, v variant) (*job, error) {
	j := &job{peer: w.procs}
	const total = shared.PthreadMutexSize
	mem, f, err := j.memory(total + 8)
	if err != nil {
		return j, err
	}
	binary.NativeEndian.PutUint32(mem[shared.MutexKindOffset:], shared.MutexKind)
	j.verifyAlso(func(ops [3]int) error {
		want := uint64(2*ops[0] + ops[1] + ops[2]) // those of the warm-up come twice
		if got := binary.NativeEndian.Uint64(mem[total:]); got != want {
			return fmt.Errorf("the counter is %d, want %d", got, want)
		}
		return nil
	})
	for i := range w.procs {
		by := v.first
		if i%2 == 1 {
			by = v.second
		}
		j.halves = append(j.halves, half{by: by, role: "mutex.lock", seat: i % 2, files: files(f)})
	}
	return j, nil
}

// empty checks that no post is left over.
func empty(s *sem.Sem) error {
	n, err := s.Value()
	if err == nil && n != 0 {
		err = fmt.Errorf("the value of a semaphore is %d, want 0", n)
	}
	return err
}
