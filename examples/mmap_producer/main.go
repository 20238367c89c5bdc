// Mmap_producer maps a file and stores a string in it, for mmap_consumer.
//
// # Usage
//
//	mmap_producer
//
// # What it shows
//
// Two processes that map the same file with MAP_SHARED see the same memory: what
// one stores the other reads, without a system call in between. The file must be
// as long as what is stored, so a byte is written behind the end first. The
// program keeps the file mapped until it reads a byte or the end of its standard
// input, but the data outlives it: they are in the file.
//
// # Example
//
//	$ mmap_producer </dev/null
//	memory mapped. press any key to exit...
//	$ od -c shared.dat
//	0000000   H   e   l   l   o       W   o   r   l   d  \0  \0
//	0000015
//
// # Differences from the C program
//
//   - shared.dat must not be a symlink, and must be a regular file.
//   - A file that the program has made and cannot finish, because the disk is full or
//     at RLIMIT_FSIZE, is removed again; the original leaves it, too short. One that
//     was there before stays.
//   - Diagnostics go to standard error; the original prints them on its output.
//   - The message is out before the program waits, also into a pipe.
//   - A write to standard output that fails is an error.
//   - Arguments are refused; the original ignores them.
//
// # See also
//
// mmap_producer.c beside this file, mmap_consumer, mmap(2), and mmap_queue, which
// adds what this pair lacks: a way to wait for each other.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/shm"
)

const (
	sharedFile = "shared.dat"
	data       = "Hello World\x00"
)

func main() {
	prog.Run(&cli.App{
		Name:      "mmap_producer",
		Usage:     "map shared.dat and store a string in it",
		UsageText: "mmap_producer",
		Action:    run,
	}, 255)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 0); err != nil {
		return err
	}
	// [1] create the file, or empty the one that is there
	f, draft, err := prog.Create(sharedFile, func(flags int) (*os.File, error) {
		return shm.OpenFile(sharedFile, flags|unix.O_RDWR, 0o666)
	})
	if err != nil {
		return err
	}
	defer f.Close()
	defer draft.Discard()
	// [2] make it long enough: write a byte behind the data
	if _, err := f.Seek(int64(len(data)), io.SeekStart); err != nil {
		return err
	}
	if _, err := f.Write([]byte{0}); err != nil {
		return err
	}
	// [3] map it, shared
	m, err := shm.Map(f, len(data), len(data))
	if err != nil {
		return err
	}
	// [4] store the data: from here on every process that maps the file sees them
	err = m.Guard(func() error {
		copy(m.Bytes, data)
		return nil
	})
	if err != nil {
		return err
	}
	draft.Whole()
	// [5] keep the mapping until a key is pressed
	if _, err := fmt.Fprint(prog.Stdout, "memory mapped. press any key to exit...\n"); err != nil {
		return err
	}
	prog.Stdin.Read(make([]byte, 1)) // or its end, or there is no input, as for getchar
	// [6] unmap
	return m.Close()
}
