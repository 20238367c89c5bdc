package prog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// Timeout is the flag of every program that waits for a peer. It is off by
// default, as the C programs wait for ever.
func Timeout() cli.Flag {
	return &cli.DurationFlag{
		Name:        "timeout",
		Usage:       "give up when a wait lasts longer than `DURATION`, such as 500ms or 10s",
		DefaultText: "wait for ever",
		Action: func(c *cli.Context, d time.Duration) error {
			if d <= 0 {
				return Usage(c, "timeout %v: want a duration above 0", d)
			}
			return nil
		},
	}
}

// Deadline returns the moment at which a wait that begins now has lasted as
// long as --timeout allows, or the zero Time for a wait without end.
func Deadline(c *cli.Context) time.Time {
	if d := c.Duration("timeout"); d > 0 {
		return time.Now().Add(d)
	}
	return time.Time{}
}

// Limit returns a context that is done when a wait that begins now has lasted as
// long as --timeout allows. The caller calls cancel when the wait is over.
func Limit(ctx context.Context, c *cli.Context) (_ context.Context, cancel context.CancelFunc) {
	if d := c.Duration("timeout"); d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

// Waited says what a wait that timed out had waited for; it leaves every other
// error as it is.
func Waited(c *cli.Context, err error, format string, args ...any) error {
	if !errors.Is(err, unix.ETIMEDOUT) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &timeoutError{err, fmt.Sprintf("timed out after %v waiting for %s", c.Duration("timeout"), fmt.Sprintf(format, args...))}
}

type timeoutError struct {
	err error
	msg string
}

func (e *timeoutError) Error() string { return e.text(e.err.Error()) }

// text adds to msg what the text of err has to say apart from the timeout itself.
func (e *timeoutError) text(why string) string {
	msg := e.msg + ": " + why
	for _, err := range []error{unix.ETIMEDOUT, context.DeadlineExceeded} {
		msg = strings.TrimSuffix(msg, ": "+err.Error())
	}
	return msg
}

func (e *timeoutError) Unwrap() error { return e.err }
