// Pmsg_unlink removes the name of a POSIX message queue.
//
// # Usage
//
//	pmsg_unlink NAME
//
// # What it shows
//
// Unlinking removes the name at once. Processes that have the queue open go on
// using it, and the kernel frees it, with the messages in it, when the last of
// them closes it. A queue of the same name made meanwhile is another one.
//
// # Example
//
//	$ pmsg_unlink /mq
//	$ pmsg_getattr /mq
//	pmsg_getattr: mq_open /mq: no such file or directory
//	hint: pmsg_create -c /mq makes it
//
// # Differences from the C program
//
//   - More than one argument is refused.
//
// # See also
//
// pmsg_unlink.c beside this file, pmsg_create, package mq, mq_unlink(3),
// mq_overview(7).
package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"ipcbook/shared/mq"
	"ipcbook/shared/prog"
)

func main() {
	prog.Run(&cli.App{
		Name:      "pmsg_unlink",
		Usage:     "remove the name of a POSIX message queue",
		UsageText: "pmsg_unlink NAME",
		Action:    run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	name := c.Args().First()
	// [1] remove the name
	err := mq.Unlink(name)
	if err != nil && strings.LastIndexByte(name, '/') != 0 {
		return prog.Hint(err, "a queue's name is a slash and up to 255 bytes that are none")
	}
	return err
}
