package main

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
)

// Where scanf succeeds without overflow, values and rests are those of glibc.
func TestScan(t *testing.T) {
	for _, tt := range []struct {
		in    string
		value int32
		rest  string
		err   error
	}{
		{in: "5000\n", value: 5000},
		{in: "5000", value: 5000},
		{in: " \t\n\v\f\r 42 \n\n", value: 42},
		{in: "-7\n", value: -7},
		{in: "+7\n", value: 7},
		{in: "007\n", value: 7},
		{in: "12abc", value: 12, rest: "abc"},
		{in: "12 \n 34", value: 12, rest: "34"},
		{in: "0x10", value: 0, rest: "x10"},
		{in: "2147483647", value: 2147483647},
		{in: "-2147483648", value: -2147483648},
		{in: strings.Repeat("0", 1000) + "1", value: 1},
		{in: "-2147483649", err: strconv.ErrRange},
		{in: "2147483648", err: strconv.ErrRange},
		{in: strings.Repeat("9", 100000), err: strconv.ErrRange},
		{in: "", err: io.ErrUnexpectedEOF},
		{in: " \n", err: io.ErrUnexpectedEOF},
		{in: "x", err: strconv.ErrSyntax},
		{in: "-", err: strconv.ErrSyntax},
		{in: "- 1", err: strconv.ErrSyntax},
		{in: "+-1", err: strconv.ErrSyntax},
	} {
		r := strings.NewReader(tt.in)
		value, err := scan(r)
		if !errors.Is(err, tt.err) {
			t.Errorf("scan(%.20q): error %v, want %v", tt.in, err, tt.err)
		}
		if err != nil {
			continue
		}
		rest, _ := io.ReadAll(r)
		if value != tt.value || string(rest) != tt.rest {
			t.Errorf("scan(%.20q) = %d, rest %q; want %d, %q", tt.in, value, rest, tt.value, tt.rest)
		}
	}
}
