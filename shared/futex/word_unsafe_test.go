package futex_test

import (
	"sync/atomic"
	"unsafe"
)

// wordAt returns the word at mem[off:].
func wordAt(mem []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[off]))
}
