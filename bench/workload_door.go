package main

import "os"

var doorSizes = []int{0, 64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

func doorWorkloads() []*workload {
	var all []*workload
	for _, size := range doorSizes {
		w := &workload{
			name:     "door call",
			size:     size,
			procs:    1,
			variants: []variant{goGo},
			quick:    size == 64 || size == 64<<10,
			busy:     size == 64,
			setup:    setupDoor,
		}
		if size == 64 {
			w.variants = []variant{goGo, goC, cGo}
		}
		all = append(all, w)
	}
	return append(all, &workload{
		name:     "door call with a descriptor",
		size:     64,
		procs:    1,
		variants: []variant{goGo},
		quick:    true,
		setup:    setupDoor,
	})
}

func setupDoor(b *bench, w *workload, v variant) (*job, error) {
	j := &job{size: w.size, peer: w.procs, path: b.name()}
	j.cleanup = append(j.cleanup, func() { os.Remove(j.path) })
	j.halves = []half{{by: v.second, role: "door.serve", seat: 1, serves: true, passive: true}}
	client := half{by: v.first, role: "door.call", seat: 0}
	if w.name == "door call with a descriptor" {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return j, err
		}
		client.role, client.files = "door.callfd", files(f)
	}
	for range w.procs {
		j.halves = append(j.halves, client)
	}
	return j, nil
}
