package prog

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// message is what a person reads of err: its lines, the first with the program's
// name in front.
func message(name string, err error) string {
	var b strings.Builder
	b.WriteString(name + ": ")
	for _, line := range lines(err) {
		b.WriteString(printable(short(line)) + "\n")
	}
	return b.String()
}

// lines returns what went wrong and, in lines of their own, usage and hints. It
// goes by the parts of err and not by the line breaks in its text, as a name may
// hold a line break, and behind it what looks like a hint.
func lines(err error) []string {
	switch e := err.(type) {
	case *hintError:
		return append(lines(e.err), "hint: "+e.hint)
	case *UsageError:
		return append([]string{e.Reason}, strings.Split("usage: "+e.Usage, "\n")...)
	case *timeoutError:
		all := lines(e.err)
		all[0] = e.text(all[0])
		return all
	case *fs.PathError:
		all := lines(e.Err)
		all[0] = e.Op + " " + shown(e.Path) + ": " + all[0]
		return all
	case interface{ Unwrap() []error }:
		var all, texts []string
		for _, part := range e.Unwrap() {
			all, texts = append(all, lines(part)...), append(texts, part.Error())
		}
		if err.Error() == strings.Join(texts, "\n") { // errors.Join
			return all
		}
	}
	if part := errors.Unwrap(err); part != nil {
		if before, after, ok := strings.Cut(err.Error(), part.Error()); ok {
			all := lines(part)
			all[0] = before + all[0] + after
			return all
		}
	}
	return []string{err.Error()}
}

// shown is a name in a message, in quotes if one would not see where it begins or
// ends.
func shown(name string) string {
	switch {
	case name == "standard input", name == "standard output", name == "standard error": // see stdio
		return name
	case name == "" || strings.ContainsFunc(name, unicode.IsSpace):
		return strconv.Quote(name)
	}
	return name
}

// Word is name in a command that a hint tells: in quotes if a shell would not take
// it as it is.
func Word(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%"
	if name != "" && strings.Trim(name, plain) == "" {
		return name
	}
	if !strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	// The escapes of Go are those of $'…' in POSIX shells, but for the quote.
	q := strconv.QuoteToASCII(name)
	return "$'" + strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), "'", `\'`) + "'"
}

// A line of more than longest bytes, which an argument of 100 kB makes, is shown
// without its middle. The longest name of an object of the kernel has 255.
const (
	longest = 600
	kept    = 200 // at either end
)

func short(line string) string {
	if len(line) <= longest {
		return line
	}
	return fmt.Sprintf("%s… (%d bytes) …%s", line[:kept], len(line)-2*kept, line[len(line)-kept:])
}

// printable makes every byte of a line safe for a terminal: names and data in
// messages may hold any byte.
func printable(line string) string {
	var b strings.Builder
	for line != "" {
		r, n := utf8.DecodeRuneInString(line)
		switch {
		case r == utf8.RuneError && n == 1: // no UTF-8
			fmt.Fprintf(&b, `\x%02x`, line[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		line = line[n:]
	}
	return b.String()
}
