package door_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

// The peer of these tests is written from the package's documentation, not with
// its code.

const (
	tCall, tReturn, tError, tInfo, tDetach = 1, 2, 3, 4, 5
	fMemfd                                 = 1
)

type frame struct {
	magic           string
	version, typ    uint16
	errno, flags    uint32
	size            uint64
	ndesc, reserved uint32
	body            []byte
	fds             []int
	short           int // cut the frame to so many bytes
}

func good(typ uint16, body []byte) frame {
	return frame{magic: "DOOR", version: 1, typ: typ, size: uint64(len(body)), body: body}
}

func (f frame) bytes() []byte {
	le := binary.LittleEndian
	b := []byte(f.magic)
	b = le.AppendUint16(b, f.version)
	b = le.AppendUint16(b, f.typ)
	b = le.AppendUint32(b, f.errno)
	b = le.AppendUint32(b, f.flags)
	b = le.AppendUint64(b, f.size)
	b = le.AppendUint32(b, f.ndesc)
	b = le.AppendUint32(b, f.reserved)
	b = append(b, f.body...)
	if f.short > 0 {
		b = b[:f.short]
	}
	return b
}

// A raw is a client or server by hand.
type raw struct {
	t  testing.TB
	fd int
}

func dialRaw(t testing.TB, path string) *raw {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Tests fail rather than hang.
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	r := &raw{t, fd}
	t.Cleanup(r.close)
	return r
}

func (r *raw) close() {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}

func (r *raw) send(f frame) {
	r.t.Helper()
	if err := sendFrame(r.fd, f); err != nil {
		r.t.Fatalf("sendmsg: %v", err)
	}
}

func sendFrame(fd int, f frame) error {
	var oob []byte
	if len(f.fds) > 0 {
		oob = unix.UnixRights(f.fds...)
	}
	return unix.Sendmsg(fd, f.bytes(), oob, nil, unix.MSG_NOSIGNAL)
}

// recv receives a frame; ok is false at the end.
func (r *raw) recv() (f frame, ok bool) {
	r.t.Helper()
	f, err := recvFrame(r.fd)
	if err == io.EOF {
		return f, false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if len(f.fds) > 0 {
		r.t.Cleanup(func() {
			for _, fd := range f.fds {
				unix.Close(fd)
			}
		})
	}
	return f, true
}

func recvFrame(fd int) (f frame, err error) {
	b, oob := make([]byte, 1<<17), make([]byte, 2048)
	var n, oobn int
	for {
		// The timeout of dialRaw makes a receive return EINTR for any signal.
		n, oobn, _, _, err = unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err == unix.ECONNRESET || err == nil && n == 0 {
		return f, io.EOF
	}
	if err != nil {
		return f, os.NewSyscallError("recvmsg", err)
	}
	if n < 32 {
		return f, fmt.Errorf("frame of %d bytes", n)
	}
	le := binary.LittleEndian
	f = frame{magic: string(b[:4]), version: le.Uint16(b[4:]), typ: le.Uint16(b[6:]), errno: le.Uint32(b[8:]),
		flags: le.Uint32(b[12:]), size: le.Uint64(b[16:]), ndesc: le.Uint32(b[24:]), reserved: le.Uint32(b[28:]), body: b[32:n]}
	if oobn > 0 {
		ms, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return f, err
		}
		for _, m := range ms {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil {
				return f, err
			}
			f.fds = append(f.fds, fds...)
		}
	}
	return f, nil
}

// memfd returns a file of memory with size bytes and the seals.
func memfd(t testing.TB, size int64, seals int) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	if seals != 0 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// A server by hand: for each connection it calls serve.
func serveRaw(t testing.TB, typ int, serve func(*raw)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raw")
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 16); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return
			}
			r := &raw{t, c}
			serve(r)
			r.close()
		}
	}()
	t.Cleanup(func() {
		unix.Shutdown(fd, unix.SHUT_RDWR)
		<-done
		unix.Close(fd)
	})
	return path
}

// create makes a door attached in a temporary directory.
func create(t testing.TB, cfg door.Config, proc door.ServerProc, attr door.Attr) (*door.Door, string) {
	t.Helper()
	d, err := cfg.Create(proc, "cookie", attr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	path := filepath.Join(t.TempDir(), "door")
	if err := d.Attach(path); err != nil {
		t.Fatal(err)
	}
	return d, path
}

func open(t testing.TB, path string) *door.Client {
	t.Helper()
	c, err := door.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eventually waits for what other goroutines or processes are about to do.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

// noLeak fails the test if it ends with more descriptors than it began with. It
// is to be called first, so that what others clean up is gone.
func noLeak(t testing.TB) {
	t.Helper()
	// What the process keeps for good: the runtime's event loop and ours.
	warm.Do(func() {
		d, err := door.Create(echo, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "warm")
		if err := d.Attach(path); err != nil {
			t.Fatal(err)
		}
		c, err := door.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		d.Close()
	})
	before := openFiles()
	t.Cleanup(func() {
		eventually(t, fmt.Sprintf("%d open descriptors as before", before), func() bool { return openFiles() <= before })
	})
}

// devNull returns n open files.
func devNull(t testing.TB, n int) []*os.File {
	t.Helper()
	fs := make([]*os.File, n)
	for i := range fs {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		fs[i] = f
	}
	return fs
}

func mode(t testing.TB, path string) fs.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}
