package main

import (
	"os"
	"runtime"

	"ipcbook/shared/prog"
)

// A channel of one signal keeps what the kernel keeps: that one is pending, not
// how many times it came.
var (
	alarms     = make(chan os.Signal, 1)
	interrupts = make(chan os.Signal, 1)

	onAlarm func() // the handler of SIGALRM
)

// pause does what pause(2) does: it waits until a signal has come and its handler
// has returned. A signal that came before has been handled by then, and does not
// end it.
func pause() error {
	if err := deliver(); err != nil {
		return err
	}
	select {
	case <-alarms:
		onAlarm()
	case <-interrupts:
		if err := sigInt(onAlarm); err != nil {
			return err
		}
	}
	return deliver()
}

// deliver runs the handlers of the signals that are pending.
func deliver() error {
	for {
		select {
		case <-alarms:
			onAlarm()
		case <-interrupts:
			if err := sigInt(onAlarm); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// sigInt is the handler of SIGINT: a long one, so that another signal may well
// interrupt it. onAlarm is called for a SIGALRM that comes while it runs; if it is
// nil, the signal stays pending.
func sigInt(onAlarm func()) error {
	if _, err := prog.Stdout.Write([]byte("sig_int enter\n")); err != nil {
		return err
	}
	j := int32(0)
	for i := range int32(10_000_000) {
		j += i * i
		if i%100_000 == 0 {
			runtime.Gosched() // on one processor, a signal gets no further without
		}
		if onAlarm != nil && len(alarms) > 0 {
			<-alarms
			onAlarm()
		}
	}
	runtime.KeepAlive(j) // C makes it volatile, for the loop to last
	_, err := prog.Stdout.Write([]byte("sig_int done\n"))
	return err
}
