package main

import (
	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
	"ipcbook/shared/mq"
)

// The coordinator has made the queues NAME.to and, for a round trip, NAME.from.

func mqPing(h *phase.Half) error {
	to, err := mq.Open(h.Path+".to", unix.O_WRONLY)
	if err != nil {
		return err
	}
	from, err := mq.Open(h.Path+".from", unix.O_RDONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		if err := to.Send(buf, 0); err != nil {
			return err
		}
		n, _, err := from.Receive(buf)
		if err != nil {
			return err
		}
		return h.Echo(buf[:n], i)
	})
}

func mqPong(h *phase.Half) error {
	to, err := mq.Open(h.Path+".to", unix.O_RDONLY)
	if err != nil {
		return err
	}
	from, err := mq.Open(h.Path+".from", unix.O_WRONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		n, _, err := to.Receive(buf)
		if err != nil {
			return err
		}
		if err := h.Check(buf[:n], i); err != nil {
			return err
		}
		return from.Send(buf[:n], 0)
	})
}

func mqSend(h *phase.Half) error {
	q, err := mq.Open(h.Path+".to", unix.O_WRONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		return q.Send(buf, 0)
	})
}

func mqRecv(h *phase.Half) error {
	q, err := mq.Open(h.Path+".to", unix.O_RDONLY)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		n, _, err := q.Receive(buf)
		if err != nil {
			return err
		}
		if h.Peer == 1 {
			return h.Check(buf[:n], i)
		}
		_, err = h.Number(buf[:n], i)
		return err
	})
}
