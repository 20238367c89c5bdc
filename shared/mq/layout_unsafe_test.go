package mq

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"ipcbook/shared/internal/ctest"
)

var layoutGo = []int64{
	int64(unsafe.Sizeof(Attr{})),
	int64(unsafe.Offsetof(Attr{}.Flags)),
	int64(unsafe.Offsetof(Attr{}.MaxMsg)),
	int64(unsafe.Offsetof(Attr{}.MsgSize)),
	int64(unsafe.Offsetof(Attr{}.CurMsgs)),
	int64(unsafe.Sizeof(sigevent{})),
	int64(unsafe.Offsetof(sigevent{}.value)),
	int64(unsafe.Offsetof(sigevent{}.signo)),
	int64(unsafe.Offsetof(sigevent{}.notify)),
	sigevSignal, sigevNone, sigevThread,
	PrioMax,
}

// TestLayout compares with the layout that was measured on x86_64 and arm64,
// for machines without a C compiler.
func TestLayout(t *testing.T) {
	want := []int64{64, 0, 8, 16, 24, 64, 0, 8, 12, 0, 1, 2, 32768}
	for i := range want {
		if layoutGo[i] != want[i] {
			t.Errorf("line %d: %d, want %d", i+1, layoutGo[i], want[i])
		}
	}
}

// TestLayoutC asks the C compiler of this machine.
func TestLayoutC(t *testing.T) {
	out, err := exec.Command(ctest.Build(t, "testdata/layout.c")).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(layoutGo) {
		t.Fatalf("%d lines from C, want %d", len(lines), len(layoutGo))
	}
	for i, l := range lines {
		c, err := strconv.ParseInt(l, 10, 64)
		if err != nil || c != layoutGo[i] {
			t.Errorf("line %d: Go has %d, C %s", i+1, layoutGo[i], l)
		}
	}
}
