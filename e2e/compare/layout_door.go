package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

// The frames of package door are no memory, but what travels between processes.
// The probe reads them on their way, between a client and a server of Go.

func init() {
	header := []string{"shared/door/door.h"}
	layouts["door_frame"] = layout{
		C: cLayout{Include: header, Fields: []field{
			sizeOf("size of the header", "struct door_frame"),
			offset("magic", "struct door_frame", "magic"),
			{"value of magic", "DOOR_MAGIC"},
			offset("version", "struct door_frame", "version"),
			{"value of version", "DOOR_VERSION"},
			offset("type", "struct door_frame", "type"),
			{"type of a call", "DOOR_CALL"},
			{"type of a return", "DOOR_RETURN"},
			{"type of an error", "DOOR_ERROR"},
			{"type of info", "DOOR_INFO"},
			{"type of detach", "DOOR_DETACH"},
			offset("error", "struct door_frame", "error"),
			offset("flags", "struct door_frame", "flags"),
			{"flag of a memfd", "DOOR_MEMFD"},
			offset("size", "struct door_frame", "size"),
			offset("n_desc", "struct door_frame", "n_desc"),
			{"most bytes in a frame", "DOOR_INLINE_MAX"},
			{"most descriptors", "DOOR_DESC_MAX"},
		}},
		Go: func() ([]string, error) { f := probeDoor(); return f.frame, f.err },
	}
	layouts["door_info_reply"] = layout{
		C: cLayout{Include: header, Fields: []field{
			sizeOf("size", "struct door_info_reply"),
			offset("attributes", "struct door_info_reply", "attributes"),
			offset("pid", "struct door_info_reply", "pid"),
			offset("uniquifier", "struct door_info_reply", "uniquifier"),
			offset("data_min", "struct door_info_reply", "data_min"),
			offset("data_max", "struct door_info_reply", "data_max"),
			offset("desc_max", "struct door_info_reply", "desc_max"),
		}},
		Go: func() ([]string, error) { f := probeDoor(); return f.info, f.err },
	}
}

const (
	probeInline = 65536 // what must go in a frame, and one byte more that must not
	probeSize   = 0x1234
	probeMin    = 0x11
	probeMax    = 0x23456
	probeDesc   = 0x7b
	probeAttr   = door.Unref | door.NoCancel
)

// doorFrames is what a conversation showed.
type doorFrames struct {
	frame, info []string
	err         error
}

// probeDoor is run once: both layouts are of the same conversation.
var probeDoor = sync.OnceValue(func() doorFrames { f, i, err := talk(); return doorFrames{f, i, err} })

// talk lets a client call a server through a tap and returns what it saw of the
// header and of the reply to INFO.
func talk() (frame, info []string, err error) {
	dir, err := os.MkdirTemp("", "ipcbook-compare-door-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	d, err := door.Create(func(call *door.Call, _ any, _ []byte, _ []*os.File) { call.Return(nil) }, nil, probeAttr)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	err = errors.Join(d.SetParam(door.DataMax, probeMax), d.SetParam(door.DataMin, probeMin), d.SetParam(door.DescMax, probeDesc),
		d.Attach(filepath.Join(dir, "door")))
	if err != nil {
		return nil, nil, err
	}
	t, err := newTap(filepath.Join(dir, "tap"), filepath.Join(dir, "door"))
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := door.OpenContext(ctx, t.path)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()

	if _, err := c.Info(ctx); err != nil {
		return nil, nil, err
	}
	ask, reply := t.last()
	call := func(n int, desc ...*os.File) (sent, got []byte) {
		c.Call(ctx, &door.Arg{Data: make([]byte, n), Desc: desc})
		return t.last()
	}
	plain, returned := call(probeSize)
	_, failed := call(probeMin - 1) // ENOBUFS
	small, _ := call(probeInline)
	large, _ := call(probeInline + 1)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	withDesc, _ := call(probeSize, null, null, null)
	door.Detach(t.path)
	detach, _ := t.last()

	head := len(plain) - probeSize
	for _, f := range [][]byte{ask, reply, returned, failed, small, large, withDesc, detach} {
		if head <= 0 || len(f) < head {
			return nil, nil, fmt.Errorf("a frame of %d bytes, the header has %d", len(f), head)
		}
	}
	var at [7]int
	le := binary.LittleEndian
	for i, f := range []struct {
		frame []byte
		value uint64
		bytes int
	}{
		{ask, 0x524f4f44, 4},              // magic
		{ask, 1, 2},                       // version
		{plain, probeSize, 8},             // size
		{failed, uint64(unix.ENOBUFS), 4}, // error
		{withDesc, 3, 4},                  // n_desc
	} {
		if at[i], err = field64(f.frame[:head], f.value, f.bytes); err != nil {
			return nil, nil, err
		}
	}
	if at[5], err = changed(ask[:head], detach[:head]); err != nil { // type
		return nil, nil, err
	}
	a, b := slices.Clone(plain[:head]), slices.Clone(large[:head])
	clear(a[at[2]:][:8])
	clear(b[at[2]:][:8])
	if at[6], err = changed(a, b); err != nil { // flags
		return nil, nil, err
	}
	typ := func(f []byte) int { return int(le.Uint16(f[at[5]:])) }
	inline := 0
	if len(small) == head+probeInline && len(large) == head {
		inline = probeInline
	}
	frame = []string{
		value("size of the header", head),
		value("magic", at[0]),
		value("value of magic", 0x524f4f44),
		value("version", at[1]),
		value("value of version", 1),
		value("type", at[5]),
		value("type of a call", typ(plain)),
		value("type of a return", typ(returned)),
		value("type of an error", typ(failed)),
		value("type of info", typ(ask)),
		value("type of detach", typ(detach)),
		value("error", at[3]),
		value("flags", at[6]),
		value("flag of a memfd", int(le.Uint32(large[at[6]:]))),
		value("size", at[2]),
		value("n_desc", at[4]),
		value("most bytes in a frame", inline),
		value("most descriptors", door.MaxDesc),
	}
	body := reply[head:]
	info = []string{value("size", len(body))}
	for _, f := range []struct {
		label string
		value uint64
		bytes int
	}{
		{"attributes", uint64(probeAttr), 4},
		{"pid", uint64(os.Getpid()), 4},
		{"uniquifier", d.Info().Uniquifier, 8},
		{"data_min", probeMin, 8},
		{"data_max", probeMax, 8},
		{"desc_max", probeDesc, 4},
	} {
		at, err := field64(body, f.value, f.bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.label, err)
		}
		info = append(info, value(f.label, at))
	}
	return frame, info, nil
}

// field64 returns where the aligned little-endian number of so many bytes stands,
// if that is one place.
func field64(b []byte, v uint64, n int) (int, error) {
	found := -1
	want := binary.LittleEndian.AppendUint64(nil, v)[:n]
	for at := 0; at+n <= len(b); at += n {
		if slices.Equal(b[at:at+n], want) {
			if found >= 0 {
				return 0, fmt.Errorf("%#x is in more than one place", v)
			}
			found = at
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("%#x is nowhere", v)
	}
	return found, nil
}

// A tap is a socket at path that passes frames on to a server and their answers
// back, and remembers them. Descriptors it drops.
type tap struct {
	path, server string
	fd           int

	mu        sync.Mutex
	sent, got []byte // the last frame of the client, and the answer
}

func newTap(path, server string) (*tap, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t := &tap{path: path, server: server, fd: fd}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 5)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	go func() {
		for {
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return
			}
			go t.pass(conn)
		}
	}()
	return t, nil
}

func (t *tap) close() {
	unix.Shutdown(t.fd, unix.SHUT_RDWR) // ends accept
	unix.Close(t.fd)
}

func (t *tap) last() (sent, got []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.got
}

func (t *tap) pass(client int) {
	defer unix.Close(client)
	server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(server)
	if unix.Connect(server, &unix.SockaddrUnix{Name: t.server}) != nil {
		return
	}
	for {
		sent, ok := receive(client)
		if !ok {
			return
		}
		if unix.Sendmsg(server, sent, nil, nil, unix.MSG_NOSIGNAL) != nil {
			return
		}
		got, ok := receive(server)
		if !ok {
			return
		}
		t.mu.Lock()
		t.sent, t.got = sent, got
		t.mu.Unlock()
		if unix.Sendmsg(client, got, nil, nil, unix.MSG_NOSIGNAL) != nil {
			return
		}
	}
}

// receive receives a frame without its descriptors, which the kernel closes.
func receive(fd int) ([]byte, bool) {
	b := make([]byte, 1<<17)
	for {
		n, _, _, _, err := unix.Recvmsg(fd, b, nil, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		return b[:n], err == nil && n > 0
	}
}
