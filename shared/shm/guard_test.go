package shm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/internal/proctest"
	"ipcbook/shared/shm"
)

// newMapping returns a mapping of two pages and its file.
func newMapping(t testing.TB) (*shm.Mapping, *os.File) {
	t.Helper()
	size := 2 * os.Getpagesize()
	f := newFile(t, size)
	m, err := shm.Map(f, size, size)
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m, f
}

var sink byte

func TestGuardTruncated(t *testing.T) {
	page := os.Getpagesize()
	for name, access := range map[string]func(b []byte){
		"read":       func(b []byte) { sink = b[page] },
		"last byte":  func(b []byte) { sink = b[2*page-1] },
		"write":      func(b []byte) { b[page] = 1 },
		"copy out":   func(b []byte) { copy(make([]byte, len(b)), b) },
		"copy in":    func(b []byte) { copy(b, make([]byte, len(b))) },
		"clear":      func(b []byte) { clear(b) },
		"index byte": func(b []byte) { bytes.IndexByte(b, 0xff) },
	} {
		t.Run(name, func(t *testing.T) {
			m, f := newMapping(t)
			must(t, f.Truncate(int64(page)))
			deferred := false
			err := m.Guard(func() error {
				defer func() { deferred = true }()
				access(m.Bytes)
				return nil
			})
			var path *fs.PathError
			if !errors.Is(err, shm.ErrTruncated) || !errors.As(err, &path) || path.Path != f.Name() {
				t.Errorf("Guard = %v, want ErrTruncated", err)
			}
			if !deferred {
				t.Error("what f had deferred has not run")
			}
			// The first page is still there, and the second after it came back.
			must(t, m.Guard(func() error { sink = m.Bytes[page-1]; return nil }))
			must(t, f.Truncate(int64(2*page)))
			must(t, m.Guard(func() error { access(m.Bytes); return nil }))
		})
	}
}

func TestGuardLeavesTheSettingAlone(t *testing.T) {
	m, f := newMapping(t)
	for _, set := range []bool{true, false} {
		debug.SetPanicOnFault(set)
		must(t, m.Guard(func() error { return nil }))
		must(t, f.Truncate(0))
		if err := m.Guard(func() error { sink = m.Bytes[0]; return nil }); !errors.Is(err, shm.ErrTruncated) {
			t.Error(err)
		}
		must(t, f.Truncate(int64(len(m.Bytes))))
		func() {
			defer func() { recover() }()
			m.Guard(func() error { panic("f") })
		}()
		if got := debug.SetPanicOnFault(false); got != set {
			t.Errorf("panic on fault is %v, was %v", got, set)
		}
	}
}

func TestGuardPassesErrorsAndPanicsOn(t *testing.T) {
	m, _ := newMapping(t)
	mine := errors.New("mine")
	if err := m.Guard(func() error { return mine }); err != mine {
		t.Errorf("Guard = %v, want f's error", err)
	}
	catch := func(f func()) (r any) {
		defer func() { r = recover() }()
		m.Guard(func() error { f(); return nil })
		return nil
	}
	if r := catch(func() { panic("text") }); r != "text" {
		t.Errorf("panic(text) became %v", r)
	}
	if r := catch(func() { panic(mine) }); r != mine {
		t.Errorf("panic(error) became %v", r)
	}
	var null *int
	past := cap(m.Bytes) + 1
	if err, ok := catch(func() { *null = 1 }).(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("a nil pointer became %v", err)
	}
	if err, ok := catch(func() { clear(m.Bytes[:past]) }).(runtime.Error); !ok || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("an index became %v", err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		m.Guard(func() error { runtime.Goexit(); return nil })
		t.Error("Guard has stopped Goexit")
	}()
	<-done
}

// Each Guard answers for its own mapping.
func TestGuardNested(t *testing.T) {
	outer, of := newMapping(t)
	inner, _ := newMapping(t)
	must(t, of.Truncate(0))
	innerReturned := false
	err := outer.Guard(func() error {
		err := inner.Guard(func() error { sink = outer.Bytes[0]; return nil })
		innerReturned = true
		return err
	})
	var path *fs.PathError
	if !errors.As(err, &path) || path.Path != of.Name() || !errors.Is(err, shm.ErrTruncated) {
		t.Errorf("Guard = %v, want ErrTruncated of the outer file", err)
	}
	if innerReturned {
		t.Error("the inner Guard took the outer one's fault for its own")
	}
	err = outer.Guard(func() error {
		if err := inner.Guard(func() error { sink = inner.Bytes[0]; return nil }); err != nil {
			return err
		}
		sink = outer.Bytes[0]
		return nil
	})
	if !errors.As(err, &path) || path.Path != of.Name() {
		t.Errorf("Guard = %v, want ErrTruncated of the outer file", err)
	}
}

// crash makes faults that no Guard may hide.
func crash(args []string) error {
	var f *os.File
	m := func() *shm.Mapping {
		var err error
		if f, err = shm.OpenFile(args[1], unix.O_RDWR, 0); err != nil {
			panic(err)
		}
		m, err := shm.Map(f, os.Getpagesize(), 1)
		if err != nil {
			panic(err)
		}
		return m
	}
	mine, other := m(), m()
	bytes := mine.Bytes
	switch args[0] {
	case "another mapping":
		f.Truncate(0)
		return mine.Guard(func() error { sink = other.Bytes[0]; return nil })
	case "another goroutine":
		f.Truncate(0)
		return mine.Guard(func() error {
			done := make(chan bool)
			go func() { sink = mine.Bytes[0]; close(done) }()
			<-done
			return nil
		})
	case "after Close":
		return mine.Guard(func() error { mine.Close(); sink = bytes[0]; return nil })
	case "without Guard":
		mine.Guard(func() error { return nil })
		f.Truncate(0)
		sink = mine.Bytes[0]
	}
	return nil
}

func TestOtherFaultsCrash(t *testing.T) {
	for _, fault := range []string{"another mapping", "another goroutine", "after Close", "without Guard"} {
		t.Run(fault, func(t *testing.T) {
			p := proctest.Start(t, proctest.Command("crash", fault, newFile(t, os.Getpagesize()).Name()))
			p.WantExit(2) // the Go runtime's
			if e := p.Stderr(); !strings.Contains(e, "unexpected fault address") && !strings.Contains(e, "invalid memory address") {
				t.Error(e)
			}
		})
	}
}

// A fault costs one call, not the process: thousands in a row leave nothing.
func TestGuardManyTimes(t *testing.T) {
	m, f := newMapping(t)
	must(t, f.Truncate(0))
	for i := range 1000 {
		if err := m.Guard(func() error { m.Bytes[i] = 1; return nil }); !errors.Is(err, shm.ErrTruncated) {
			t.Fatal(fmt.Errorf("access %d: %w", i, err))
		}
	}
}
