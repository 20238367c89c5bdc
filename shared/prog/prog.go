// Package prog is the part that every main of the suite shares: it runs the
// app, prints the error, sets the exit status, and lets a signal end the
// process as it would end a C program, after the program has cleaned up.
//
// A main is one call:
//
//	func main() {
//		prog.Run(&cli.App{Name: "simple_pipe", UsageText: "simple_pipe STRING", Action: run}, 1)
//	}
//
// Diagnostics have the form "NAME: call object: reason" on standard error; the
// second line, where there is one, begins with "hint:" and says what a person
// can do.
package prog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// Run runs app with the process's arguments and ends the process: status 0 if
// the action returned nil, else a message on standard error and status failure.
// A program that a signal ended dies of that signal, as wait(2) sees it.
//
// Run changes what cli does by itself where that is not what a C program does:
// there is no "help" command that would swallow data, usage errors go to
// standard error with the status of every other failure, options are written as
// getopt(3) takes them, and an app without flags takes every argument as data, as
// its original does, "-h" too. "--help" alone prints help there, "--help" and "-h"
// in all others, and a leading "--" ends the options.
func Run(app *cli.App, failure int) {
	keepIgnored()
	if !signal.Ignored(unix.SIGQUIT) {
		dieByDefault(unix.SIGQUIT) // the Go runtime would print its stacks
	}
	keepClosed()
	twoProcs()
	err := startTimers()
	if err == nil {
		err = run(app, os.Args)
	}
	os.Exit(status(app.Name, failure, limited(err)))
}

// run runs the app and turns a panic, which no input should cause, into an
// error: a person who ran a small program is not helped by a stack trace.
func run(app *cli.App, args []string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	app.HideHelpCommand = true
	app.HideVersion = true
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = usageError
	app.CommandNotFound = helpAnyway
	for _, c := range app.Commands {
		c.HideHelpCommand = true
		c.OnUsageError = usageError
	}
	out := &helpWriter{}
	app.Writer = out
	if len(app.Flags) == 0 && len(app.Commands) == 0 {
		args, app.SkipFlagParsing = dataOnly(args)
		cli.HelpFlag = &cli.BoolFlag{Name: "help", Usage: "show help", DisableDefaultText: true} // "-h" is data
	} else if args, err = separate(app, args); err != nil {
		return err
	}
	if err := app.RunContext(context.Background(), args); err != nil {
		return err
	}
	return out.err
}

// helpAnyway prints help for "--help WORD" where WORD is no command but data.
func helpAnyway(c *cli.Context, _ string) {
	if slices.Contains(c.App.Commands, c.Command) {
		cli.ShowSubcommandHelp(c)
		return
	}
	cli.ShowAppHelp(c)
}

// dataOnly prepares the arguments of a program without options: all of them
// are data unless "--help" is the only one.
func dataOnly(args []string) (_ []string, skip bool) {
	if len(args) == 2 && args[1] == "--help" {
		return args, false
	}
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	return args, true
}

// A UsageError says that the arguments were wrong.
type UsageError struct {
	Reason string
	Usage  string // the line that shows the right form
}

func (e *UsageError) Error() string { return e.Reason + "\nusage: " + e.Usage }

// Usage returns a *UsageError for the command that c runs.
func Usage(c *cli.Context, format string, args ...any) error {
	usage := c.App.UsageText
	if c.Command != nil && c.Command.UsageText != "" {
		usage = c.Command.UsageText
	}
	return &UsageError{Reason: fmt.Sprintf(format, args...), Usage: usage}
}

// NArgs returns a *UsageError unless c has at least min and at most max
// arguments.
func NArgs(c *cli.Context, min, max int) error {
	n := c.NArg()
	if n >= min && n <= max {
		return nil
	}
	var err error
	switch {
	case max > min:
		err = Usage(c, "want %d to %d arguments, got %d", min, max, n)
	case max == 1:
		err = Usage(c, "want 1 argument, got %d", n)
	default:
		err = Usage(c, "want %d arguments, got %d", max, n)
	}
	if n > max && !c.App.SkipFlagParsing && slices.ContainsFunc(c.Args().Slice()[1:], isOption) {
		return Hint(err, "options come before the arguments")
	}
	return err
}

func isOption(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// WantCommand is the action of an app that does its work in commands: it returns a
// *UsageError that names them.
func WantCommand(c *cli.Context) error {
	var names []string
	for _, command := range c.App.Commands {
		names = append(names, command.Name)
	}
	want := strings.Join(names, " or ")
	if c.NArg() == 0 {
		return Usage(c, "want the command %s", want)
	}
	return Usage(c, "no command %q, want %s", c.Args().First(), want)
}

// Hint adds to err a line that says what a person can do about it.
func Hint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}

type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() + "\nhint: " + e.hint }
func (e *hintError) Unwrap() error { return e.err }

// ErrQuiet is an error that sets the failure status and prints nothing: for a
// program whose answer on standard output is itself a "no".
var ErrQuiet = errors.New("no")

// status prints err and returns the exit status, or does not return when the
// process is to die of a signal. A message that nobody reads changes neither.
func status(name string, failure int, err error) int {
	awaitOwn(err)
	dieIfAsked()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errStdoutGone):
		ends.Lock()
		die(unix.SIGPIPE)
	case !errors.Is(err, ErrQuiet):
		fmt.Fprint(Stderr, message(name, err))
	}
	return failure
}

// helpWriter carries cli's help to standard output and remembers a failure,
// which cli ignores.
type helpWriter struct{ err error }

func (w *helpWriter) Write(b []byte) (int, error) {
	n, err := Stdout.Write(b)
	if err != nil {
		w.err = err
	}
	return n, err
}
