package main

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"golang.org/x/sys/unix"
)

// programs are the rows of the table, in the reading order of the examples.
var programs = []Program{
	simplePipe, forkPipe, fifoGzip,
	mmapProducer, mmapConsumer, mmapQueue,
	pmsgCreate, pmsgSend, pmsgReceive, pmsgGetattr, pmsgUnlink,
	pshmWriter, pshmReader,
	domainSock, doorsEmul,
	sleepAlarm, futexMutex,
}

const orwell = "It was a bright cold day in April, and the clocks were striking thirteen"

// args is a process with arguments.
func args(args ...string) Proc { return Proc{Args: args} }

// fed is p with standard input.
func (p Proc) fed(text string) Proc { p.Stdin = text; return p }

// held is p with standard input that stays open.
func (p Proc) held() Proc { p.Hold = true; return p }

// to is p with standard output elsewhere.
func (p Proc) to(s Sink) Proc { p.Stdout = s; return p }

// data returns n bytes that look random and are always the same.
func data(n int) string {
	var seed [32]byte
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b)
	return string(b)
}

// word is the 32-bit word of four bytes.
func word(text string) uint32 { return binary.NativeEndian.Uint32([]byte(text)) }

// words returns memory of n bytes with these words in it.
func words(n int, ws ...Word) string {
	b := make([]byte, n)
	for _, w := range ws {
		binary.NativeEndian.PutUint32(b[w.At:], w.Is)
	}
	return string(b)
}

// long is a name that is too long for everything.
var long = strings.Repeat("x", 300)

const sigterm = "SIGTERM"

// The differences that more than one program has to the originals of the course,
// which print what goes wrong on standard output, know no arguments, and do not
// look whether their output succeeds.

// saysOnStdout is an original's message on standard output.
func saysOnStdout(c, doc string) []Diff {
	return []Diff{
		{In: Stdout, Of: Original, C: c, Doc: doc},
		{In: Stderr, Of: Original, Go: said, Doc: doc},
	}
}

// ignoresArguments is an original that runs where ours refuses; prints is a line
// of its output.
func ignoresArguments(prints, status string) []Diff {
	const doc = "Arguments are refused"
	return []Diff{
		{In: ExitUse, Of: Original, Go: "exit status 255", C: status, Doc: doc},
		{In: Stdout, Of: Original, C: prints, Doc: doc},
		{In: Stderr, Of: Original, Go: said, Doc: doc},
	}
}

// ignoresOutput is an original that does not see that its output failed.
func ignoresOutput(doc string) []Diff {
	return []Diff{
		{In: ExitFail, Of: Original, Go: "exit status [0-9]+", C: "exit status 0", Doc: doc},
		{In: Stderr, Of: Original, Go: said, Doc: doc},
	}
}

var simplePipe = Program{
	Name:      "simple_pipe",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pipes/simple_pipe.c"}}},
	Diffs: []Diff{
		{In: Calls, C: "child 1: close pipe", Doc: "not a fork"},
	},
	Cases: []Case{
		{Name: "a string", Kind: Success, Run: args(orwell), Trace: true},
		{Name: "an empty string", Kind: Success, Run: args(""), Trace: true},
		{Name: "bytes that are no text", Kind: Success, Run: args("\xff\x01\n\x80%s")},
		{Name: "more than a pipe holds", Kind: Success, Run: args(strings.Repeat("0123456789abcde\n", 6000))},
		{Name: "no argument", Kind: Usage},
		{Name: "two arguments", Kind: Usage, Run: args("a", "b")},
		{Name: "the disk is full", Kind: Failure, Run: args("a").to(Full), Diffs: []Diff{
			{In: ExitFail, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: "the original ignores its status"},
		}},
		{Name: "nobody reads", Kind: Failure, Run: args("a").to(Gone), Diffs: []Diff{
			{In: ExitFail, Of: Original, Go: "exit status 1", C: "exit status 0", Doc: "the original ignores its status"},
			{In: Stderr, Of: Original, Go: said, Doc: "the original ignores its status"},
		}},
	},
}

var forkPipe = Program{
	Name:      "fork_pipe",
	Failure:   255,
	Originals: []Half{{Sources: []string{"fork_pipe/main.c"}, Or: []string{"pipe_example.c"}}},
	Diffs: []Diff{
		{In: Calls, C: "child 1: dup pipe onto 1", Doc: "no dup2 and no close of its own"},
		{In: Calls, C: "child 1: close pipe", Doc: "no dup2 and no close of its own"},
		{In: Calls, Of: Original, Go: "close pipe", Doc: "What was duplicated is closed"},
		{In: Calls, Of: Original, Go: "wait for child", Doc: "The parent waits for the child"},
	},
	Cases: []Case{
		{Name: "the number", Kind: Success, Trace: true},
		{Name: "an argument", Kind: Usage, Run: args("x"), Diffs: ignoresArguments("child sent value = 5000", "exit status 0")},
		{Name: "the disk is full", Kind: Failure, Run: args().to(Full), Diffs: ignoresOutput("A write to standard output that fails is an error")},
		{Name: "nobody reads", Kind: Failure, Run: args().to(Gone), Want: "SIGPIPE"},
	},
}

var novel = strings.Repeat("It was a bright cold day in April, and the clocks were striking thirteen.\n", 5000)

var fifoGzip = Program{
	Name:    "fifo_gzip",
	Failure: 1,
	Diffs: []Diff{
		{In: Calls, C: `child 1: dup \w+\.gz onto 1`, Doc: "with the FIFO as its standard input and FILE.gz as its output"},
	},
	Cases: []Case{
		{Name: "a file", Kind: Success, Files: []File{file("in", novel)}, Run: args("in", "out.gz"), Trace: true},
		{Name: "its default name", Kind: Success, Files: []File{file("in", "hello\n")}, Run: args("in")},
		{Name: "an empty file", Kind: Success, Files: []File{file("in", "")}, Run: args("in"), Trace: true},
		{Name: "bytes", Kind: Success, Files: []File{file("in", data(100000))}, Run: args("in")},
		{Name: "an output that exists", Kind: Success, Files: []File{file("in", "new\n"), file("out.gz", strings.Repeat("old\n", 100))}, Run: args("in", "out.gz")},
		{Name: "standard input and output", Kind: Success, Run: args("-").fed("hello\n")},
		{Name: "another FIFO", Kind: Success, Files: []File{file("in", "hello\n")}, Run: args("--fifo", "$DIR/f", "in")},
		{Name: "the FIFO while it is there", Kind: Success, Run: args("-", "out.gz").held(), Do: []Step{
			run, look(Object{Path: "pipe_file"}), eof(""), end(""),
		}},
		{Name: "no argument", Kind: Usage},
		{Name: "three arguments", Kind: Usage, Run: args("a", "b", "c")},
		{Name: "an unknown option", Kind: Usage, Run: args("--nope", "in")},
		{Name: "no such file", Kind: Failure, Run: args("in")},
		{Name: "a directory", Kind: Failure, Files: []File{special("in", Dir)}, Run: args("in")},
		{Name: "a file where the FIFO goes", Kind: Failure, Files: []File{file("in", "hello\n"), file("pipe_file", "mine\n")}, Run: args("in")},
		{Name: "a FIFO where the FIFO goes", Kind: Failure, Files: []File{file("in", "hello\n"), special("pipe_file", FIFO)}, Run: args("in")},
		{Name: "no place for the output", Kind: Failure, Files: []File{file("in", "hello\n")}, Run: args("in", "no/out.gz")},
		{Name: "the output is the input", Kind: Failure, Files: []File{file("in", "hello\n")}, Run: args("in", "in")},
		{Name: "interrupted", Kind: Failure, Want: sigterm, Run: args("-", "out.gz").held(), Do: []Step{
			run, until(Object{Path: "out.gz"}), still, kill("", unix.SIGTERM), end(""),
		}},
	},
}
