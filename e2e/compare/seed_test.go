package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A seed is a difference that is put into a text, and that must turn a cell red:
// the column's, or the pair's.
type seed struct {
	prog  string
	file  string // in the program's folder; with a slash, from the root
	old   string // what stands there, once
	new   string
	col   Column
	pair  bool
	cases []string // what is run
}

// inC is a seed in the program's C twin.

func inC(prog string, col Column, old, new string, cases ...string) seed {
	return seed{prog: prog, file: prog + ".c", old: old, new: new, col: col, cases: cases}
}

// in is s in another file.
func (s seed) in(file string) seed { s.file = file; return s }

// pairs is s with the program's pairs in place of cases.
func (s seed) pairs() seed { s.pair = true; return s }

func (s seed) path() string {
	if strings.Contains(s.file, "/") {
		return s.file
	}
	return filepath.Join("examples", s.prog, s.file)
}

var seeds = []seed{
	// An output byte.
	inC("simple_pipe", Stdout, `"\n", 1) != 1`, `"\r", 1) != 1`, "a string"),
	inC("fork_pipe", Stdout, "child sent value = %d", "child sent Value = %d", "the number"),
	inC("fifo_gzip", Objects, `"-c9"`, `"-c1"`, "a file"),
	inC("mmap_producer", Stdout, "press any key to exit...", "press any key to exit..", "the end of the input"),
	inC("mmap_consumer", Stdout, `data[len] = '\n'`, `data[len] = '\r'`, "the producer's file"),
	inC("mmap_queue", Stdout, `"%d: %.*s"`, `"%d:  %.*s"`, "a consumer of three"),
	inC("mmap_queue", Stdout, `"enqueued %d\n"`, `"enqueues %d\n"`, "a full queue"),
	inC("pmsg_receive", Stdout, "priority = %u", "priority= %u", "a message"),
	inC("pmsg_getattr", Stdout, "Maximum message size:             %ld", "Maximum message size:            %ld", "a queue"),
	inC("pshm_reader", Stdout, "write(STDOUT_FILENO, shmp->buf, n) != n", "write(STDOUT_FILENO, shmp->buf + 1, n) != n", "three turns"),
	inC("domain_sock", Stdout, `"message from server: "`, `"message from Server: "`, "client"),
	inC("doors_emul", Stdout, `"door called with id = %d\n"`, `"door called with ID = %d\n"`, "server of a call").in("doors_server.c"),
	inC("doors_emul", Stdout, "result = %lld", "result =  %lld", "client").in("doors_client.c"),
	inC("sleep_alarm", Stdout, "sleepFor returned: %u", "sleepfor returned: %u", "0 seconds"),
	inC("futex_mutex", Stdout, `printf("acquired\n")`, `printf("acquired")`, "try"),
	inC("pshm_writer", Stderr, "Sent %lld bytes", "Sent: %lld bytes", "no data"),
	inC("pmsg_send", Stderr, `"pmsg_send: %s %s: %s\n", call, name, strerror(errno)`, `"%s %s: %s\n", call, name, strerror(errno)`, "no queue"),
	inC("pmsg_unlink", Stderr, `"pmsg_unlink: mq_unlink %s: %s\n"`, `"mq_unlink %s: %s\n"`, "no queue"),

	// An exit status: of success, usage, failure.
	inC("simple_pipe", Exit0, "WEXITSTATUS(status) == 0 ? 0 : 1", "WEXITSTATUS(status) == 0 ? 3 : 1", "a string"),
	inC("simple_pipe", ExitUse, "got %d\\nusage: simple_pipe STRING\\n\", argc - 1);\n        return 1;", "got %d\\nusage: simple_pipe STRING\\n\", argc - 1);\n        return 2;", "no argument"),
	inC("simple_pipe", ExitFail, "WEXITSTATUS(status) == 0 ? 0 : 1", "WEXITSTATUS(status) == 0 ? 0 : 3", "the disk is full"),
	inC("fork_pipe", ExitFail, "exit(255)", "exit(1)", "the disk is full"),
	inC("fifo_gzip", ExitFail, "    clean_up();\n    exit(1);", "    clean_up();\n    exit(2);", "no such file"),
	inC("mmap_producer", ExitFail, "exit(255)", "exit(1)", "a directory"),
	inC("mmap_consumer", ExitFail, "exit(255)", "exit(1)", "no file"),
	inC("mmap_queue", ExitUse, "usage: mmap_queue producer | consumer\\n\");\n    exit(255)", "usage: mmap_queue producer | consumer\\n\");\n    exit(1)", "no command"),
	inC("pmsg_create", ExitFail, "call, name, strerror(errno));\n    exit(1)", "call, name, strerror(errno));\n    exit(2)", "no queue, without -c"),
	inC("pmsg_send", ExitFail, "call, name, strerror(errno));\n    exit(1)", "call, name, strerror(errno));\n    exit(2)", "a full queue, -n"),
	inC("pmsg_receive", ExitFail, "call, name, strerror(errno));\n    exit(1)", "call, name, strerror(errno));\n    exit(2)", "an empty queue, -n"),
	inC("pmsg_getattr", ExitFail, "exit(1)", "exit(2)", "no queue"),
	inC("pmsg_unlink", ExitFail, "strerror(errno));\n        return 1;", "strerror(errno));\n        return 2;", "no queue"),
	inC("pshm_writer", ExitFail, "    exit(1)", "    exit(2)", "the object exists"),
	inC("pshm_reader", ExitFail, "    exit(1)", "    exit(2)", "no object"),
	inC("domain_sock", ExitFail, "object, reason);\n    exit(255)", "object, reason);\n    exit(1)", "client without a server"),
	inC("doors_emul", ExitFail, "    exit(1)", "    exit(2)", "client without a door").in("doors_client.c"),
	inC("sleep_alarm", ExitFail, "    exit(1);\n}\n\n/* In a handler", "    exit(2);\n}\n\n/* In a handler", "the disk is full"),
	inC("futex_mutex", ExitFail, "        out();\n        return 1;", "        out();\n        return 0;", "try, while it is held"),

	// A mode, a size, a byte of an object.
	inC("mmap_producer", Objects, "0666", "0640", "the file is mapped"),
	inC("mmap_producer", Objects, `"Hello World"`, `"Hello world"`, "the file is mapped"),
	inC("mmap_queue", Objects, "posix_fallocate(fd, 0, QUEUE_MAP_SIZE)", "posix_fallocate(fd, 0, QUEUE_MAP_SIZE + 1)", "the bytes of a full queue"),
	inC("mmap_queue", Objects, "sem_init(&q->lock, 1, 1)", "sem_init(&q->lock, 1, 2)", "the bytes of a full queue"),
	inC("pmsg_create", Objects, ".mq_msgsize = 2048", ".mq_msgsize = 2047", "-m alone"),
	inC("pmsg_create", Objects, "S_IRUSR | S_IWUSR", "S_IRUSR", "the kernel's defaults"),
	inC("pshm_writer", Objects, "0660", "0600", "no data"),
	inC("pshm_writer", Objects, "posix_fallocate(fd, 0, sizeof *shmp)", "posix_fallocate(fd, 0, sizeof *shmp + 1)", "no data"),
	inC("futex_mutex", Objects, "rest[6] = {MUTEX_KIND}", "rest[6] = {MUTEX_KIND, 1}", "while it is held"),
	inC("domain_sock", Objects, "    if (listen(fd, BACKLOG)", "    chmod(path, 0600);\n    if (listen(fd, BACKLOG)", "server of one client"),
	inC("doors_emul", Objects, "fchmod(door, 0666)", "fchmod(door, 0600)", "server of a call").in("doors_server.c"),

	// A system call: one less, one more, another argument.
	inC("simple_pipe", Calls, "    close(pfd[0]);\n    /* [4]", "    /* [4]", "a string"),
	inC("simple_pipe", Calls, "BUF_SIZE = 10", "BUF_SIZE = 20", "a string"),
	inC("fork_pipe", Calls, "    /* [5]", "    dup2(STDIN_FILENO, 9);\n    /* [5]", "the number"),
	inC("fifo_gzip", Calls, "mkfifo(fifo, 0666)", "mkfifo(fifo, 0644)", "an empty file"),
	inC("mmap_producer", Calls, "MAP_SHARED", "MAP_PRIVATE", "the end of the input"),
	inC("mmap_producer", Calls, "    if (write(fd, \"\", 1) != 1)", "    if (ftruncate(fd, sizeof data + 1) != 0)", "the end of the input"),
	inC("mmap_consumer", Calls, "open(shared_file, O_RDWR)", "open(shared_file, O_RDWR | O_APPEND)", "the producer's file"),
	inC("mmap_queue", Calls, "lseek(fd, QUEUE_SIZE, SEEK_SET)", "lseek(fd, QUEUE_SIZE - 1, SEEK_SET)", "a full queue"),
	inC("pmsg_create", Calls, "int flags = O_RDWR", "int flags = O_RDONLY", "the kernel's defaults"),
	inC("pmsg_send", Calls, "    /* [3]", "    mq_getattr(mqd, &(struct mq_attr){0});\n    /* [3]", "a message"),
	inC("pmsg_receive", Calls, "    buf = malloc(", "    mq_getattr(mqd, &attr);\n    buf = malloc(", "a message"),
	inC("pmsg_getattr", Calls, "mq_open(name, O_RDONLY)", "mq_open(name, O_RDWR)", "a queue"),
	inC("pmsg_unlink", Calls, "    /* [1]", "    mq_unlink(\"/ipcbook-none\");\n    /* [1]", "a queue"),
	inC("pshm_writer", Calls, "(errno = posix_fallocate(fd, 0, sizeof *shmp)) != 0", "ftruncate(fd, sizeof *shmp) == -1", "three turns"),
	inC("pshm_reader", Calls, "shm_open(name, O_RDWR, 0)", "shm_open(name, O_RDWR | O_APPEND, 0)", "no data"),
	inC("domain_sock", Calls, "BACKLOG = 5", "BACKLOG = 6", "server of one client"),
	inC("doors_emul", Calls, "listen(door, 4096)", "listen(door, 5)", "server of a call").in("doors_server.c"),
	inC("sleep_alarm", Calls, "    /* [7] turn off the alarm */\n    return alarm(0);", "    return 0;", "a second"),
	inC("futex_mutex", Calls, "MAP_SHARED | MAP_ANONYMOUS", "MAP_PRIVATE | MAP_ANONYMOUS", "three processes"),

	// The same in Go.
	inC("simple_pipe", Stdout, `Write([]byte("\n"))`, `Write([]byte("\r"))`, "a string").in("main.go"),
	inC("simple_pipe", Calls, "\tr.Close()\n\t// [4]", "\t// [4]", "a string").in("main.go"),
	inC("mmap_producer", Calls, "f.Seek(int64(len(data))", "f.Seek(int64(len(data))-1", "the end of the input").in("main.go"),
	inC("mmap_producer", ExitFail, "\t}, 255)", "\t}, 1)", "a directory").in("main.go"),
	inC("pshm_writer", Objects, "objPerms    = 0o660", "objPerms    = 0o640", "no data").in("main.go"),
	inC("pshm_writer", Objects, "transferCnt  = 64", "transferCnt  = 66", "no data").in("shared/transfer.go"),

	// A number of a step, in both languages.
	inC("simple_pipe", Steps, "/* [3] ", "/* [4] "),
	inC("fork_pipe", Steps, "// [8] ", "// ").in("main.go"),
	inC("fifo_gzip", Steps, "/* [13] ", "/* [14] "),
	inC("mmap_producer", Steps, "// [2] make", "// make").in("main.go"),
	inC("mmap_consumer", Steps, "/* [5] ", "/* "),
	inC("mmap_queue", Steps, "/* [8] ", "/* [11] "),
	inC("pmsg_create", Steps, "// [4] ", "// [5] ").in("main.go"),
	inC("pmsg_send", Steps, "/* [1] ", "/* [3] "),
	inC("pmsg_receive", Steps, "/* [6] ", "/* [7] "),
	inC("pmsg_getattr", Steps, "// [3] ", "// ").in("main.go"),
	inC("pmsg_unlink", Steps, "/* [1] ", "/* [2] "),
	inC("pshm_writer", Steps, "/* [2] ", "/* [12] "),
	inC("pshm_reader", Steps, "// [7] ", "// [8] ").in("main.go"),
	inC("domain_sock", Steps, "/* [18] ", "/* [19] "),
	inC("doors_emul", Steps, "/* [10] ", "/* [6] ").in("doors_client.c"),
	inC("sleep_alarm", Steps, "/* [16] ", "/* [15] "),
	inC("futex_mutex", Steps, "/* [12] ", "/* "),

	// A field's place, a constant.
	inC("mmap_queue", Layout, "    int32_t current; ", "    int64_t current; ").in("shared/shared.h"),
	inC("mmap_queue", Layout, "SLOT_SIZE = 20", "SLOT_SIZE = 24").in("shared/shared.h"),
	inC("pshm_writer", Layout, "    int32_t cnt; ", "    int64_t cnt; ").in("shared/shared.h"),
	inC("pshm_reader", Layout, "    sem_t wsem; ", "    int32_t pad[2];\n    sem_t wsem; ").in("shared/shared.h"),
	inC("futex_mutex", Layout, "uint32_t rest[3];", "uint32_t rest[4];").in("shared/shared.h"),
	inC("doors_emul", Layout, "    uint32_t error;\n    uint32_t flags;", "    uint32_t flags;\n    uint32_t error;").in("shared/door/door.h"),
	inC("doors_emul", Layout, "DOOR_INFO = 4", "DOOR_INFO = 6").in("shared/door/door.h"),

	// What goes from one half to the other.
	inC("mmap_producer", "", `"Hello World"`, `"Hello world"`).pairs(),
	inC("mmap_queue", "", `"%d\n", i);`, `"%d\n", i / 2);`).pairs(),
	inC("pmsg_send", "", "mq_send(mqd, msg, strlen(msg), prio)", "mq_send(mqd, msg, strlen(msg), prio / 7)").pairs(),
	inC("pshm_reader", "", "write(STDOUT_FILENO, shmp->buf, n) != n", "write(STDOUT_FILENO, shmp->buf, n - 1) != n - 1").pairs(),
	inC("domain_sock", "", `"hello from server", 17`, `"hello from server", 16`).pairs(),
	inC("doors_emul", "", "(int64_t)arg->id * arg->id", "(int64_t)arg->id + arg->id").in("doors_server.c").pairs(),
	inC("futex_mutex", "", "return atomic_compare_exchange_strong(&m->word, &c, LOCKED);", "return atomic_load(&m->word) == c;").pairs(),
}

func TestSeeds(t *testing.T) {
	base := whole(t)
	for _, sd := range seeds {
		name := string(sd.col)
		if sd.pair {
			name = "pair"
		}
		t.Run(sd.prog+"/"+name, func(t *testing.T) {
			t.Parallel()
			if sd.col == Calls && !base.strace.ok() {
				skip(t, "%s", base.strace.cause)
			}
			text, err := base.read(sd.path())
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(text, sd.old); n != 1 {
				t.Fatalf("%s has %d of %q, want 1", sd.path(), n, sd.old)
			}
			overlay := map[string]string{sd.path(): strings.Replace(text, sd.old, sd.new, 1)}
			s := variant(t, base, overlay, sd.prog, sd.cases...)
			if sd.pair {
				for _, p := range base.Pairs {
					if p.Left == sd.prog || p.Right == sd.prog {
						s.Pairs = append(s.Pairs, p)
					}
				}
			}
			r := s.Run(t.Context())
			var b strings.Builder
			if err := r.WriteTable(&b); err != nil {
				t.Fatal(err)
			}
			if len(r.Warnings) > 0 {
				t.Errorf("the seed does not compile cleanly: %s", r.Warnings)
			}
			if !red(sd, r) {
				t.Errorf("%q in place of %q in %s is not seen:\n%s", sd.new, sd.old, sd.path(), b.String())
			}
		})
	}
}

// red tells whether the cell of the seed is red for what the texts or runs show.
func red(sd seed, r *Report) bool {
	if sd.pair {
		return slices.ContainsFunc(r.Pairs, func(p PairReport) bool {
			goGo := slices.IndexFunc(p.Cells, func(c PairCell) bool { return c.Left == "Go" && c.Right == "Go" })
			return p.Cells[goGo].Verdict == OK && slices.ContainsFunc(p.Cells, func(c PairCell) bool { return c.Verdict == Differs })
		})
	}
	p := r.Programs[0]
	return p.Cells[sd.col] == Differs && slices.ContainsFunc(p.Findings, func(f Finding) bool {
		return f.Column == sd.col && f.Verdict == Differs && f.Rows != nil
	})
}

// Every program has a seed in each of its columns that a text can turn red.
func TestSeedsOfAll(t *testing.T) {
	for _, p := range programs {
		have := map[Column]bool{}
		for _, sd := range seeds {
			if sd.prog == p.Name {
				have[sd.col] = true
				have["status"] = have["status"] || sd.col == Exit0 || sd.col == ExitUse || sd.col == ExitFail
				have["output"] = have["output"] || sd.col == Stdout || sd.col == Stderr || sd.col == Objects
			}
		}
		for _, col := range []Column{"status", "output", Calls, Steps} {
			if !have[col] {
				t.Errorf("%s has no seed for %s", p.Name, col)
			}
		}
	}
}
