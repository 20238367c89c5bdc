// Pmsg_send puts a message into a POSIX message queue.
//
// # Usage
//
//	pmsg_send [-n] [--timeout DURATION] NAME MSG [PRIO]
//
// NAME is the queue, MSG the message: its bytes, without a NUL, and there may be
// none. PRIO is 0 to 32767, and 0 by default. With -n a full queue is an error;
// without, pmsg_send waits for room.
//
// # What it shows
//
// Messages keep their boundaries, unlike bytes in a pipe, and have a priority.
// Sender and receiver need not run at the same time: the kernel keeps the messages
// in between, but only as many as the queue holds.
//
// # Example
//
//	$ pmsg_create -c /mq
//	$ pmsg_send /mq 'can wait'
//	$ pmsg_send /mq 'in a hurry' 7
//	$ pmsg_receive /mq
//	Read 10 bytes; priority = 7
//	in a hurry
//
// # Differences from the C program
//
//   - A PRIO that is no number, negative or too large is refused; the original's
//     atoi takes "x" for 0 and may wrap a large one. So are more than three arguments.
//   - -n comes before NAME; the original's getopt finds it behind it, too.
//   - --timeout ends a wait for room; the original waits for ever.
//
// # See also
//
// pmsg_send.c beside this file, pmsg_receive, pmsg_create, package mq, mq_send(3),
// mq_overview(7).
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
	"ipcbook/shared/prog"
)

func main() {
	prog.Run(&cli.App{
		Name:      "pmsg_send",
		Usage:     "put a message into a POSIX message queue",
		UsageText: "pmsg_send [-n] [--timeout DURATION] NAME MSG [PRIO]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "n", Usage: "fail if the queue is full"},
			prog.Timeout(),
		},
		Action: run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 2, 3); err != nil {
		return err
	}
	name, msg := c.Args().Get(0), c.Args().Get(1)
	// [1] the priority
	var prio uint64
	if c.NArg() == 3 {
		text := c.Args().Get(2)
		n, err := strconv.ParseInt(strings.TrimLeft(text, " \t\n\v\f\r"), 10, 64)
		if err != nil || n < 0 || n >= mq.PrioMax {
			return prog.Usage(c, "PRIO is %q, want 0 to %d", text, mq.PrioMax-1)
		}
		prio = uint64(n)
	}
	// [2] open the queue for writing
	flags := unix.O_WRONLY
	if c.Bool("n") {
		flags |= unix.O_NONBLOCK
	}
	q, err := mq.Open(name, flags)
	if err != nil {
		return hint(err, name)
	}
	defer q.Close()
	// [3] send the message; a full queue makes us wait here, or fail with -n
	err = q.SendUntil([]byte(msg), uint32(prio), prog.Deadline(c))
	return hint(prog.Waited(c, err, "room in the queue"), name)
}

func hint(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case strings.LastIndexByte(name, '/') != 0:
		return prog.Hint(err, "a queue's name is a slash and up to 255 bytes that are none")
	case errors.Is(err, unix.ENOENT):
		return prog.Hint(err, "pmsg_create -c %s makes it", prog.Word(name))
	case errors.Is(err, unix.EAGAIN):
		return prog.Hint(err, "the queue is full; without -n the program waits")
	case errors.Is(err, unix.EMSGSIZE):
		return prog.Hint(err, "pmsg_getattr %s tells how long a message may be", prog.Word(name))
	}
	return err
}
