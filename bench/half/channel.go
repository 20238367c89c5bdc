package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ipcbook/bench/phase"
)

// A channel is what carries bytes or packets through descriptors: the read end
// is the workload's first descriptor and the write end its second, or one is
// both. A FIFO is opened by its names instead.
//
// The pipe and FIFO examples work with os.File in blocking mode (file), the
// socket examples with read(2) and write(2) on the descriptor (fd).
type channel struct {
	r io.Reader
	w io.Writer
}

// fd is a descriptor in blocking mode.
type fd int

func (f fd) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(f), b)
		if err == unix.EINTR {
			continue
		}
		if n == 0 && err == nil {
			err = io.EOF
		}
		return n, err
	}
}

func (f fd) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := unix.Write(int(f), b[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		if done += n; done == len(b) {
			return done, nil
		}
	}
}

// open returns the channel of a half that reads, writes, or both. The first of
// the two FIFOs goes from the half that pings or sends to the other.
func open(h *phase.Half, first, reads, writes, file bool) (*channel, error) {
	in, out := h.FD(0), h.FD(1)
	if h.Path != "" {
		to, from := h.Path+".to", h.Path+".from"
		if !first {
			to, from = from, to
		}
		var err error
		// Both sides open the first FIFO first.
		openIn := func() {
			if err == nil && reads {
				in, err = unix.Open(from, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			}
		}
		openOut := func() {
			if err == nil && writes {
				out, err = unix.Open(to, unix.O_WRONLY|unix.O_CLOEXEC, 0)
			}
		}
		if first {
			openOut()
			openIn()
		} else {
			openIn()
			openOut()
		}
		if err != nil {
			return nil, fmt.Errorf("open FIFO: %w", err)
		}
	}
	if !file {
		return &channel{fd(in), fd(out)}, nil
	}
	c := &channel{}
	if reads {
		c.r = os.NewFile(uintptr(in), "in")
	}
	if writes {
		c.w = os.NewFile(uintptr(out), "out")
	}
	return c, nil
}

// read reads a whole message: one packet, or as many pieces of a stream as it
// takes.
func (c *channel) read(b []byte) error {
	for done := 0; done < len(b); {
		n, err := c.r.Read(b[done:])
		if err != nil {
			return err
		}
		done += n
	}
	return nil
}

func (c *channel) write(b []byte) error {
	_, err := c.w.Write(b)
	return err
}

func ping(h *phase.Half, file bool) error {
	c, err := open(h, true, true, true, file)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		if err := c.write(buf); err != nil {
			return err
		}
		if err := c.read(buf); err != nil {
			return err
		}
		return h.Echo(buf, i)
	})
}

func pong(h *phase.Half, file bool) error {
	c, err := open(h, false, true, true, file)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		if err := c.read(buf); err != nil {
			return err
		}
		if err := h.Check(buf, i); err != nil {
			return err
		}
		return c.write(buf)
	})
}

func send(h *phase.Half, file bool) error {
	c, err := open(h, true, false, true, file)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	phase.Fill(buf)
	return h.Run(true, func(i int) error {
		h.Stamp(buf, i)
		return c.write(buf)
	})
}

func recv(h *phase.Half, file bool) error {
	c, err := open(h, false, true, false, file)
	if err != nil {
		return err
	}
	buf := make([]byte, h.Size)
	return h.Run(false, func(i int) error {
		if err := c.read(buf); err != nil {
			return err
		}
		return h.Check(buf, i)
	})
}

func filePing(h *phase.Half) error { return ping(h, true) }
func filePong(h *phase.Half) error { return pong(h, true) }
func fileSend(h *phase.Half) error { return send(h, true) }
func fileRecv(h *phase.Half) error { return recv(h, true) }
func fdPing(h *phase.Half) error   { return ping(h, false) }
func fdPong(h *phase.Half) error   { return pong(h, false) }
func fdSend(h *phase.Half) error   { return send(h, false) }
func fdRecv(h *phase.Half) error   { return recv(h, false) }
