// Pshm_reader copies what pshm_writer puts into shared memory to its standard
// output.
//
// # Usage
//
//	pshm_reader [--timeout DURATION] [NAME]
//
// NAME is the shared memory object, /pshm_xfr by default.
//
// # What it shows
//
// The other half of taking turns: wait for the reader's semaphore, use the
// buffer, post the writer's. What the writer left in the buffer stays there until
// that post, so it can be written out without a copy.
//
// # Example
//
//	$ pshm_writer <novel.txt &
//	$ pshm_reader >copy.txt
//	Received 1048576 bytes (1024 xfrs)
//	Sent 1048576 bytes (1024 xfrs)
//
// # Differences from the C program
//
//   - The object can be named. One that is too short or not yet initialised is
//     refused; the original crashes or hangs.
//   - A count outside of the buffer is refused; the original reads past it.
//   - If the output fails the reader still takes its turns, so that the writer
//     ends too; the original's writer sleeps for ever.
//   - A signal that ends the reader ends a pshm_writer of this suite too. One that
//     waits for its input at that moment does not hear of it: it needs a --timeout,
//     or a signal of its own.
//   - The counts are 64 bits wide.
//   - --timeout ends a wait for the writer; the original waits for ever.
//
// # See also
//
// pshm_reader.c beside this file, pshm_writer, package shared (Transfer),
// shm_overview(7), sem_overview(7).
package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/prog"
	"ipcbook/shared/shm"
)

const defaultName = "/pshm_xfr"

func main() {
	prog.Run(&cli.App{
		Name:      "pshm_reader",
		Usage:     "copy what pshm_writer puts into shared memory to standard output",
		UsageText: "pshm_reader [--timeout DURATION] [NAME]",
		Flags:     []cli.Flag{prog.Timeout()},
		Action:    run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 1); err != nil {
		return err
	}
	name := defaultName
	if c.NArg() == 1 {
		name = c.Args().First()
	}
	// [1] open the writer's object
	f, err := shm.Open(name, unix.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) {
		return prog.Hint(err, "start pshm_writer first")
	}
	if errors.Is(err, unix.EINVAL) {
		return prog.Hint(err, "NAME is a slash and up to 255 bytes that are none")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// [2] map it
	m, err := shm.Map(f, shared.TransferSize, shared.TransferSize)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		shmp, err := shared.TransferAt(m.Bytes)
		if err != nil {
			return err
		}
		if err := shmp.Check(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t := &turns{m: m, shmp: shmp}
		defer prog.Cleanup(t.giveUp)()
		defer t.end()
		return read(c, shmp, t)
	})
}

func read(c *cli.Context, shmp *shared.Transfer, t *turns) error {
	var bytes, xfrs int64
	var failed error
	for ; ; xfrs++ {
		// [3] wait for our turn
		err := shmp.Rsem.WaitUntil(prog.Deadline(c))
		if err == unix.ETIMEDOUT {
			return errors.Join(failed, prog.Waited(c, err, "the writer (semaphore rsem)"))
		}
		if err != nil {
			return errors.Join(failed, fmt.Errorf("semaphore rsem: %w", err))
		}
		t.begin()
		// [4] a turn of 0 bytes is the end of the data
		n, err := shmp.Cnt()
		if err != nil {
			shmp.GiveUp()
			t.over(shmp.Wsem.Post)
			return err
		}
		if n == 0 {
			break
		}
		bytes += int64(n)
		// [5] write out what is in the buffer; after a failure only take the turns
		if failed == nil {
			_, failed = prog.Stdout.Write(shmp.Buf[:n])
		}
		if failed != nil {
			shmp.GiveUp()
		}
		// [6] give the writer a turn
		if err := t.over(shmp.Wsem.Post); err != nil {
			return errors.Join(failed, fmt.Errorf("semaphore wsem: %w", err))
		}
	}
	// [7] let the writer know that we are finished
	if err := t.over(shmp.Wsem.Post); err != nil {
		return errors.Join(failed, fmt.Errorf("semaphore wsem: %w", err))
	}
	if failed != nil {
		return failed
	}
	fmt.Fprintf(prog.Stderr, "Received %d bytes (%d xfrs)\n", bytes, xfrs)
	return nil
}
