package prog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// separate makes each option and each value a word of its own, which is what cli
// takes: getopt(3) allows "-cxm5" for "-c -x -m 5".
func separate(app *cli.App, args []string) ([]string, error) {
	options, rest, err := split(app.UsageText, app.Flags, args[1:])
	if err != nil {
		return nil, err
	}
	front := slices.Concat(args[:1], options)
	if len(rest) > 0 {
		if c := app.Command(rest[0]); c != nil {
			front = append(front, rest[0])
			options, rest, err = split(c.UsageText, c.Flags, rest[1:])
			front = append(front, options...)
		}
	}
	return append(front, rest...), err
}

// split takes the options off the front of args, up to the first word that is none
// or behind "--". As in C the value of a letter may be attached to it, and is then
// all that follows; that of a long option comes behind a "=". Like cli it takes a
// long option with a single "-", too.
func split(usage string, flags []cli.Flag, args []string) (options, rest []string, err error) {
	fail := func(format, option string) ([]string, []string, error) {
		return nil, nil, &UsageError{fmt.Sprintf(format, option), usage}
	}
	const unknown, bare = "unknown option %s", "option %s needs a value"

	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(options, arg), args, nil
		}
		name, _, attached := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := find(flags, name)
		if strings.HasPrefix(arg, "--") || f != nil && len(name) > 1 {
			options = append(options, arg)
			switch {
			case f == nil:
				return fail(unknown, "--"+name)
			case attached || !takesValue(f):
			case len(args) == 0:
				return fail(bare, "--"+name)
			default:
				options, args = append(options, args[0]), args[1:]
			}
			continue
		}
		for letters := arg[1:]; letters != ""; {
			_, n := utf8.DecodeRuneInString(letters)
			f := find(flags, letters[:n])
			option := "-" + letters[:n]
			options, letters = append(options, option), letters[n:]
			switch {
			case f == nil:
				return fail(unknown, option)
			case !takesValue(f):
				continue
			case letters != "":
				options = append(options, letters)
			case len(args) == 0:
				return fail(bare, option)
			default:
				options, args = append(options, args[0]), args[1:]
			}
			break
		}
	}
	return options, args, nil
}

// find returns the flag that has the name, or nil. cli has help added to all.
func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range append(slices.Clip(flags), cli.HelpFlag) {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	_, is := f.(*cli.BoolFlag)
	return !is
}

// usageError names the option as it is written.
func usageError(c *cli.Context, err error, _ bool) error {
	value, option, reason, ok := badValue(err.Error())
	if !ok {
		return Usage(c, "%v", err)
	}
	dashes := "--"
	if len(option) == 1 {
		dashes = "-"
	}
	return Usage(c, "option %s%s: invalid value %s: %s", dashes, option, value, reason)
}

// badValue takes apart what package flag says of a value that it does not understand:
//
//	invalid value "x" for flag -m: parse error
//	invalid boolean value "x" for -n: parse error
//
// The value keeps its quotes.
func badValue(msg string) (value, option, reason string, ok bool) {
	rest, isOne := strings.CutPrefix(msg, "invalid ")
	rest, isValue := strings.CutPrefix(strings.TrimPrefix(rest, "boolean "), "value ")
	value, err := strconv.QuotedPrefix(rest)
	if !isOne || !isValue || err != nil {
		return "", "", "", false
	}
	rest, isFor := strings.CutPrefix(rest[len(value):], " for ")
	rest, isOption := strings.CutPrefix(strings.TrimPrefix(rest, "flag "), "-")
	option, reason, ok = strings.Cut(rest, ": ")
	return value, option, reason, ok && isFor && isOption
}
