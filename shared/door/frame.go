package door

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The frame's header, little endian; door.h declares it for C:
//
//	struct door_frame {
//	    uint32_t magic;     //  0  DOOR_MAGIC
//	    uint16_t version;   //  4  DOOR_VERSION
//	    uint16_t type;      //  6  DOOR_CALL …
//	    uint32_t error;     //  8  errno, with DOOR_ERROR
//	    uint32_t flags;     // 12  DOOR_MEMFD
//	    uint64_t size;      // 16  bytes of data
//	    uint32_t n_desc;    // 24  descriptors, the memfd not counted
//	    uint32_t reserved;  // 28  0
//	};
const (
	magic      = 0x524f4f44 // the bytes "DOOR"
	version    = 1
	headerSize = 32

	typeCall   = 1
	typeReturn = 2
	typeError  = 3
	typeInfo   = 4
	typeDetach = 5

	flagMemfd = 1

	// inlineMax is the most data that travels in the frame itself. A receiver
	// has room for it; a sender may use a memfd for less.
	inlineMax = 64 << 10

	// maxFDs is the kernel's SCM_MAX_FD (include/net/scm.h).
	maxFDs = 253
)

// MaxDesc is the most descriptors that a call or a result can carry: what one
// SCM_RIGHTS message holds, less one for the memfd of large data.
const MaxDesc = maxFDs - 1

// header is the frame's header in the host's form, less the constant fields.
type header struct {
	version uint16
	typ     uint16
	errno   unix.Errno
	flags   uint32
	size    uint64
	ndesc   uint32
}

func (h *header) put(b *[headerSize]byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], magic)
	le.PutUint16(b[4:], version)
	le.PutUint16(b[6:], h.typ)
	le.PutUint32(b[8:], uint32(h.errno))
	le.PutUint32(b[12:], h.flags)
	le.PutUint64(b[16:], h.size)
	le.PutUint32(b[24:], h.ndesc)
	le.PutUint32(b[28:], 0)
}

// parseHeader reads a header and checks what does not depend on the rest of the
// frame. EPROTO means that the peer does not speak the protocol,
// EPROTONOSUPPORT that it speaks another version of it.
func parseHeader(b []byte) (header, unix.Errno) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b[0:]) != magic {
		return header{}, unix.EPROTO
	}
	h := header{
		version: le.Uint16(b[4:]),
		typ:     le.Uint16(b[6:]),
		errno:   unix.Errno(le.Uint32(b[8:])),
		flags:   le.Uint32(b[12:]),
		size:    le.Uint64(b[16:]),
		ndesc:   le.Uint32(b[24:]),
	}
	if h.version != version {
		return h, unix.EPROTONOSUPPORT
	}
	if h.flags&^flagMemfd != 0 || le.Uint32(b[28:]) != 0 {
		return h, unix.EPROTO
	}
	switch h.typ {
	case typeCall, typeReturn:
		if h.errno != 0 || h.memfd() && h.size == 0 || !h.memfd() && h.size > inlineMax {
			return h, unix.EPROTO
		}
	case typeError:
		if h.errno == 0 || h.errno > 4095 || h.size != 0 || h.ndesc != 0 || h.flags != 0 {
			return h, unix.EPROTO
		}
	case typeInfo, typeDetach:
		if h.errno != 0 || h.size != 0 || h.ndesc != 0 || h.flags != 0 {
			return h, unix.EPROTO
		}
	default:
		return h, unix.EPROTO
	}
	return h, 0
}

func (h *header) memfd() bool { return h.flags&flagMemfd != 0 }

// fds is the number of descriptors that the frame announces.
func (h *header) fds() uint64 {
	n := uint64(h.ndesc)
	if h.memfd() {
		n++
	}
	return n
}

// checkBody compares what the header announces with what came: n bytes after
// the header, and nfds descriptors.
func (h *header) checkBody(n, nfds int) unix.Errno {
	want := h.size
	if h.memfd() {
		want = 0
	}
	if uint64(n) != want || uint64(nfds) != h.fds() {
		return unix.EPROTO
	}
	return 0
}

// The data of a reply to an info frame:
//
//	struct door_info_reply {
//	    uint32_t attributes;  //  0
//	    int32_t  pid;         //  4
//	    uint64_t uniquifier;  //  8
//	    uint64_t data_min;    // 16
//	    uint64_t data_max;    // 24
//	    uint32_t desc_max;    // 32
//	    uint32_t reserved;    // 36  0
//	};
const infoSize = 40

type infoReply struct {
	Info
	dataMin, dataMax uint64
	descMax          uint32
}

func (r *infoReply) put(b *[infoSize]byte) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], uint32(r.Attributes))
	le.PutUint32(b[4:], uint32(r.Pid))
	le.PutUint64(b[8:], r.Uniquifier)
	le.PutUint64(b[16:], r.dataMin)
	le.PutUint64(b[24:], r.dataMax)
	le.PutUint32(b[32:], r.descMax)
	le.PutUint32(b[36:], 0)
}

func parseInfo(b []byte) (infoReply, unix.Errno) {
	if len(b) != infoSize {
		return infoReply{}, unix.EPROTO
	}
	le := binary.LittleEndian
	return infoReply{
		Info: Info{
			Attributes: Attr(le.Uint32(b[0:])),
			Pid:        int(int32(le.Uint32(b[4:]))),
			Uniquifier: le.Uint64(b[8:]),
		},
		dataMin: le.Uint64(b[16:]),
		dataMax: le.Uint64(b[24:]),
		descMax: le.Uint32(b[32:]),
	}, 0
}
