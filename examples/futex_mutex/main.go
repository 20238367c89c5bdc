// Futex_mutex lets several processes count together under a mutex that is one
// word of shared memory.
//
// # Usage
//
//	futex_mutex [--robust] [--procs N] [--iters M]
//	futex_mutex hold [--robust] [--timeout DURATION] FILE DURATION
//	futex_mutex try [--robust] FILE
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
// A process that dies with the lock leaves the word at 1 or 2, and nobody can tell.
// With --robust the word holds the owner's thread id and the kernel is told of it
// (set_robust_list(2)): when the owner dies the next process gets the lock
// together with the news, as EOWNERDEAD, and goes on.
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
//     wait for its lock for ever. The processes end with the program, even of SIGKILL.
//     SIGINT and SIGTERM unlock before they end hold.
//   - FILE must be a regular file and not a symlink.
//   - hold and try know --robust, and hold --timeout; the class of the text has
//     neither.
//
// # See also
//
// futex_mutex.c beside this file, package shared (Mutex), futex(2), futex(7),
// pthread_mutex_lock(3).
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
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
	robust := &cli.BoolFlag{Name: "robust", Usage: "use a robust mutex, which survives the death of its owner"}
	prog.Run(&cli.App{
		Name:  "futex_mutex",
		Usage: "count in several processes under a futex mutex",
		UsageText: "futex_mutex [--robust] [--procs N] [--iters M]\n" +
			"       futex_mutex hold [--robust] [--timeout DURATION] FILE DURATION\n" +
			"       futex_mutex try [--robust] FILE",
		Flags: []cli.Flag{
			robust,
			&cli.IntFlag{Name: "procs", Value: 4, Usage: "number of processes `N`"},
			&cli.Uint64Flag{Name: "iters", Value: 100000, Usage: "additions `M` of each process"},
		},
		Action: count,
		Commands: []*cli.Command{{
			Name:      "hold",
			Usage:     "take the mutex in FILE, print locked, keep it for DURATION",
			UsageText: "futex_mutex hold [--robust] [--timeout DURATION] FILE DURATION",
			Flags:     []cli.Flag{robust, prog.Timeout()},
			Action:    hold,
		}, {
			Name:      "try",
			Usage:     "print acquired, or busy with status 1 if somebody has the mutex in FILE",
			UsageText: "futex_mutex try [--robust] FILE",
			Flags:     []cli.Flag{robust},
			Action:    try,
		}},
	}, 1)
}

func count(c *cli.Context) error {
	if c.NArg() > 0 {
		return prog.WantCommand(c)
	}
	if n := c.Int("procs"); n < 1 || n > maxProcs {
		return prog.Usage(c, "procs is %d, want 1 to %d", n, maxProcs)
	}
	if reexec.Role() == "adder" {
		return add(c.Uint64("iters"), c.Bool("robust"))
	}
	return prog.HoldSignals(func(ctx context.Context) error {
		return spawn(ctx, c.Int("procs"), c.Bool("robust"))
	})
}

// spawn ends the processes when ctx is done, and returns once they have ended.
func spawn(ctx context.Context, procs int, robust bool) error {
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
	// [2] start the processes. They are to die with the parent, even of SIGKILL: nobody
	// would print the total. The kernel means the thread that created them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	started := 0
	for ; started < procs; started++ {
		adder := reexec.CommandContext(ctx, "adder", f)
		adder.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err = adder.Start(); err != nil {
			cancel()
			break
		}
		go func() { ended <- adder.Wait() }()
	}
	// [3] wait for them; one that failed may have died with the lock
	for range started {
		if e := <-ended; e != nil && err == nil {
			err = fmt.Errorf("adder: %w", e)
			if !robust {
				cancel()
			}
		}
	}
	if err != nil {
		return err
	}
	// [4] print the total
	_, err = fmt.Fprintf(prog.Stdout, "%d\n", binary.NativeEndian.Uint64(m.Bytes[totalOffset:]))
	return err
}

func add(iters uint64, robust bool) error {
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
	mutex, err := mutexAt(m.Bytes, robust)
	if err != nil {
		return err
	}
	ctx := context.Background()
	total := m.Bytes[totalOffset:]
	for range iters {
		// [6] lock, add, unlock: a load and a store that nobody may come between
		err := mutex.LockContext(ctx)
		if errors.Is(err, shared.ErrOwnerDead) {
			err = recovered(mutex)
		}
		if err != nil {
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
	name := c.Args().First()
	d, err := time.ParseDuration(c.Args().Get(1))
	if err != nil || d < 0 {
		return prog.Usage(c, "DURATION is %q, want one such as 500ms or 10s", c.Args().Get(1))
	}
	m, mutex, err := mapMutex(name, c.Bool("robust"))
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		// A signal ends the wait but not the program before it has unlocked.
		return prog.HoldSignals(func(ctx context.Context) error {
			// [9] lock
			limited, cancel := prog.Limit(ctx, c)
			defer cancel()
			err := mutex.LockContext(limited)
			if errors.Is(err, shared.ErrOwnerDead) {
				err = recovered(mutex)
			}
			if err != nil {
				return hint(prog.Waited(c, err, "the mutex in %s", name), name, c.Bool("robust"))
			}
			// [10] say so, and keep it
			_, err = fmt.Fprintln(prog.Stdout, "locked")
			if err == nil {
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
			}
			// [11] unlock
			return errors.Join(err, mutex.Unlock())
		})
	})
}

func try(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 1); err != nil {
		return err
	}
	m, mutex, err := mapMutex(c.Args().First(), c.Bool("robust"))
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error {
		// [12] lock if nobody has it, and let it go
		err := prog.HoldSignals(func(context.Context) error {
			err := mutex.TryLock()
			if errors.Is(err, shared.ErrOwnerDead) {
				err = recovered(mutex)
			}
			if err != nil {
				return hint(err, c.Args().First(), c.Bool("robust"))
			}
			return mutex.Unlock()
		})
		if errors.Is(err, unix.EBUSY) {
			if _, err := fmt.Fprintln(prog.Stdout, "busy"); err != nil {
				return err
			}
			return prog.ErrQuiet
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(prog.Stdout, "acquired")
		return err
	})
}

// A locker is what both kinds of mutex have in common.
type locker interface {
	LockContext(context.Context) error
	TryLock() error
	Unlock() error
}

// recovered is called with the lock when its owner has died. There is nothing to
// put right here: the mutex guards no data in FILE, and a counter is either
// raised or not.
func recovered(mutex locker) error {
	fmt.Fprintln(prog.Stderr, "futex_mutex: the owner died with the lock; going on")
	return mutex.(*shared.RobustMutex).Consistent()
}

// hint adds what a person can do about a mutex that nobody unlocks any more.
func hint(err error, name string, robust bool) error {
	switch {
	case errors.Is(err, shared.ErrNotRecoverable):
		return prog.Hint(err, "nobody can lock it any more: rm %s", prog.Word(name))
	case errors.Is(err, unix.ETIMEDOUT) && !robust:
		return prog.Hint(err, "if its owner was killed nobody unlocks it; when no process uses it: rm %s", prog.Word(name))
	}
	return err
}

// mapMutex maps the mutex in a file.
func mapMutex(name string, robust bool) (*shm.Mapping, locker, error) {
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
	kind := uint32(shared.MutexKind)
	if robust {
		kind = shared.RobustMutexKind
	}
	if st.Mode().IsRegular() && st.Size() == 0 {
		// One write of what comes behind the word, which another program that is
		// here too may have locked already.
		rest := make([]byte, shared.PthreadMutexSize-shared.MutexKindOffset)
		binary.NativeEndian.PutUint32(rest, kind)
		if _, err := f.WriteAt(rest, shared.MutexKindOffset); err != nil {
			return nil, nil, err
		}
	}
	// [8] map it
	m, err := shm.Map(f, shared.PthreadMutexSize, shared.PthreadMutexSize)
	if err != nil {
		return nil, nil, err
	}
	var mutex locker
	err = m.Guard(func() (err error) {
		if k := binary.NativeEndian.Uint32(m.Bytes[shared.MutexKindOffset:]); k != kind {
			return prog.Hint(fmt.Errorf("%s: mutex has kind %d, want %d", name, k, kind),
				"%d is a normal shared mutex, %d a robust one, for which --robust is", shared.MutexKind, shared.RobustMutexKind)
		}
		mutex, err = mutexAt(m.Bytes, robust)
		return err
	})
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return m, mutex, nil
}

func mutexAt(mem []byte, robust bool) (locker, error) {
	if robust {
		return shared.RobustMutexAt(mem)
	}
	return shared.MutexAt(mem)
}
