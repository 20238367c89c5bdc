package shared

import (
	"sync/atomic"
	"unsafe"
)

// word returns the 32-bit word at mem[off:], or nil if it does not lie inside
// mem or is not aligned.
func word(mem []byte, off int) *atomic.Uint32 {
	if off < 0 || len(mem) < off+4 {
		return nil
	}
	p := unsafe.Pointer(&mem[off])
	if uintptr(p)%4 != 0 {
		return nil
	}
	return (*atomic.Uint32)(p)
}

// signed is word for a C int.
func signed(mem []byte, off int) *atomic.Int32 {
	return (*atomic.Int32)(unsafe.Pointer(word(mem, off)))
}
