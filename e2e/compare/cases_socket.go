package main

import "golang.org/x/sys/unix"

// server is the socket s with a server on it.
var server = Object{Path: "s", Listen: true}

const (
	removesSocket  = "When the server ends it removes its socket"
	staleAndLive   = "The socket of a server that has died is replaced"
	failuresStderr = "Messages about failures go to standard error"
)

var domainSock = Program{
	Name:    "domain_sock",
	Failure: 255,
	Originals: []Half{
		{Command: "server", Sources: []string{"domain_sock/server.c"}},
		{Command: "client", Sources: []string{"domain_sock/client.c"}},
	},
	Diffs: []Diff{
		{In: Calls, Of: Twin, C: "child 1: close socket", Doc: "It gets the connection as descriptor 3"},
		{In: Calls, Of: Original, C: "unlink s = ENOENT", Doc: "the original removes all of them"},
		{In: Calls, Of: Original, Go: "(socket 2 made: AF_UNIX SOCK_DGRAM|connect socket 2 s = ECONNREFUSED|close socket 2)", Doc: staleAndLive},
		{In: Calls, Of: Original, Go: "unlink s", Doc: removesSocket},
		{In: Calls, Of: Original, Go: `open \. O_RDONLY\|O_DIRECTORY`, Doc: "lock the directory of PATH"},
		{In: Objects, Of: Original, C: "socket s, .*", Doc: removesSocket},
	},
	Cases: []Case{
		{
			Name: "server of one client", Kind: Failure, Want: sigterm, Trace: true, Run: args("server", "$DIR/s"),
			Do: []Step{
				run, until(server), look(server), start("client", "domain_sock", "client", "$DIR/s"), end("client"),
				alone, kill("", unix.SIGTERM), end(""),
			},
		},
		{
			Name: "server of three", Kind: Failure, Want: sigterm, Run: args("server", "$DIR/s"),
			Do: []Step{
				run, until(server),
				start("1", "domain_sock", "client", "$DIR/s"), end("1"),
				start("2", "domain_sock", "client", "$DIR/s"), end("2"),
				start("3", "domain_sock", "client", "$DIR/s"), end("3"),
				alone, kill("", unix.SIGTERM), end(""),
			},
		},
		{
			Name: "server over a stale socket", Kind: Failure, Want: sigterm, Trace: true, Run: args("server", "$DIR/s"),
			Files: []File{special("s", Socket)},
			Do:    []Step{run, until(server), kill("", unix.SIGTERM), end("")},
		},
		{
			Name: "client", Kind: Success, Trace: true, Run: args("client", "$DIR/s"),
			Do: []Step{
				start("server", "domain_sock", "server", "$DIR/s"), until(server), run, end(""),
				kill("server", unix.SIGTERM), ends("server", sigterm),
			},
		},
		{Name: "no command", Kind: Usage},
		{Name: "no such command", Kind: Usage, Run: args("both", "$DIR/s")},
		{Name: "server without a path", Kind: Usage, Run: args("server"), Diffs: saysOnStdout("usage:.*", failuresStderr)},
		{Name: "client without a path", Kind: Usage, Run: args("client"), Diffs: append(saysOnStdout("usage:", failuresStderr),
			Diff{In: Stdout, Of: Original, C: `client \[socket file\]`, Doc: failuresStderr})},
		{Name: "client with two", Kind: Usage, Run: args("client", "a", "b"), Diffs: append(saysOnStdout("usage:", failuresStderr),
			Diff{In: Stdout, Of: Original, C: `client \[socket file\]`, Doc: failuresStderr})},
		{
			Name: "server where one is", Kind: Failure, Run: args("server", "$DIR/s"), NoOrig: "it takes the other's place",
			Do: []Step{
				start("other", "domain_sock", "server", "$DIR/s"), until(server), run, end(""),
				start("client", "domain_sock", "client", "$DIR/s"), end("client"),
				kill("other", unix.SIGTERM), ends("other", sigterm),
			},
		},
		{Name: "server over a file", Kind: Failure, Run: args("server", "$DIR/s"), Files: []File{file("s", "mine\n")}, NoOrig: "it removes the file"},
		{Name: "server without a directory", Kind: Failure, Run: args("server", "no/s"), Diffs: saysOnStdout(`bind\(\) failed`, failuresStderr)},
		{Name: "server with a path that is too long", Kind: Failure, Run: args("server", long), NoOrig: "it writes behind its buffer"},
		{Name: "server with an empty path", Kind: Failure, Run: args("server", ""), NoOrig: "it takes an address that nobody can give"},
		{Name: "client without a server", Kind: Failure, Trace: true, Run: args("client", "$DIR/s"), Diffs: saysOnStdout(`connect\(\) failed`, failuresStderr)},
		{Name: "client of a dead server", Kind: Failure, Trace: true, Run: args("client", "$DIR/s"), Files: []File{special("s", Socket)}, Diffs: saysOnStdout(`connect\(\) failed`, failuresStderr)},
		{Name: "client of a file", Kind: Failure, Run: args("client", "$DIR/s"), Files: []File{file("s", "mine\n")}, Diffs: saysOnStdout(`connect\(\) failed`, failuresStderr)},
		{Name: "client with a path that is too long", Kind: Failure, Run: args("client", long), NoOrig: "it writes behind its buffer"},
	},
}

var doorsEmul = Program{
	Name:    "doors_emul",
	Failure: 1,
	Twins: []Half{
		{Command: "server", Sources: []string{"doors_server.c"}},
		{Command: "client", Sources: []string{"doors_client.c"}},
	},
	Layouts: []string{"door_frame", "door_info_reply"},
	Diffs: []Diff{
		{In: Calls, Case: "client", Go: "(write socket 32|read socket 72)", Doc: "asks the server for its version"},
		{In: Calls, Case: "server of a call", Go: `open \. O_RDONLY\|O_DIRECTORY`, Doc: "looks at PATH"},
		{In: Calls, Case: "server of a call", Go: `open (door|\.door\.…) O_RDONLY\|O_NOFOLLOW\|O_PATH( = ENOENT)?`, Doc: "looks at PATH"},
		{In: Calls, Case: "server of a call", C: `open (\.|door) O_RDONLY\|.*`, Doc: "looks at PATH"},
	},
	Cases: []Case{
		{
			Name: "server of a call", Kind: Failure, Want: sigterm, Trace: true, Run: args("server", "$DIR/door"),
			Do: []Step{
				run, look(Object{Path: "door"}), start("client", "doors_emul", "client", "$DIR/door"), end("client"),
				still, kill("", unix.SIGTERM), end(""),
			},
		},
		{
			Name: "server of two calls", Kind: Failure, Want: sigterm, Run: args("server", "$DIR/door"),
			Do: []Step{
				run, until(Object{Path: "door"}),
				start("1", "doors_emul", "client", "$DIR/door"), end("1"),
				start("2", "doors_emul", "client", "$DIR/door", "-7"), end("2"),
				kill("", unix.SIGTERM), end(""),
			},
		},
		{
			Name: "server over an empty file", Kind: Failure, Want: sigterm, Run: args("server", "$DIR/door"),
			Files: []File{file("door", "")},
			Do: []Step{
				start("1", "doors_emul", "client", "$DIR/door"), ends("1", "exit status 1"),
				run, until(Object{Path: "door", Socket: true}), look(Object{Path: "door"}), kill("", unix.SIGTERM), end(""),
			},
		},
		{
			Name: "client", Kind: Success, Trace: true, Run: args("client", "$DIR/door"),
			Do: []Step{
				start("server", "doors_emul", "server", "$DIR/door"), until(Object{Path: "door"}), run, end(""),
				kill("server", unix.SIGTERM), ends("server", sigterm),
			},
		},
		{
			Name: "client with an id", Kind: Success, Run: args("client", "$DIR/door", "2147483647"),
			Do: []Step{
				start("server", "doors_emul", "server", "$DIR/door"), until(Object{Path: "door"}), run, end(""),
				kill("server", unix.SIGTERM), ends("server", sigterm),
			},
		},
		{Name: "no command", Kind: Usage},
		{Name: "server with two arguments", Kind: Usage, Run: args("server", "a", "b")},
		{Name: "client with three", Kind: Usage, Run: args("client", "a", "1", "c")},
		{Name: "client with an id that is no number", Kind: Usage, Run: args("client", "$DIR/door", "x")},
		{Name: "client with an id that is too large", Kind: Usage, Run: args("client", "$DIR/door", "2147483648")},
		{Name: "server over a file", Kind: Failure, Run: args("server", "$DIR/door"), Files: []File{file("door", "mine\n")}},
		{Name: "server over a directory", Kind: Failure, Run: args("server", "$DIR/door"), Files: []File{special("door", Dir)}},
		{Name: "server without a directory", Kind: Failure, Run: args("server", "$DIR/no/door")},
		{
			Name: "server where another kind is", Kind: Failure, Run: args("server", "$DIR/s"),
			Do: []Step{
				start("other", "domain_sock", "server", "$DIR/s"), until(server), run, end(""),
				kill("other", unix.SIGTERM), ends("other", sigterm),
			},
		},
		{Name: "client without a door", Kind: Failure, Trace: true, Run: args("client", "$DIR/door")},
		{Name: "client of a file", Kind: Failure, Run: args("client", "$DIR/door"), Files: []File{file("door", "mine\n")}},
		{Name: "client of a dead server", Kind: Failure, Run: args("client", "$DIR/door"), Files: []File{special("door", Socket)}},
	},
}
