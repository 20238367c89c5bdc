// Pmsg_receive takes a message from a POSIX message queue and prints it.
//
// # Usage
//
//	pmsg_receive [-n] [--timeout DURATION] NAME
//
// NAME is the queue. With -n an empty queue is an error; without, pmsg_receive
// waits for a message.
//
// # What it shows
//
// A receiver gets one whole message, the oldest of those with the highest
// priority. It must offer a buffer for the longest message that the queue allows,
// so it asks the queue for that length first.
//
// # Example
//
//	$ pmsg_receive /mq
//	Read 10 bytes; priority = 7
//	in a hurry
//
// # Differences from the C program
//
//   - A message is not taken if standard output is closed. If it was taken and
//     cannot be printed, its bytes go to standard error, quoted, and the program
//     fails; the original loses them and succeeds.
//   - Into a pipe the original writes the first line last, as stdio does.
//   - -n comes before NAME; the original's getopt finds it behind it, too.
//   - --timeout ends a wait for a message; the original waits for ever.
//
// # See also
//
// pmsg_receive.c beside this file, pmsg_send, pmsg_create, package mq,
// mq_receive(3), mq_overview(7).
package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
	"ipcbook/shared/prog"
)

func main() {
	prog.Run(&cli.App{
		Name:      "pmsg_receive",
		Usage:     "take a message from a POSIX message queue and print it",
		UsageText: "pmsg_receive [-n] [--timeout DURATION] NAME",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "n", Usage: "fail if the queue is empty"},
			prog.Timeout(),
		},
		Action: run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	name := c.Args().First()
	// [1] open the queue for reading
	flags := unix.O_RDONLY
	if c.Bool("n") {
		flags |= unix.O_NONBLOCK
	}
	q, err := mq.Open(name, flags)
	if err != nil {
		return hint(err, name)
	}
	defer q.Close()
	// [2] ask for the length of the longest message, and make room for it
	attr, err := q.Attr()
	if err != nil {
		return err
	}
	buf := make([]byte, attr.MsgSize)
	// [3] what cannot be printed is better left in the queue
	if _, err := prog.Stdout.Write(nil); err != nil {
		return err
	}
	// [4] receive; an empty queue makes us wait here, or fail with -n
	n, prio, err := q.ReceiveUntil(buf, prog.Deadline(c))
	if err != nil {
		return hint(prog.Waited(c, err, "a message"), name)
	}
	// [5] print the message
	if err := show(buf[:n], prio); err != nil {
		// [6] nobody else has it any more: say what it was
		fmt.Fprintf(prog.Stderr, "pmsg_receive: a message of %d bytes, priority %d, was taken and not printed: %q\n", n, prio, buf[:n])
		return err
	}
	return nil
}

func show(msg []byte, prio uint32) error {
	if _, err := fmt.Fprintf(prog.Stdout, "Read %d bytes; priority = %d\n", len(msg), prio); err != nil {
		return err
	}
	if _, err := prog.Stdout.Write(msg); err != nil {
		return err
	}
	_, err := prog.Stdout.Write([]byte("\n"))
	return err
}

func hint(err error, name string) error {
	switch {
	case strings.LastIndexByte(name, '/') != 0:
		return prog.Hint(err, "a queue's name is a slash and up to 255 bytes that are none")
	case errors.Is(err, unix.ENOENT):
		return prog.Hint(err, "pmsg_create -c %s makes it", prog.Word(name))
	case errors.Is(err, unix.EAGAIN):
		return prog.Hint(err, "the queue is empty; without -n the program waits")
	}
	return err
}
