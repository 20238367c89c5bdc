package main

import (
	"ipcbook/shared/sem"
)

const (
	semB      = sem.Size // as in half/sem.go
	semMemory = 128
)

func semWorkloads() []*workload {
	return []*workload{{
		name:     "sem ping-pong",
		size:     -1,
		procs:    1,
		variants: []variant{goGo, goC, cGo, cgoCgo, spinBound},
		quick:    true,
		busy:     true,
		setup:    setupSem,
	}}
}

func setupSem(b *bench, w *workload, v variant) (*job, error) {
	j := &job{}
	mem, f, err := j.memory(semMemory)
	if err != nil {
		return j, err
	}
	for _, off := range []int{0, semB} {
		s, err := sem.At(mem[off:])
		if err != nil {
			return j, err
		}
		if err := s.Init(0); err != nil {
			return j, err
		}
		j.verifyAlso(func([3]int) error { return empty(s) })
	}
	j.sides(v, 1, "sem.ping", "sem.pong", f)
	return j, nil
}
