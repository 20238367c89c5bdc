package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestWholeSeconds(t *testing.T) {
	for _, tt := range []struct {
		sec, usec int64
		want      int
	}{
		{0, 0, 0},
		{0, 1, 1},
		{0, 499_999, 1},
		{0, 500_000, 1},
		{0, 999_999, 1},
		{1, 0, 1},
		{1, 499_999, 1},
		{1, 500_000, 2},
		{1, 999_999, 2},
		{2147483647, 0, 2147483647},
	} {
		if got := wholeSeconds(unix.Timeval{Sec: tt.sec, Usec: tt.usec}); got != tt.want {
			t.Errorf("wholeSeconds(%d s %d µs) = %d, want %d", tt.sec, tt.usec, got, tt.want)
		}
	}
}
