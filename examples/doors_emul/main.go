// Doors_emul is a server and a client that meet at a door, the procedure call
// between processes of Solaris.
//
// # Usage
//
//	doors_emul server [PATH]
//	doors_emul client [--timeout DURATION] [PATH] [ID]
//
// The server attaches a door to PATH, by default /tmp/door, prints the argument of
// each call, and goes on until SIGINT or SIGTERM. The client calls the door at PATH
// with ID, by default 12, and prints the result, which is the square of ID.
//
// # What it shows
//
// A door is a procedure with a name in the file system. The client passes a struct
// and gets one back; it sees neither a connection nor messages. The server has no
// loop that reads and answers: it names the procedure and waits, and the calls run
// beside each other. Package door makes that of UNIX domain sockets.
//
// # Example
//
//	$ doors_emul server &
//	$ doors_emul client
//	door called with id = 12
//	result = 144
//
// # Differences from the C program
//
//   - The door is a socket, and its mode is 0666 less the umask: to call it takes
//     permission to write, not to read.
//   - There need be no file at PATH, so none is created. An empty one, as creat(2)
//     makes it, is covered, and is there again when the server has ended.
//   - A door that is attached to PATH already makes room, its server goes on for the
//     clients it has, and what a dead server has left is replaced. Other files,
//     sockets that are no doors, and what belongs to another user are left alone.
//   - The server looks at PATH and its directory before it attaches the door, and
//     locks the directory meanwhile, so that two servers do not remove each other's.
//   - The client asks the server for its version when it opens the door.
//   - When the server ends it takes its door off PATH.
//   - An argument of the wrong size does not reach the procedure: the call fails.
//   - The original's procedure is left to the reader. Here it squares.
//   - Messages about failures go to standard error.
//
// # See also
//
// doors_server.c and doors_client.c beside this file, which speak the same format,
// package door, unix(7), door_create(3C), fattach(3C) and door_call(3C) of Solaris,
// and domain_sock, which has the connection and the messages in view.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
	"ipcbook/shared/prog"
)

const (
	defaultPath = "/tmp/door"
	defaultID   = 12
	argSize     = 4 // struct { int id; }
	resultSize  = 8 // struct { int64_t square; }
)

func main() {
	prog.Run(&cli.App{
		Name:      "doors_emul",
		Usage:     "a server and a client that meet at a door",
		UsageText: "doors_emul server [PATH]\n       doors_emul client [--timeout DURATION] [PATH] [ID]",
		Commands: []*cli.Command{
			{
				Name:      "server",
				Usage:     "attach a door to PATH (" + defaultPath + ") and print what it is called with",
				UsageText: "doors_emul server [PATH]",
				Action:    server,
			},
			{
				Name:      "client",
				Usage:     "call the door at PATH with ID (12) and print the result",
				UsageText: "doors_emul client [--timeout DURATION] [PATH] [ID]",
				Flags:     []cli.Flag{prog.Timeout()},
				Action:    client,
			},
		},
		Action: prog.WantCommand,
	}, 1)
}

func server(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 1); err != nil {
		return err
	}
	path := defaultPath
	if c.NArg() > 0 {
		path = c.Args().First()
	}
	if _, err := prog.Stdout.Write(nil); err != nil { // fails if it is closed
		return err
	}
	// [1] create the door, and say how large an argument is
	failed := make(chan error, 1)
	d, err := door.Create(square, failed, 0)
	if err != nil {
		return err
	}
	defer prog.Cleanup(func() { d.Close() })() // takes it off the path
	if err := errors.Join(d.SetParam(door.DataMax, argSize), d.SetParam(door.DataMin, argSize)); err != nil {
		return err
	}
	// [2] take off what door is attached to the path
	if err := door.Detach(path); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return occupied(err, path)
	}
	// [3] attach the door: from now on clients can call it
	if err := d.Attach(path); err != nil {
		return occupied(err, path)
	}
	// [4] wait; the calls come by themselves
	return <-failed
}

// occupied adds what a person can do about what is at the path.
func occupied(err error, path string) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return prog.Hint(err, "the socket there is in use and no door, another user's, or of a server that is stopped; give another PATH")
	case errors.Is(err, unix.EBUSY):
		return prog.Hint(err, "another server attached its door at the same moment; start this one again to take its place")
	case errors.Is(err, unix.EEXIST):
		return prog.Hint(err, "a file with contents or another kind of file is there; give another PATH")
	case errors.Is(err, unix.EPERM):
		return prog.Hint(err, "%s belongs to another user; give another PATH", path)
	}
	return err
}

// square is the server procedure. The cookie is where it tells of a failure.
func square(call *door.Call, cookie any, arg []byte, _ []*os.File) {
	id := int64(int32(binary.NativeEndian.Uint32(arg)))
	// [5] print the argument
	if _, err := fmt.Fprintf(prog.Stdout, "door called with id = %d\n", id); err != nil {
		select {
		case cookie.(chan error) <- err:
		default: // another call has told already
		}
	}
	// [6] return the result; a client that is gone does not want it
	call.Return(binary.NativeEndian.AppendUint64(nil, uint64(id*id)))
}

func client(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 2); err != nil {
		return err
	}
	path, id := defaultPath, int64(defaultID)
	if c.NArg() > 0 {
		path = c.Args().First()
	}
	if c.NArg() > 1 {
		var err error
		if id, err = strconv.ParseInt(c.Args().Get(1), 10, 32); err != nil {
			return prog.Usage(c, "ID %q: want a whole number of 32 bits", c.Args().Get(1))
		}
	}
	ctx, cancel := prog.Limit(context.Background(), c)
	defer cancel()
	// [7] open the door
	d, err := door.OpenContext(ctx, path)
	if err != nil {
		switch {
		case errors.Is(err, unix.ENOENT):
			err = prog.Hint(err, "no door is there; start a server with: doors_emul server %s", prog.Word(path))
		case errors.Is(err, unix.EBADF):
			err = prog.Hint(err, "that is no door, or its server is gone")
		case c.IsSet("timeout"):
			err = prog.Waited(c, err, "the server at %s", path)
		}
		return err
	}
	// [8] call it: the argument goes in, the result comes out
	arg := door.Arg{Data: binary.NativeEndian.AppendUint32(nil, uint32(id))}
	if err := d.Call(ctx, &arg); err != nil {
		return prog.Waited(c, err, "the result of %s", path)
	}
	if len(arg.Data) != resultSize {
		return fmt.Errorf("door_call %s: result of %d bytes, want %d", path, len(arg.Data), resultSize)
	}
	// [9] print the result
	if _, err := fmt.Fprintf(prog.Stdout, "result = %d\n", int64(binary.NativeEndian.Uint64(arg.Data))); err != nil {
		return err
	}
	// [10] close the door
	return d.Close()
}
