package prog

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// A parsed is what an action was called with.
type parsed struct {
	command string // "" is the app itself
	args    []string
	timeout time.Duration
}

// apps are apps of the kinds that the suite has. Each appends its calls to got.
func apps(got *[]parsed) map[string]*cli.App {
	action := func(command string) cli.ActionFunc {
		return func(c *cli.Context) error {
			if err := NArgs(c, 0, 3); err != nil {
				return err
			}
			*got = append(*got, parsed{command, c.Args().Slice(), c.Duration("timeout")})
			return nil
		}
	}
	flags := func() []cli.Flag {
		return []cli.Flag{&cli.BoolFlag{Name: "c"}, &cli.BoolFlag{Name: "n"}, &cli.IntFlag{Name: "m"}, &cli.StringFlag{Name: "fifo", Value: "pipe_file"}, Timeout()}
	}
	return map[string]*cli.App{
		"data":    {Name: "data", UsageText: "data [STRING...]", Action: action("")},
		"options": {Name: "options", UsageText: "options [-cn] [-m N] [--timeout DURATION]", Flags: flags(), Action: action("")},
		"commands": {Name: "commands", UsageText: "commands [N] | server PATH", Action: action(""), Commands: []*cli.Command{
			{Name: "server", UsageText: "commands server PATH", Flags: flags(), Action: action("server")},
			{Name: "client", UsageText: "commands client PATH", Action: action("client")},
		}},
	}
}

// Whatever the arguments are: the action is called once, or help is printed, or
// there is an error that says how the program is used. Nothing panics, and what
// comes behind "--" arrives as it is.
func FuzzArguments(f *testing.F) {
	for _, args := range []string{
		"", "a", "--", "--\x00--", "--\x00--help", "--help", "-h", "help", "h", "-", "-cn", "-nc\x00x", "-m\x005", "-m=5", "--m=5", "-m\x00x", "-m\x00",
		"-m\x0099999999999999999999", "--timeout\x001s", "--timeout=1s\x00a\x00b", "--timeout=0", "--timeout=-1s", "--timeout\x00", "--timeout=1e9h",
		"-n=x", "--zz", "-cz", "---", "--=", "-=", "=", "a\x00-n", "server", "server\x00a", "server\x00--\x00-n", "server\x00--help", "--help\x00server",
		"server\x00help", "client\x00-n", "client\x00--timeout\x001s", "--timeout\x001s\x00client", "\xff\xfe", "%s%n", "--fifo\x00--\x00--", "-mfifo", "-c=true", "-c=false\x00-c",
		"--generate-bash-completion", "a\x00--generate-bash-completion", "--version", "-v", "--init-completion", "a\x00b\x00c\x00d",
	} {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var args []string
		if text != "" {
			args = strings.Split(text, "\x00") // an argument holds no NUL
		}
		stdout := Stdout
		defer func() { Stdout = stdout }()
		for name := range apps(nil) {
			var got []parsed
			var help bytes.Buffer
			Stdout = &help
			err := run(apps(&got)[name], append([]string{name}, args...))
			var usage *UsageError
			switch {
			case err == nil && len(got) == 0:
				if help.Len() == 0 || !slices.ContainsFunc(args, asksForHelp) {
					t.Fatalf("%s %q: neither called nor helped", name, args)
				}
				continue
			case err == nil && len(got) == 1 && help.Len() == 0:
			case errors.As(err, &usage) && len(got) == 0 && help.Len() == 0 && usage.Reason != "" && strings.HasPrefix(usage.Usage, name):
				continue
			default:
				t.Fatalf("%s %q: error %v, %d calls, printed %q", name, args, err, len(got), help.String())
			}
			call := got[0]
			if call.timeout < 0 {
				t.Fatalf("%s %q: timeout %v", name, args, call.timeout)
			}
			// What arrives are the last arguments, as they are.
			if n := len(args) - len(call.args); n < 0 || !slices.Equal(args[n:], call.args) {
				t.Fatalf("%s %q: called with %q", name, args, call.args)
			}
			if name == "data" {
				want := args
				if len(args) > 0 && args[0] == "--" {
					want = args[1:]
				}
				if !slices.Equal(call.args, want) {
					t.Fatalf("data %q: called with %q", args, call.args)
				}
			}
		}
		// Behind "--" nothing is an option. (In front of a command it ends only the
		// options of the app.)
		if len(args) > 3 {
			return
		}
		for _, name := range []string{"data", "options", "commands server"} {
			var got []parsed
			words := append(append(strings.Fields(name), "--"), args...)
			if err := run(apps(&got)[words[0]], words); err != nil || len(got) != 1 || !slices.Equal(got[0].args, args) {
				t.Fatalf("%q: error %v, calls: %v", words, err, got)
			}
		}
	})
}

// asksForHelp tells whether an argument is a flag that asks for help.
func asksForHelp(arg string) bool {
	flag := strings.TrimLeft(arg, "-")
	flag, _, _ = strings.Cut(flag, "=")
	return strings.HasPrefix(arg, "-") && (flag == "help" || strings.Contains(flag, "h"))
}
