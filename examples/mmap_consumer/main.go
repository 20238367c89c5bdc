// Mmap_consumer maps the file of mmap_producer and prints the string in it.
//
// # Usage
//
//	mmap_consumer
//
// # What it shows
//
// The other half of a shared mapping: the program maps as many bytes as the file
// has and prints those before the first NUL. It does not matter whether the
// producer still runs, nor whether it has stored its data already: nothing in
// the mapping says when it is complete.
//
// # Example
//
//	$ mmap_producer </dev/null >/dev/null
//	$ mmap_consumer
//	Hello World
//
// # Differences from the C program
//
//   - shared.dat must be a regular file and not a symlink; an empty one is
//     refused before it is mapped (the original dies of a signal).
//   - Without a NUL in the file the output ends with the file; the original reads
//     on behind its buffer.
//   - Diagnostics go to standard error; the original prints them on its output.
//   - A write to standard output that fails is an error.
//   - Arguments are refused; the original ignores them.
//
// # See also
//
// mmap_consumer.c beside this file, mmap_producer, mmap(2), fstat(2).
package main

import (
	"bytes"
	"errors"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/shm"
)

const sharedFile = "shared.dat"

func main() {
	prog.Run(&cli.App{
		Name:      "mmap_consumer",
		Usage:     "map shared.dat and print the string in it",
		UsageText: "mmap_consumer",
		Action:    run,
	}, 255)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 0); err != nil {
		return err
	}
	// [1] open the file, for reading and writing as the mapping will be
	f, err := shm.OpenFile(sharedFile, unix.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) {
		return prog.Hint(err, "mmap_producer makes it, in the working directory")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// [2] find out how long it is
	st, err := f.Stat()
	if err != nil {
		return err
	}
	// [3] map all of it, shared; an empty file is refused
	m, err := shm.Map(f, max(int(st.Size()), 1), 1)
	if err != nil {
		return err
	}
	// [4] copy the string out of the shared memory
	var data []byte
	err = m.Guard(func() error {
		before, _, _ := bytes.Cut(m.Bytes, []byte{0})
		data = append(bytes.Clone(before), '\n')
		return nil
	})
	if err != nil {
		return err
	}
	// [5] print it
	if _, err := prog.Stdout.Write(data); err != nil {
		return err
	}
	// [6] unmap
	return m.Close()
}
