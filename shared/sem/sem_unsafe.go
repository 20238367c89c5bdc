//go:build amd64 || arm64

package sem

import (
	"structs"
	"sync/atomic"
	"unsafe"
)

// semT mirrors struct new_sem; the package comment shows the declaration.
type semT struct {
	_       structs.HostLayout
	data    atomic.Uint64
	private atomic.Int32
	_       int32
	_       [2]uint64 // sem_t is a union with char[32]
}

// cast returns the semaphore in mem and the half of data that is the value: the
// low one, which on these little-endian machines comes first. It returns nil if
// mem is not aligned.
func cast(mem []byte) (*semT, *atomic.Uint32) {
	p := unsafe.Pointer(&mem[0])
	if uintptr(p)%Align != 0 {
		return nil, nil
	}
	return (*semT)(p), (*atomic.Uint32)(p)
}
