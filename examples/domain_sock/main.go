// Domain_sock is a server and a client that meet at a UNIX domain socket, a socket
// with a name in the file system.
//
// # Usage
//
//	domain_sock server PATH
//	domain_sock client [--timeout DURATION] PATH
//
// The server creates the socket at PATH, prints what each client sends, answers
// it, and goes on until SIGINT or SIGTERM.
//
// # What it shows
//
// Unlike a pipe or a FIFO, a socket carries bytes in both directions, and each
// client gets a connection of its own. The listening socket has the name; accept(2)
// makes a new one for each connection, and a child process serves it while the
// parent waits for the next.
//
// # Example
//
//	$ domain_sock server /tmp/hello.sock &
//	$ domain_sock client /tmp/hello.sock
//	message from client: hello from a client
//	message from server: hello from server
//
// # Differences from the C program
//
//   - A child is this program started again (package reexec), not a fork. It gets
//     the connection as descriptor 3.
//   - At most 256 children run at a time; further connections wait in the backlog of
//     five, and further clients in connect. Children are reaped.
//   - A client that sends nothing for 5 seconds is dropped; for 1 second if it came
//     when more than half of the children were at work.
//   - Messages are printed as they are, NUL bytes too, where printf's %s stops. Up to
//     255 bytes are printed, where the original reads 256 and then writes behind its
//     buffer; the rest of a longer message is read and dropped. The line is out before
//     the answer is sent.
//   - The socket of a server that has died is replaced, but that of a live server is
//     in use, and what is no socket is left alone; the original removes all of them.
//     Two servers that start at once lock the directory of PATH for that moment.
//   - When the server ends it removes its socket, and its children end with it.
//   - A path of more than 107 bytes is refused. PATH is no format.
//   - A client that gets no answer fails; the original prints an empty one. Messages
//     about failures go to standard error.
//
// # See also
//
// domain_sock.c beside this file, unix(7), socket(2), bind(2), listen(2), accept(2),
// connect(2), and doors_emul, which calls a procedure over such a socket.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
)

const (
	backlog     = 5
	maxChildren = 256
	maxMessage  = 255
	patience    = 5 * time.Second // with a client that sends nothing
	haste       = 1 * time.Second // the same, when there are many
)

func main() {
	prog.Run(&cli.App{
		Name:      "domain_sock",
		Usage:     "a server and a client that meet at a UNIX domain socket",
		UsageText: "domain_sock server PATH\n       domain_sock client [--timeout DURATION] PATH",
		Commands: []*cli.Command{
			{
				Name:      "server",
				Usage:     "create a socket at PATH, print what clients send, and answer",
				UsageText: "domain_sock server PATH",
				Action:    server,
			},
			{
				Name:      "client",
				Usage:     "send a message to the server at PATH and print the answer",
				UsageText: "domain_sock client [--timeout DURATION] PATH",
				Flags:     []cli.Flag{prog.Timeout()},
				Action:    client,
			},
		},
		Action: prog.WantCommand,
	}, 255)
}

func server(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	switch reexec.Role() {
	case "connection":
		return serve(patience)
	case "hasty":
		return serve(haste)
	}
	return listen(c.Args().First())
}

func listen(path string) error {
	address, err := sockaddr(path)
	if err != nil {
		return err
	}
	if _, err := prog.Stdout.Write(nil); err != nil { // fails if it is closed
		return err
	}
	// [1] create the socket
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	// [2] take away what a dead server has left at the path
	remove, err := claim(path, func() error {
		// [3] give the socket its name
		if err := unix.Bind(fd, address); err != nil {
			return &fs.PathError{Op: "bind", Path: path, Err: err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer remove()
	// [4] let clients connect
	if err := unix.Listen(fd, backlog); err != nil {
		return &fs.PathError{Op: "listen", Path: path, Err: err}
	}
	children := newChildren(maxChildren)
	defer prog.Cleanup(children.end)()
	short := false // of descriptors or memory
	for {
		// [5] wait for a connection
		children.waitForRoom()
		connfd, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		switch {
		case err == unix.EINTR || err == unix.ECONNABORTED:
			continue
		case scarce(err):
			if !short {
				report("accept", err) // once for each time
				short = true
			}
			moment()
			continue
		case err != nil:
			return &fs.PathError{Op: "accept", Path: path, Err: err}
		}
		short = false
		conn := os.NewFile(uintptr(connfd), "connection")
		// [6] create a child, which inherits the connection
		if err := children.start(conn); err != nil {
			report("create a child", err)
		}
		// [7] close the parent's copy
		conn.Close()
	}
}

// serve is the child's part: it serves one connection.
func serve(patience time.Duration) error {
	// [8] the child has the connection and nothing else: reexec gave it no more
	conn, err := reexec.File(0, "connection")
	if err != nil {
		return err
	}
	fd := int(conn.Fd())
	// [9] read the message
	buf := make([]byte, maxMessage)
	n := 0
	err = within(fd, unix.SO_RCVTIMEO, time.Now().Add(patience), func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	if err == unix.ETIMEDOUT {
		return fmt.Errorf("dropped a client that sent nothing for %v: %w", patience, err)
	}
	if err != nil {
		return &fs.PathError{Op: "read", Path: conn.Name(), Err: err}
	}
	// [10] print it, in one write, so that no other child's line gets in between
	_, printErr := fmt.Fprintf(prog.Stdout, "message from client: %s\n", buf[:n])
	// [11] answer, even if nobody can see the message
	if _, err := io.WriteString(conn, "hello from server"); err != nil {
		return errors.Join(printErr, err)
	}
	// [12] close the connection, once the rest of a longer message has come in: with
	// data unread, the client would see it as reset
	if n == maxMessage {
		drain(fd, patience)
	}
	return errors.Join(printErr, conn.Close())
}

func client(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	path := c.Args().First()
	address, err := sockaddr(path)
	if err != nil {
		return err
	}
	// [13] create the socket
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	// [14] connect it to the server; this waits while the backlog is full
	err = within(fd, unix.SO_SNDTIMEO, prog.Deadline(c), func() error {
		return unix.Connect(fd, address)
	})
	if err != nil {
		err = &fs.PathError{Op: "connect", Path: path, Err: err}
		if errors.Is(err, unix.ECONNREFUSED) && isSocket(path) || errors.Is(err, unix.ENOENT) {
			err = prog.Hint(err, "no server is there; start one with: domain_sock server %s", prog.Word(path))
		}
		return prog.Waited(c, err, "the server to accept")
	}
	// [15] send the message
	err = within(fd, unix.SO_SNDTIMEO, prog.Deadline(c), func() error {
		_, err := unix.Write(fd, []byte("hello from a client"))
		return err
	})
	if err != nil {
		return prog.Waited(c, &fs.PathError{Op: "write", Path: path, Err: err}, "the server to read")
	}
	// [16] read the answer
	buf := make([]byte, maxMessage)
	n := 0
	err = within(fd, unix.SO_RCVTIMEO, prog.Deadline(c), func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("the server closed the connection without an answer: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return prog.Waited(c, &fs.PathError{Op: "read", Path: path, Err: err}, "an answer")
	}
	// [17] print it
	if _, err := fmt.Fprintf(prog.Stdout, "message from server: %s\n", buf[:n]); err != nil {
		return err
	}
	// [18] close the connection
	return os.NewSyscallError("close", unix.Close(fd))
}
