package shm

import (
	"os"
	"unsafe"
)

// holds tells whether addr lies on a page of the mapping b.
func holds(b []byte, addr uintptr) bool {
	if len(b) == 0 {
		return false
	}
	first, page := uintptr(unsafe.Pointer(&b[0])), uintptr(os.Getpagesize())
	end := (first + uintptr(len(b)) + page - 1) / page * page
	return first <= addr && addr < end
}
