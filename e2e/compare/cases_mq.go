package main

import "strings"

var pmsgCreate = Program{
	Name:      "pmsg_create",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pmsg/pmsg_create.c"}}},
	Layouts:   []string{"mq_attr"},
	Cases: []Case{
		{Name: "the kernel's defaults", Kind: Success, Run: args("-c", "$NAME"), Trace: true},
		{Name: "all options", Kind: Success, Run: args("-cx", "-m", "5", "-s", "100", "$NAME", "640"), Trace: true},
		{Name: "-m alone", Kind: Success, Run: args("-c", "-m", "3", "$NAME"), Trace: true},
		{Name: "-s alone", Kind: Success, Run: args("-c", "-s", "64", "$NAME"), Trace: true},
		{Name: "the mode, less the umask", Kind: Success, Run: args("-c", "$NAME", "0777")},
		{Name: "a queue that exists", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("-c", "-m", "5", "$NAME")},
		{Name: "without -c", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME"), Trace: true},
		{Name: "no argument", Kind: Usage},
		{Name: "no name", Kind: Usage, Run: args("-cx")},
		{Name: "three arguments", Kind: Usage, Run: args("-c", "$NAME", "600", "x"), Diffs: []Diff{
			{In: ExitUse, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: "More arguments than two are refused"},
			{In: Stderr, Of: Original, Go: said, Doc: "More arguments than two are refused"},
			{In: Objects, Of: Original, C: "message queue .*", Doc: "More arguments than two are refused"},
		}},
		{Name: "an unknown option", Kind: Usage, Run: args("-z", "$NAME")},
		{Name: "no number of messages", Kind: Usage, Run: args("-c", "-m", "x", "$NAME")},
		{Name: "a mode that is not octal", Kind: Usage, Run: args("-c", "$NAME", "999")},
		{Name: "a queue that exists, -cx", Kind: Failure, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("-cx", "$NAME"), Trace: true},
		{Name: "no queue, without -c", Kind: Failure, Run: args("$NAME"), Trace: true},
		{Name: "no messages at all", Kind: Failure, Run: args("-c", "-m", "0", "$NAME"), Trace: true},
		{Name: "a name without slash", Kind: Failure, Run: args("-c", "ipcbook-compare")},
		{Name: "a name with two", Kind: Failure, Run: args("-c", "/ipcbook/compare")},
		{Name: "a slash only", Kind: Failure, Run: args("-c", "/")},
		{Name: "a name that is too long", Kind: Failure, Run: args("-c", "/"+long)},
	},
}

var pmsgSend = Program{
	Name:      "pmsg_send",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pmsg/pmsg_send.c"}}},
	Cases: []Case{
		{Name: "a message", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 80}, Run: args("$NAME", orwell), Trace: true},
		{Name: "with a priority", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", "hello", "32767"), Trace: true},
		{Name: "an empty message", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", ""), Trace: true},
		{Name: "the longest message", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 100}, Run: args("$NAME", strings.Repeat("\xff", 100))},
		{Name: "waits for room", Kind: Success, Queue: &Queue{MaxMsg: 1, MsgSize: 8, Msgs: []Msg{{0, "one"}}}, Run: args("$NAME", "two"), Trace: true,
			Do: []Step{run, start("receiver", "pmsg_receive", "$NAME"), end("receiver"), end("")}},
		{Name: "-n with room", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("-n", "$NAME", "hello")},
		{Name: "no argument", Kind: Usage},
		{Name: "no message", Kind: Usage, Run: args("$NAME")},
		{Name: "four arguments", Kind: Usage, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", "a", "1", "x"), Diffs: []Diff{
			{In: ExitUse, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: "So are more than three arguments"},
			{In: Stderr, Of: Original, Go: said, Doc: "So are more than three arguments"},
			{In: Objects, Of: Original, Go: "message queue .*", C: "message queue .*", Doc: "So are more than three arguments"},
		}},
		{Name: "an unknown option", Kind: Usage, Run: args("-z", "$NAME", "a")},
		{Name: "a priority that is no number", Kind: Usage, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", "a", "x"), Diffs: []Diff{
			{In: ExitUse, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: "A PRIO that is no number"},
			{In: Stderr, Of: Original, Go: said, Doc: "A PRIO that is no number"},
			{In: Objects, Of: Original, Go: "message queue .*", C: "message queue .*", Doc: "A PRIO that is no number"},
		}},
		{Name: "a priority that is too high", Kind: Usage, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", "a", "32768")},
		{Name: "a negative priority", Kind: Usage, Queue: &Queue{MaxMsg: 2, MsgSize: 8}, Run: args("$NAME", "a", "-1")},
		{Name: "no queue", Kind: Failure, Run: args("$NAME", "a"), Trace: true},
		{Name: "a full queue, -n", Kind: Failure, Queue: &Queue{MaxMsg: 1, MsgSize: 8, Msgs: []Msg{{0, "one"}}}, Run: args("-n", "$NAME", "two"), Trace: true},
		{Name: "a message that is too long", Kind: Failure, Queue: &Queue{MaxMsg: 1, MsgSize: 8}, Run: args("$NAME", "123456789"), Trace: true},
		{Name: "a name without slash", Kind: Failure, Run: args("ipcbook-compare", "a")},
		{Name: "a name with two", Kind: Failure, Run: args("/ipcbook/compare", "a")},
	},
}

const notPrinted = "its bytes go to standard error"

var pmsgReceive = Program{
	Name:      "pmsg_receive",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pmsg/pmsg_receive.c"}}},
	Layouts:   []string{"mq_attr"},
	Diffs: []Diff{
		{In: Stdout, Of: Original, Go: `Read \d+ bytes; priority = \d+`, Doc: "the original writes the first line last"},
		{In: Stdout, Of: Original, C: `Read \d+ bytes; priority = \d+`, Doc: "the original writes the first line last"},
	},
	Cases: []Case{
		{Name: "a message", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 80, Msgs: []Msg{{0, orwell}}}, Run: args("$NAME"), Trace: true},
		{Name: "the highest priority", Kind: Success, Queue: &Queue{MaxMsg: 3, MsgSize: 8, Msgs: []Msg{{0, "a"}, {7, "b"}, {7, "c"}}}, Run: args("$NAME")},
		{Name: "an empty message", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8, Msgs: []Msg{{1, ""}}}, Run: args("$NAME"), Trace: true},
		{Name: "bytes", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 300, Msgs: []Msg{{1, data(300)}}}, Run: args("$NAME")},
		{Name: "waits for a message", Kind: Success, Queue: &Queue{MaxMsg: 1, MsgSize: 8}, Run: args("$NAME"), Trace: true,
			Do: []Step{run, start("sender", "pmsg_send", "$NAME", "late", "3"), end("sender"), end("")}},
		{Name: "no argument", Kind: Usage},
		{Name: "two arguments", Kind: Usage, Queue: &Queue{MaxMsg: 1, MsgSize: 8, Msgs: []Msg{{0, "a"}}}, Run: args("$NAME", "x"), NoOrig: "it ignores the second"},
		{Name: "an unknown option", Kind: Usage, Run: args("-z", "$NAME")},
		{Name: "no queue", Kind: Failure, Run: args("$NAME"), Trace: true},
		{Name: "an empty queue, -n", Kind: Failure, Queue: &Queue{MaxMsg: 1, MsgSize: 8}, Run: args("-n", "$NAME"), Trace: true},
		{Name: "the disk is full", Kind: Failure, Queue: &Queue{MaxMsg: 1, MsgSize: 8, Msgs: []Msg{{0, "a"}}}, Run: args("$NAME").to(Full),
			Diffs: []Diff{
				{In: ExitFail, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: notPrinted},
				{In: Stderr, Of: Original, Go: said, Doc: notPrinted},
			}},
		{Name: "nobody reads", Kind: Failure, Want: "SIGPIPE", Queue: &Queue{MaxMsg: 1, MsgSize: 8, Msgs: []Msg{{0, "a"}}}, Run: args("$NAME").to(Gone),
			Diffs: []Diff{{In: Stderr, Go: said, Doc: notPrinted}}},
		{Name: "a name without slash", Kind: Failure, Run: args("ipcbook-compare")},
	},
}

var pmsgGetattr = Program{
	Name:      "pmsg_getattr",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pmsg/pmsg_getattr.c"}}},
	Layouts:   []string{"mq_attr"},
	Cases: []Case{
		{Name: "a queue", Kind: Success, Queue: &Queue{MaxMsg: 7, MsgSize: 123, Msgs: []Msg{{0, "a"}, {1, ""}}}, Run: args("$NAME"), Trace: true},
		{Name: "no argument", Kind: Usage},
		{Name: "two arguments", Kind: Usage, Run: args("$NAME", "x")},
		{Name: "no queue", Kind: Failure, Run: args("$NAME"), Trace: true},
		{Name: "a name without slash", Kind: Failure, Run: args("ipcbook-compare")},
		{Name: "the disk is full", Kind: Failure, Queue: &Queue{MaxMsg: 7, MsgSize: 123}, Run: args("$NAME").to(Full),
			Diffs: ignoresOutput("a standard output that fails")},
	},
}

var pmsgUnlink = Program{
	Name:      "pmsg_unlink",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pmsg/pmsg_unlink.c"}}},
	Cases: []Case{
		{Name: "a queue", Kind: Success, Queue: &Queue{MaxMsg: 2, MsgSize: 8, Msgs: []Msg{{0, "a"}}}, Run: args("$NAME"), Trace: true},
		{Name: "no argument", Kind: Usage},
		{Name: "two arguments", Kind: Usage, Run: args("$NAME", "x")},
		{Name: "no queue", Kind: Failure, Run: args("$NAME"), Trace: true},
		{Name: "a name without slash", Kind: Failure, Run: args("ipcbook-compare")},
		{Name: "a name with two", Kind: Failure, Run: args("/ipcbook/compare")},
		{Name: "a name that is too long", Kind: Failure, Run: args("/" + long)},
	},
}
