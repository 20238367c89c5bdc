package main

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared"
)

// An IdleRow is what a wait for a peer that never comes costs: percent of a core.
type IdleRow struct {
	Wait  string
	Go, C float64
	Limit float64
}

// idleKinds are the waits: how to make what is waited for.
var idleKinds = []struct {
	name, role string
	setup      func(b *bench, v variant) (*job, error)
}{
	{"semaphore", "idle.sem", func(b *bench, v variant) (*job, error) { return setupSem(b, nil, v) }},
	{"mutex", "idle.mutex", func(b *bench, v variant) (*job, error) {
		j, err := setupMutex(b, &workload{procs: 1}, v)
		j.verify = nil
		return j, err
	}},
	{"queue", "idle.queue", func(b *bench, v variant) (*job, error) { return setupQueue(b, &workload{procs: 1}, v) }},
	{"mq", "idle.mq", func(b *bench, v variant) (*job, error) { return setupMQ(b, &workload{size: 64, procs: 1}, v) }},
	{"door", "idle.door", func(b *bench, v variant) (*job, error) { return setupDoor(b, &workload{size: 64, procs: 1}, v) }},
}

// idle runs all waits at the same time: they have nothing to do.
func (b *bench) idle(d time.Duration) ([]IdleRow, error) {
	variants := []variant{goGo}
	if b.halves[clang] != "" {
		variants = append(variants, base)
	}
	// Of a door both processes wait, so both are counted.
	type wait struct {
		kind int
		v    variant
		t    *trial
	}
	var waits []wait
	for i, kind := range idleKinds {
		for _, v := range variants {
			j, err := kind.setup(b, v)
			defer j.close()
			if err != nil {
				return nil, err
			}
			// One half waits; of a door, the other one serves and does not answer.
			first := half{by: v.first, role: kind.role, passive: true, files: j.halves[0].files}
			if kind.name == "door" {
				j.halves[0].role = "door.mute"
				first.files = nil
				j.halves = append(j.halves[:1:1], first)
			} else {
				j.halves = []half{first}
			}
			if kind.name == "mutex" {
				m, err := unix.Mmap(int(first.files[0].Fd()), 0, shared.MutexSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
				if err != nil {
					return nil, err
				}
				defer unix.Munmap(m)
				binary.NativeEndian.PutUint32(m, 1) // held, by nobody
			}
			j.peer = 1
			t := &trial{deadline: time.Now().Add(b.patience + d)}
			defer t.end()
			if err := t.start(b, j, placement{}, [3]int{1, 1, 1}, false); err != nil {
				return nil, err
			}
			waits = append(waits, wait{i, v, t})
		}
	}
	rows := make([]IdleRow, len(idleKinds))
	for i := range rows {
		rows[i] = IdleRow{Wait: idleKinds[i].name, Limit: idleLimit}
	}
	for _, w := range waits {
		if _, err := w.t.phase(); err != nil {
			return nil, err
		}
	}
	for _, w := range waits {
		if err := w.t.begin(); err != nil {
			return nil, err
		}
	}
	time.Sleep(d)
	for _, w := range waits {
		reports, err := w.t.collect()
		if err != nil {
			return nil, err
		}
		res := &result{Ops: 1, All: 1}
		res.add(w.t.runners, reports)
		last := reports[len(reports)-1]
		percent := 100 * float64(res.CPU) / float64(last.end-last.start)
		if w.v.first == golang {
			rows[w.kind].Go = percent
		} else {
			rows[w.kind].C = percent
		}
	}
	return rows, nil
}
