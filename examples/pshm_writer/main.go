// Pshm_writer copies its standard input into shared memory, turn by turn, for
// pshm_reader.
//
// # Usage
//
//	pshm_writer [--timeout DURATION] [NAME]
//
// NAME is the shared memory object, /pshm_xfr by default.
//
// # What it shows
//
// Shared memory needs synchronisation. Here two semaphores in the object itself
// make writer and reader take turns: each waits for its own and posts the
// other's. The end of the data is a turn of 0 bytes; then the reader posts once
// more, and the writer knows that nobody uses the object and removes it.
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
//   - The object can be named, and an error or a signal removes it. The mapping is
//     removed too after an error; the original leaves that to the exit.
//   - Its memory is allocated before it is mapped: a full /dev/shm is an error,
//     where the original dies of SIGBUS.
//   - The counts are 64 bits wide.
//   - A pshm_reader of this suite that cannot go on says so, and the writer ends.
//   - --timeout ends a wait for the reader; the original waits for ever.
//   - The summary goes to standard error, as the reader's must.
//
// # See also
//
// pshm_writer.c beside this file, pshm_reader, package shared (Transfer),
// shm_overview(7), sem_overview(7).
package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/prog"
	"ipcbook/shared/shm"
)

const (
	defaultName = "/pshm_xfr"
	objPerms    = 0o660
)

func main() {
	prog.Run(&cli.App{
		Name:      "pshm_writer",
		Usage:     "copy standard input into shared memory, for pshm_reader",
		UsageText: "pshm_writer [--timeout DURATION] [NAME]",
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
	// [1] create the object; one that exists may be in use
	f, err := shm.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, objPerms)
	if errors.Is(err, unix.EEXIST) {
		return prog.Hint(err, "another writer uses it, or one was killed; then: rm /dev/shm/%s", prog.Word(strings.TrimLeft(name, "/")))
	}
	if errors.Is(err, unix.EINVAL) {
		return prog.Hint(err, "NAME is a slash and up to 255 bytes that are none")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// [2] remove it in the end, however the program ends
	unlink := prog.Cleanup(func() { shm.Unlink(name) })
	defer unlink()
	// [3] give it its size, and memory
	if err := shm.Allocate(f, shared.TransferSize); err != nil {
		return err
	}
	// [4] map it
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
		// [5] initialise the semaphores: the writer has the first turn
		if err := shmp.Init(); err != nil {
			return err
		}
		return write(c, shmp)
	})
}

func write(c *cli.Context, shmp *shared.Transfer) error {
	var bytes, xfrs int64
	for ; ; xfrs++ {
		// [6] wait for our turn
		if err := turn(c, shmp); err != nil {
			return err
		}
		// [7] fill the buffer
		n, err := prog.Stdin.Read(shmp.Buf)
		if err != nil && err != io.EOF {
			shmp.SetCnt(0) // the reader has all that there is
			shmp.Rsem.Post()
			return err
		}
		shmp.SetCnt(n)
		// [8] give the reader a turn
		if err := shmp.Rsem.Post(); err != nil {
			return fmt.Errorf("semaphore rsem: %w", err)
		}
		// [9] a turn of 0 bytes was the end of the data
		if n == 0 {
			break
		}
		bytes += int64(n)
	}
	// [10] wait for the reader to finish
	if err := turn(c, shmp); err != nil {
		return err
	}
	fmt.Fprintf(prog.Stderr, "Sent %d bytes (%d xfrs)\n", bytes, xfrs)
	return nil
}

// turn waits for the writer's turn.
func turn(c *cli.Context, shmp *shared.Transfer) error {
	err := shmp.Wsem.WaitUntil(prog.Deadline(c))
	if err == unix.ETIMEDOUT {
		return prog.Waited(c, err, "the reader (semaphore wsem)")
	}
	if err != nil {
		return fmt.Errorf("semaphore wsem: %w", err)
	}
	if shmp.ReaderGaveUp() {
		shmp.SetCnt(0)
		shmp.Rsem.Post() // it waits for the end
		return errors.New("the reader gave up")
	}
	return nil
}
