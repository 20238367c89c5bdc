package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared"
	"ipcbook/shared/mq"
	"ipcbook/shared/sem"
)

// A layout is what C and Go lay over the same memory.
type layout struct {
	C        cLayout
	Original cLayout
	Go       func() ([]string, error) // lines "LABEL VALUE"
}

// A cLayout is a C program that prints the same lines.
type cLayout struct {
	Include []string // in the C twins' tree, or of the originals
	CXX     bool
	Fields  []field
}

// A field is a line: its label, and a C expression for its value.
type field struct{ label, expr string }

func sizeOf(label, what string) field { return field{label, "sizeof(" + what + ")"} }

func offset(label, of, member string) field {
	return field{label, "offsetof(" + of + ", " + member + ")"}
}

// layouts are the layouts by name.
var layouts = map[string]layout{
	"sem_t": {
		C: cLayout{Include: []string{"shared/shared.h"}, Fields: []field{
			sizeOf("size", "sem_t"),
			{"align", "_Alignof(sem_t)"},
		}},
		Go: func() ([]string, error) {
			return []string{value("size", sem.Size), value("align", sem.Align)}, nil
		},
	},
	"queue": {
		C: cLayout{Include: []string{"shared/shared.h"}, Fields: []field{
			{"size", "QUEUE_SIZE"},
			{"mapped", "QUEUE_MAP_SIZE"},
			{"slots", "QUEUE_SLOTS"},
			sizeOf("slot", "((struct queue *)0)->slots[0]"),
			offset("lock", "struct queue", "lock"),
			offset("empty", "struct queue", "empty"),
			offset("full", "struct queue", "full"),
			offset("current", "struct queue", "current"),
			offset("slot 1", "struct queue", "slots[1]"),
		}},
		Original: cLayout{Include: []string{"mmap_locks/message.hh"}, CXX: true, Fields: []field{
			sizeOf("size", "Message"),
			{"mapped", "offsetof(Message, _messages[MessageQueueSize]) + MaxMessageSize"},
			{"slots", "MessageQueueSize"},
			sizeOf("slot", "((Message *)0)->_messages[0]"),
			offset("lock", "Message", "_lock"),
			offset("empty", "Message", "_empty"),
			offset("full", "Message", "_full"),
			offset("current", "Message", "_current"),
			offset("slot 1", "Message", "_messages[1]"),
		}},
		Go: func() ([]string, error) { return probeMemory(probeQueue) },
	},
	"shmbuf": {
		C:        cLayout{Include: []string{"shared/shared.h"}, Fields: shmbuf},
		Original: cLayout{Include: []string{"pshm/pshm_xfr.h"}, Fields: shmbuf},
		Go:       func() ([]string, error) { return probeMemory(probeTransfer) },
	},
	"mutex": {
		C: cLayout{Include: []string{"pthread.h", "shared/shared.h"}, Fields: []field{
			sizeOf("size", "struct mutex"),
			sizeOf("size of pthread_mutex_t", "pthread_mutex_t"),
			offset("word", "struct mutex", "word"),
			offset("kind", "struct mutex", "kind"),
			{"shared kind", "MUTEX_KIND"},
			{"locked", "LOCKED"},
			{"contended", "CONTENDED"},
			{"unlocked", "UNLOCKED"},
		}},
		Go: func() ([]string, error) { return probeMemory(probeMutex) },
	},
	"mq_attr": {
		C: cLayout{Include: []string{"mqueue.h"}, Fields: []field{
			sizeOf("size", "struct mq_attr"),
			offset("flags", "struct mq_attr", "mq_flags"),
			offset("maxmsg", "struct mq_attr", "mq_maxmsg"),
			offset("msgsize", "struct mq_attr", "mq_msgsize"),
			offset("curmsgs", "struct mq_attr", "mq_curmsgs"),
		}},
		Go: func() ([]string, error) {
			t := reflect.TypeFor[mq.Attr]()
			lines := []string{value("size", t.Size())}
			for _, name := range []string{"Flags", "MaxMsg", "MsgSize", "CurMsgs"} {
				f, ok := t.FieldByName(name)
				if !ok {
					return nil, fmt.Errorf("mq.Attr has no %s", name)
				}
				lines = append(lines, value(strings.ToLower(name), f.Offset))
			}
			return lines, nil
		},
	},
}

var shmbuf = []field{
	sizeOf("size", "struct shmbuf"),
	sizeOf("size of buf", "((struct shmbuf *)0)->buf"),
	offset("wsem", "struct shmbuf", "wsem"),
	offset("rsem", "struct shmbuf", "rsem"),
	offset("cnt", "struct shmbuf", "cnt"),
	offset("buf", "struct shmbuf", "buf"),
}

func value[T int | int64 | uintptr](label string, v T) string { return fmt.Sprintf("%s %d", label, v) }

// The probes use a layout as a program does, and look where in the memory that
// shows. They know nothing of the offsets in package shared.

// find returns where the 32-bit word v stands, if that is one place.
func find(mem []byte, v uint32) (int, error) {
	b := binary.NativeEndian.AppendUint32(nil, v)
	at := bytes.Index(mem, b)
	if at < 0 || bytes.Contains(mem[at+1:], b) {
		return 0, fmt.Errorf("%#x is not in one place of the memory", v)
	}
	return at, nil
}

// changed returns the first byte in which two memories differ.
func changed(before, after []byte) (int, error) {
	for i := range before {
		if before[i] != after[i] {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the memory has not changed")
}

// probeMemory calls probe with a page of zeroed memory.
func probeMemory(probe func(mem []byte) ([]string, error)) ([]string, error) {
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(mem)
	return probe(mem)
}

func probeQueue(mem []byte) ([]string, error) {
	q, err := shared.QueueAt(mem)
	if err != nil {
		return nil, err
	}
	if err := q.Init(); err != nil {
		return nil, err
	}
	// lock is 1, full is 5, and empty is 0: it is where a message adds one.
	lock, err := find(mem, 1)
	if err != nil {
		return nil, err
	}
	full, err := find(mem, shared.QueueSlots)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	before := bytes.Clone(mem)
	if err := q.Enqueue(ctx, []byte("\xee\xee\xee\xee")); err != nil {
		return nil, err
	}
	slot1, err := find(mem, 0xeeeeeeee)
	if err != nil {
		return nil, err
	}
	clear(before[slot1:][:4])
	copy(before[slot1:], mem[slot1:][:4])
	copy(before[full:], mem[full:][:4])
	empty, err := changed(before, mem)
	if err != nil {
		return nil, err
	}
	copy(before[empty:], mem[empty:][:4])
	current, err := changed(before, mem)
	if err != nil {
		return nil, err
	}
	if err := q.Enqueue(ctx, []byte("\xdd\xdd\xdd\xdd")); err != nil {
		return nil, err
	}
	slot2, err := find(mem, 0xdddddddd)
	if err != nil {
		return nil, err
	}
	return []string{
		value("size", shared.QueueSize),
		value("mapped", shared.QueueMapSize),
		value("slots", shared.QueueSlots),
		value("slot", slot2-slot1),
		value("lock", lock),
		value("empty", empty),
		value("full", full),
		value("current", current),
		value("slot 1", slot1),
	}, nil
}

func probeTransfer(mem []byte) ([]string, error) {
	t, err := shared.TransferAt(mem)
	if err != nil {
		return nil, err
	}
	lines := []string{value("size", shared.TransferSize), value("size of buf", len(t.Buf))}
	for _, p := range []struct {
		label string
		set   func() error
	}{
		{"wsem", func() error { return t.Wsem.Init(0x11223344) }},
		{"rsem", func() error { return t.Rsem.Init(0x11223344) }},
		{"cnt", func() error { t.SetCnt(0x11223344); return nil }},
		{"buf", func() error { binary.NativeEndian.PutUint32(t.Buf, 0x11223344); return nil }},
	} {
		clear(mem)
		if err := p.set(); err != nil {
			return nil, err
		}
		at, err := find(mem, 0x11223344)
		if err != nil {
			return nil, err
		}
		lines = append(lines, value(p.label, at))
	}
	return lines, nil
}

func probeMutex(mem []byte) ([]string, error) {
	m, err := shared.MutexAt(mem)
	if err != nil {
		return nil, err
	}
	before := bytes.Clone(mem)
	if err := m.Lock(); err != nil {
		return nil, err
	}
	word, err := changed(before, mem)
	if err != nil {
		return nil, err
	}
	state := func() int { return int(binary.NativeEndian.Uint32(mem[word:])) }
	locked := state()
	m.LockUntil(time.Now()) // leaves the mark of a waiter
	contended := state()
	if err := m.Unlock(); err != nil {
		return nil, err
	}
	return []string{
		value("size", shared.PthreadMutexSize),
		value("size of pthread_mutex_t", shared.PthreadMutexSize),
		value("word", word),
		value("kind", shared.MutexKindOffset),
		value("shared kind", shared.MutexKind),
		value("locked", locked),
		value("contended", contended),
		value("unlocked", state()),
	}, nil
}

// compareLayouts compares the layouts of a program.
func (s *Suite) compareLayouts(ctx context.Context, p Program, rs []*rule) Finding {
	if len(p.Layouts) == 0 {
		return Finding{Column: Layout, Verdict: None}
	}
	var g, c []string
	for _, name := range p.Layouts {
		l, ok := layouts[name]
		if !ok {
			return Finding{Column: Layout, Verdict: Differs, Why: []string{"no layout " + name}}
		}
		gl, err := l.Go()
		if err != nil {
			return Finding{Column: Layout, Verdict: Differs, Why: []string{"Go: " + name + ": " + err.Error()}}
		}
		cl, err := s.layoutOfC(ctx, p, name, l)
		if err != nil {
			return Finding{Column: Layout, Verdict: Differs, Why: []string{"C: " + name + ": " + err.Error()}}
		}
		for _, line := range gl {
			g = append(g, name+": "+line)
		}
		for _, line := range cl {
			c = append(c, name+": "+line)
		}
	}
	return compare("", Layout, g, c, rs)
}

// layoutOfC asks the C compiler.
func (s *Suite) layoutOfC(ctx context.Context, p Program, name string, l layout) ([]string, error) {
	cl, dir, cc, ext := l.C, filepath.Join(s.work, "src"), s.cc, ".c"
	args := append([]string{}, twinFlags...)
	if o := l.Original; s.original(p) && len(o.Include) > 0 && exists(filepath.Join(s.Originals, o.Include[0])) {
		cl, dir = o, s.Originals
		args = append([]string{"-w"}, s.library()...)
		if cl.CXX {
			cc, ext = s.cxx, ".cc"
			args = append(args, "-fno-access-control")
		}
	}
	var text strings.Builder
	for _, h := range append([]string{"stddef.h", "stdio.h"}, cl.Include...) {
		if strings.Contains(h, "/") {
			fmt.Fprintf(&text, "#include \"%s\"\n", h)
		} else {
			fmt.Fprintf(&text, "#include <%s>\n", h)
		}
	}
	text.WriteString("int main(void)\n{\n")
	for _, f := range cl.Fields {
		fmt.Fprintf(&text, "\tprintf(\"%s %%ld\\n\", (long)(%s));\n", f.label, f.expr)
	}
	text.WriteString("\treturn 0;\n}\n")
	bin := filepath.Join(s.work, "layout", p.Name+"."+name)
	if err := writeFile(bin+ext, text.String()); err != nil {
		return nil, err
	}
	args = append(args, "-I"+dir, "-o", bin, bin+ext)
	if out, err := exec.CommandContext(ctx, cc, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("does not compile: %s", firstError(string(out)))
	}
	out, err := exec.CommandContext(ctx, bin).Output()
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}
