package phase

import (
	"encoding/binary"
	"fmt"
)

// A message carries its number in its first and in its last eight bytes, and a
// pattern between them. The number shows that a message was lost, doubled, cut or
// mixed with another; the pattern is checked in the warm-up, where time does not
// count.

// MinSize is the shortest message that has a number.
const MinSize = 16

// Fill stores the pattern.
func Fill(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + 3)
	}
}

// Stamp stores the number of a message and adds it to the sum.
func (h *Half) Stamp(b []byte, i int) {
	h.Sum += uint64(i) + 1
	if len(b) < MinSize {
		return
	}
	binary.NativeEndian.PutUint64(b, uint64(i)+1)
	binary.NativeEndian.PutUint64(b[len(b)-8:], uint64(i)+1)
}

// Check checks a message and adds its number, which must be i's, to the sum.
func (h *Half) Check(b []byte, i int) error {
	got, err := h.Number(b, i)
	if err == nil && got != uint64(i)+1 {
		err = fmt.Errorf("message %d where %d was due", got-1, i)
	}
	return err
}

// Number is Check for messages that come in any order. It returns the number
// that the message carries.
func (h *Half) Number(b []byte, i int) (uint64, error) {
	n := uint64(i) + 1
	if len(b) >= MinSize {
		n = binary.NativeEndian.Uint64(b)
		if end := binary.NativeEndian.Uint64(b[len(b)-8:]); end != n {
			return 0, fmt.Errorf("message begins with number %d and ends with %d", n, end)
		}
		if h.Phase == Warm {
			for j := 8; j < len(b)-8; j++ {
				if b[j] != byte(j*7+3) {
					return 0, fmt.Errorf("byte %d of a message is %d", j, b[j])
				}
			}
		}
	}
	h.Sum += n
	return n, nil
}

// Echo checks that the answer carries the number of the message.
func (h *Half) Echo(b []byte, i int) error {
	if len(b) < MinSize {
		return nil
	}
	if n := binary.NativeEndian.Uint64(b[len(b)-8:]); n != uint64(i)+1 {
		return fmt.Errorf("answer %d where %d was due", n-1, i)
	}
	return nil
}
