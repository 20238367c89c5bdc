package door_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

// edit returns a good call changed by f.
func edit(f func(*frame)) frame {
	fr := good(tCall, []byte("data"))
	f(&fr)
	return fr
}

func TestBadFrames(t *testing.T) {
	noLeak(t)
	calls := make(chan string, 100)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, desc []*os.File) {
		calls <- fmt.Sprintf("%d bytes, %d descriptors", len(arg), len(desc))
		c.Return(arg)
	}, 0)
	null := int(devNull(t, 1)[0].Fd())
	big := memfd(t, 100<<10, allSeals)
	for _, test := range []struct {
		name  string
		frame frame
		errno unix.Errno // 0: the connection just ends
		stays bool       // the connection is good for another call
	}{
		{name: "magic", frame: edit(func(f *frame) { f.magic = "ROOD" })},
		{name: "magic with a descriptor", frame: edit(func(f *frame) { f.magic = "ROOD"; f.fds = []int{null} })},
		{name: "one byte", frame: edit(func(f *frame) { f.short = 1 })},
		{name: "header less a byte", frame: edit(func(f *frame) { f.short = 31; f.fds = []int{null, null} })},
		{name: "version 0", frame: edit(func(f *frame) { f.version = 0 }), errno: unix.EPROTONOSUPPORT},
		{name: "version 2", frame: edit(func(f *frame) { f.version = 2; f.fds = []int{null} }), errno: unix.EPROTONOSUPPORT},
		{name: "type 0", frame: edit(func(f *frame) { f.typ = 0 }), errno: unix.EPROTO},
		{name: "type 6", frame: edit(func(f *frame) { f.typ = 6 }), errno: unix.EPROTO},
		{name: "a result", frame: edit(func(f *frame) { f.typ = tReturn }), errno: unix.EPROTO},
		{name: "an error", frame: frame{magic: "DOOR", version: 1, typ: tError, errno: 5}, errno: unix.EPROTO},
		{name: "call with errno", frame: edit(func(f *frame) { f.errno = 5 }), errno: unix.EPROTO},
		{name: "info with data", frame: edit(func(f *frame) { f.typ = tInfo }), errno: unix.EPROTO},
		{name: "info with a descriptor", frame: frame{magic: "DOOR", version: 1, typ: tInfo, fds: []int{null}}, errno: unix.EPROTO},
		{name: "detach with data", frame: edit(func(f *frame) { f.typ = tDetach }), errno: unix.EPROTO},
		{name: "flags", frame: edit(func(f *frame) { f.flags = 2 }), errno: unix.EPROTO},
		{name: "reserved", frame: edit(func(f *frame) { f.reserved = 1 }), errno: unix.EPROTO},
		{name: "size too small", frame: edit(func(f *frame) { f.size = 3 }), errno: unix.EPROTO},
		{name: "size too large", frame: edit(func(f *frame) { f.size = 5 }), errno: unix.EPROTO},
		{name: "size huge", frame: edit(func(f *frame) { f.size = 1<<64 - 1 }), errno: unix.EPROTO},
		{name: "frame too long", frame: good(tCall, make([]byte, 64<<10+1)), errno: unix.EPROTO},
		{name: "long frame, small size", frame: edit(func(f *frame) { f.body = make([]byte, 100<<10); f.size = 10 }), errno: unix.EPROTO},
		{name: "descriptor not announced", frame: edit(func(f *frame) { f.fds = []int{null} }), errno: unix.EPROTO},
		{name: "descriptor not there", frame: edit(func(f *frame) { f.ndesc = 1 }), errno: unix.EPROTO},
		{name: "one descriptor of two", frame: edit(func(f *frame) { f.ndesc = 2; f.fds = []int{null} }), errno: unix.EPROTO},
		{name: "descriptors huge", frame: edit(func(f *frame) { f.ndesc = 1<<32 - 1; f.fds = []int{null} }), errno: unix.EPROTO},
		{name: "memfd not there", frame: edit(func(f *frame) { f.flags = fMemfd }), errno: unix.EPROTO},
		{name: "memfd and data", frame: edit(func(f *frame) { f.flags = fMemfd; f.fds = []int{big} }), errno: unix.EPROTO},
		{name: "memfd of nothing", frame: edit(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 0; f.fds = []int{memfd(t, 0, allSeals)} }), errno: unix.EPROTO},
		{name: "memfd too small", frame: edit(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 100<<10 + 1; f.fds = []int{big} }), errno: unix.EPROTO},
		{name: "memfd not sealed", frame: edit(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 100; f.fds = []int{memfd(t, 100, 0)} }), errno: unix.EPROTO},
		{name: "memfd can shrink", frame: edit(func(f *frame) {
			f.flags = fMemfd
			f.body = nil
			f.size = 100
			f.fds = []int{memfd(t, 100, unix.F_SEAL_WRITE|unix.F_SEAL_GROW)}
		}), errno: unix.EPROTO},
		{name: "memfd can be written", frame: edit(func(f *frame) {
			f.flags = fMemfd
			f.body = nil
			f.size = 100
			f.fds = []int{memfd(t, 100, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)}
		}), errno: unix.EPROTO},
		{name: "memfd is a device", frame: edit(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 100; f.fds = []int{null} }), errno: unix.EPROTO},
		{name: "memfd larger than permitted", frame: edit(func(f *frame) {
			f.flags = fMemfd
			f.body = nil
			f.size = 1 << 40
			f.fds = []int{memfd(t, 1<<40, allSeals)}
		}), errno: unix.ENOBUFS, stays: true},
		{name: "253 descriptors", frame: edit(func(f *frame) {
			f.ndesc = 253
			for range 253 {
				f.fds = append(f.fds, null)
			}
		}), errno: unix.ENFILE, stays: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := dialRaw(t, path)
			r.send(test.frame)
			reply, ok := r.recv()
			switch {
			case test.errno == 0 && ok:
				t.Fatalf("a reply: %+v", reply)
			case test.errno != 0 && (!ok || reply.magic != "DOOR" || reply.version != 1 || reply.typ != tError ||
				unix.Errno(reply.errno) != test.errno || reply.size != 0 || len(reply.fds) != 0):
				t.Fatalf("reply %v %+v, want error %v", ok, reply, test.errno)
			}
			if !test.stays {
				if !ok {
					return
				}
				if reply, ok := r.recv(); ok {
					t.Fatalf("a second reply: %+v", reply)
				}
				return
			}
			r.send(good(tCall, []byte("again")))
			if reply, ok := r.recv(); !ok || string(reply.body) != "again" {
				t.Fatalf("%v %+v", ok, reply)
			}
			<-calls
		})
	}
	if len(calls) > 0 {
		t.Fatal("a call came through: ", <-calls)
	}
	if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
}

// The example of the documentation: a client by hand.
func TestByHand(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{}, echo, 0)
	r := dialRaw(t, path)
	for range 3 {
		r.send(good(tCall, []byte("hello")))
		f, ok := r.recv()
		if !ok || f.typ != tReturn || f.flags != 0 || f.size != 5 || string(f.body) != "hello" {
			t.Fatalf("%v %+v", ok, f)
		}
	}
	null := int(devNull(t, 1)[0].Fd())
	f := good(tCall, nil)
	f.flags, f.size, f.ndesc, f.fds = fMemfd, 100<<10, 2, []int{memfd(t, 128<<10, allSeals), null, null}
	r.send(f)
	f, ok := r.recv()
	if !ok || f.typ != tReturn || f.flags != fMemfd || f.size != 100<<10 || f.ndesc != 2 || len(f.fds) != 3 || len(f.body) != 0 {
		t.Fatalf("%v %+v", ok, f)
	}
	var st unix.Stat_t
	if unix.Fstat(f.fds[0], &st); st.Size != 100<<10 {
		t.Fatalf("memfd of %d bytes", st.Size)
	}
	if s, err := unix.FcntlInt(uintptr(f.fds[0]), unix.F_GET_SEALS, 0); err != nil || s&allSeals != allSeals {
		t.Fatalf("seals %#x %v", s, err)
	}
	// Two calls in one go are served one after the other.
	r.send(good(tCall, []byte("1")))
	r.send(good(tCall, []byte("2")))
	for _, want := range []string{"1", "2"} {
		if f, ok := r.recv(); !ok || string(f.body) != want {
			t.Fatalf("%v %+v", ok, f)
		}
	}
}

// A client that has closed its sending half gets its answer, and its call is not
// cancelled.
func TestHalfClosed(t *testing.T) {
	noLeak(t)
	ctxs, leave := make(chan context.Context), make(chan bool)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		if len(arg) > 0 {
			ctxs <- c.Context()
			<-leave
		}
		c.Return(arg)
	}, 0)
	r := dialRaw(t, path)
	r.send(good(tCall, []byte("last words")))
	ctx := <-ctxs
	if err := unix.Shutdown(r.fd, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	// Another client's whole call passes, so the event has been seen.
	if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	leave <- true
	if f, ok := r.recv(); !ok || string(f.body) != "last words" {
		t.Fatalf("%v %+v", ok, f)
	}
	if _, ok := r.recv(); ok {
		t.Fatal("the connection goes on")
	}
}

// A client that half closes and then dies is noticed.
func TestHalfClosedThenDead(t *testing.T) {
	noLeak(t)
	ctxs := make(chan context.Context)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		ctxs <- c.Context()
		<-c.Context().Done()
	}, 0)
	r := dialRaw(t, path)
	r.send(good(tCall, nil))
	ctx := <-ctxs
	unix.Shutdown(r.fd, unix.SHUT_WR)
	r.close()
	<-ctx.Done()
}

// A client that sends calls and reads no results is dropped.
func TestDeafClient(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{MaxCalls: 1}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		c.Return(make([]byte, 60<<10))
	}, 0)
	r := dialRaw(t, path)
	for sendFrame(r.fd, good(tCall, nil)) == nil {
	}
	if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
}

// Silent clients hold connections only until others need them.
func TestSilentClients(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{MaxConns: 8, MaxCalls: 2}.Hasty(), echo, 0)
	c := open(t, path) // an early client, idle too
	for range 20 {
		dialRaw(t, path) // the surplus is in the backlog
	}
	if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
	// Its connection has had to make room or not: it does not notice.
	if err := c.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
}

// A pooled connection that the server has closed is replaced, whatever the call
// carries.
func TestReconnect(t *testing.T) {
	noLeak(t)
	d, path := create(t, door.Config{MaxConns: 1}.Hasty(), echo, 0)
	c, other := open(t, path), open(t, path) // the second Open needs the first's place
	for range 2 {
		for _, c := range []*door.Client{c, other} {
			arg := door.Arg{Data: random(100 << 10), Desc: devNull(t, 1), RDesc: 1}
			if err := c.Call(bg, &arg); err != nil {
				t.Fatal(err)
			}
			if len(arg.Desc) != 1 || !bytes.Equal(arg.Data, random(100<<10)) {
				t.Fatal("lost on the way")
			}
			arg.Desc[0].Close()
		}
	}
	d.Close()
}

func TestManyConnections(t *testing.T) {
	noLeak(t)
	path := t.TempDir() + "/door"
	server := start(t, "echo", path)
	for i := range 2000 { // in a row
		c, err := door.Open(path)
		if err == nil {
			err = c.Call(bg, &door.Arg{})
			c.Close()
		}
		if err != nil {
			t.Fatal(i, err)
		}
	}
	errs := make(chan error)
	const n = 300 // at once
	for range n {
		go func() {
			c, err := door.Open(path)
			if err == nil {
				err = c.Call(bg, &door.Arg{})
				c.Close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	server.end()
}

// Servers that are no doors.
func TestOpenOthers(t *testing.T) {
	noLeak(t)
	errno := func(b []byte) func(*raw) {
		return func(r *raw) {
			if _, ok := r.recv(); ok {
				unix.Sendmsg(r.fd, b, nil, nil, unix.MSG_NOSIGNAL)
				r.recv()
			}
		}
	}
	reply := func(f frame) func(*raw) { return errno(f.bytes()) }
	null := int(devNull(t, 1)[0].Fd())
	for _, test := range []struct {
		name  string
		typ   int
		serve func(*raw)
		want  error
	}{
		{"stream", unix.SOCK_STREAM, func(r *raw) { r.recv() }, unix.EBADF},
		{"hangs up", unix.SOCK_SEQPACKET, func(*raw) {}, unix.EBADF},
		{"reads and hangs up", unix.SOCK_SEQPACKET, func(r *raw) { r.recv() }, unix.EBADF},
		{"talks", unix.SOCK_SEQPACKET, errno([]byte("220 ready")), unix.EBADF},
		{"talks long", unix.SOCK_SEQPACKET, errno(make([]byte, 100<<10)), unix.EBADF},
		{"echo", unix.SOCK_SEQPACKET, reply(good(tInfo, nil)), unix.EBADF},
		{"short info", unix.SOCK_SEQPACKET, reply(good(tReturn, make([]byte, 39))), unix.EBADF},
		{"empty info", unix.SOCK_SEQPACKET, reply(good(tReturn, nil)), unix.EBADF},
		{"wrong size", unix.SOCK_SEQPACKET, reply(frame{magic: "DOOR", version: 1, typ: tReturn, size: 41, body: make([]byte, 40)}), unix.EBADF},
		{"error 0", unix.SOCK_SEQPACKET, reply(frame{magic: "DOOR", version: 1, typ: tError}), unix.EBADF},
		{"other version", unix.SOCK_SEQPACKET, reply(frame{magic: "DOOR", version: 9, typ: tReturn}), unix.EPROTONOSUPPORT},
		{"refuses", unix.SOCK_SEQPACKET, reply(frame{magic: "DOOR", version: 1, typ: tError, errno: uint32(unix.EPROTONOSUPPORT)}), unix.EPROTONOSUPPORT},
		{"sends descriptors", unix.SOCK_SEQPACKET, func(r *raw) {
			r.recv()
			f := good(tReturn, make([]byte, 40))
			f.fds = []int{null, null, null}
			sendFrame(r.fd, f)
			r.recv()
		}, unix.EBADF},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := door.Open(serveRaw(t, test.typ, test.serve))
			wantErr(t, err, test.want)
		})
	}
	t.Run("backlog full", func(t *testing.T) {
		path := fullBacklog(t)
		ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
		defer cancel()
		_, err := door.OpenContext(ctx, path)
		wantErr(t, err, unix.ETIMEDOUT)
		wantErr(t, door.Detach(path), unix.EADDRINUSE)
	})
	t.Run("silent", func(t *testing.T) {
		path := serveRaw(t, unix.SOCK_SEQPACKET, func(r *raw) { r.recv(); r.recv() })
		ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
		defer cancel()
		_, err := door.OpenContext(ctx, path)
		wantErr(t, err, unix.ETIMEDOUT)
	})
}

// fullBacklog is a socket whose server accepts nobody, with no room for more.
func fullBacklog(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "full")
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	at := &unix.SockaddrUnix{Name: path}
	server := socket()
	if err := unix.Bind(server, at); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(server, 0); err != nil {
		t.Fatal(err)
	}
	for {
		switch err := unix.Connect(socket(), at); err {
		case nil:
		case unix.EAGAIN:
			return path
		default:
			t.Fatal(err)
		}
	}
}

// Servers that answer a call with nonsense.
func TestBadResults(t *testing.T) {
	noLeak(t)
	null := int(devNull(t, 1)[0].Fd())
	big := memfd(t, 100<<10, allSeals)
	errno := func(e unix.Errno) frame { return frame{magic: "DOOR", version: 1, typ: tError, errno: uint32(e)} }
	res := func(f func(*frame)) frame {
		fr := good(tReturn, []byte("result"))
		f(&fr)
		return fr
	}
	for i, test := range []struct {
		frame frame
		want  error
	}{
		{res(func(f *frame) { f.magic = "ROOD" }), unix.EPROTO},
		{res(func(f *frame) { f.version = 2 }), unix.EPROTONOSUPPORT},
		{res(func(f *frame) { f.typ = tCall }), unix.EPROTO},
		{res(func(f *frame) { f.size = 7 }), unix.EPROTO},
		{res(func(f *frame) { f.short = 20 }), unix.EPROTO},
		{res(func(f *frame) { f.ndesc = 1 }), unix.EPROTO},
		{res(func(f *frame) { f.fds = []int{null} }), unix.EPROTO},
		{res(func(f *frame) { f.fds = []int{null, null, null, null, null, null} }), unix.EPROTO},
		{res(func(f *frame) { f.flags = fMemfd; f.body = nil; f.fds = []int{null} }), unix.EPROTO},
		{res(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 1 << 40; f.fds = []int{big} }), unix.EOVERFLOW},
		{res(func(f *frame) {
			f.flags = fMemfd
			f.body = nil
			f.size = 100<<10 + 1
			f.fds = []int{big, null, null}
			f.ndesc = 2
		}), unix.EPROTO},
		{res(func(f *frame) { f.flags = fMemfd; f.body = nil; f.size = 9; f.fds = []int{memfd(t, 9, 0)} }), unix.EPROTO},
		{good(tReturn, make([]byte, 64<<10+1)), unix.EPROTO},
		{errno(unix.EBADF), unix.EBADF},
		{errno(unix.EMFILE), unix.EMFILE},
		{errno(5000), unix.EPROTO},
		{func() frame { f := errno(unix.EBADF); f.fds = []int{null, null}; return f }(), unix.EBADF},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			path := serveRaw(t, unix.SOCK_SEQPACKET, func(r *raw) {
				for {
					f, ok := r.recv()
					if !ok {
						return
					}
					if f.typ == tInfo {
						sendFrame(r.fd, good(tReturn, make([]byte, 40)))
						continue
					}
					sendFrame(r.fd, test.frame)
				}
			})
			c := open(t, path)
			arg := door.Arg{Data: []byte("kept"), RDesc: 2}
			wantErr(t, c.Call(bg, &arg), test.want)
			if string(arg.Data) != "kept" || arg.Desc != nil {
				t.Fatal("the argument has changed")
			}
			c.Close()
		})
	}
}

func FuzzServer(f *testing.F) {
	for _, fr := range []frame{good(tCall, nil), good(tCall, []byte("data")), good(tInfo, nil), good(tDetach, nil),
		edit(func(f *frame) { f.flags = fMemfd }), edit(func(f *frame) { f.short = 31 }), edit(func(f *frame) { f.version = 7 })} {
		f.Add(fr.bytes(), uint8(0))
		f.Add(fr.bytes(), uint8(3))
	}
	d, err := door.Create(echo, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	path := f.TempDir() + "/door"
	null, err := os.Open(os.DevNull)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, nfds uint8) {
		if err := d.Attach(path); err != nil && !errors.Is(err, unix.EBUSY) { // a frame may have detached it
			t.Fatal(err)
		}
		r := dialRaw(t, path)
		defer r.close()
		var oob []byte
		if n := int(nfds % 5); n > 0 {
			fds := make([]int, n)
			for i := range fds {
				fds[i] = int(null.Fd())
			}
			oob = unix.UnixRights(fds...)
		}
		if err := unix.Sendmsg(r.fd, b, oob, nil, unix.MSG_NOSIGNAL); err != nil {
			return // too long for a socket
		}
		unix.Shutdown(r.fd, unix.SHUT_WR)
		reply, ok := r.recv()
		if ok && reply.typ != tReturn && reply.typ != tError {
			t.Fatalf("reply %+v to %q", reply, b)
		}
		if ok && reply.typ == tReturn && string(b[:4]) != "DOOR" {
			t.Fatalf("a result for %q", b)
		}
		for _, fd := range reply.fds {
			unix.Close(fd)
		}
		if again, ok := r.recv(); ok {
			t.Fatalf("second reply %+v to %q", again, b)
		}
	})
}

func FuzzClient(f *testing.F) {
	for _, fr := range []frame{good(tReturn, nil), good(tReturn, []byte("data")), good(tInfo, nil),
		{magic: "DOOR", version: 1, typ: tError, errno: 9}, {magic: "DOOR", version: 1, typ: tReturn, flags: fMemfd, size: 9}} {
		f.Add(fr.bytes(), uint8(0))
		f.Add(fr.bytes(), uint8(2))
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		f.Fatal(err)
	}
	type answer struct {
		b []byte
		n uint8
	}
	answers := make(chan answer, 1)
	path := serveRaw(f, unix.SOCK_SEQPACKET, func(r *raw) {
		for {
			fr, err := recvFrame(r.fd)
			if err != nil {
				return
			}
			if fr.typ == tInfo {
				sendFrame(r.fd, good(tReturn, make([]byte, 40)))
				continue
			}
			a := <-answers
			var oob []byte
			for range a.n % 5 {
				oob = unix.UnixRights(int(null.Fd()), int(null.Fd()))
			}
			unix.Sendmsg(r.fd, a.b, oob, nil, unix.MSG_NOSIGNAL)
			return
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		if len(b) > 100<<10 {
			return
		}
		c, err := door.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answers <- answer{b, n}
		arg := door.Arg{RDesc: int(n % 3)}
		err = c.Call(bg, &arg)
		if err == nil && (string(b[:4]) != "DOOR" || len(arg.Desc) > arg.RDesc) {
			t.Fatalf("a result from %q", b)
		}
		for _, f := range arg.Desc {
			f.Close()
		}
	})
}
