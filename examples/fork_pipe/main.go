// Fork_pipe reads a number from a pipe that stands in the place of its standard
// input; a child printed the number to its standard output.
//
// # Usage
//
//	fork_pipe
//
// # What it shows
//
// A pipe can take the place of standard input and output, so that a program which
// only prints and one which only scans work together without knowing of it: this
// is what a shell does for "child | parent". dup2(2) puts an end of the pipe on
// descriptor 0 or 1.
//
// # Example
//
//	$ fork_pipe
//	child sent value = 5000
//
// # Differences from the C program
//
//   - The child is this program started again (package reexec), not a fork. It
//     starts with the write end as its standard output, so that it has no dup2
//     and no close of its own.
//   - The parent waits for the child, and a child that fails makes it fail. The
//     original prints whatever its variable held when no number came.
//   - What was duplicated is closed; the original keeps both descriptors to its end.
//   - A write to standard output that fails is an error.
//   - Arguments are refused; the original ignores them.
//
// # See also
//
// fork_pipe.c beside this file, pipe(2), dup(2), fork(2), scanf(3), and
// simple_pipe, which uses the descriptors of the pipe as they are.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
)

func main() {
	prog.Run(&cli.App{
		Name:      "fork_pipe",
		Usage:     "scan a number that a child prints, through a pipe",
		UsageText: "fork_pipe",
		Action:    run,
	}, 255)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 0); err != nil {
		return err
	}
	if reexec.Role() == "child" {
		return child()
	}
	return parent()
}

func parent() error {
	// [1] create the pipe
	var pfd [2]int
	if err := unix.Pipe2(pfd[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	r, w := os.NewFile(uintptr(pfd[0]), "pipe"), os.NewFile(uintptr(pfd[1]), "pipe")
	// [2] create the child; its standard output is the write end
	child := reexec.Command("child")
	child.Stdout = w
	if err := child.Start(); err != nil {
		return err
	}
	// [3] put the read end in the place of standard input
	duperr := unix.Dup3(pfd[0], 0, 0)
	r.Close()
	// [4] close the unused end, or the scan would wait for more for ever
	w.Close()
	if duperr != nil {
		child.Wait()
		return os.NewSyscallError("dup3", duperr)
	}
	// [5] scan what the child prints
	value, scanerr := scan(bufio.NewReader(prog.Stdin))
	if err := child.Wait(); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	if scanerr != nil {
		return fmt.Errorf("scan standard input: %w", scanerr)
	}
	// [6] print it
	_, err := fmt.Fprintf(prog.Stdout, "child sent value = %d\n", value)
	return err
}

func child() error {
	// [7] standard output is the pipe: reexec started the child with it
	// [8] the child has no read end to close: reexec gave it nothing else
	// [9] print the number
	_, err := fmt.Fprintf(prog.Stdout, "%d\n", 5000)
	return err
}
