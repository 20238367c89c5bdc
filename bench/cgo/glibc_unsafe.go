//go:build cgo

package main

/*
#cgo LDFLAGS: -lrt -pthread
#include <mqueue.h>
#include <semaphore.h>
#include <stdlib.h>

// mq_open is variadic, which cgo cannot call.
static mqd_t open_queue(const char *name, int flags) { return mq_open(name, flags); }
*/
import "C"

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
)

func semPing(h *phase.Half) error {
	mine, peer, err := semaphores(h)
	if err != nil {
		return err
	}
	return h.Run(true, func(int) error {
		h.Sum++
		if r, err := C.sem_post(peer); r != 0 {
			return err
		}
		return wait(mine)
	})
}

func semPong(h *phase.Half) error {
	peer, mine, err := semaphores(h)
	if err != nil {
		return err
	}
	return h.Run(false, func(int) error {
		if err := wait(mine); err != nil {
			return err
		}
		h.Sum++
		if r, err := C.sem_post(peer); r != 0 {
			return err
		}
		return nil
	})
}

func wait(s *C.sem_t) error {
	for {
		r, err := C.sem_wait(s)
		if r == 0 {
			return nil
		}
		if err != unix.EINTR {
			return err
		}
	}
}

// semaphores maps the workload's memory.
func semaphores(h *phase.Half) (a, b *C.sem_t, err error) {
	mem, err := unix.Mmap(h.FD(0), 0, 128, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return (*C.sem_t)(unsafe.Pointer(&mem[0])), (*C.sem_t)(unsafe.Pointer(&mem[C.sizeof_sem_t])), nil
}

type queue C.mqd_t

func openQueue(name string, flags int) (queue, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	q, err := C.open_queue(cname, C.int(flags))
	if q == -1 {
		return -1, err
	}
	return queue(q), nil
}

func (q queue) send(b []byte) error {
	for {
		r, err := C.mq_send(C.mqd_t(q), (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b)), 0)
		if r == 0 {
			return nil
		}
		if err != unix.EINTR {
			return err
		}
	}
}

func (q queue) receive(b []byte) (int, error) {
	for {
		n, err := C.mq_receive(C.mqd_t(q), (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b)), nil)
		if n >= 0 {
			return int(n), nil
		}
		if err != unix.EINTR {
			return 0, err
		}
	}
}
