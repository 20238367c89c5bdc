package main

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
)

func mqWorkloads() []*workload {
	var all []*workload
	for _, way := range []string{roundTrip, oneWay} {
		for _, size := range mqSizes() {
			w := &workload{
				name:     "mq " + way,
				size:     size,
				procs:    1,
				variants: []variant{goGo},
				quick:    size == 64 || size == 1<<10,
				busy:     size == 1<<10,
				setup:    setupMQ,
			}
			if size == 1<<10 {
				w.variants = []variant{goGo, goC, cGo, cgoCgo}
			}
			all = append(all, w)
		}
	}
	return all
}

const mqDepth = 10 // messages, the system's own default

// mqSizes are the sizes of messages for which a queue can be made here: 8 KiB is
// the system's limit for a process without CAP_SYS_RESOURCE, and RLIMIT_MSGQUEUE
// sets another.
func mqSizes() []int {
	var possible []int
	for _, size := range append([]int{8 << 10}, sizes...) {
		name := fmt.Sprintf("/bench.%d.probe", os.Getpid())
		q, err := mq.Create(name, unix.O_RDWR|unix.O_EXCL, 0o600, &mq.Attr{MaxMsg: mqDepth, MsgSize: int64(size)})
		if err != nil {
			continue
		}
		q.Close()
		mq.Unlink(name)
		possible = append(possible, size)
	}
	slices.Sort(possible)
	return possible
}

func setupMQ(b *bench, w *workload, v variant) (*job, error) {
	j := &job{size: w.size, path: fmt.Sprintf("/bench.%d.%d", os.Getpid(), b.serial())}
	ways, roles := []string{".to"}, [2]string{"mq.send", "mq.recv"}
	if w.name == "mq "+roundTrip {
		ways, roles = []string{".to", ".from"}, [2]string{"mq.ping", "mq.pong"}
	}
	for _, way := range ways {
		q, err := mq.Create(j.path+way, unix.O_RDWR|unix.O_EXCL, 0o600, &mq.Attr{MaxMsg: mqDepth, MsgSize: int64(w.size)})
		if err != nil {
			return j, err
		}
		b.queues.Store(j.path+way, nil)
		j.cleanup = append(j.cleanup, func() {
			q.Close()
			mq.Unlink(j.path + way)
			b.queues.Delete(j.path + way)
		})
		j.verifyAlso(func([3]int) error {
			if a, err := q.Attr(); err != nil || a.CurMsgs != 0 {
				return fmt.Errorf("%d messages are left in the queue (%v)", a.CurMsgs, err)
			}
			return nil
		})
	}
	j.sides(v, w.procs, roles[0], roles[1])
	return j, nil
}
