package main

import "golang.org/x/sys/unix"

// Where the slides' buffer has its semaphores and its count.
const (
	tWsem, tRsem, tCnt, tBuf, tSize = 0, 32, 64, 68, 1096
)

// filled is the object with n bytes in the buffer and the reader's turn, when the
// writer sleeps.
func filled(n int) Object {
	return Object{Path: "/dev/shm$NAME", Words: []Word{{tRsem, 1}, {tRsem + 8, 128}, {tWsem, 0}, {tWsem + 4, 1}, {tWsem + 8, 128}, {tCnt, uint32(n)}}}
}

// turn is the memory in which the reader has a turn with text.
func turn(cnt uint32, text string) string {
	b := []byte(words(tSize, Word{tWsem + 8, 128}, Word{tRsem, 1}, Word{tRsem + 8, 128}, Word{tCnt, cnt}))
	copy(b[tBuf:], text)
	return string(b)
}

const summary = "The summary goes to standard error"

var pshmWriter = Program{
	Name:      "pshm_writer",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pshm/pshm_xfr_writer.c"}, Or: []string{"pshm/pshm_writer.c"}}},
	OrigName:  "/pshm_xfr",
	Layouts:   []string{"sem_t", "shmbuf"},
	Cases: []Case{
		{
			Name: "three turns", Kind: Success, Trace: true, Run: args("$NAME").fed(novel[:3000]),
			Do: []Step{run, look(filled(1024)), start("reader", "pshm_reader", "$NAME"), end("reader"), end("")},
		},
		{
			Name: "no data", Kind: Success, Trace: true, Run: args("$NAME"),
			Do: []Step{run, look(filled(0)), start("reader", "pshm_reader", "$NAME"), end("reader"), end("")},
		},
		{Name: "two arguments", Kind: Usage, Run: args("$NAME", "x"), NoOrig: "it knows no arguments"},
		{Name: "the object exists", Kind: Failure, Trace: true, Files: []File{file("/dev/shm$NAME", "mine\n")}, Run: args("$NAME")},
		{Name: "a name with two slashes", Kind: Failure, Run: args("/ipcbook/compare"), NoOrig: "it knows no names"},
		{Name: "an empty name", Kind: Failure, Run: args(""), NoOrig: "it knows no names"},
		{Name: "a name that is too long", Kind: Failure, Run: args("/" + long), NoOrig: "it knows no names"},
		{
			Name: "interrupted", Kind: Failure, Want: sigterm, Run: args("$NAME").fed("hello\n"),
			Do: []Step{run, until(filled(6)), kill("", unix.SIGTERM), end("")},
			Diffs: []Diff{
				{In: Objects, C: "(shared memory |  0).*", Doc: "an error or a signal removes it"},
			},
		},
	},
	Diffs: []Diff{
		{In: Stderr, Of: Original, Go: "Sent .*", Doc: summary, Maybe: true},
		{In: Stdout, Of: Original, C: "Sent .*", Doc: summary, Maybe: true},
		{In: Calls, Of: Original, Go: "fallocate .*", C: "ftruncate .*", Doc: "Its memory is allocated before it is mapped"},
		{In: Calls, Of: Original, Go: "munmap .*", Doc: "leaves that to the exit", Maybe: true},
	},
}

var pshmReader = Program{
	Name:      "pshm_reader",
	Failure:   1,
	Originals: []Half{{Sources: []string{"pshm/pshm_xfr_reader.c"}, Or: []string{"pshm/pshm_reader.c"}}},
	OrigName:  "/pshm_xfr",
	Layouts:   []string{"sem_t", "shmbuf"},
	Cases: []Case{
		{
			Name: "three turns", Kind: Success, Trace: true, Run: args("$NAME"),
			Do: []Step{start("writer", "pshm_writer", "$NAME").stdin(novel[:3000]), until(filled(1024)), run, end(""), end("writer")},
		},
		{
			Name: "no data", Kind: Success, Trace: true, Run: args("$NAME"),
			Do: []Step{start("writer", "pshm_writer", "$NAME"), until(filled(0)), run, end(""), end("writer")},
		},
		{
			Name: "one turn, and its bytes", Kind: Failure, Want: "SIGKILL", Run: args("$NAME"),
			Files: []File{file("/dev/shm$NAME", turn(6, "hello\n"))},
			Do:    []Step{run, line("", "hello"), look(Object{Path: "/dev/shm$NAME", Words: []Word{{tWsem, 1}, {tRsem + 4, 1}}}), kill("", unix.SIGKILL), end("")},
		},
		{Name: "two arguments", Kind: Usage, Run: args("$NAME", "x"), NoOrig: "it knows no arguments"},
		{Name: "no object", Kind: Failure, Trace: true, Run: args("$NAME")},
		{Name: "an object that is too short", Kind: Failure, Files: []File{file("/dev/shm$NAME", "mine\n")}, Run: args("$NAME"), NoOrig: "it does not look"},
		{Name: "a count above the buffer", Kind: Failure, Files: []File{file("/dev/shm$NAME", turn(1025, "hello"))}, Run: args("$NAME"),
			Loose: []string{"/dev/shm$NAME"}, NoOrig: "it does not look"},
		{Name: "a negative count", Kind: Failure, Files: []File{file("/dev/shm$NAME", turn(0x80000000, "hello"))}, Run: args("$NAME"),
			Loose: []string{"/dev/shm$NAME"}, NoOrig: "it does not look"},
		{Name: "a name with two slashes", Kind: Failure, Run: args("/ipcbook/compare"), NoOrig: "it knows no names"},
	},
}
