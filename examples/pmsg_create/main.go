// Pmsg_create makes a POSIX message queue, or opens one that exists.
//
// # Usage
//
//	pmsg_create [-cx] [-m MAXMSG] [-s MSGSIZE] NAME [OCTAL-PERMS]
//
// NAME is a slash and up to 255 bytes that are none. OCTAL-PERMS is the
// permission of a new queue, less the umask; 600 by default. Options:
//
//	-c          create the queue if it does not exist (O_CREAT)
//	-x          with -c, fail if it exists (O_EXCL)
//	-m MAXMSG   the queue holds at most MAXMSG messages; 10 if only -s is given
//	-s MSGSIZE  of at most MSGSIZE bytes each; 2048 if only -m is given
//
// They may be joined as getopt(3) allows it: -cxm5 is -c -x -m 5.
//
// # What it shows
//
// A message queue is an object of the kernel. It has a name and stays until
// somebody unlinks it, whether a process has it open or not. Its limits are fixed
// when it is made: without -m and -s the kernel chooses them, and a queue that
// exists keeps its own.
//
// # Example
//
//	$ pmsg_create -cx -m 5 -s 100 /mq
//	$ pmsg_getattr /mq
//	Maximum # of messages on queue:   5
//	Maximum message size:             100
//	# of messages currently on queue: 0
//
// # Differences from the C program
//
//   - MAXMSG and MSGSIZE must be numbers; the original's atoi takes "5x" for 5 and
//     "x" for 0. OCTAL-PERMS must be from 0 to 7777. More arguments than two are
//     refused.
//   - Options come before NAME; the original's getopt finds them behind it, too.
//
// # See also
//
// pmsg_create.c beside this file, pmsg_send, pmsg_receive, pmsg_getattr,
// pmsg_unlink, package mq, mq_open(3), mq_overview(7).
package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
	"ipcbook/shared/prog"
)

func main() {
	prog.Run(&cli.App{
		Name:      "pmsg_create",
		Usage:     "make a POSIX message queue",
		UsageText: "pmsg_create [-cx] [-m MAXMSG] [-s MSGSIZE] NAME [OCTAL-PERMS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "c", Usage: "create the queue if it does not exist"},
			&cli.BoolFlag{Name: "x", Usage: "with -c, fail if the queue exists"},
			&cli.StringFlag{Name: "m", Usage: "the queue holds at most `MAXMSG` messages"},
			&cli.StringFlag{Name: "s", Usage: "a message has at most `MSGSIZE` bytes"},
		},
		Action: run,
	}, 1)
}

func run(c *cli.Context) error {
	err := prog.NArgs(c, 1, 2)
	if err != nil {
		return err
	}
	name := c.Args().First()
	// [1] the limits: without -m and -s none, and one alone brings the other's default
	var attr *mq.Attr
	if c.IsSet("m") || c.IsSet("s") {
		attr = &mq.Attr{MaxMsg: 10, MsgSize: 2048}
		if c.IsSet("m") {
			if attr.MaxMsg, err = number(c.String("m"), 10); err != nil {
				return prog.Usage(c, "MAXMSG %v", err)
			}
		}
		if c.IsSet("s") {
			if attr.MsgSize, err = number(c.String("s"), 10); err != nil {
				return prog.Usage(c, "MSGSIZE %v", err)
			}
		}
	}
	// [2] the permissions
	perms := int64(0o600)
	if c.NArg() == 2 {
		perms, err = number(c.Args().Get(1), 8)
		if err == nil && (perms < 0 || perms > 0o7777) {
			err = fmt.Errorf("is %o, want 0 to 7777", perms)
		}
		if err != nil {
			return prog.Usage(c, "OCTAL-PERMS %v", err)
		}
	}
	// [3] open the queue for reading and writing; -c creates it
	flags := unix.O_RDWR
	if c.Bool("x") {
		flags |= unix.O_EXCL
	}
	var q *mq.Queue
	if c.Bool("c") {
		q, err = mq.Create(name, flags, uint32(perms), attr)
	} else {
		q, err = mq.Open(name, flags)
	}
	if err != nil {
		return hint(err, name)
	}
	// [4] close it: the queue stays
	return q.Close()
}

// number takes what strtol(3) takes whole. The kernel judges whether a limit is too
// small or too large.
func number(text string, base int) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimLeft(text, " \t\n\v\f\r"), base, 64)
	if err != nil {
		want := "a number"
		if base == 8 {
			want = "an octal number"
		}
		return 0, fmt.Errorf("is %q, want %s", text, want)
	}
	return n, nil
}

func hint(err error, name string) error {
	switch {
	case strings.LastIndexByte(name, '/') != 0:
		return prog.Hint(err, "a queue's name is a slash and up to 255 bytes that are none")
	case errors.Is(err, unix.EEXIST):
		return prog.Hint(err, "pmsg_unlink %s removes it", prog.Word(name))
	case errors.Is(err, unix.ENOENT) && len(name) > 1:
		return prog.Hint(err, "-c creates it")
	case errors.Is(err, unix.EINVAL):
		return prog.Hint(err, "MAXMSG is 1 to msg_max and MSGSIZE 1 to msgsize_max: see /proc/sys/fs/mqueue")
	case errors.Is(err, unix.EMFILE):
		return prog.Hint(err, "your queues take more than RLIMIT_MSGQUEUE bytes: unlink some, make this one smaller, or raise ulimit -q; or no descriptor is left (RLIMIT_NOFILE, ulimit -n)")
	case errors.Is(err, unix.ENOSPC):
		return prog.Hint(err, "there are queues_max queues already: see /proc/sys/fs/mqueue")
	}
	return err
}
