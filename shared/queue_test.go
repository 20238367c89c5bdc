package shared

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ipcbook/shared/internal/proctest"
	"ipcbook/shared/sem"
)

func newQueue(t testing.TB) (*Queue, []byte, string) {
	t.Helper()
	mem, path := proctest.Memory(t, QueueMapSize)
	q, err := QueueAt(mem)
	must(t, err)
	must(t, q.Init())
	must(t, q.Check())
	return q, mem, path
}

// short is a context that is done soon, over one that is done already.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

var over = func() context.Context {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	cancel()
	return ctx
}()

func (q *Queue) pop(ctx context.Context) (string, error) {
	var slot [SlotSize]byte
	n, err := q.Dequeue(ctx, &slot)
	return string(slot[:n]), err
}

func setSem(mem []byte, off int, value uint32) { binary.NativeEndian.PutUint32(mem[off:], value) }
func setCurrent(mem []byte, v int32)           { binary.NativeEndian.PutUint32(mem[queueCurrent:], uint32(v)) }

// What stands where after Init and after five messages, byte by byte.
func TestQueueBytes(t *testing.T) {
	q, mem, _ := newQueue(t)
	want := make([]byte, QueueMapSize)
	want[queueLock], want[queueFull] = 1, QueueSlots
	for _, off := range []int{queueLock, queueEmpty, queueFull} {
		want[off+8] = 128
	}
	if !bytes.Equal(mem, want) {
		t.Fatalf("after Init:\n% x\nwant\n% x", mem, want)
	}
	ctx := context.Background()
	for i := range QueueSlots {
		msg := strings.Repeat(strconv.Itoa(i), i+1)
		must(t, q.Enqueue(ctx, []byte(msg)))
		copy(want[queueMessages+(i+1)*SlotSize:], msg) // slot 0 is never used
		want[queueCurrent], want[queueEmpty], want[queueFull] = byte(i+1), byte(i+1), byte(QueueSlots-i-1)
		if !bytes.Equal(mem, want) {
			t.Fatalf("after message %d:\n% x\nwant\n% x", i, mem, want)
		}
	}
	for i := QueueSlots; i > 0; i-- { // the newest first
		if n, err := q.Len(); n != i || err != nil {
			t.Errorf("Len = %d, %v; want %d", n, err, i)
		}
		msg, err := q.pop(ctx)
		if want := strings.Repeat(strconv.Itoa(i-1), i); msg != want || err != nil {
			t.Errorf("Dequeue = %q, %v; want %q", msg, err, want)
		}
		want[queueCurrent], want[queueEmpty], want[queueFull] = byte(i-1), byte(i-1), byte(QueueSlots-i+1)
		if !bytes.Equal(mem, want) { // the messages stay where they were
			t.Fatalf("after taking message %d:\n% x\nwant\n% x", i, mem, want)
		}
	}
}

func TestQueueMessages(t *testing.T) {
	q, mem, _ := newQueue(t)
	ctx := context.Background()
	for _, msg := range []string{"", "x", "99\n", "%s%n", strings.Repeat("a", SlotSize-1), "\xff\xfe\x80\x01", "caf\u00e9"} {
		must(t, q.Enqueue(ctx, bytes.Repeat([]byte("z"), SlotSize-1))) // what was in the slot before
		if _, err := q.pop(ctx); err != nil {
			t.Fatal(err)
		}
		must(t, q.Enqueue(ctx, []byte(msg)))
		if got, err := q.pop(ctx); got != msg || err != nil {
			t.Errorf("Dequeue = %q, %v; want %q", got, err, msg)
		}
	}
	before := bytes.Clone(mem)
	for _, c := range []struct {
		msg   string
		errno error
	}{
		{strings.Repeat("a", SlotSize), unix.EMSGSIZE},
		{strings.Repeat("a", SlotSize+1), unix.EMSGSIZE},
		{strings.Repeat("a", 1<<20), unix.EMSGSIZE},
		{"a\x00b", unix.EINVAL},
		{"\x00", unix.EINVAL},
		{strings.Repeat("a", SlotSize-2) + "\x00", unix.EINVAL},
	} {
		if err := q.Enqueue(ctx, []byte(c.msg)); !errors.Is(err, c.errno) {
			t.Errorf("Enqueue of %d bytes = %v, want %v", len(c.msg), err, c.errno)
		}
	}
	if !bytes.Equal(mem, before) {
		t.Error("a message that was refused has changed the queue")
	}
	// C stores a message of 20 bytes without a NUL.
	must(t, q.Enqueue(ctx, []byte("x")))
	copy(mem[queueMessages+SlotSize:], strings.Repeat("c", SlotSize))
	if got, err := q.pop(ctx); got != strings.Repeat("c", SlotSize) || err != nil {
		t.Errorf("Dequeue = %q, %v; want 20 c", got, err)
	}
}

// An operation whose time is up leaves every byte as it was, and says what it
// waited for.
func TestQueueTimeout(t *testing.T) {
	q, mem, _ := newQueue(t)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	ops := map[string]func(context.Context) error{
		"Enqueue": func(ctx context.Context) error { return q.Enqueue(ctx, []byte("x")) },
		"Dequeue": func(ctx context.Context) error { _, err := q.pop(ctx); return err },
	}
	for _, c := range []struct {
		state    string
		messages int
		locked   bool
		waits    map[string]string
	}{
		{"empty", 0, false, map[string]string{"Dequeue": "(semaphore empty)"}},
		{"full", 5, false, map[string]string{"Enqueue": "(semaphore full)"}},
		{"locked and empty", 0, true, map[string]string{"Enqueue": "(semaphore lock)", "Dequeue": "(semaphore empty)"}},
		{"locked", 2, true, map[string]string{"Enqueue": "(semaphore lock)", "Dequeue": "(semaphore lock)"}},
		{"locked and full", 5, true, map[string]string{"Enqueue": "(semaphore full)", "Dequeue": "(semaphore lock)"}},
	} {
		must(t, q.Init())
		for range c.messages {
			must(t, q.Enqueue(context.Background(), []byte("m")))
		}
		if c.locked {
			setSem(mem, queueLock, 0) // its holder has died
		}
		before := bytes.Clone(mem)
		for op, semaphore := range c.waits {
			for _, w := range []struct {
				ctx  context.Context
				want error
			}{{over, context.DeadlineExceeded}, {short(t), context.DeadlineExceeded}, {cancelled, context.Canceled}} {
				err := ops[op](w.ctx)
				if !errors.Is(err, w.want) || !strings.Contains(err.Error(), semaphore) {
					t.Errorf("%s on a queue that is %s = %v, want %v and %q", op, c.state, err, w.want, semaphore)
				}
				if !bytes.Equal(mem, before) {
					t.Fatalf("%s on a queue that is %s left\n% x\nwas\n% x", op, c.state, mem, before)
				}
			}
		}
	}
}

// What a peer may have left in current or in a semaphore is refused by name and
// value, before a slot is touched.
func TestQueueCorrupt(t *testing.T) {
	q, mem, _ := newQueue(t)
	refused := func(what string, err, want error, says string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s = %v, want %v that says %q", what, err, want, says)
		}
	}
	unchanged := func(what string, f func()) {
		t.Helper()
		before := bytes.Clone(mem)
		f()
		if !bytes.Equal(mem, before) {
			t.Errorf("%s changed the memory:\n% x\nwas\n% x", what, mem, before)
		}
	}
	for _, current := range []int32{-5, -1, 6, 7, 1000000, math.MinInt32, math.MaxInt32} {
		says := fmt.Sprintf("current is %d, ", current)
		must(t, q.Init())
		setSem(mem, queueEmpty, 2)
		setSem(mem, queueFull, 3)
		setCurrent(mem, current)
		unchanged(says, func() {
			refused("Check", q.Check(), ErrCorrupt, says)
			refused("Enqueue", q.Enqueue(over, []byte("x")), ErrCorrupt, says)
			_, err := q.pop(over)
			refused("Dequeue", err, ErrCorrupt, says)
		})
	}
	// In bounds, but not for what comes next.
	must(t, q.Init())
	setCurrent(mem, QueueSlots)
	unchanged("current 5", func() {
		refused("Enqueue at 5", q.Enqueue(over, []byte("x")), ErrCorrupt, "current is 5, ")
	})
	must(t, q.Init())
	setSem(mem, queueEmpty, 1)
	setSem(mem, queueFull, 4)
	unchanged("current 0", func() {
		_, err := q.pop(over)
		refused("Dequeue at 0", err, ErrCorrupt, "current is 0, ")
	})
	// The semaphores.
	for _, s := range []struct {
		name string
		off  int
		most uint32
	}{{"lock", queueLock, 1}, {"empty", queueEmpty, QueueSlots}, {"full", queueFull, QueueSlots}} {
		for _, v := range []uint32{s.most + 1, 1000, sem.ValueMax, 0x80000000, 0xffffffff} {
			must(t, q.Init())
			must(t, q.Enqueue(over, []byte("m")))
			must(t, q.Enqueue(over, []byte("n")))
			setSem(mem, s.off, v)
			what := fmt.Sprintf("semaphore %s %#x", s.name, v)
			kind, says := ErrCorrupt, fmt.Sprintf("semaphore %s is %d", s.name, v)
			if v > sem.ValueMax {
				kind, says = sem.ErrCorrupt, fmt.Sprintf("semaphore %s: semaphore is corrupt: its value is %#x", s.name, v)
			}
			unchanged(what, func() { refused("Check with "+what, q.Check(), kind, says) })
			// What cannot be done to its end must not be begun.
			if s.name != "full" && v > sem.ValueMax || s.name == "empty" {
				unchanged(what, func() { refused("Enqueue with "+what, q.Enqueue(over, []byte("x")), kind, "") })
			}
			if s.name != "empty" && v > sem.ValueMax || s.name == "full" {
				unchanged(what, func() {
					_, err := q.pop(over)
					refused("Dequeue with "+what, err, kind, "")
				})
			}
		}
	}
	must(t, q.Init())
	mem[queueFull+8] = 0
	refused("Check", q.Check(), sem.ErrNotShared, "full")
	clear(mem)
	refused("Check of zero bytes", q.Check(), sem.ErrNotShared, "lock")
}

// A hundred messages of one half are those that the other half gets, each once.
func TestQueuePairs(t *testing.T) {
	pairs(t, func(t *testing.T, _ []byte, one, other *proctest.Proc) {
		const n = 1000
		ask(t, one, "ok", "queue")
		other.Say("consume %d", n)
		one.Say("produce 0-%d", n)
		got := map[string]int{}
		for range n {
			got[other.Line()]++
		}
		one.Want("ok")
		for i := range n {
			if got[strconv.Itoa(i)] != 1 {
				t.Errorf("message %d came %d times", i, got[strconv.Itoa(i)])
			}
		}
	})
}

// Several producers and consumers, Go and C, at once.
func TestQueueMany(t *testing.T) {
	bin := buildC(t)
	q, mem, path := newQueue(t)
	const each = 500
	var consumers, producers []*proctest.Proc
	for range 2 {
		consumers = append(consumers, startGo(t, path), startC(t, bin, path))
		producers = append(producers, startGo(t, path), startC(t, bin, path))
	}
	for i, p := range producers {
		consumers[i].Say("consume %d", each)
		p.Say("produce %d-%d", i*each, (i+1)*each)
	}
	got := map[string]int{}
	for _, c := range consumers {
		for range each {
			got[c.Line()]++
		}
	}
	for _, p := range producers {
		p.Want("ok")
	}
	for i := range len(producers) * each {
		if got[strconv.Itoa(i)] != 1 {
			t.Errorf("message %d came %d times", i, got[strconv.Itoa(i)])
		}
	}
	proctest.Until(t, "the last post", func() bool { return mem[queueFull] == QueueSlots })
	must(t, q.Check())
	if n, err := q.Len(); n != 0 || err != nil {
		t.Errorf("Len = %d, %v", n, err)
	}
}

// A consumer asleep on an empty queue, and a producer on a full one, are woken by
// either half.
func TestQueueBlocks(t *testing.T) {
	pairs(t, func(t *testing.T, _ []byte, one, other *proctest.Proc) {
		ask(t, one, "ok", "queue")
		for range 2 {
			one.Say("dequeue")
			one.Asleep(1)
			ask(t, other, "ok", "enqueue hello")
			one.Want("ok hello")
			for i := range QueueSlots {
				ask(t, other, "ok", "enqueue %d", i)
			}
			ask(t, one, "EAGAIN", "tryenqueue more")
			other.Say("enqueue more")
			other.Asleep(1)
			ask(t, one, "ok 4", "dequeue")
			other.Want("ok")
			for _, want := range []string{"more", "3", "2", "1", "0"} {
				ask(t, one, "ok "+want, "dequeue")
			}
			ask(t, other, "EAGAIN", "trydequeue")
			one, other = other, one
		}
	})
}

// A consumer that is killed in its sleep takes nothing with it.
func TestQueueConsumerKilled(t *testing.T) {
	q, _, path := newQueue(t)
	first, second := startGo(t, path), startGo(t, path)
	for _, p := range []*proctest.Proc{first, second} {
		p.Say("dequeue")
		p.Asleep(1)
	}
	first.Kill()
	must(t, q.Enqueue(context.Background(), []byte("x")))
	second.Want("ok x")
	must(t, q.Check())
}

// A producer that starts anew under a waiting consumer does not strand it.
func TestQueueInitialisedUnderAConsumer(t *testing.T) {
	q, _, path := newQueue(t)
	p := startGo(t, path)
	p.Say("dequeue")
	p.Asleep(1)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	fresh := make([]byte, QueueMapSize)
	_, err = f.WriteAt(fresh, 0)
	must(t, err)
	must(t, q.Init())
	must(t, q.Enqueue(context.Background(), []byte("new")))
	p.Want("ok new")
}

func TestQueueGoroutines(t *testing.T) {
	q, _, _ := newQueue(t)
	ctx := context.Background()
	const n, rounds = 4, 500
	var all sync.WaitGroup
	var seen [n * rounds]bool
	var mu sync.Mutex
	for i := range n {
		all.Go(func() {
			for j := range rounds {
				if err := q.Enqueue(ctx, []byte(strconv.Itoa(i*rounds+j))); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range rounds {
				msg, err := q.pop(ctx)
				i, err2 := strconv.Atoi(msg)
				if err != nil || err2 != nil {
					t.Error(err, err2)
					continue
				}
				mu.Lock()
				if seen[i] {
					t.Errorf("message %d came twice", i)
				}
				seen[i] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	must(t, q.Check())
}

func TestQueueNoAllocation(t *testing.T) {
	q, _, _ := newQueue(t)
	ctx := context.Background()
	msg := []byte("message")
	var slot [SlotSize]byte
	if n := testing.AllocsPerRun(100, func() {
		q.Enqueue(ctx, msg)
		q.Dequeue(ctx, &slot)
	}); n != 0 {
		t.Errorf("%v allocations a message, want 0", n)
	}
}

// Whatever Go and C do in turn, the queue is a stack of five.
func TestQueueModel(t *testing.T) {
	bin := buildC(t)
	q, mem, path := newQueue(t)
	start := []func() *proctest.Proc{
		func() *proctest.Proc { return startGo(t, path) },
		func() *proctest.Proc { return startC(t, bin, path) },
	}
	procs := []*proctest.Proc{start[0](), start[1]()}
	message := rapid.StringMatching(`[!-~]{1,19}`)
	rapid.Check(t, func(rt *rapid.T) {
		must(t, q.Init())
		var stack []string
		full := func() bool { return len(stack) == QueueSlots }
		ask := func(rt *rapid.T, want, format string, args ...any) {
			i := rapid.IntRange(0, 1).Draw(rt, "process")
			procs[i].Say(format, args...)
			if got := procs[i].Line(); got != want {
				rt.Fatalf("process %d: %s = %q, want %q", i, fmt.Sprintf(format, args...), got, want)
			}
		}
		push := func(rt *rapid.T, command string) {
			msg := message.Draw(rt, "message")
			if full() {
				ask(rt, "EAGAIN", "tryenqueue %s", msg)
				return
			}
			ask(rt, "ok", command+" %s", msg)
			stack = append(stack, msg)
		}
		pop := func(rt *rapid.T, command string) {
			if len(stack) == 0 {
				ask(rt, "EAGAIN", "trydequeue")
				return
			}
			ask(rt, "ok "+stack[len(stack)-1], "%s", command)
			stack = stack[:len(stack)-1]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue":    func(rt *rapid.T) { push(rt, "enqueue") },
			"tryenqueue": func(rt *rapid.T) { push(rt, "tryenqueue") },
			"dequeue":    func(rt *rapid.T) { pop(rt, "dequeue") },
			"trydequeue": func(rt *rapid.T) { pop(rt, "trydequeue") },
			"here": func(rt *rapid.T) { // the same in this process, with bytes that no line holds
				msg := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, SlotSize-1).Draw(rt, "bytes")
				if err := q.Enqueue(over, msg); (err == nil) == full() {
					rt.Fatalf("Enqueue = %v beside %d messages", err, len(stack))
				}
				if !full() {
					if got, err := q.pop(over); got != string(msg) || err != nil {
						rt.Fatalf("Dequeue = %q, %v; want %q", got, err, msg)
					}
				}
			},
			"": func(rt *rapid.T) {
				if err := q.Check(); err != nil {
					rt.Fatal(err)
				}
				if n, err := q.Len(); n != len(stack) || err != nil {
					rt.Fatalf("Len = %d, %v; want %d", n, err, len(stack))
				}
				for i, msg := range stack {
					if got := mem[queueMessages+(i+1)*SlotSize:][:len(msg)]; string(got) != msg {
						rt.Fatalf("slot %d holds %q, want %q", i+1, got, msg)
					}
				}
			},
		})
	})
}

func ExampleQueue() {
	mem, err := unix.Mmap(-1, 0, QueueMapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer unix.Munmap(mem)
	q, err := QueueAt(mem)
	if err != nil {
		fmt.Println(err)
		return
	}
	q.Init()
	ctx := context.Background()
	q.Enqueue(ctx, []byte("first"))
	q.Enqueue(ctx, []byte("second"))
	for range 2 {
		var slot [SlotSize]byte
		n, err := q.Dequeue(ctx, &slot)
		fmt.Printf("%s %v\n", slot[:n], err)
	}
	// Output:
	// second <nil>
	// first <nil>
}
