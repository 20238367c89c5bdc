package main

import "golang.org/x/sys/unix"

const (
	isSetitimer = "alarm(2) is setitimer(2)"
	noPause     = "pause(2) would only wait for signals that happen to reach its own thread"
)

// aWhile is what is left of 100 seconds after a few.
const aWhile = `(?m)\b(100|9\d)$`

var sleepAlarm = Program{
	Name:    "sleep_alarm",
	Failure: 1,
	Diffs: []Diff{
		{In: Calls, Go: "setitimer [13]", C: "alarm [13]", Doc: isSetitimer, Maybe: true}, // not where alarm(3) is setitimer itself
		{In: Calls, Go: "setitimer 100", C: "alarm 100", Doc: isSetitimer, Maybe: true},
		{In: Calls, Go: "setitimer 0", C: "alarm 0", Doc: isSetitimer, Maybe: true},
		{In: Calls, C: "pause|rt_sigsuspend", Doc: noPause},
	},
	Cases: []Case{
		{Name: "a second", Kind: Success, Trace: true},
		{Name: "longjmp", Kind: Success, Trace: true, Run: args("--style", "longjmp", "1")},
		{Name: "channel", Kind: Success, Trace: true, Run: args("--style", "channel", "1")},
		{Name: "0 seconds", Kind: Success, Trace: true, Run: args("0")},
		{Name: "SIGINT ends pause", Kind: Success, Trace: true, Varies: aWhile, Run: args("100"),
			Do: []Step{run, called(`setitimer\(|pause\(`), still, kill("", unix.SIGINT), end("")}},
		{Name: "SIGINT ends longjmp", Kind: Success, Trace: true, Varies: aWhile, Run: args("--style", "longjmp", "100"),
			Do: []Step{run, called(`setitimer\(|pause\(`), still, kill("", unix.SIGINT), end("")}},
		{Name: "SIGINT does not end channel", Kind: Success, Trace: true, Run: args("--style", "channel", "3"),
			Do: []Step{run, called(`setitimer\(|rt_sigsuspend\(`), still, kill("", unix.SIGINT), end("")}},
		{Name: "no such style", Kind: Usage, Run: args("--style", "x")},
		{Name: "no number", Kind: Usage, Run: args("x")},
		{Name: "a negative number", Kind: Usage, Run: args("--", "-1")},
		{Name: "a number that is too large", Kind: Usage, Run: args("2147483648")},
		{Name: "two arguments", Kind: Usage, Run: args("1", "2")},
		{Name: "the disk is full", Kind: Failure, Run: args("0").to(Full)},
		{Name: "nobody reads", Kind: Failure, Want: "SIGPIPE", Run: args("0").to(Gone)},
	},
}

const memfd = "the memory they share is a memfd"

var futexMutex = Program{
	Name:    "futex_mutex",
	Failure: 1,
	Layouts: []string{"mutex"},
	Diffs: []Diff{
		{In: Calls, Go: "memfd_create counter", Doc: memfd},
		{In: Calls, Go: "fallocate memfd counter 0 48", Doc: memfd},
		{In: Calls, Go: "mmap memfd counter 48 .*", C: "mmap anonymous 48 .*", Doc: memfd},
		{In: Calls, Go: `child \d: mmap memfd counter 48 .*`, Doc: memfd},
		{In: Calls, Go: `open m O_RDWR\|O_CREAT\|O_NOFOLLOW 0666`, C: `open m O_RDWR\|O_CREAT 0666`, Doc: "not a symlink"},
	},
	Cases: []Case{
		{Name: "three processes", Kind: Success, Trace: true, Run: args("--procs", "3", "--iters", "1000")},
		{Name: "one process", Kind: Success, Run: args("--procs", "1", "--iters", "10")},
		{Name: "nothing to add", Kind: Success, Run: args("--iters", "0")},
		{Name: "hold", Kind: Success, Trace: true, Run: args("hold", "$DIR/m", "0s")},
		{Name: "hold, when it is free again", Kind: Success, Run: args("hold", "m", "0s"), Do: []Step{
			start("other", "futex_mutex", "hold", "m", "50ms"), line("other", "locked"), run, end(""), end("other"),
		}},
		{Name: "while it is held", Kind: Failure, Want: "SIGKILL", Run: args("hold", "m", "100s"), Do: []Step{
			run, line("", "locked"), look(Object{Path: "m"}), kill("", unix.SIGKILL), end(""),
		}},
		{Name: "try", Kind: Success, Trace: true, Run: args("try", "$DIR/m")},
		{Name: "try, while it is held", Kind: Failure, Run: args("try", "m"), Do: []Step{
			start("other", "futex_mutex", "hold", "m", "100s"), line("other", "locked"), run, end(""), kill("other", unix.SIGKILL), ends("other", "SIGKILL"),
		}},
		{Name: "no processes", Kind: Usage, Run: args("--procs", "0")},
		{Name: "no number", Kind: Usage, Run: args("--procs", "x")},
		{Name: "too many processes", Kind: Usage, Run: args("--procs", "1001")},
		{Name: "a negative number of additions", Kind: Usage, Run: args("--iters", "-1")},
		{Name: "no such command", Kind: Usage, Run: args("count")},
		{Name: "hold without a duration", Kind: Usage, Run: args("hold", "$DIR/m")},
		{Name: "hold with a bad duration", Kind: Usage, Run: args("hold", "$DIR/m", "long")},
		{Name: "try without a file", Kind: Usage, Run: args("try")},
		{Name: "a directory", Kind: Failure, Run: args("try", "m"), Files: []File{special("m", Dir)}},
		{Name: "a file that is too short", Kind: Failure, Run: args("try", "m"), Files: []File{file("m", "abc")}},
		{Name: "a mutex of one process", Kind: Failure, Run: args("try", "m"), Files: []File{file("m", words(40))}},
		{Name: "no directory", Kind: Failure, Run: args("try", "no/m")},
		{Name: "the disk is full", Kind: Failure, Run: args("--procs", "1", "--iters", "1").to(Full)},
		{Name: "nobody reads", Kind: Failure, Want: "SIGPIPE", Run: args("--procs", "1", "--iters", "1").to(Gone)},
	},
}
