package phase

import "testing"

func message(h *Half, size, i int) []byte {
	b := make([]byte, size)
	Fill(b)
	h.Stamp(b, i)
	return b
}

func TestStamp(t *testing.T) {
	for _, size := range []int{0, 4, 8, 12, 16, 64, 1000} {
		var from, to Half
		for i := range 5 {
			b := message(&from, size, i)
			if err := to.Check(b, i); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
			if err := to.Echo(b, i); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
		}
		if from.Sum != 15 || to.Sum != 15 {
			t.Errorf("size %d: sums %d and %d, want 15", size, from.Sum, to.Sum)
		}
	}
}

func TestBadStamp(t *testing.T) {
	var h Half
	if h.Check(message(&h, 64, 3), 4) == nil {
		t.Error("a wrong number was not found")
	}
	if h.Echo(message(&h, 64, 3), 4) == nil {
		t.Error("a wrong answer was not found")
	}
	mixed := append(message(&h, 64, 3)[:32], message(&h, 64, 4)[32:]...)
	if h.Check(mixed, 3) == nil {
		t.Error("a message made of two was not found")
	}
	changed := message(&h, 64, 3)
	changed[20]++
	if h.Check(changed, 3) == nil {
		t.Error("a changed byte was not found in the warm-up")
	}
}

func TestNew(t *testing.T) {
	h, err := New([]string{"sem.ping", "warm=1", "timed=2", "sampled=3", "size=4", "peer=5", "path=/a=b"})
	if err != nil {
		t.Fatal(err)
	}
	if h.Role != "sem.ping" || h.Ops != [3]int{1, 2, 3} || h.Size != 4 || h.Peer != 5 || h.Path != "/a=b" || len(h.samples) != 3 {
		t.Errorf("half %+v", h)
	}
	for _, args := range [][]string{nil, {"x", "warm=many"}, {"x", "other=1"}} {
		if _, err := New(args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
