package main

// scaleWorkloads are the curves over processes: n on each side. (Those of the
// mutex are with the mutex.)
func scaleWorkloads() []*workload {
	var all []*workload
	for procs := 1; procs <= 64; procs *= 2 {
		for _, w := range []workload{
			{name: "queue 5×20 n:n", size: -1, setup: setupQueue},
			{name: "mq n:n", size: 64, setup: setupMQ},
			{name: "door n clients", size: 64, setup: setupDoor},
		} {
			w.procs = procs
			w.variants = []variant{goGo}
			w.scale = true
			w.quick = procs == 8
			w.only = []string{"one", "free"}
			all = append(all, &w)
		}
	}
	return all
}
