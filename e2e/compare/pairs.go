package main

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// pairs are the rows of the second table.
var pairs = []Pair{
	{
		Name: "mmap_producer → mmap_consumer", Left: "mmap_producer", Right: "mmap_consumer",
		Do: []Step{
			left("producer", "mmap_producer").hold(), until(Object{Path: "shared.dat", Words: []Word{{0, word("Hell")}}}),
			right("consumer", "mmap_consumer"), end("consumer"),
			eof("producer"), end("producer"),
		},
		Moved: Moved{Who: []string{"consumer"}, Unit: "bytes", Want: "Hello World\n"},
	},
	{
		Name: "mmap_queue: producer → consumer", Left: "mmap_queue", Right: "mmap_queue",
		Do: []Step{
			left("producer", "mmap_queue", "producer").hold(),
			until(Object{Path: "shared.dat", Words: []Word{{qLock + 8, 128}, {qEmpty + 8, 128}, {qFull + 8, 128}}}),
			right("consumer", "mmap_queue", "consumer"), line("consumer", "100: "),
			eof("producer"), end("producer"),
			kill("consumer", unix.SIGTERM), ends("consumer", "SIGTERM"),
		},
		Moved: Moved{Who: []string{"consumer"}, Unit: "messages", Per: `(?m)^\d+: `, Sort: true, Want: hundred()},
	},
	{
		Name: "pmsg_send → pmsg_receive", Left: "pmsg_send", Right: "pmsg_receive",
		Do: []Step{
			left("create", "pmsg_create", "-cx", "-m", "3", "-s", "80", "$NAME"), end("create"),
			left("1", "pmsg_send", "$NAME", "can wait"), end("1"),
			left("2", "pmsg_send", "$NAME", "in a hurry", "7"), end("2"),
			left("3", "pmsg_send", "-n", "$NAME", "\xff", "7"), end("3"),
			right("attr", "pmsg_getattr", "$NAME"), end("attr"),
			right("a", "pmsg_receive", "$NAME"), end("a"),
			right("b", "pmsg_receive", "$NAME"), end("b"),
			right("c", "pmsg_receive", "-n", "$NAME"), end("c"),
			right("unlink", "pmsg_unlink", "$NAME"), end("unlink"),
		},
		Moved: Moved{Who: []string{"attr", "a", "b", "c"}, Unit: "messages", Per: "(?m)^Read ", Sort: true, Want: "Maximum # of messages on queue:   3\n" +
			"Maximum message size:             80\n# of messages currently on queue: 3\n" +
			"Read 10 bytes; priority = 7\nin a hurry\nRead 1 bytes; priority = 7\n\xff\nRead 8 bytes; priority = 0\ncan wait\n"},
	},
	{
		Name: "pshm_writer → pshm_reader", Left: "pshm_writer", Right: "pshm_reader",
		Do: []Step{
			left("writer", "pshm_writer", "$NAME").stdin(data(300_001)), until(filled(1024)),
			right("reader", "pshm_reader", "$NAME"), end("reader"), end("writer"),
		},
		Moved: Moved{Who: []string{"reader"}, Unit: "bytes", Want: data(300_001)},
	},
	{
		Name: "domain_sock: server ↔ client", Left: "domain_sock", Right: "domain_sock",
		Do: []Step{
			left("server", "domain_sock", "server", "$DIR/s"), until(server),
			right("1", "domain_sock", "client", "$DIR/s"), end("1"),
			right("2", "domain_sock", "client", "$DIR/s"), end("2"),
			kill("server", unix.SIGTERM), ends("server", "SIGTERM"),
		},
		Moved: Moved{Who: []string{"server", "1", "2"}, Unit: "messages", Per: "(?m)^message from ",
			Want: strings.Repeat("message from client: hello from a client\n", 2) + strings.Repeat("message from server: hello from server\n", 2)},
	},
	{
		Name: "doors_emul: server ↔ client", Left: "doors_emul", Right: "doors_emul",
		Do: []Step{
			left("server", "doors_emul", "server", "$DIR/door"), until(Object{Path: "door"}),
			right("1", "doors_emul", "client", "$DIR/door"), end("1"),
			right("2", "doors_emul", "client", "$DIR/door", "-2147483648"), end("2"),
			kill("server", unix.SIGTERM), ends("server", "SIGTERM"),
		},
		Moved: Moved{Who: []string{"server", "1", "2"}, Unit: "calls", Per: "(?m)^result = ",
			Want: "door called with id = 12\ndoor called with id = -2147483648\nresult = 144\nresult = 4611686018427387904\n"},
	},
	{
		Name: "futex_mutex: hold ↔ hold, try", Left: "futex_mutex", Right: "futex_mutex",
		Do: []Step{
			left("first", "futex_mutex", "hold", "m", "50ms"), line("first", "locked"),
			right("second", "futex_mutex", "hold", "m", "0s"), end("second"), end("first"),
			right("free", "futex_mutex", "try", "m"), end("free"),
			left("third", "futex_mutex", "hold", "m", "100s"), line("third", "locked"),
			right("held", "futex_mutex", "try", "m"), ends("held", "exit status 1"),
			kill("third", unix.SIGKILL), ends("third", "SIGKILL"),
		},
		Moved: Moved{Who: []string{"first", "second", "free", "third", "held"}, Unit: "locks", Per: "locked|acquired",
			Want: "locked\nlocked\nacquired\nlocked\nbusy\n"},
	},
}

// hundred is what the producer of the queue sends, sorted.
func hundred() string {
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("%d\n", i))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
