//go:build cgo

// Cgo is one process of a benchmark as a Go program would be that calls glibc:
// sem_wait, sem_post, mq_send and mq_receive through cgo. It is a baseline, built
// with CGO_ENABLED=1 where there is a C compiler; the suite itself has no cgo.
package main

import (
	"fmt"
	"os"

	"ipcbook/bench/phase"
)

var roles = map[string]func(*phase.Half) error{
	"sem.ping": semPing,
	"sem.pong": semPong,
	"mq.ping":  mqPing,
	"mq.pong":  mqPong,
	"mq.send":  mqSend,
	"mq.recv":  mqRecv,
}

func main() {
	h, err := phase.New(os.Args[1:])
	if err != nil {
		phase.Fail(err)
	}
	role := roles[h.Role]
	if role == nil {
		phase.Fail(fmt.Errorf("no role %q", h.Role))
	}
	if err := role(h); err != nil {
		phase.Fail(err)
	}
}

func mqPing(h *phase.Half) error {
	to, err := openQueue(h.Path+".to", os.O_WRONLY)
	if err != nil {
		return err
	}
	from, err := openQueue(h.Path+".from", os.O_RDONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		if err := to.send(buf); err != nil {
			return err
		}
		n, err := from.receive(buf)
		if err != nil {
			return err
		}
		return h.Echo(buf[:n], i)
	})
}

func mqPong(h *phase.Half) error {
	to, err := openQueue(h.Path+".to", os.O_RDONLY)
	if err != nil {
		return err
	}
	from, err := openQueue(h.Path+".from", os.O_WRONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		n, err := to.receive(buf)
		if err != nil {
			return err
		}
		if err := h.Check(buf[:n], i); err != nil {
			return err
		}
		return from.send(buf[:n])
	})
}

func mqSend(h *phase.Half) error {
	q, err := openQueue(h.Path+".to", os.O_WRONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		return q.send(buf)
	})
}

func mqRecv(h *phase.Half) error {
	q, err := openQueue(h.Path+".to", os.O_RDONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		n, err := q.receive(buf)
		if err != nil {
			return err
		}
		return h.Check(buf[:n], i)
	})
}
