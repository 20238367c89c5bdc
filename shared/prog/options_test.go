package prog

import (
	"flag"
	"io"
	"strconv"
	"testing"
)

// The message is package flag's own, whatever the value holds.
func TestBadValue(t *testing.T) {
	for _, value := range []string{"", "x", "5 ", `"`, `\`, "a\nb", "\xff\x00", "`", "\u2028", `a" for flag -m: parse error`} {
		for _, name := range []string{"m", "timeout", "n"} {
			set := flag.NewFlagSet("", flag.ContinueOnError)
			set.SetOutput(io.Discard)
			set.Int("m", 0, "")
			set.Duration("timeout", 0, "")
			set.Bool("n", false, "")
			err := set.Parse([]string{"--" + name + "=" + value})
			if err == nil {
				t.Fatalf("-%s takes %q", name, value)
			}
			quoted, option, reason, ok := badValue(err.Error())
			if want := strconv.Quote(value); !ok || quoted != want || option != name || reason != "parse error" {
				t.Errorf("%q is read as value %s, option %q, reason %q, %v", err, quoted, option, reason, ok)
			}
		}
	}
	for _, msg := range []string{
		"",
		"flag provided but not defined: -x",
		`value "x" for flag -m: parse error`,
		`invalid "x" for flag -m: parse error`,
		`invalid value x for flag -m: parse error`,
		`invalid value "x for flag -m: parse error`,
		`invalid value "x" of flag -m: parse error`,
		`invalid value "x" for flag m: parse error`,
		`invalid value "x" for flag -m`,
	} {
		if value, option, reason, ok := badValue(msg); ok {
			t.Errorf("%q is read as value %s, option %q, reason %q", msg, value, option, reason)
		}
	}
}
