package sem

import (
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"sizeof(sem_t)":     {unsafe.Sizeof(semT{}), Size},
		"alignof(sem_t)":    {unsafe.Alignof(semT{}), Align},
		"offset of data":    {unsafe.Offsetof(semT{}.data), 0},
		"offset of private": {unsafe.Offsetof(semT{}.private), 8},
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", name, c.got, c.want)
		}
	}
	mem, _, a, _ := memory(t)
	if p := unsafe.Pointer(a.value); p != unsafe.Pointer(&mem[0]) {
		t.Errorf("the value lies at %p, want %p", p, &mem[0])
	}
}
