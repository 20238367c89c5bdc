// Mmap_queue passes a hundred messages through a five-slot queue in a mapped file.
//
// # Usage
//
//	mmap_queue producer [--timeout DURATION]
//	mmap_queue consumer [--count N] [--timeout DURATION]
//
// The consumer ends after N messages, which may be 0, and without --count never.
//
// # What it shows
//
// The file shared.dat holds everything the queue needs: the slots, an index, and
// three semaphores. One semaphore is the lock of the index and the slots; one
// counts the messages and stops a consumer of an empty queue, one counts the free
// slots and stops a producer of a full one. The index is that of a stack: what was
// stored last is taken first, so the order of the messages depends on who ran
// when. Each arrives exactly once, whatever the number of consumers.
//
// # Example
//
//	$ mmap_queue producer </dev/null >/dev/null &
//	$ mmap_queue consumer --count 100
//	1: 4
//	2: 3
//	…
//
// # Differences from the C program
//
//   - The original is two programs, producer and consumer; here they are the two
//     commands of one.
//   - The file has 220 bytes instead of 201, so that the fifth slot lies inside.
//   - shared.dat must be a regular file and not a symlink.
//   - A file that the producer has made and cannot finish, because the disk is full or
//     at RLIMIT_FSIZE, is removed again; the original leaves it, too short. One that
//     was there before stays.
//   - Each line is out at once, the producer's too; the original's stdio keeps them
//     when the output is a pipe or a file.
//   - A file that holds no queue is refused; the original crashes or hangs. So are
//     impossible values of the index and the semaphores.
//   - A consumer whose producer starts anew goes on with the new queue, or says
//     that the file was truncated; the original sleeps for ever.
//   - --count ends the consumer, --timeout ends a wait; the original knows neither.
//   - Diagnostics go to standard error, and arguments are refused that the
//     original ignores.
//
// # See also
//
// mmap_queue.c beside this file, package shared (Queue), mmap(2), sem_init(3),
// sem_overview(7).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/prog"
	"ipcbook/shared/shm"
)

const (
	sharedFile = "shared.dat"
	messages   = 100
)

func main() {
	prog.Run(&cli.App{
		Name:      "mmap_queue",
		Usage:     "pass messages through a queue in a mapped file",
		UsageText: "mmap_queue producer [--timeout DURATION]\n       mmap_queue consumer [--count N] [--timeout DURATION]",
		Action:    prog.WantCommand,
		Commands: []*cli.Command{{
			Name:      "producer",
			Usage:     "make the queue and store 100 messages",
			UsageText: "mmap_queue producer [--timeout DURATION]",
			Flags:     []cli.Flag{prog.Timeout()},
			Action:    producer,
		}, {
			Name:      "consumer",
			Usage:     "take messages and print them",
			UsageText: "mmap_queue consumer [--count N] [--timeout DURATION]",
			Flags: []cli.Flag{
				&cli.Uint64Flag{Name: "count", Usage: "end after `N` messages, 0 for none", DefaultText: "go on for ever"},
				prog.Timeout(),
			},
			Action: consumer,
		}},
	}, 255)
}

func producer(c *cli.Context) error {
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
	// [2] make it long enough for the object, and for the slot behind it
	if _, err := fmt.Fprintf(prog.Stdout, "message size = %d\n", shared.QueueSize); err != nil {
		return err
	}
	if _, err := f.Seek(shared.QueueSize, io.SeekStart); err != nil {
		return err
	}
	if _, err := f.Write([]byte{0}); err != nil {
		return err
	}
	if err := shm.Allocate(f, shared.QueueMapSize); err != nil {
		return err
	}
	// [3] map it, shared
	m, err := shm.Map(f, shared.QueueMapSize, shared.QueueMapSize)
	if err != nil {
		return err
	}
	defer m.Close()
	err = m.Guard(func() error {
		// [4] make the queue: semaphores, index, slots
		q, err := shared.QueueAt(m.Bytes)
		if err != nil {
			return err
		}
		if err := q.Init(); err != nil {
			return err
		}
		draft.Whole()
		// [5] store the messages; a full queue makes us wait
		for i := range messages {
			if err := enqueue(c, q, fmt.Appendf(nil, "%d\n", i)); err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
			if _, err := fmt.Fprintf(prog.Stdout, "enqueued %d\n", i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// [6] keep the mapping until a key is pressed
	if _, err := fmt.Fprint(prog.Stdout, "message queue written\n"); err != nil {
		return err
	}
	prog.Stdin.Read(make([]byte, 1)) // or its end, or there is no input, as for getchar
	// [7] unmap
	return m.Close()
}

func consumer(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 0); err != nil {
		return err
	}
	// A message that cannot be printed is better left in the queue.
	if _, err := prog.Stdout.Write(nil); err != nil {
		return err
	}
	// [8] open the producer's file
	f, err := shm.OpenFile(sharedFile, unix.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) {
		return prog.Hint(err, "mmap_queue producer makes it, in the working directory")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// [9] map it, shared; a producer in C leaves the last slot outside of the file
	m, err := shm.Map(f, shared.QueueMapSize, shared.QueueSize)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		q, err := shared.QueueAt(m.Bytes)
		if err != nil {
			return err
		}
		if err := q.Check(); err != nil {
			return fmt.Errorf("%s holds no queue: %w", sharedFile, err)
		}
		// [10] take messages, each printed before the next; an empty queue makes us wait
		limit := c.Uint64("count")
		for count := uint64(1); !c.IsSet("count") || count <= limit; count++ {
			msg, err := dequeue(c, q)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(prog.Stdout, "%d: %s", count, msg); err != nil {
				return fmt.Errorf("message %q was taken and is not printed: %w", msg, err)
			}
		}
		return nil
	})
}

// enqueue and dequeue are whole operations: a signal that ends the program does
// so before or after one, never while it holds the queue's lock.

func enqueue(c *cli.Context, q *shared.Queue, msg []byte) error {
	return prog.HoldSignals(func(ctx context.Context) error {
		ctx, cancel := prog.Limit(ctx, c)
		defer cancel()
		return hint(prog.Waited(c, q.Enqueue(ctx, msg), "a consumer"))
	})
}

func dequeue(c *cli.Context, q *shared.Queue) (msg []byte, err error) {
	var slot [shared.SlotSize]byte
	err = prog.HoldSignals(func(ctx context.Context) error {
		ctx, cancel := prog.Limit(ctx, c)
		defer cancel()
		n, err := q.Dequeue(ctx, &slot)
		msg = slot[:n]
		return hint(prog.Waited(c, err, "a producer"))
	})
	return msg, err
}

func hint(err error) error {
	if errors.Is(err, shared.ErrLocked) {
		return prog.Hint(err, "a producer or a consumer may have been killed with the lock; then: rm %s, and start both again", sharedFile)
	}
	return err
}
