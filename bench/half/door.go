package main

import (
	"context"
	"fmt"
	"os"

	"ipcbook/bench/phase"
	"ipcbook/shared/door"
)

func doorServe(h *phase.Half) error {
	return serve(h, func(call *door.Call, _ any, arg []byte, _ []*os.File) { call.Return(arg) })
}

// doorMute serves a door whose procedure does not answer.
func doorMute(h *phase.Half) error {
	return serve(h, func(call *door.Call, _ any, _ []byte, _ []*os.File) { <-call.Context().Done() })
}

func serve(h *phase.Half, proc door.ServerProc) error {
	d, err := door.Create(proc, nil, 0)
	if err != nil {
		return err
	}
	if err := d.Attach(h.Path); err != nil {
		return err
	}
	defer d.Close()
	return h.Serve(nil)
}

func doorCall(h *phase.Half) error { return call(h) }

// doorCallFD passes a descriptor with each call.
func doorCallFD(h *phase.Half) error { return call(h, h.File(0)) }

func call(h *phase.Half, desc ...*os.File) error {
	c, err := door.Open(h.Path)
	if err != nil {
		return err
	}
	defer c.Close()
	data, buf := make([]byte, h.Size), make([]byte, h.Size)
	phase.Fill(data)
	ctx := context.Background()
	var arg door.Arg
	return h.Run(true, func(i int) error {
		h.Stamp(data, i)
		arg = door.Arg{Data: data, Desc: desc, RBuf: buf}
		if err := c.Call(ctx, &arg); err != nil {
			return err
		}
		if len(arg.Data) != h.Size {
			return fmt.Errorf("result of %d bytes, want %d", len(arg.Data), h.Size)
		}
		return h.Check(arg.Data, i)
	})
}
