package shared

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
	"ipcbook/shared/sem"
)

// Several processes work on one object at the same time and note when each
// operation began and ended. A history is linearizable if the operations, each put
// at one moment between its two, are those of the object in one process. porcupine
// looks for such moments.

// The memory of a history: the object, and a semaphore at which the processes meet.
const (
	linearGate = 1024
	linearSize = 4096
)

// A step is an operation and how it came out.
type step struct {
	op  string // what is done; of a Queue also with what
	out string // what came back
}

// A worker does one operation.
type worker func(op string) (out string, err error)

// An object is a kind of object with its sequential model.
type object struct {
	init   func(mem []byte) error
	open   func(mem []byte) (worker, error)
	script func(process, n int) []string // what a process does
	state  string                        // at first
	next   func(process int, state string, s step) (ok bool, after string)
}

// A wait that lasts longer than this may end without success.
const moment = 20 * time.Microsecond

func tried(err error) (string, error) {
	if err == nil {
		return "ok", nil
	}
	for _, e := range []error{unix.EAGAIN, unix.EBUSY, unix.ETIMEDOUT} {
		if errors.Is(err, e) {
			return "no", nil
		}
	}
	return "", err
}

const (
	semAtFirst = 2
	processes  = 4
)

var objects = map[string]object{
	// A stack of five. Who puts many on it takes as many, so that one of the four
	// can always go on: five messages of four processes are two of one.
	"queue": {
		init: func(mem []byte) error {
			q, err := QueueAt(mem)
			if err != nil {
				return err
			}
			return q.Init()
		},
		open: func(mem []byte) (worker, error) {
			q, err := QueueAt(mem)
			if err != nil {
				return nil, err
			}
			return func(op string) (string, error) {
				if op == "take" {
					var slot [SlotSize]byte
					n, err := q.Dequeue(context.Background(), &slot)
					return string(slot[:n]), err
				}
				return "", q.Enqueue(context.Background(), []byte(op[1:]))
			}, nil
		},
		script: func(process, n int) (ops []string) {
			for len(ops) < n {
				k := 1 + rand.IntN(2)
				for range k {
					ops = append(ops, fmt.Sprintf("+%d.%d", process, len(ops)))
				}
				for range k {
					ops = append(ops, "take")
				}
			}
			return ops
		},
		next: func(_ int, state string, s step) (bool, string) {
			if s.op == "take" {
				rest, ok := strings.CutSuffix(state, " "+s.out)
				return ok, rest
			}
			return strings.Count(state, " ") < QueueSlots, state + " " + s.op[1:]
		},
	},
	// A number. A wait fails only if it was 0 at some moment of the wait.
	"sem": {
		init: func(mem []byte) error {
			s, err := sem.At(mem)
			if err != nil {
				return err
			}
			return s.Init(semAtFirst)
		},
		open: func(mem []byte) (worker, error) {
			s, err := sem.At(mem)
			if err != nil {
				return nil, err
			}
			return func(op string) (string, error) {
				switch op {
				case "post":
					return "ok", s.Post()
				case "wait":
					return "ok", s.Wait()
				case "try":
					return tried(s.TryWait())
				case "timed":
					return tried(s.WaitUntil(time.Now().Add(moment)))
				}
				v, err := s.Value()
				return strconv.Itoa(v), err
			}, nil
		},
		// Each posts before it waits, so that nobody waits for ever; what it takes
		// besides it takes only if it is there, and gives back.
		script: func(_, n int) (ops []string) {
			for len(ops) < n {
				switch rand.IntN(4) {
				case 0:
					ops = append(ops, "value")
				case 1:
					ops = append(ops, "try", "give")
				case 2:
					ops = append(ops, "timed", "give")
				default:
					ops = append(ops, "post", "wait")
				}
			}
			return ops
		},
		state: strconv.Itoa(semAtFirst),
		next: func(_ int, state string, s step) (bool, string) {
			v, _ := strconv.Atoi(state)
			switch {
			case s.op == "value":
				return s.out == state, state
			case s.op == "post":
				return true, strconv.Itoa(v + 1)
			case s.out == "no":
				return v == 0, state
			}
			return v > 0, strconv.Itoa(v - 1)
		},
	},
	"mutex":  mutexObject(func(mem []byte) (locker, error) { return MutexAt(mem) }),
	"robust": mutexObject(func(mem []byte) (locker, error) { return RobustMutexAt(mem) }),
}

// A mutex is held by a process or free, and only who holds it lets it go. It is
// refused only if it was held at some moment of the call.
func mutexObject(at func(mem []byte) (locker, error)) object {
	return object{
		init: func(mem []byte) error {
			m, err := at(mem)
			if err != nil {
				return err
			}
			m.(interface{ Init() }).Init()
			return nil
		},
		open: func(mem []byte) (worker, error) {
			m, err := at(mem)
			if err != nil {
				return nil, err
			}
			return func(op string) (string, error) {
				switch op {
				case "lock":
					return "ok", m.Lock()
				case "try":
					return tried(m.TryLock())
				case "timed":
					ctx, cancel := context.WithTimeout(context.Background(), moment)
					defer cancel()
					return tried(m.LockContext(ctx))
				}
				return "ok", m.Unlock()
			}, nil
		},
		script: func(_, n int) (ops []string) {
			for len(ops) < n {
				ops = append(ops, []string{"lock", "try", "timed"}[rand.IntN(3)], "give")
			}
			return ops
		},
		state: "free",
		next: func(process int, state string, s step) (bool, string) {
			me := strconv.Itoa(process)
			switch {
			case s.op == "unlock":
				return state == me, "free"
			case s.out == "no":
				return state != "free", state
			}
			return state == "free", me
		},
	}
}

// give is what gives back what the operation before has taken.
var give = map[string]string{"sem": "post", "mutex": "unlock", "robust": "unlock"}

func init() {
	if os.Getenv("PROCTEST_ROLE") != "linear" {
		return
	}
	if err := linear(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// linear is a process of a history: PATH OBJECT PROCESS N. It does N operations and
// then prints them: begin, end, operation and result, in ns of CLOCK_MONOTONIC,
// which all processes of a machine have in common.
func linear(args []string) error {
	runtime.LockOSThread() // a robust mutex belongs to a thread
	mem, err := proctest.Map(args[0])
	if err != nil {
		return err
	}
	kind := args[1]
	o := objects[kind]
	process, _ := strconv.Atoi(args[2])
	n, _ := strconv.Atoi(args[3])
	do, err := o.open(mem)
	if err != nil {
		return err
	}
	gate, err := sem.At(mem[linearGate:])
	if err != nil {
		return err
	}
	ops := o.script(process, n)
	lines := make([]string, 0, len(ops))
	fmt.Println("ready")
	if err := gate.Wait(); err != nil {
		return err
	}
	took := true
	for _, op := range ops {
		if op == "give" {
			if !took {
				continue
			}
			op = give[kind]
		}
		begin := monotonic()
		out, err := do(op)
		end := monotonic()
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		took = out != "no"
		lines = append(lines, fmt.Sprintf("%d %d %s %s", begin, end, op, out))
		if rand.IntN(8) == 0 {
			runtime.Gosched()
		}
	}
	w := bufio.NewWriter(os.Stdout)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w, "end")
	return w.Flush()
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// history lets processes work on an object and returns what they did.
func history(t *testing.T, kind string, n int) (ops []porcupine.Operation) {
	t.Helper()
	mem, path := proctest.Memory(t, linearSize)
	must(t, objects[kind].init(mem))
	gate, err := sem.At(mem[linearGate:])
	must(t, err)
	must(t, gate.Init(0))
	var procs []*proctest.Proc
	for i := range processes {
		procs = append(procs, proctest.Start(t, proctest.Command("linear", path, kind, fmt.Sprint(i), fmt.Sprint(n))))
	}
	for _, p := range procs {
		p.Want("ready")
	}
	for range procs {
		must(t, gate.Post())
	}
	for i, p := range procs {
		for line := p.Line(); line != "end"; line = p.Line() {
			f := strings.Split(line, " ")
			begin, err1 := strconv.ParseInt(f[0], 10, 64)
			end, err2 := strconv.ParseInt(f[1], 10, 64)
			must(t, errors.Join(err1, err2))
			ops = append(ops, porcupine.Operation{ClientId: i, Input: f[2], Output: f[3], Call: begin, Return: end})
		}
		p.WantExit(0)
	}
	return ops
}

func (o object) model() porcupine.Model {
	// Step does not say whose the operation is: that is part of the input.
	return porcupine.Model{
		Init: func() any { return o.state },
		Step: func(state, in, out any) (bool, any) {
			i := in.(by)
			return o.next(i.process, state.(string), step{i.op, out.(string)})
		},
	}
}

// by is an operation and whose it is.
type by struct {
	process int
	op      string
}

func (o object) check(ops []porcupine.Operation) porcupine.CheckResult {
	for i := range ops {
		if op, ok := ops[i].Input.(string); ok {
			ops[i].Input = by{ops[i].ClientId, op}
		}
	}
	return porcupine.CheckOperationsTimeout(o.model(), ops, proctest.Patience)
}

// What four processes do at once is what one could have done.
func TestLinearizable(t *testing.T) {
	for kind, o := range objects {
		t.Run(kind, func(t *testing.T) {
			total, overlapping := 0, 0
			for range 10 {
				ops := history(t, kind, 500)
				total += len(ops)
				overlapping += overlaps(ops)
				if got := o.check(ops); got != porcupine.Ok {
					t.Fatalf("a history of %d operations: %v", len(ops), got)
				}
			}
			t.Logf("%d operations, %d of them begun during another's", total, overlapping)
			if overlapping == 0 {
				t.Error("the processes have not met")
			}
		})
	}
}

// overlaps counts the operations that began while one of another process went on.
func overlaps(ops []porcupine.Operation) (n int) {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	ends := make(map[int]int64)
	for _, op := range ops {
		for client, end := range ends {
			if client != op.ClientId && end > op.Call {
				n++
				break
			}
		}
		ends[op.ClientId] = op.Return
	}
	return n
}

// The check finds what is wrong.
func TestLinearizableFails(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		want       porcupine.CheckResult
		history    string // process, begin, end, operation, result
	}{
		{"stack", "queue", porcupine.Ok, "0 1 2 +a -|0 3 4 +b -|1 5 6 take b|1 7 8 take a"},
		{"first in, first out", "queue", porcupine.Illegal, "0 1 2 +a -|0 3 4 +b -|1 5 6 take a|1 7 8 take b"},
		{"at the same time", "queue", porcupine.Ok, "0 1 4 +a -|1 1 4 +b -|2 5 6 take a|2 7 8 take b"},
		{"taken twice", "queue", porcupine.Illegal, "0 1 2 +a -|0 3 4 +b -|1 5 9 take b|2 5 9 take b"},
		{"taken before", "queue", porcupine.Illegal, "1 1 2 take a|0 3 4 +a -"},
		{"six", "queue", porcupine.Illegal, "0 1 9 +a -|0 1 9 +b -|0 1 9 +c -|0 1 9 +d -|0 1 9 +e -|0 1 9 +f -|0 11 12 take f"},
		{"from 0", "sem", porcupine.Illegal, "0 1 2 try ok|1 1 2 try ok|2 1 2 try ok"},
		{"refused", "sem", porcupine.Illegal, "0 1 2 try ok|1 3 4 try no|2 5 6 try ok"},
		{"refused at 0", "sem", porcupine.Ok, "0 1 2 try ok|1 3 9 try no|2 5 6 try ok"},
		{"lost post", "sem", porcupine.Illegal, "0 1 2 post ok|1 3 4 value 2"},
		{"two owners", "mutex", porcupine.Illegal, "0 1 2 lock ok|1 3 4 lock ok"},
		{"not the owner", "mutex", porcupine.Illegal, "0 1 2 lock ok|1 3 4 unlock ok"},
		{"busy while free", "robust", porcupine.Illegal, "0 1 2 lock ok|0 3 4 unlock ok|1 5 6 try no"},
		{"busy while held", "robust", porcupine.Ok, "0 1 2 lock ok|0 4 5 unlock ok|1 3 6 try no"},
	} {
		var ops []porcupine.Operation
		for line := range strings.SplitSeq(tt.history, "|") {
			var op porcupine.Operation
			var in, out string
			_, err := fmt.Sscan(line, &op.ClientId, &op.Call, &op.Return, &in, &out)
			must(t, err)
			op.Input, op.Output = in, out
			ops = append(ops, op)
		}
		if got := objects[tt.kind].check(ops); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
