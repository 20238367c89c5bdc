package main

import "golang.org/x/sys/unix"

const (
	stdoutDoc = "the original prints them on its output"
	symlink   = "must not be a symlink"
)

var mmapProducer = Program{
	Name:      "mmap_producer",
	Failure:   255,
	Originals: []Half{{Sources: []string{"mmap/producer.c"}}},
	Diffs: []Diff{
		{In: Calls, Go: `open shared.dat O_RDWR\|O_CREAT\|O_EXCL\|O_NOFOLLOW 0666`, C: `open shared.dat O_RDWR\|O_CREAT\|O_TRUNC 0666`, Doc: "cannot finish"},
	},
	Cases: []Case{
		{Name: "the end of the input", Kind: Success, Trace: true},
		{Name: "a key", Kind: Success, Run: Proc{}.fed("x")},
		{Name: "the file is mapped", Kind: Success, Run: Proc{}.held(), Do: []Step{
			run, look(Object{Path: "shared.dat", Words: []Word{{0, word("Hell")}}}), eof(""), end(""),
		}},
		{Name: "the file exists", Kind: Success, Files: []File{file("shared.dat", orwell)}},
		{Name: "an argument", Kind: Usage, Run: args("x"), Diffs: append(
			ignoresArguments("memory mapped. press any key to exit...", "exit status 0"),
			Diff{In: Objects, Of: Original, C: "(file shared.dat|  0000).*", Doc: "Arguments are refused"},
		)},
		{Name: "a directory", Kind: Failure, Files: []File{special("shared.dat", Dir)}, Diffs: saysOnStdout(`open returned \(-1\)`, stdoutDoc)},
		{Name: "a FIFO", Kind: Failure, Files: []File{special("shared.dat", FIFO)}, Diffs: saysOnStdout("error in lseek", stdoutDoc)},
		{Name: "a symlink", Kind: Failure, Files: []File{{Path: "shared.dat", Data: "target", Type: Symlink}, file("target", "mine\n")}, Diffs: []Diff{
			{In: ExitFail, Go: "exit status 255", C: "exit status 0", Doc: symlink},
			{In: Stdout, C: "memory mapped.*", Doc: symlink},
			{In: Stderr, Go: said, Doc: symlink},
			{In: Objects, Go: "file target, .* 5 bytes", C: "file target, .* 13 bytes", Doc: symlink},
			{In: Objects, Go: "  0000 .*", C: "  0000 .*", Doc: symlink},
		}},
		{Name: "the disk is full", Kind: Failure, Run: args().to(Full), Diffs: ignoresOutput("A write to standard output that fails is an error")},
		{Name: "nobody reads", Kind: Failure, Run: args().to(Gone), Want: "SIGPIPE"},
	},
}

var mmapConsumer = Program{
	Name:      "mmap_consumer",
	Failure:   255,
	Originals: []Half{{Sources: []string{"mmap/consumer.c"}}},
	Diffs: []Diff{
		{In: Calls, Go: `open shared.dat O_RDWR\|O_NOFOLLOW`, C: `open shared.dat O_RDWR`, Doc: "not a symlink"},
	},
	Cases: []Case{
		{Name: "the producer's file", Kind: Success, Files: []File{file("shared.dat", "Hello World\x00\x00")}, Trace: true},
		{Name: "no NUL", Kind: Success, Files: []File{file("shared.dat", "Hello\nWorld\xff")}, NoOrig: "it reads on behind its buffer"},
		{Name: "more than a page", Kind: Success, Files: []File{file("shared.dat", novel+"\x00rest")}},
		{Name: "an argument", Kind: Usage, Files: []File{file("shared.dat", "Hello World\x00\x00")}, Run: args("x"),
			Diffs: ignoresArguments("Hello World", "exit status 0")},
		{Name: "no file", Kind: Failure, Diffs: saysOnStdout("error in open", stdoutDoc)},
		{Name: "an empty file", Kind: Failure, Files: []File{file("shared.dat", "")}, NoOrig: "it goes on with no mapping"},
		{Name: "a directory", Kind: Failure, Files: []File{special("shared.dat", Dir)}, Diffs: saysOnStdout("error in open", stdoutDoc)},
		{Name: "a FIFO", Kind: Failure, Files: []File{special("shared.dat", FIFO)}, NoOrig: "it goes on with no mapping"},
		{Name: "a symlink", Kind: Failure, Files: []File{{Path: "shared.dat", Data: "target", Type: Symlink}, file("target", "mine\x00")}, Diffs: []Diff{
			{In: ExitFail, Go: "exit status 255", C: "exit status 0", Doc: "not a symlink"},
			{In: Stdout, C: "mine", Doc: "not a symlink"},
			{In: Stderr, Go: said, Doc: "not a symlink"},
		}},
		{Name: "the disk is full", Kind: Failure, Files: []File{file("shared.dat", "Hello World\x00\x00")}, Run: args().to(Full),
			Diffs: ignoresOutput("A write to standard output that fails is an error")},
		{Name: "nobody reads", Kind: Failure, Files: []File{file("shared.dat", "Hello World\x00\x00")}, Run: args().to(Gone), Want: "SIGPIPE"},
	},
}

// Where the queue has its semaphores and its index. What is in the words: value,
// waiters, 128 for shared.
const (
	qLock, qEmpty, qFull, qCurrent, qSlots, qSize = 0, 32, 64, 96, 100, 220
)

// queued is the memory of a queue that holds messages, the oldest first.
func queued(msgs ...string) string {
	n := uint32(len(msgs))
	b := []byte(words(qSize, Word{qLock, 1}, Word{qLock + 8, 128}, Word{qEmpty, n}, Word{qEmpty + 8, 128},
		Word{qFull, 5 - n}, Word{qFull + 8, 128}, Word{qCurrent, n}))
	for i, m := range msgs {
		copy(b[qSlots+20*(i+1):], m)
	}
	return string(b)
}

// inQueue is shared.dat with n messages in the queue and so many waiting on the
// semaphore at.
func inQueue(n, at, waiters int) Object {
	ws := []Word{{qEmpty, uint32(n)}, {qFull, uint32(5 - n)}, {qCurrent, uint32(n)}, {qEmpty + 8, 128}}
	if waiters > 0 {
		ws = append(ws, Word{at + 4, uint32(waiters)})
	}
	return Object{Path: "shared.dat", Words: ws}
}

const holdsNoQueue = "A file that holds no queue is refused"

var mmapQueue = Program{
	Name:    "mmap_queue",
	Failure: 255,
	Originals: []Half{
		{Command: "producer", Sources: []string{"mmap_locks/producer.cc", "mmap_locks/message.cc"}},
		{Command: "consumer", Sources: []string{"mmap_locks/consumer.cc", "mmap_locks/message.cc"}},
	},
	Layouts: []string{"sem_t", "queue"},
	Diffs: []Diff{
		{In: Calls, Go: `open shared.dat O_RDWR\|O_CREAT\|O_EXCL\|O_NOFOLLOW 0666`, C: `open shared.dat O_RDWR\|O_CREAT\|O_TRUNC 0666`, Doc: "cannot finish"},
		{In: Calls, Go: `open shared.dat O_RDWR\|O_NOFOLLOW`, C: `open shared.dat O_RDWR`, Doc: "not a symlink"},
		{In: Calls, Of: Original, Go: "fallocate shared.dat 0 220", Doc: "220 bytes instead of 201"},
		{In: Calls, Of: Original, Go: "mmap shared.dat 220 .*", C: "mmap shared.dat 200 .*", Doc: "220 bytes instead of 201"},
		{In: Objects, Of: Original, Go: "file shared.dat, .* 220 bytes", C: "file shared.dat, .* 201 bytes", Doc: "220 bytes instead of 201"},
	},
	Cases: []Case{
		{
			Name: "a full queue", Kind: Failure, Want: sigterm, Trace: true, Run: args("producer"), Loose: []string{"shared.dat"},
			Do: []Step{run, look(inQueue(5, qFull, 1)), kill("", unix.SIGTERM), end("")},
			Diffs: []Diff{
				{In: Stdout, Of: Original, Go: "(message size|enqueued).*", Doc: "Each line is out at once"},
			},
		},
		{
			Name: "100 messages to a consumer", Kind: Success, Run: args("producer").held(), Loose: []string{"shared.dat"},
			Do: []Step{
				run, until(inQueue(5, qFull, 1)),
				start("consumer", "mmap_queue", "consumer"), line("consumer", "100: "),
				until(inQueue(0, qEmpty, 1)), eof(""), end(""),
				kill("consumer", unix.SIGTERM), ends("consumer", sigterm),
			},
		},
		{
			Name: "the bytes of a full queue", Kind: Failure, Want: "SIGKILL", Run: args("producer"), NoOrig: "its file ends before slot 5",
			Do: []Step{run, look(inQueue(5, qFull, 1)), kill("", unix.SIGKILL), end("")},
		},
		{
			Name: "a consumer of three", Kind: Failure, Want: "SIGKILL", Trace: true, Run: args("consumer"),
			Files: []File{file("shared.dat", queued("a\n", "b\n", "c\n"))},
			Do:    []Step{run, line("", "3: "), look(inQueue(0, qEmpty, 1)), kill("", unix.SIGKILL), end("")},
		},
		{
			Name: "a consumer that is told to end", Kind: Failure, Want: sigterm, Run: args("consumer"), Loose: []string{"shared.dat"},
			Files: []File{file("shared.dat", queued("a\n"))},
			Do:    []Step{run, line("", "1: "), until(inQueue(0, qEmpty, 1)), kill("", unix.SIGTERM), end("")},
		},
		{Name: "no command", Kind: Usage},
		{Name: "no such command", Kind: Usage, Run: args("both")},
		{Name: "producer with an argument", Kind: Usage, Run: args("producer", "x"), NoOrig: "it ignores the argument and waits for a consumer"},
		{Name: "consumer with an argument", Kind: Usage, Run: args("consumer", "x"),
			Diffs: []Diff{{In: Stdout, Of: Original, C: `open returned \(-1\)`, Doc: "Diagnostics go to standard error"}, {In: Stderr, Of: Original, Go: said, Doc: "Diagnostics go to standard error"}}},
		{Name: "consumer without a file", Kind: Failure, Run: args("consumer"), Diffs: saysOnStdout(`open returned \(-1\)`, "Diagnostics go to standard error")},
		{Name: "consumer of an empty file", Kind: Failure, Run: args("consumer"), Files: []File{file("shared.dat", "")}, Diffs: []Diff{
			{In: ExitFail, Go: "exit status 255", C: "SIGBUS", Doc: holdsNoQueue},
			{In: Stderr, Go: said, Doc: holdsNoQueue},
		}},
		{Name: "consumer of a directory", Kind: Failure, Run: args("consumer"), Files: []File{special("shared.dat", Dir)},
			Diffs: saysOnStdout(`open returned \(-1\)`, "Diagnostics go to standard error")},
		{Name: "producer of a directory", Kind: Failure, Run: args("producer"), Files: []File{special("shared.dat", Dir)},
			Diffs: saysOnStdout(`open returned \(-1\)`, "Diagnostics go to standard error")},
		{Name: "the producer's disk is full", Kind: Failure, Run: args("producer").to(Full), NoOrig: "it does not look, and waits for a consumer",
			Diffs: []Diff{{In: Objects, C: "file shared.dat, .* 0 bytes", Doc: "cannot finish"}}},
		{Name: "nobody reads the consumer", Kind: Failure, Want: "SIGPIPE", Run: args("consumer").to(Gone), Files: []File{file("shared.dat", queued("a\n"))}},
	},
}
