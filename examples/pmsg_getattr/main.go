// Pmsg_getattr prints the limits of a POSIX message queue and how many messages
// it holds.
//
// # Usage
//
//	pmsg_getattr NAME
//
// # What it shows
//
// The attributes of a queue: two that were fixed when it was made, and one that
// every send and receive changes. The fourth, the flags, belongs to the descriptor
// and not to the queue. One has to open a queue to look at it.
//
// # Example
//
//	$ pmsg_getattr /mq
//	Maximum # of messages on queue:   10
//	Maximum message size:             8192
//	# of messages currently on queue: 2
//
// # Differences from the C program
//
//   - More than one argument is refused, and so is a standard output that fails.
//
// # See also
//
// pmsg_getattr.c beside this file, pmsg_create, package mq, mq_getattr(3),
// mq_overview(7).
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
		Name:      "pmsg_getattr",
		Usage:     "print the attributes of a POSIX message queue",
		UsageText: "pmsg_getattr NAME",
		Action:    run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	name := c.Args().First()
	// [1] open the queue for reading
	q, err := mq.Open(name, unix.O_RDONLY)
	if err != nil {
		return hint(err, name)
	}
	defer q.Close()
	// [2] ask for its attributes
	attr, err := q.Attr()
	if err != nil {
		return err
	}
	// [3] print them
	_, err = fmt.Fprintf(prog.Stdout, "Maximum # of messages on queue:   %d\n"+
		"Maximum message size:             %d\n"+
		"# of messages currently on queue: %d\n",
		attr.MaxMsg, attr.MsgSize, attr.CurMsgs)
	return err
}

func hint(err error, name string) error {
	switch {
	case strings.LastIndexByte(name, '/') != 0:
		return prog.Hint(err, "a queue's name is a slash and up to 255 bytes that are none")
	case errors.Is(err, unix.ENOENT):
		return prog.Hint(err, "pmsg_create -c %s makes it", prog.Word(name))
	}
	return err
}
