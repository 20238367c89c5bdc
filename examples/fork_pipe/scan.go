package main

import (
	"io"
	"math"
	"strconv"
)

// scan reads an integer as scanf("%d\n") does: white space, an optional sign,
// digits, and then white space up to the first other byte, which is left unread,
// or to the end. Where scanf leaves its variable as it was, or wraps a value that
// does not fit, scan returns an error.
func scan(in io.ByteScanner) (int32, error) {
	c, err := skipSpace(in)
	if err == io.EOF {
		return 0, io.ErrUnexpectedEOF
	}
	negative := c == '-'
	if err == nil && (c == '-' || c == '+') {
		c, err = in.ReadByte()
	}
	digits, value := false, int64(0)
	for err == nil && '0' <= c && c <= '9' {
		digits, value = true, min(value*10+int64(c-'0'), math.MaxInt32+2)
		c, err = in.ReadByte()
	}
	if negative {
		value = -value
	}
	if err == nil && digits && isSpace(c) {
		_, err = skipSpace(in)
	}
	switch {
	case err != nil && err != io.EOF:
		return 0, err
	case !digits:
		return 0, strconv.ErrSyntax
	case value < math.MinInt32 || value > math.MaxInt32:
		return 0, strconv.ErrRange
	case err == io.EOF:
		return int32(value), nil
	}
	return int32(value), in.UnreadByte()
}

// skipSpace returns the first byte that is no white space.
func skipSpace(in io.ByteReader) (byte, error) {
	for {
		c, err := in.ReadByte()
		if err != nil || !isSpace(c) {
			return c, err
		}
	}
}

// isSpace is C's isspace in the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
