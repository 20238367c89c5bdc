package door

import (
	"bytes"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// What is accepted is what put would have written: nothing in a header goes
// unseen.
func FuzzHeader(f *testing.F) {
	for _, h := range []header{
		{typ: typeCall}, {typ: typeReturn, size: 5, ndesc: 2}, {typ: typeCall, size: 1 << 40, flags: flagMemfd},
		{typ: typeError, errno: unix.EBADF}, {typ: typeInfo}, {typ: typeDetach},
	} {
		var b [headerSize]byte
		h.put(&b)
		f.Add(b[:], 0, 0)
		f.Add(b[:], int(h.size), int(h.fds()))
	}
	f.Fuzz(func(t *testing.T, b []byte, n, nfds int) {
		h, errno := parseHeader(b)
		if errno != 0 {
			if errno != unix.EPROTO && errno != unix.EPROTONOSUPPORT {
				t.Fatalf("%q: %v", b, errno)
			}
			return
		}
		var again [headerSize]byte
		h.put(&again)
		if !bytes.Equal(again[:], b[:headerSize]) {
			t.Fatalf("%q is read as %+v, %q", b, h, again)
		}
		if h.checkBody(n, nfds) == 0 && n >= 0 && (uint64(n) != h.size && !h.memfd() || n > inlineMax) {
			t.Fatalf("%+v with %d bytes", h, n)
		}
	})
}

func TestInfoReply(t *testing.T) {
	want := infoReply{Info: Info{Pid: 7, Attributes: Unref | IsUnref, Uniquifier: 1 << 63}, dataMin: 1, dataMax: 1 << 40, descMax: 252}
	var b [infoSize]byte
	want.put(&b)
	if got, errno := parseInfo(b[:]); got != want || errno != 0 {
		t.Fatalf("%+v %v, want %+v", got, errno, want)
	}
	if _, errno := parseInfo(b[1:]); errno != unix.EPROTO {
		t.Fatal(errno)
	}
}

func FuzzRights(f *testing.F) {
	f.Add(unix.UnixRights(3), uint8(0))
	f.Add(unix.UnixRights(3, 4, 5), uint8(4))
	f.Add(append(unix.UnixRights(3), unix.UnixRights(4, 5)...), uint8(0))
	f.Add(unix.UnixCredentials(&unix.Ucred{}), uint8(0))
	f.Fuzz(func(t *testing.T, oob []byte, cut uint8) {
		oob = oob[:len(oob)-min(len(oob), int(cut))]
		if fds := rights(nil, oob); 4*len(fds) > len(oob) {
			t.Fatalf("%d descriptors in %d bytes", len(fds), len(oob))
		}
	})
}

func TestPutRight(t *testing.T) {
	var b [rightSize]byte
	putRight(&b, 0x1234567)
	if want := unix.UnixRights(0x1234567); !bytes.Equal(b[:], want) {
		t.Fatalf("%q, want %q", b, want)
	}
	if fds := rights(nil, append(b[:], unix.UnixRights(8, 9)...)); !slices.Equal(fds, []int{0x1234567, 8, 9}) {
		t.Fatal(fds)
	}
}
