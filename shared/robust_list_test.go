package shared

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/ctest"
	"ipcbook/shared/internal/proctest"
)

// The main goroutine keeps to the main thread, whose id is the process's, so that
// the tests know who owns what a role has locked. In a role it is too late for
// that: the main goroutine may have moved by then.
func init() { runtime.LockOSThread() }

// robustPeer is testdata/robust_peer.c in Go. Besides, it has the file mapped a
// second time, where "x" before an offset is, until "unmap", and "wait OFF MS" is
// LockContext. All of them run on the main thread, which owns its mutexes.
func robustPeer(args []string) error {
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	twice, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := append(strings.Fields(in.Text()), "0", "0")
		n, _ := strconv.Atoi(f[2])
		where, digits := mem, f[1]
		if rest, ok := strings.CutPrefix(f[1], "x"); ok {
			where, digits = twice, rest
		}
		off, err := strconv.Atoi(digits)
		if err != nil {
			return err
		}
		if f[0] == "unmap" {
			fmt.Println(answer("", unix.Munmap(twice)))
			continue
		}
		m, err := RobustMutexAt(where[off:])
		if err != nil {
			return err
		}
		switch f[0] {
		case "layout":
			robustLayout()
			continue
		case "init":
			m.Init()
		case "lock":
			err = m.Lock()
		case "try":
			err = m.TryLock()
		case "wait":
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n)*time.Millisecond)
			err = m.LockContext(ctx)
			cancel()
		case "unlock":
			err = m.Unlock()
		case "consistent":
			err = m.Consistent()
		case "count":
			total := mem[off+PthreadMutexSize:]
			for i := 0; i < n && err == nil; i++ {
				if err = m.Lock(); errors.Is(err, ErrOwnerDead) {
					err = m.Consistent()
				}
				if err == nil {
					binary.NativeEndian.PutUint64(total, binary.NativeEndian.Uint64(total)+1)
					err = m.Unlock()
				}
			}
		default:
			err = fmt.Errorf("? %s", in.Text())
		}
		if errors.Is(err, ErrCorrupt) {
			fmt.Println("corrupt")
			continue
		}
		fmt.Println(answer("", err))
	}
	return in.Err()
}

// robustLayout prints what robust_peer.c prints, of our structs.
func robustLayout() {
	m, head := reflect.TypeFor[robustT](), reflect.TypeFor[robustHead]()
	at := func(t reflect.Type, field string) uintptr {
		f, ok := t.FieldByName(field)
		if !ok {
			panic(field)
		}
		return f.Offset
	}
	fmt.Printf("mutex %d align %d lock %d count %d owner %d nusers %d kind %d prev %d next %d\n", m.Size(), m.Align(),
		at(m, "lock"), at(m, "count"), at(m, "owner"), at(m, "nusers"), at(m, "kind"), at(m, "prev"), at(m, "next"))
	fmt.Printf("head %d next %d offset %d pending %d is %d %d\n", head.Size(),
		at(head, "next"), at(head, "offset"), at(head, "pending"), head.Size(), thisThread().head.offset)
	fmt.Printf("tid %#x died %#x waiters %#x\n", tidMask, ownerDied, waiters)
}

// A robustKind is a way to start a process that knows the commands.
type robustKind func() *proctest.Proc

// robustKinds returns memory with n mutexes at 0, 64, 128, …, and both kinds of
// processes on it.
func robustKinds(t *testing.T, n int) (mem []byte, g, c robustKind) {
	t.Helper()
	bin := ctest.Build(t, "testdata/robust_peer.c")
	mem, path := proctest.Memory(t, 4096)
	for i := range n {
		robustIn(t, mem, i*64).Init()
	}
	g = func() *proctest.Proc { return proctest.Start(t, proctest.Command("robust", path)) }
	c = func() *proctest.Proc { return startC(t, bin, path) }
	return mem, g, c
}

func robustIn(t testing.TB, mem []byte, off int) *RobustMutex {
	t.Helper()
	m, err := RobustMutexAt(mem[off:])
	must(t, err)
	return m
}

// Go's structs and constants are those of glibc and the kernel, the list that a
// thread has told the kernel of included.
func TestRobustListLayout(t *testing.T) {
	_, g, c := robustKinds(t, 0)
	ours, theirs := g(), c()
	ours.Say("layout")
	theirs.Say("layout")
	for range 3 {
		ours.Want(theirs.Line())
	}
}

// A process that dies with several mutexes leaves each of them to the next owner,
// whichever of them it had unlocked in between.
func TestRobustHoldsSeveral(t *testing.T) {
	const n = 4
	mem, g, c := robustKinds(t, n)
	kind := map[string]robustKind{"Go": g, "C": c}
	for _, pair := range []string{"Go-C", "C-Go", "Go-Go"} {
		t.Run(pair, func(t *testing.T) {
			for i := range n {
				robustIn(t, mem, i*64).Init()
			}
			one, other, _ := strings.Cut(pair, "-")
			next := kind[other]()
			for unlocked := range n {
				holder := kind[one]()
				for i := range n {
					ask(t, holder, "ok", "lock %d", i*64)
				}
				ask(t, holder, "ok", "unlock %d", unlocked*64)
				next.Say("lock %d", (unlocked+1)%n*64)
				next.Asleep(1)
				holder.Kill()
				next.Want("EOWNERDEAD")
				for i := range n {
					switch i {
					case unlocked:
						ask(t, next, "ok", "lock %d", i*64)
						ask(t, next, "EINVAL", "consistent %d", i*64)
					case (unlocked + 1) % n:
						ask(t, next, "ok", "consistent %d", i*64)
					default:
						ask(t, next, "EOWNERDEAD", "try %d", i*64)
						ask(t, next, "ok", "consistent %d", i*64)
					}
				}
				for i := range n {
					ask(t, next, "ok", "unlock %d", i*64)
				}
			}
		})
	}
}

// Of many that sleep one hears of the death and the others after it what became
// of the mutex.
func TestRobustManyAsleep(t *testing.T) {
	_, g, c := robustKinds(t, 1)
	for name, kind := range map[string]robustKind{"Go": g, "C": c} {
		for _, recover := range []bool{true, false} { // the latter spoils the mutex
			ask(t, g(), "ok", "init 0")
			holder := kind()
			ask(t, holder, "ok", "lock 0")
			asleep := []*proctest.Proc{g(), c(), g(), c()}
			for _, p := range asleep {
				p.Say("lock 0")
				p.Asleep(1)
			}
			holder.Kill()
			first := -1
			proctest.Until(t, "one of them has the mutex", func() bool {
				for i, p := range asleep {
					if line, ok := p.LineWithin(time.Millisecond); ok {
						if line != "EOWNERDEAD" {
							t.Fatalf("%s died: the first to lock got %q", name, line)
						}
						first = i
						return true
					}
				}
				return false
			})
			want := "ENOTRECOVERABLE"
			if recover {
				want = "ok"
				ask(t, asleep[first], "ok", "consistent 0")
			}
			ask(t, asleep[first], "ok", "unlock 0")
			left := append(asleep[:first:first], asleep[first+1:]...)
			for len(left) > 0 {
				var had *proctest.Proc
				proctest.Until(t, "the next has an answer", func() bool {
					for i, p := range left {
						if line, ok := p.LineWithin(time.Millisecond); ok {
							if line != want {
								t.Fatalf("%s died: a later one got %q, want %q", name, line, want)
							}
							had, left = p, append(left[:i:i], left[i+1:]...)
							return true
						}
					}
					return false
				})
				if recover {
					ask(t, had, "ok", "unlock 0")
				}
			}
		}
	}
}

// Four processes, half of them C, add 10,000 each; then one dies with the lock in
// the middle of its count. Nothing is lost and nobody waits for the dead.
func TestRobustCount(t *testing.T) {
	mem, g, c := robustKinds(t, 1)
	total := func() uint64 { return binary.NativeEndian.Uint64(mem[PthreadMutexSize:]) }
	const iters = 10_000
	procs := []*proctest.Proc{g(), c(), g(), c()}
	for _, p := range procs {
		p.Say("count 0 %d", iters)
	}
	for _, p := range procs {
		p.Want("ok")
	}
	want := uint64(4 * iters)
	if n := total(); n != want {
		t.Fatalf("the total is %d, want %d", n, want)
	}
	for _, victim := range []*proctest.Proc{procs[0], procs[1]} {
		before := total()
		ask(t, victim, "ok", "count 0 500")
		for _, p := range procs[2:] {
			p.Say("count 0 %d", iters)
		}
		victim.Say("count 0 500")
		victim.Say("lock 0")
		victim.Want("ok")
		victim.Want("ok")
		victim.Kill()
		for _, p := range procs[2:] {
			p.Want("ok")
		}
		if n := total() - before; n != 2*iters+1000 {
			t.Errorf("%d were added, want %d", n, 2*iters+1000)
		}
	}
}

// A process that dies in the middle of a call, when the mutex is on no list yet, or
// no longer, or free already but its waiter not woken.
func TestRobustKilledInTheCall(t *testing.T) {
	mem, g, c := robustKinds(t, 1)
	word := func() uint32 { return binary.NativeEndian.Uint32(mem) }
	count := func() uint32 { return binary.NativeEndian.Uint32(mem[4:]) }
	next := mem[32:40]
	for _, kill := range []struct {
		first, call string
		when        string
		now         func() bool
		next        string
	}{
		{"", "lock 0", "taken", func() bool { return word() != 0 }, "EOWNERDEAD"},
		{"", "lock 0", "taken and counted", func() bool { return count() != 0 }, "EOWNERDEAD"},
		{"", "lock 0", "linked", func() bool { return binary.NativeEndian.Uint64(next) != 0 }, "EOWNERDEAD"},
		{"", "try 0", "taken", func() bool { return word() != 0 }, "EOWNERDEAD"},
		{"lock 0", "unlock 0", "off the list", func() bool { return count() == 0 }, "EOWNERDEAD"},
		{"lock 0", "unlock 0", "free", func() bool { return word() == 0 }, "ok"},
	} {
		p, waiter := g(), c()
		ask(t, p, "ok", "lock 0") // the first of a thread makes other calls
		ask(t, p, "ok", "unlock 0")
		if kill.first != "" {
			ask(t, p, "ok", "%s", kill.first)
			waiter.Say("lock 0")
			waiter.Asleep(1)
		} else {
			clear(next) // it has no meaning while the mutex is free
		}
		killWhen(t, p, kill.call, kill.now)
		if kill.first == "" {
			waiter.Say("lock 0")
		}
		line, ok := waiter.LineWithin(proctest.Patience)
		if !ok || line != kill.next {
			t.Fatalf("killed in %s when the mutex was %s: the next got %q, want %q", kill.call, kill.when, line, kill.next)
		}
		if kill.next == "EOWNERDEAD" {
			ask(t, waiter, "ok", "consistent 0")
		}
		ask(t, waiter, "ok", "unlock 0")
		robustIn(t, mem, 0).Init() // glibc leaves the count
	}
}

// killWhen says a command to a process and kills it when now is true. It looks
// after each instruction from the call get_robust_list on, with which Lock and
// Unlock begin.
func killWhen(t *testing.T, p *proctest.Proc, command string, now func() bool) {
	t.Helper()
	runtime.LockOSThread() // the kernel knows the tracer by its thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(p.Pid); err != nil {
		ctest.Skip(t, "ptrace: %v", err)
	}
	must(t, unix.PtraceInterrupt(p.Pid))
	late := time.AfterFunc(proctest.Patience, func() { unix.Kill(p.Pid, unix.SIGKILL) })
	defer late.Stop()
	goOn := func() error { return unix.PtraceSyscall(p.Pid, 0) } // to the next call
	for stops := 0; ; stops++ {
		var status unix.WaitStatus
		if _, err := unix.Wait4(p.Pid, &status, unix.WALL, nil); err == unix.EINTR {
			continue
		} else if err != nil || !status.Stopped() {
			t.Fatalf("%s: %v, status %#x after %d stops", command, err, status, stops)
		}
		if stops == 0 {
			p.Say("%s", command)
		}
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", p.Pid))
		must(t, err)
		if strings.HasPrefix(string(call), fmt.Sprint(unix.SYS_GET_ROBUST_LIST, " ")) {
			goOn = func() error { return unix.PtraceSingleStep(p.Pid) }
		}
		if now() {
			p.Kill()
			return
		}
		must(t, goOn())
	}
}

// The list goes through shared memory, where a peer can write anything: it is
// never followed by us.
func TestRobustGarbageInList(t *testing.T) {
	mem, g, c := robustKinds(t, 2)
	const prev, next = 24, 32
	put := func(off int, v uint64) {
		binary.NativeEndian.PutUint64(mem[off+prev:], v)
		binary.NativeEndian.PutUint64(mem[off+next:], v)
	}
	p := g()
	after := c()
	for _, garbage := range []uint64{0, 1, 7, 4096, 0xdeadbeef000, 1<<47 - 8, 1 << 63, ^uint64(0)} {
		ask(t, p, "ok", "lock 0")
		put(0, garbage)
		ask(t, p, "ok", "lock 64")
		put(0, garbage)
		put(64, garbage)
		ask(t, p, "ok", "unlock 0")
		put(64, garbage)
		ask(t, p, "ok", "lock 0")
		put(0, garbage)
		put(64, garbage)
		ask(t, p, "ok", "unlock 64")
		ask(t, p, "ok", "unlock 0")

		// Locking writes the list anew; the death after that finds all of it.
		dying := g()
		ask(t, dying, "ok", "lock 0")
		put(0, garbage)
		ask(t, dying, "ok", "lock 64")
		dying.Kill()
		for _, off := range []int{0, 64} {
			ask(t, after, "EOWNERDEAD", "lock %d", off)
			ask(t, after, "ok", "consistent %d", off)
			ask(t, after, "ok", "unlock %d", off)
		}

		// The newest is found in any case.
		dying = g()
		ask(t, dying, "ok", "lock 0")
		ask(t, dying, "ok", "lock 64")
		put(64, garbage)
		dying.Kill()
		ask(t, after, "EOWNERDEAD", "lock 64")
		ask(t, after, "ok", "consistent 64")
		ask(t, after, "ok", "unlock 64")
		ask(t, after, "ok", "init 0")
	}

	// A list that runs in a circle.
	dying := g()
	ask(t, dying, "ok", "lock 0")
	ask(t, dying, "ok", "lock 64")
	entry := binary.NativeEndian.Uint64(mem[64+next:]) // the first mutex, in the process's memory
	binary.NativeEndian.PutUint64(mem[next:], entry)
	dying.Kill()
	ask(t, after, "EOWNERDEAD", "lock 0")
	ask(t, after, "EOWNERDEAD", "lock 64")
}

// A word that was overwritten under its owner is an error, and the owner forgets
// the mutex: its memory may be gone when the list is written next.
func TestRobustWordOverwritten(t *testing.T) {
	mem, g, c := robustKinds(t, 3)
	for _, word := range []uint32{0, 1, tidMask, ownerDied, waiters, ^uint32(0)} {
		p := g()
		ask(t, p, "ok", "lock 64")
		ask(t, p, "ok", "lock x0")
		binary.NativeEndian.PutUint32(mem, word)
		ask(t, p, "corrupt", "unlock x0")
		ask(t, p, "EPERM", "unlock x0")
		ask(t, p, "ok", "unmap")
		ask(t, p, "ok", "lock 128")
		p.Kill()
		after := c()
		for _, off := range []int{64, 128} {
			ask(t, after, "EOWNERDEAD", "lock %d", off)
			ask(t, after, "ok", "consistent %d", off)
			ask(t, after, "ok", "unlock %d", off)
		}
		ask(t, after, "ok", "init 0")
	}
}

func TestRobustOwner(t *testing.T) {
	mem, g, c := robustKinds(t, 1)
	m := robustIn(t, mem, 0)
	for name, kind := range map[string]robustKind{"Go": g, "C": c} {
		p := kind()
		ask(t, p, "ok", "lock 0")
		ctx, cancel := context.WithDeadline(context.Background(), within(5*time.Millisecond))
		err := m.LockContext(ctx)
		cancel()
		if want := fmt.Sprintf("mutex is held by thread %d: connection timed out", p.Pid); err == nil || err.Error() != want {
			t.Errorf("%s: LockContext = %v, want %s", name, err, want)
		}
		ask(t, p, "EBUSY", "try 0") // the owner itself, too
		ask(t, p, "ok", "unlock 0")
	}

	// Another goroutine of the same process is another owner.
	step := make(chan error)
	go func() {
		step <- m.Lock()
		<-step
		step <- m.Unlock()
	}()
	must(t, <-step)
	for name, err := range map[string]error{"Unlock": m.Unlock(), "TryLock": m.TryLock()} {
		want := map[string]error{"Unlock": unix.EPERM, "TryLock": unix.EBUSY}[name]
		if !errors.Is(err, want) {
			t.Errorf("%s = %v, want %v", name, err, want)
		}
	}
	step <- nil
	must(t, <-step)
	must(t, m.Lock())
	must(t, m.Unlock())
}

// Signals do not end a wait, nor do they lose the news.
func TestRobustSignals(t *testing.T) {
	_, g, c := robustKinds(t, 1)
	waiter := g()
	proctest.Storm(t, waiter.Pid, unix.SIGURG)
	for _, kind := range []robustKind{c, g} {
		holder := kind()
		ask(t, holder, "ok", "lock 0")
		ask(t, waiter, "ETIMEDOUT", "wait 0 20")
		waiter.Say("lock 0")
		proctest.Until(t, "a waiter", func() bool { return proctest.Sleepers(waiter.Pid) == 1 })
		ask(t, holder, "ok", "unlock 0")
		waiter.Want("ok")
		ask(t, waiter, "ok", "unlock 0")
		ask(t, holder, "ok", "lock 0")
		waiter.Say("wait 0 60000")
		proctest.Until(t, "a waiter", func() bool { return proctest.Sleepers(waiter.Pid) == 1 })
		holder.Kill()
		waiter.Want("EOWNERDEAD")
		ask(t, waiter, "ok", "consistent 0")
		ask(t, waiter, "ok", "unlock 0")
	}
}

// After the first time of a thread a Lock and its Unlock allocate nothing, and
// leave in the word what they found.
func TestRobustAllocs(t *testing.T) {
	mem, _ := proctest.Memory(t, 4096)
	a, b := robustIn(t, mem, 0), robustIn(t, mem, 64)
	a.Init()
	b.Init()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(t, errors.Join(a.Lock(), b.Lock(), a.Unlock(), b.Unlock()))
	before := bytes.Clone(mem[:24])
	n := testing.AllocsPerRun(1000, func() {
		for _, err := range []error{a.Lock(), b.Lock(), a.Unlock(), b.Unlock()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for two locks and unlocks, want 0", n)
	}
	if !bytes.Equal(mem[:24], before) {
		t.Errorf("the mutex is\n% x\nwas\n% x", mem[:24], before)
	}
}

func BenchmarkRobustMutex(b *testing.B) {
	mem, _ := proctest.Memory(b, 4096)
	m := robustIn(b, mem, 0)
	m.Init()
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Lock(); err != nil {
			b.Fatal(err)
		}
		if err := m.Unlock(); err != nil {
			b.Fatal(err)
		}
	}
}
