// Sleep_alarm sleeps by an alarm: a timer sends SIGALRM, and a wait for a signal
// ends with it. It is written in three styles, of which the first two are wrong.
//
// # Usage
//
//	sleep_alarm [--style pause|longjmp|channel] [SECONDS]
//
// SECONDS is a whole number, 1 if it is not given.
//
// # What it shows
//
// pause: set the handler, set the alarm, pause. Between the last two lies a race:
// if the process does not run for as long as the alarm takes, SIGALRM comes before
// pause(2) has begun, its handler returns, and pause waits for a signal that has
// been. Besides, pause ends with any signal that has a handler: SIGINT ends the
// sleep early, and alarm(0) tells the seconds that were left.
//
// longjmp: the handler of SIGALRM jumps back to where the sleep began, so that an
// alarm that comes too early ends it all the same. But it jumps out of every other
// handler that it interrupts: when the alarm goes off while sig_int runs, "sig_int
// done" is never printed.
//
// channel: the signals are collected from before the timer is armed and taken one
// by one, each by name. None is lost, none interrupts another, and only the alarm
// ends the sleep. A C program does it with a signal mask and sigsuspend(2).
//
// # Example
//
//	$ sleep_alarm
//	sleepFor returned: 0
//
//	$ sleep_alarm 10
//	^Csig_int enter
//	sig_int done
//	sleepFor returned: 8
//
// # Differences from the C program
//
//   - A Go program cannot run its own code inside a signal handler, and pause(2)
//     would only wait for signals that happen to reach its own thread. Handlers run
//     at the points where the program looks for signals: in pause, and in the loop
//     of sig_int.
//   - longjmp is panic, and setjmp is the deferred function that recovers.
//   - alarm(2) is setitimer(2), which every architecture has, with alarm's rounding.
//   - 0 seconds: the original sets no alarm and pauses for ever; this one returns 0.
//   - A write to standard output that fails is an error.
//
// # See also
//
// sleep_alarm.c beside this file, alarm(2), pause(2), setitimer(2), setjmp(3),
// sigsuspend(2), signal-safety(7).
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
)

// maxSeconds is what the original's int holds.
const maxSeconds = 1<<31 - 1

var styles = map[string]func(seconds int) (unslept int, err error){
	"pause":   sleepPause,
	"longjmp": sleepLongjmp,
	"channel": sleepChannel,
}

func main() {
	prog.Run(&cli.App{
		Name:      "sleep_alarm",
		Usage:     "sleep by an alarm, and print the seconds that were left",
		UsageText: "sleep_alarm [--style pause|longjmp|channel] [SECONDS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "style", Value: "pause", Usage: "sleep in this `STYLE`: pause, longjmp or channel"},
		},
		Action: run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 0, 1); err != nil {
		return err
	}
	sleepFor, ok := styles[c.String("style")]
	if !ok {
		return prog.Usage(c, "style %q: want pause, longjmp or channel", c.String("style"))
	}
	seconds := 1
	if c.NArg() == 1 {
		n, err := strconv.ParseUint(c.Args().First(), 10, 31)
		if err != nil {
			return prog.Usage(c, "SECONDS %q: want a whole number from 0 to %d", c.Args().First(), maxSeconds)
		}
		seconds = int(n)
	}
	// [1] set the handler of SIGINT
	signal.Notify(interrupts, unix.SIGINT)
	// [2] sleep; an alarm of 0 seconds would never come
	unslept := 0
	if seconds > 0 {
		var err error
		if unslept, err = sleepFor(seconds); err != nil {
			return err
		}
	}
	// [3] print what is left
	_, err := fmt.Fprintf(prog.Stdout, "sleepFor returned: %d\n", unslept)
	return err
}

// sleepPause is the original, with its race.
func sleepPause(seconds int) (unslept int, err error) {
	// [4] set the handler of SIGALRM, which does nothing
	onAlarm = func() {}
	signal.Notify(alarms, unix.SIGALRM)
	// [5] set the alarm
	if _, err := alarm(seconds); err != nil {
		return 0, err
	}
	// [6] wait for a signal; an alarm that came between [5] and here is lost
	if err := pause(); err != nil {
		return 0, err
	}
	// [7] turn off the alarm
	return alarm(0)
}

// sleepLongjmp is the second version.
func sleepLongjmp(seconds int) (unslept int, err error) {
	// [8] set the handler of SIGALRM, which jumps to [9]
	onAlarm = func() { panic(jump{}) }
	signal.Notify(alarms, unix.SIGALRM)
	// [9] the place to jump to
	defer func() {
		switch r := recover().(type) {
		case nil:
		case jump:
			unslept, err = alarm(0)
		default:
			panic(r)
		}
	}()
	// [10] set the alarm
	if _, err := alarm(seconds); err != nil {
		return 0, err
	}
	// [11] wait for a signal
	if err := pause(); err != nil {
		return 0, err
	}
	// [12] turn off the alarm
	return alarm(0)
}

// A jump is what longjmp carries: it is thrown by a handler and caught at [9].
type jump struct{}

// sleepChannel is the version without the race.
func sleepChannel(seconds int) (unslept int, err error) {
	// [13] collect SIGALRM from before the timer is armed
	onAlarm = func() {}
	signal.Notify(alarms, unix.SIGALRM)
	// [14] set the alarm
	if _, err := alarm(seconds); err != nil {
		return 0, err
	}
	// [15] take signals one by one until the alarm comes
	for {
		select {
		case <-alarms:
			// [16] turn off the alarm
			return alarm(0)
		case <-interrupts:
			if err := sigInt(nil); err != nil {
				return 0, err
			}
		}
	}
}

// alarm wraps setitimer(2) into alarm(2): SIGALRM will come after so many
// seconds, or never if seconds is 0. It returns the seconds that an earlier alarm
// had left.
func alarm(seconds int) (left int, err error) {
	old, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.NsecToTimeval(int64(seconds) * 1e9)})
	if err != nil {
		return 0, os.NewSyscallError("setitimer", err)
	}
	return wholeSeconds(old.Value), nil
}

// wholeSeconds rounds as alarm(2) does: to the nearest second, but never to 0
// while something is left (alarm_setitimer in the kernel's kernel/time/itimer.c).
func wholeSeconds(tv unix.Timeval) int {
	seconds := int(tv.Sec)
	if tv.Usec >= 500_000 || seconds == 0 && tv.Usec > 0 {
		seconds++
	}
	return seconds
}
