//go:build amd64 || arm64

package shared

import (
	"structs"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// robustT mirrors pthread_mutex_t; RobustMutex shows the declaration.
type robustT struct {
	_      structs.HostLayout
	lock   atomic.Uint32
	count  atomic.Uint32
	owner  atomic.Uint32
	nusers atomic.Uint32
	kind   atomic.Uint32
	_      uint32
	prev   atomic.Uintptr
	next   atomic.Uintptr
}

// robustHead mirrors struct robust_list_head of include/uapi/linux/futex.h:
//
//	struct robust_list_head {
//		struct robust_list list;            // the address of the first entry
//		long futex_offset;                  // from an entry to its lock word
//		struct robust_list *list_op_pending;
//	};
type robustHead struct {
	_       structs.HostLayout
	next    atomic.Uintptr
	offset  int64
	pending atomic.Uintptr
}

// robustAt returns the mutex at the beginning of mem, or nil if it does not fit
// or is not aligned.
func robustAt(mem []byte) *robustT {
	if len(mem) < PthreadMutexSize || uintptr(unsafe.Pointer(&mem[0]))%8 != 0 {
		return nil
	}
	return (*robustT)(unsafe.Pointer(&mem[0]))
}

// entry returns the address by which the mutex is on a list: that of its next.
func (t *robustT) entry() uintptr { return uintptr(unsafe.Pointer(&t.next)) }

// address returns the head's own address, the end of the list. The head is on the
// heap, where objects stay at their place.
func (h *robustHead) address() uintptr { return uintptr(unsafe.Pointer(h)) }

// register tells the kernel where the calling thread's list is.
func (h *robustHead) register() {
	var t robustT
	h.offset = int64(unsafe.Offsetof(t.lock)) - int64(unsafe.Offsetof(t.next))
	unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, uintptr(unsafe.Pointer(h)), unsafe.Sizeof(*h), 0)
}

// registered tells whether h is the list that the kernel has of the calling
// thread.
func (h *robustHead) registered() bool {
	var head, size uintptr
	unix.RawSyscall(unix.SYS_GET_ROBUST_LIST, 0, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size)))
	return head == h.address()
}
