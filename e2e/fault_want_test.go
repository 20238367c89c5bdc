package e2e

import (
	"regexp"
	"sync/atomic"
	"testing"
)

// wantMatch fails the test unless text matches the regular expression.
func wantMatch(t testing.TB, text, re string) {
	t.Helper()
	if !regexp.MustCompile(re).MatchString(text) {
		t.Errorf("got %.500q, want a match of %q", text, re)
	}
}

// A counter counts what is written to it and keeps the end.
type counter struct {
	n    atomic.Int64
	tail []byte
}

func (c *counter) Write(b []byte) (int, error) {
	c.tail = append(c.tail[:0], b[max(0, len(b)-16):]...)
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func (c *counter) count() int64 { return c.n.Load() }
