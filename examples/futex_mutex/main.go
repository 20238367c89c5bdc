// Futex_mutex lets several processes count together under a mutex that is one
// word of shared memory.
//
// # Usage
//
//	futex_mutex [--procs N] [--iters M]
//	futex_mutex hold [--timeout DURATION] FILE DURATION
//	futex_mutex try FILE
//
// # What it shows
//
// The mutex is a word that is 0, 1 or 2: free, held, held with waiters. Locking a
// free one and unlocking one that nobody waits for is a single atomic instruction;
// only who must wait, and who must wake a waiter, calls the kernel (futex(2)).
//
// Without a command, N processes add 1 to the same counter M times each, every
// time under the mutex. The total is N·M; without the mutex it would be less.
// hold takes the mutex in FILE and keeps it for a time; try tells whether
// somebody has it. FILE is made if need be, as a pthread_mutex_t, so that a C
// program can map the same file and use pthread_mutex_lock(3) on it.
//
// # Example
//
//	$ futex_mutex --procs 4 --iters 100000
//	400000
//	$ futex_mutex hold /tmp/mutex 10s &
//	locked
//	$ futex_mutex try /tmp/mutex
//	busy
//
// # Differences from the C program
//
//   - The processes are this program started again (package reexec), not forks, so
//     the memory they share is a memfd that they inherit and not anonymous.
//   - Before it sleeps a process looks at the word a few more times.
//   - A process that dies makes the program end with a message; in C the others
//     wait for its lock for ever.
//
// # See also
//
// futex_mutex.c beside this file, package shared (Mutex), futex(2), futex(7),
// pthread_mutex_lock(3).
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
	"ipcbook/shared/shm"
)

// What the processes map: struct counter of shared.h.
const (
	totalOffset = shared.PthreadMutexSize
	counterSize = totalOffset + 8
)

// maxProcs keeps a slip of the finger from taking the machine down.
const maxProcs = 1000

func main() {
	prog.Run(&cli.App{
		Name:      "futex_mutex",
		Usage:     "count in several processes under a futex mutex",
		UsageText: "futex_mutex [--procs N] [--iters M] | hold FILE DURATION | try FILE",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "procs", Value: 4, Usage: "number of processes `N`"},
			&cli.Uint64Flag{Name: "iters", Value: 100000, Usage: "additions `M` of each process"},
		},
		Action: count,
		Commands: []*cli.Command{{
			Name:      "hold",
			Usage:     "take the mutex in FILE, print locked, keep it for DURATION",
			UsageText: "futex_mutex hold [--timeout DURATION] FILE DURATION",
			Flags:     []cli.Flag{prog.Timeout()},
			Action:    hold,
		}, {
			Name:      "try",
			Usage:     "print acquired, or busy with status 1 if somebody has the mutex in FILE",
			UsageText: "futex_mutex try FILE",
			Action:    try,
		}},
	}, 1)
}

func count(c *cli.Context) error {
	if c.NArg() > 0 {
		return prog.Usage(c, "no command %q", c.Args().First())
	}
	if n := c.Int("procs"); n < 1 || n > maxProcs {
		return prog.Usage(c, "procs is %d, want 1 to %d", n, maxProcs)
	}
	if reexec.Role() == "adder" {
		return add(c.Uint64("iters"))
	}
	return spawn(c.Int("procs"))
}

func spawn(procs int) error {
	// [1] make the memory that the processes share: mutex and counter, all zero
	fd, err := unix.MemfdCreate("counter", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "counter")
	defer f.Close()
	if err := shm.Allocate(f, counterSize); err != nil {
		return err
	}
	m, err := shm.Map(f, counterSize, counterSize)
	if err != nil {
		return err
	}
	defer m.Close()
	// [2] start the processes; if we are told to end, so are they
	ended := make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	defer prog.Cleanup(cancel)()
	started := 0
	for ; started < procs && err == nil; started++ {
		adder := reexec.CommandContext(ctx, "adder", f)
		if err = adder.Start(); err != nil {
			break
		}
		go func() { ended <- adder.Wait() }()
	}
	// [3] wait for them; one that failed may have died with the lock
	for range started {
		if e := <-ended; e != nil && err == nil {
			err = fmt.Errorf("adder: %w", e)
		}
		if err != nil {
			cancel()
		}
	}
	if err != nil {
		return err
	}
	// [4] print the total
	_, err = fmt.Fprintf(prog.Stdout, "%d\n", binary.NativeEndian.Uint64(m.Bytes[totalOffset:]))
	return err
}

func add(iters uint64) error {
	// [5] map the counter that the parent gave us
	f, err := reexec.File(0, "counter")
	if err != nil {
		return err
	}
	m, err := shm.Map(f, counterSize, counterSize)
	if err != nil {
		return err
	}
	defer m.Close()
	mutex, err := shared.MutexAt(m.Bytes)
	if err != nil {
		return err
	}
	total := m.Bytes[totalOffset:]
	for range iters {
		// [6] lock, add, unlock: a load and a store that nobody may come between
		if err := mutex.Lock(); err != nil {
			return err
		}
		binary.NativeEndian.PutUint64(total, binary.NativeEndian.Uint64(total)+1)
		if err := mutex.Unlock(); err != nil {
			return err
		}
	}
	return nil
}

func hold(c *cli.Context) error {
	if err := prog.NArgs(c, 2, 2); err != nil {
		return err
	}
	d, err := time.ParseDuration(c.Args().Get(1))
	if err != nil || d < 0 {
		return prog.Usage(c, "DURATION is %q, want one such as 500ms or 10s", c.Args().Get(1))
	}
	m, mutex, err := mapMutex(c.Args().First())
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		// [9] lock; from here on a signal must not end us without unlocking
		var unlock func()
		err := prog.HoldSignals(func(ctx context.Context) error {
			ctx, cancel := prog.Limit(ctx, c)
			defer cancel()
			if err := mutex.LockContext(ctx); err != nil {
				return prog.Waited(c, err, "the mutex in %s", c.Args().First())
			}
			unlock = prog.Cleanup(func() { mutex.Unlock() })
			return nil
		})
		if err != nil {
			return err
		}
		defer unlock()
		// [10] say so, and keep it
		if _, err := fmt.Fprintln(prog.Stdout, "locked"); err != nil {
			return err
		}
		time.Sleep(d)
		// [11] unlock
		return nil
	})
}

func try(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	m, mutex, err := mapMutex(c.Args().First())
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		// [12] lock if nobody has it, and let it go
		acquired := false
		err := prog.HoldSignals(func(context.Context) (err error) {
			if acquired = mutex.TryLock(); acquired {
				err = mutex.Unlock()
			}
			return err
		})
		if err != nil {
			return err
		}
		if !acquired {
			if _, err := fmt.Fprintln(prog.Stdout, "busy"); err != nil {
				return err
			}
			return prog.Quiet
		}
		_, err = fmt.Fprintln(prog.Stdout, "acquired")
		return err
	})
}

// mapMutex maps the mutex in a file.
func mapMutex(name string) (*shm.Mapping, *shared.Mutex, error) {
	// [7] open the file; a new one becomes an unlocked pthread_mutex_t
	f, err := shm.OpenFile(name, unix.O_RDWR|unix.O_CREAT, 0o666)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if st.Mode().IsRegular() && st.Size() == 0 {
		// Two programs may both come here: they write the same.
		kind := binary.NativeEndian.AppendUint32(nil, shared.MutexKind)
		if _, err := f.WriteAt(kind, shared.MutexKindOffset); err != nil {
			return nil, nil, err
		}
		if err := shm.Allocate(f, shared.PthreadMutexSize); err != nil {
			return nil, nil, err
		}
	}
	// [8] map it
	m, err := shm.Map(f, shared.MutexSize, shared.MutexSize)
	if err != nil {
		return nil, nil, err
	}
	mutex, err := shared.MutexAt(m.Bytes)
	return m, mutex, err
}
