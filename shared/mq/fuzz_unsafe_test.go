package mq

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FuzzName compares what Open says of a name with the rules, and with the
// kernel on the way. It only opens, for reading.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", "/", "q", "/q", "//", "/.", "/..", "/...", "/a/b", "/\x00", "a\x00", "/\xff", "/" + strings.Repeat("x", 255)} {
		f.Add(s)
	}
	f.Add("/" + strings.Repeat("x", 256))
	f.Add("/" + strings.Repeat("x", 4095))
	f.Add("/" + strings.Repeat("x", 4096) + "/")
	f.Fuzz(func(t *testing.T, name string) {
		rest, ok := strings.CutPrefix(name, "/")
		var want error
		switch {
		case !ok || strings.Contains(rest, "\x00"):
			want = unix.EINVAL
		case rest == "":
			want = unix.ENOENT
		case len(rest) >= unix.PathMax:
			want = unix.ENAMETOOLONG
		case rest == "." || rest == ".." || strings.Contains(rest, "/"):
			want = unix.EACCES
		case len(rest) > 255:
			want = unix.ENAMETOOLONG
		}
		kname, err := kernelName(name)
		if (err == nil) != (want != unix.EINVAL) || err == nil && "/"+kname != name {
			t.Errorf("kernelName(%q) = %q, %v", name, kname, err)
		}
		q, err := Open(name, unix.O_RDONLY)
		if err == nil {
			q.Close()
		}
		if want == nil {
			// A good name. There may even be such a queue, of another user.
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) {
				t.Errorf("Open(%q): %v", name, err)
			}
			return
		}
		if !errors.Is(err, want) {
			t.Errorf("Open(%q): %v, want %v", name, err, want)
		}
	})
}

// FuzzAttr reads struct mq_attr at C's offsets beside the Go struct.
func FuzzAttr(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte(strings.Repeat("\xff\x00\x01\x80", 16)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Attr
		raw := unsafe.Slice((*byte)(unsafe.Pointer(&a)), unsafe.Sizeof(a))
		copy(raw, b)
		var c [64]byte
		copy(c[:], b)
		long := func(off int) int64 { return int64(binary.NativeEndian.Uint64(c[off:])) }
		if a.Flags != long(0) || a.MaxMsg != long(8) || a.MsgSize != long(16) || a.CurMsgs != long(24) {
			t.Errorf("%x reads as %+v", c, a)
		}
	})
}

// FuzzDeadline: whatever the deadline, the kernel gets a time that it accepts,
// or none for the zero Time.
func FuzzDeadline(f *testing.F) {
	f.Add(int64(0), int64(0))
	f.Add(int64(-62135596800), int64(0)) // time.Time{}
	f.Add(int64(1)<<62, int64(1e9))
	f.Add(int64(-1), int64(-1))
	f.Fuzz(func(t *testing.T, sec, nsec int64) {
		deadline := time.Unix(sec, nsec)
		var ts unix.Timespec
		switch p := until(&ts, deadline); {
		case p == nil:
			if !deadline.IsZero() {
				t.Errorf("no deadline for %v", deadline)
			}
		case ts.Sec < 0 || ts.Nsec < 0 || ts.Nsec >= 1e9:
			t.Errorf("%v becomes %+v", deadline, ts)
		case deadline.Unix() >= 0 && (ts.Sec != deadline.Unix() || int(ts.Nsec) != deadline.Nanosecond()):
			t.Errorf("%v becomes %+v", deadline, ts)
		}
	})
}
