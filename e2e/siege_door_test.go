package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

// A frame is one of the door's protocol, right or wrong: see package door.
type frame struct {
	magic          uint32
	version, kind  uint16
	errno, flags   uint32
	size           uint64
	ndesc, reserve uint32
	data           []byte
}

const (
	doorMagic          = 0x524f4f44
	frameCall          = 1
	frameReturn        = 2
	frameError         = 3
	frameInfo          = 4
	frameDetach        = 5
	flagMemfd          = 1
	doorArg, doorReply = 4, 8 // bytes of argument and result of doors_emul
)

func callFrame(data []byte) frame {
	return frame{magic: doorMagic, version: 1, kind: frameCall, size: uint64(len(data)), data: data}
}

func (f frame) bytes() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, f.magic)
	b = le.AppendUint16(b, f.version)
	b = le.AppendUint16(b, f.kind)
	b = le.AppendUint32(b, f.errno)
	b = le.AppendUint32(b, f.flags)
	b = le.AppendUint64(b, f.size)
	b = le.AppendUint32(b, f.ndesc)
	b = le.AppendUint32(b, f.reserve)
	return append(b, f.data...)
}

// knock connects to a door by hand, and hangs up after talk.
func knock(path string, talk func(conn *os.File) error) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for {
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != unix.EINTR {
			break
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	conn := os.NewFile(uintptr(fd), path)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	return talk(conn)
}

// reply reads a frame. It returns its type and errno, or 0 and 0 at the end.
func reply(conn *os.File) (kind uint16, errno unix.Errno, err error) {
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err == io.EOF || errors.Is(err, unix.ECONNRESET) || err == nil && n == 0 {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if n < 32 || binary.LittleEndian.Uint32(b) != doorMagic {
		return 0, 0, fmt.Errorf("reply % x", b[:n])
	}
	return binary.LittleEndian.Uint16(b[6:]), unix.Errno(binary.LittleEndian.Uint32(b[8:])), nil
}

// says sends bytes and wants the answer: of a type, with an errno, and then, if
// ends is set, the end.
func says(b []byte, kind uint16, errno unix.Errno) func(string) error {
	return func(path string) error {
		return knock(path, func(conn *os.File) error {
			if _, err := conn.Write(b); err != nil {
				return err
			}
			return wantReply(conn, kind, errno)
		})
	}
}

func wantReply(conn *os.File, kind uint16, errno unix.Errno) error {
	k, e, err := reply(conn)
	if err == nil && (k != kind || e != errno) {
		err = fmt.Errorf("reply of type %d, errno %v; want %d, %v", k, e, kind, errno)
	}
	return err
}

// square calls doors_emul with id.
func square(path string, id int32) error {
	c, err := door.Open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	arg := door.Arg{Data: binary.NativeEndian.AppendUint32(nil, uint32(id))}
	if err := c.Call(ctx, &arg); err != nil {
		return err
	}
	if want := binary.NativeEndian.AppendUint64(nil, uint64(int64(id)*int64(id))); !bytes.Equal(arg.Data, want) {
		return fmt.Errorf("result of %d: % x", id, arg.Data)
	}
	return nil
}

// gifts sends a frame with 50 descriptors and checks that the server has closed
// them once it has answered.
func gifts(f frame, kind uint16, errno unix.Errno) func(string) error {
	return func(path string) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		err = knock(path, func(conn *os.File) error {
			err := sendDescriptors(conn, w, f.bytes(), 50)
			if err := errors.Join(err, w.Close()); err != nil {
				return err
			}
			return wantReply(conn, kind, errno)
		})
		if err != nil {
			return err
		}
		r.SetReadDeadline(time.Now().Add(patience))
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return fmt.Errorf("the descriptors that the server was sent are still open: %v", err)
		}
		return nil
	}
}

// large sends an argument of 1 MiB, in a memfd that must be closed again.
func large(path string) error {
	c, err := door.Open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Call(context.Background(), &door.Arg{Data: make([]byte, 1<<20)}); !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("argument of 1 MiB: %v, want ENOBUFS", err)
	}
	return nil
}

var (
	id12      = []byte{12, 0, 0, 0}
	wrongMark = frame{magic: 0xdeadbeef, version: 1, kind: frameCall, size: doorArg, data: id12}
	newer     = frame{magic: doorMagic, version: 2, kind: frameCall, size: doorArg, data: id12}
	withDesc  = frame{magic: doorMagic, version: 1, kind: frameCall, size: doorArg, ndesc: 50, data: id12}
	noDesc    = frame{magic: doorMagic, version: 1, kind: frameCall, size: doorArg, ndesc: 3, data: id12}
	noMemfd   = frame{magic: doorMagic, version: 1, kind: frameCall, size: 1 << 20, flags: flagMemfd}
	noType    = frame{magic: doorMagic, version: 1, kind: 9}
	anAnswer  = frame{magic: doorMagic, version: 1, kind: frameReturn, size: doorReply, data: make([]byte, doorReply)}
	tooFew    = frame{magic: doorMagic, version: 1, kind: frameCall, size: 1 << 60, data: id12}
	badFlags  = frame{magic: doorMagic, version: 1, kind: frameCall, size: doorArg, flags: 0xfffffffe, data: id12}
	anInfo    = frame{magic: doorMagic, version: 1, kind: frameInfo}
)

// callers are the clients of a door that are no callers, and those that are.
var callers = map[string]func(path string) error{
	"good":             func(path string) error { return square(path, rand.Int32()) },
	"hangs up at once": func(path string) error { return knock(path, func(*os.File) error { return nil }) },
	"hangs up in the call": func(path string) error {
		return knock(path, func(c *os.File) error { _, err := c.Write(callFrame(id12).bytes()); return err })
	},
	"1 MiB":                 large,
	"one byte":              says([]byte{'D'}, 0, 0),
	"half a header":         says(callFrame(id12).bytes()[:16], 0, 0),
	"no door's":             says(wrongMark.bytes(), 0, 0),
	"newer":                 says(newer.bytes(), frameError, unix.EPROTONOSUPPORT),
	"no such type":          says(noType.bytes(), frameError, unix.EPROTO),
	"an answer":             says(anAnswer.bytes(), frameError, unix.EPROTO),
	"bad flags":             says(badFlags.bytes(), frameError, unix.EPROTO),
	"less than it says":     says(tooFew.bytes(), frameError, unix.EPROTO),
	"descriptors forgotten": says(noDesc.bytes(), frameError, unix.EPROTO),
	"memfd forgotten":       says(noMemfd.bytes(), frameError, unix.EPROTO),
	"too long":              says(callFrame(make([]byte, 100_000)).bytes(), frameError, unix.EPROTO),
	"no argument":           says(callFrame(nil).bytes(), frameError, unix.ENOBUFS),
	"descriptors unasked":   gifts(callFrame(id12), frameError, unix.EPROTO),
	"descriptors declared":  gifts(withDesc, frameReturn, 0),
	"descriptors to info":   gifts(anInfo, frameError, unix.EPROTO),
	"descriptors and junk":  gifts(wrongMark, 0, 0),
	"half closed": func(path string) error {
		return knock(path, func(conn *os.File) error {
			if _, err := conn.Write(callFrame(id12).bytes()); err != nil {
				return err
			}
			if err := halfClose(conn); err != nil {
				return err
			}
			return wantReply(conn, frameReturn, 0)
		})
	},
	"random": func(path string) error {
		return knock(path, func(conn *os.File) error {
			for range 8 {
				b := make([]byte, 1+rand.IntN(200))
				for i := range b {
					b[i] = byte(rand.Uint32())
				}
				if _, err := conn.Write(b); err != nil {
					return nil // it has hung up, as it may
				}
			}
			return nil
		})
	},
}

// doorIdle is how many descriptors a door server has without clients: 0, 1, 2, the
// socket at which it listens, and the directory of that.
const doorIdle = 5

// besieged starts a door server and returns it with the path of its door.
func besieged(t *testing.T, first string) (server *proc, path string, before map[int]string) {
	t.Helper()
	dir := t.TempDir()
	cmd := golang.command(t, dir, "doors_emul", "server", "door")
	if first != "" {
		cmd = shelled(t, first, cmd)
	}
	server = start(t, cmd)
	until(t, "the door is there", func() bool { return listens(server.pid) && blocked(server.pid) })
	path = shortPath(t, filepath.Join(dir, "door"))
	if err := square(path, 1); err != nil { // it has all descriptors that it keeps
		t.Fatal(err)
	}
	until(t, "the connection is closed", func() bool { return len(descriptors(server.pid)) == doorIdle })
	return server, path, descriptors(server.pid)
}

// checkDoorServer says what a server is that is the same as before.
func checkDoorServer(t *testing.T, server *proc, path string, before map[int]string) {
	t.Helper()
	if err := square(path, 7); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	until(t, "the server has the descriptors that it had before", func() bool {
		return fmt.Sprint(descriptors(server.pid)) == fmt.Sprint(before)
	})
	if kib := peak(t, server.pid); kib > 128<<10 {
		t.Errorf("the server has used %d KiB", kib)
	}
	if kids := children(server.pid); len(kids) > 0 {
		t.Errorf("children: %v", kids)
	}
	server.signal(unix.SIGTERM)
	if r := server.wait().wantSignal(t, unix.SIGTERM); r.stderr != "" {
		t.Errorf("stderr %q", r.stderr)
	}
}

// Clients of all kinds, one after the other.
func TestSiegeDoorInARow(t *testing.T) {
	t.Parallel()
	server, path, before := besieged(t, "")
	for i := 0; i < often(10_000, 1000); {
		for name, call := range callers {
			if err := call(path); err != nil {
				t.Fatalf("client %d, %s: %v", i, name, err)
			}
			i++
		}
	}
	checkDoorServer(t, server, path, before)
}

// Clients of all kinds at once, beside five hundred that say nothing.
func TestSiegeDoorAtOnce(t *testing.T) {
	t.Parallel()
	server, path, before := besieged(t, "")
	w := watching(server.pid)
	silent, leave := make(chan error), make(chan bool)
	const many = 500
	for range many {
		go func() {
			silent <- knock(path, func(*os.File) error { silent <- nil; <-leave; return nil })
		}()
	}
	for range many {
		if err := <-silent; err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for name, call := range callers {
		n := often(1000, 300) / 30
		if name == "good" {
			n *= 10
		}
		for range n {
			wg.Go(func() {
				if err := call(path); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
	close(leave)
	for range many {
		if err := <-silent; err != nil {
			t.Error(err)
		}
	}
	if w.stop(); w.children > 0 || w.open > 1200 {
		t.Errorf("at most %d children and %d descriptors", w.children, w.open)
	}
	t.Logf("at most %d descriptors in %d looks, %d KiB", w.open, w.looks, peak(t, server.pid))
	checkDoorServer(t, server, path, before)
}

// A server that may have few descriptors: clients that say nothing make room for
// those that call.
func TestSiegeDoorFewDescriptors(t *testing.T) {
	t.Parallel()
	const limit = 64 // half of them for connections
	server, path, before := besieged(t, fmt.Sprintf("ulimit -n %d", limit))
	w := watching(server.pid)
	leave := make(chan bool)
	var silent sync.WaitGroup
	var connected sync.WaitGroup
	for range limit + limit/2 {
		connected.Add(1)
		silent.Go(func() {
			err := knock(path, func(*os.File) error { connected.Done(); <-leave; return nil })
			if err != nil {
				connected.Done()
				t.Error(err)
			}
		})
	}
	connected.Wait()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := square(path, int32(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(leave)
	silent.Wait()
	if w.stop(); w.open > limit {
		t.Errorf("%d descriptors", w.open)
	}
	checkDoorServer(t, server, path, before)
}
