package prog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// action runs f as the action of an app that was given the arguments.
func action(t *testing.T, f func(*cli.Context), args ...string) {
	t.Helper()
	app := &cli.App{Name: "app", Flags: []cli.Flag{Timeout()}, Action: func(c *cli.Context) error {
		f(c)
		return nil
	}}
	if err := run(app, append([]string{"app"}, args...)); err != nil {
		t.Fatal(err)
	}
}

func TestDeadline(t *testing.T) {
	action(t, func(c *cli.Context) {
		if d := Deadline(c); !d.IsZero() {
			t.Errorf("Deadline without --timeout = %v", d)
		}
	})
	action(t, func(c *cli.Context) {
		before := time.Now()
		d := Deadline(c)
		after := time.Now()
		if d.Before(before.Add(time.Hour)) || d.After(after.Add(time.Hour)) {
			t.Errorf("Deadline is in %v, want 1h", time.Until(d))
		}
		if again := Deadline(c); again.Before(d) {
			t.Error("a wait that begins later ends earlier")
		}
	}, "--timeout", "1h")
}

func TestLimit(t *testing.T) {
	parent, cancelParent := context.WithCancel(context.Background())
	defer cancelParent()
	action(t, func(c *cli.Context) {
		ctx, cancel := Limit(parent, c)
		cancel()
		if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
			t.Errorf("Limit without --timeout has ended or will: %v", ctx.Err())
		}
	})
	action(t, func(c *cli.Context) {
		before := time.Now()
		ctx, cancel := Limit(parent, c)
		d, ok := ctx.Deadline()
		if !ok || d.Before(before.Add(time.Hour)) || d.After(time.Now().Add(time.Hour)) {
			t.Errorf("Limit ends in %v, want 1h", time.Until(d))
		}
		cancel()
		if ctx.Err() != context.Canceled || parent.Err() != nil {
			t.Errorf("after cancel: %v, parent %v", ctx.Err(), parent.Err())
		}
		ctx, cancel = Limit(parent, c)
		defer cancel()
		cancelParent()
		if ctx.Err() != context.Canceled {
			t.Errorf("after the parent's end: %v", ctx.Err())
		}
	}, "--timeout", "1h")
	action(t, func(c *cli.Context) {
		ctx, cancel := Limit(context.Background(), c)
		defer cancel()
		<-ctx.Done()
		if ctx.Err() != context.DeadlineExceeded {
			t.Errorf("ended with %v, want DeadlineExceeded", ctx.Err())
		}
	}, "--timeout", "1ms")
}

func TestWaited(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{unix.ETIMEDOUT, "timed out after 1.5s waiting for a peer"},
		{context.DeadlineExceeded, "timed out after 1.5s waiting for a peer"},
		{&fs.PathError{Op: "mq_receive", Path: "/q", Err: unix.ETIMEDOUT}, "timed out after 1.5s waiting for a peer: mq_receive /q"},
		{fmt.Errorf("mutex is held by thread 7: %w", unix.ETIMEDOUT), "timed out after 1.5s waiting for a peer: mutex is held by thread 7"},
		{fmt.Errorf("semaphore empty: %w", context.DeadlineExceeded), "timed out after 1.5s waiting for a peer: semaphore empty"},
	} {
		action(t, func(ctx *cli.Context) {
			err := Waited(ctx, c.err, "a %s", "peer")
			if err.Error() != c.want {
				t.Errorf("Waited(%v) = %q, want %q", c.err, err, c.want)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("Waited(%v) does not unwrap to it", c.err)
			}
		}, "--timeout", "1500ms")
	}
	action(t, func(c *cli.Context) {
		for _, err := range []error{nil, unix.EAGAIN, context.Canceled, fs.ErrNotExist, Hint(unix.EACCES, "chmod")} {
			if got := Waited(c, err, "a peer"); got != err {
				t.Errorf("Waited(%v) = %v, want it as it was", err, got)
			}
		}
	}, "--timeout", "1s")
}
