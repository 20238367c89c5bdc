// Simple_pipe sends its argument through a pipe to a child, which prints it.
//
// # Usage
//
//	simple_pipe STRING
//
// # What it shows
//
// A pipe joins two related processes. Each closes the end it does not use: only
// when the last write end is closed does the reader see the end of the data, and
// here both the parent's close and its death would do that. The child reads in
// pieces of ten bytes, so that a longer string takes several turns.
//
// # Example
//
//	$ simple_pipe 'It was a bright cold day in April'
//	It was a bright cold day in April
//
// # Differences from the C program
//
//   - The child is this program started again (package reexec), not a fork.
//   - A child that fails makes the parent fail; the original ignores its status.
//
// # See also
//
// simple_pipe.c beside this file, pipe(2), pipe(7), fork(2), and fork_pipe, which
// puts the ends of the pipe in the place of standard input and output.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
)

const bufSize = 10 // small, to show that a reader takes what it can

func main() {
	prog.Run(&cli.App{
		Name:      "simple_pipe",
		Usage:     "send STRING through a pipe to a child, which prints it",
		UsageText: "simple_pipe STRING",
		Action:    run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	if reexec.Role() == "child" {
		return child()
	}
	return parent(c.Args().First())
}

func parent(text string) error {
	// [1] create the pipe
	var pfd [2]int
	if err := unix.Pipe2(pfd[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	r, w := os.NewFile(uintptr(pfd[0]), "pipe"), os.NewFile(uintptr(pfd[1]), "pipe")
	// [2] create the child, which inherits the read end
	child := reexec.Command("child", r)
	if err := child.Start(); err != nil {
		return err
	}
	// [3] close the unused end
	r.Close()
	// [4] write the string; a child that died shows here as EPIPE
	_, werr := io.WriteString(w, text)
	// [5] close the write end: the child sees the end of the data
	w.Close()
	// [6] wait for the child
	if err := child.Wait(); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	return werr
}

func child() error {
	// [7] the child has only the read end: reexec gave it nothing else
	r, err := reexec.File(0, "pipe")
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, bufSize)
	for {
		// [8] read a piece; no bytes means that every write end is closed
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		// [9] pass it on
		if _, err := prog.Stdout.Write(buf[:n]); err != nil {
			return err
		}
	}
	// [10] end the line
	_, err = prog.Stdout.Write([]byte("\n"))
	return err
}
