// Half is one process of a benchmark, in Go. It begins as every program of the suite
// does, and works with the packages and in the way of the examples; package phase
// says how it is started.
package main

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"ipcbook/bench/phase"
	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
	"ipcbook/shared/shm"
)

// roles are what a half can be. C's are in c/half.c.
var roles = map[string]func(*phase.Half) error{
	"sem.ping":       semPing,
	"sem.pong":       semPong,
	"transfer.write": transferWrite,
	"transfer.read":  transferRead,
	"queue.put":      queuePut,
	"queue.take":     queueTake,
	"mutex.lock":     mutexLock,
	"file.ping":      filePing,
	"file.pong":      filePong,
	"file.send":      fileSend,
	"file.recv":      fileRecv,
	"fd.ping":        fdPing,
	"fd.pong":        fdPong,
	"fd.send":        fdSend,
	"fd.recv":        fdRecv,
	"mq.ping":        mqPing,
	"mq.pong":        mqPong,
	"mq.send":        mqSend,
	"mq.recv":        mqRecv,
	"door.call":      doorCall,
	"door.callfd":    doorCallFD,
	"door.serve":     doorServe,
	"door.mute":      doorMute,
	"fork":           fork,
	"idle.sem":       idleSem,
	"idle.mutex":     idleMutex,
	"idle.queue":     idleQueue,
	"idle.mq":        idleMQ,
	"idle.door":      idleDoor,
	"busy":           busy,
	"version":        version,
}

func main() {
	prog.Run(&cli.App{Name: "half", Action: func(c *cli.Context) error {
		if reexec.Role() == "exit" {
			return nil // the child of fork
		}
		h, err := phase.New(c.Args().Slice())
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
		return nil
	}}, 1)
}

// memory maps the shared memory that the coordinator has made.
func memory(h *phase.Half, size int) ([]byte, error) {
	m, err := shm.Map(h.File(0), size, size)
	if err != nil {
		return nil, err
	}
	return m.Bytes, nil
}

func version(*phase.Half) error {
	fmt.Println(runtime.Version())
	return nil
}

// busy is the busy loop beside which other halves work.
func busy(*phase.Half) error {
	//lint:ignore SA5002 that is what it is for
	for {
	}
}

// fork is what stands for fork(2) and wait(2) in a Go program.
func fork(h *phase.Half) error {
	return h.Run(true, func(int) error {
		return reexec.Command("exit").Run()
	})
}
