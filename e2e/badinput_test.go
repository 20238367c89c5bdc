package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"
)

// Hostile arguments.
var (
	long = strings.Repeat("x", 100_000)
	bin  = "\x01\xff\xfe\x1b[2J\r\n\u202e%s%n"
)

// TestBadArguments runs every program with arguments that it must refuse. It says
// why, with the status of its original, and does nothing else.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	queue := object(t.Name())
	for _, args := range [][]string{
		{"simple_pipe"}, {"simple_pipe", "", ""}, {"simple_pipe", long, bin},

		{"fork_pipe", ""}, {"fork_pipe", long}, {"fork_pipe", bin}, {"fork_pipe", "--", "x"},

		{"fifo_gzip"}, {"fifo_gzip", ""}, {"fifo_gzip", long}, {"fifo_gzip", bin}, {"fifo_gzip", "in", "out", "more"},
		{"fifo_gzip", "in", ""}, {"fifo_gzip", "in", long}, {"fifo_gzip", "in", bin + "/" + bin},
		{"fifo_gzip", "--fifo", "", "in"}, {"fifo_gzip", "--fifo", long, "in"}, {"fifo_gzip", "--fifo", bin + "/", "in"}, {"fifo_gzip", "--fifo"},
		{"fifo_gzip", "--timeout", "", "in"}, {"fifo_gzip", "--timeout", bin, "in"}, {"fifo_gzip", "--" + long}, {"fifo_gzip", "-" + bin},

		{"mmap_producer", ""}, {"mmap_producer", long}, {"mmap_producer", bin},
		{"mmap_consumer", ""}, {"mmap_consumer", long}, {"mmap_consumer", bin},

		{"mmap_queue"}, {"mmap_queue", ""}, {"mmap_queue", long}, {"mmap_queue", bin}, {"mmap_queue", "producer", ""}, {"mmap_queue", "consumer", long},
		{"mmap_queue", "consumer", "--count", ""}, {"mmap_queue", "consumer", "--count", bin}, {"mmap_queue", "consumer", "--count", "18446744073709551616"},
		{"mmap_queue", "--count", "1", "consumer"}, {"mmap_queue", "consumer", "--count"}, {"mmap_queue", "producer", "--timeout", long},

		{"pshm_writer", queue, queue}, {"pshm_writer", long}, {"pshm_writer", "--timeout", "-1ns", queue}, {"pshm_writer", "--" + bin, queue},
		{"pshm_reader", queue, queue}, {"pshm_reader", long}, {"pshm_reader", bin}, {"pshm_reader", "--timeout", "1", queue},

		{"pmsg_create"}, {"pmsg_create", "-c", long}, {"pmsg_create", "-c", bin}, {"pmsg_create", "-c", queue, ""}, {"pmsg_create", "-c", queue, bin},
		{"pmsg_create", "-c", queue, "9"}, {"pmsg_create", "-c", queue, "-1"}, {"pmsg_create", "-c", queue, "77777777777777777777777"},
		{"pmsg_create", "-c", "-m", "", queue}, {"pmsg_create", "-c", "-m", bin, queue}, {"pmsg_create", "-c", "-m", "99999999999999999999", queue},
		{"pmsg_create", "-c", "-m", "9223372036854775807", queue}, {"pmsg_create", "-c", "-s", "9223372036854775807", queue},
		{"pmsg_create", "-c", "-s", "-9223372036854775808", queue}, {"pmsg_create", "-c", "-s"}, {"pmsg_create", queue, "600", "more"},
		{"pmsg_send"}, {"pmsg_send", queue}, {"pmsg_send", long, "x"}, {"pmsg_send", bin, "x"}, {"pmsg_send", queue, "x", long},
		{"pmsg_send", queue, "x", bin}, {"pmsg_send", queue, "x", "1", "more"}, {"pmsg_send", "-n"},
		{"pmsg_receive"}, {"pmsg_receive", long}, {"pmsg_receive", bin}, {"pmsg_receive", queue, "more"}, {"pmsg_receive", "-" + long, queue},
		{"pmsg_getattr"}, {"pmsg_getattr", long}, {"pmsg_getattr", bin}, {"pmsg_getattr", queue, ""},
		{"pmsg_unlink"}, {"pmsg_unlink", long}, {"pmsg_unlink", bin}, {"pmsg_unlink", queue, ""},

		{"domain_sock"}, {"domain_sock", ""}, {"domain_sock", bin}, {"domain_sock", long}, {"domain_sock", "server"}, {"domain_sock", "server", ""},
		{"domain_sock", "server", long}, {"domain_sock", "server", bin + "/" + bin}, {"domain_sock", "server", "a", "b"},
		{"domain_sock", "client"}, {"domain_sock", "client", ""}, {"domain_sock", "client", long}, {"domain_sock", "client", bin},
		{"domain_sock", "client", "a", "b"}, {"domain_sock", "client", "--timeout", bin, "a"},

		{"doors_emul"}, {"doors_emul", ""}, {"doors_emul", bin}, {"doors_emul", long}, {"doors_emul", "server", ""}, {"doors_emul", "server", long},
		{"doors_emul", "server", bin + "/" + bin}, {"doors_emul", "server", "a", "b"}, {"doors_emul", "client", ""}, {"doors_emul", "client", long},
		{"doors_emul", "client", bin}, {"doors_emul", "client", "door", ""}, {"doors_emul", "client", "door", long}, {"doors_emul", "client", "door", bin},
		{"doors_emul", "client", "door", "1", "2"}, {"doors_emul", "client", "door", "2147483648"},

		{"sleep_alarm", ""}, {"sleep_alarm", long}, {"sleep_alarm", bin}, {"sleep_alarm", "1", "2"}, {"sleep_alarm", "2147483648"}, {"sleep_alarm", "+1"},
		{"sleep_alarm", "0x10"}, {"sleep_alarm", "--style", ""}, {"sleep_alarm", "--style", long}, {"sleep_alarm", "--style", bin}, {"sleep_alarm", "--style"},

		{"futex_mutex", ""}, {"futex_mutex", long}, {"futex_mutex", bin}, {"futex_mutex", "--procs", ""}, {"futex_mutex", "--procs", "-1"},
		{"futex_mutex", "--procs", "9999999999999999999"}, {"futex_mutex", "--iters", "18446744073709551616"}, {"futex_mutex", "--iters", bin},
		{"futex_mutex", "hold"}, {"futex_mutex", "hold", "m"}, {"futex_mutex", "hold", "m", ""}, {"futex_mutex", "hold", "m", bin}, {"futex_mutex", "hold", "", "1s"},
		{"futex_mutex", "hold", long, "1s"}, {"futex_mutex", "hold", "m", "1s", "more"}, {"futex_mutex", "hold", "m", "99999999999h"},
		{"futex_mutex", "try"}, {"futex_mutex", "try", ""}, {"futex_mutex", "try", long}, {"futex_mutex", "try", "m", "more"}, {"futex_mutex", "try", bin + "/" + bin},
	} {
		var short []string
		for _, arg := range args[1:] {
			switch {
			case arg == bin:
				arg = "binary"
			case len(arg) > 40:
				arg = arg[:10] + "…"
			}
			short = append(short, arg)
		}
		t.Run(fmt.Sprintf("%s/%q", args[0], short), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			inputFile(t, dir, "")
			wantRefused(t, golang.command(t, dir, args[0], args[1:]...))
		})
	}
}

// wantRefused runs a program, which must say why it does not do its work and leave
// its directory as it is.
func wantRefused(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	before := dirState(t, cmd.Dir)
	r := run(t, cmd)
	// mmap_queue prints this as early as the original does.
	r.stdout = strings.TrimPrefix(r.stdout, "message size = 200\n")
	r.wantError(t, cmd.Args[0], failure[cmd.Args[0]], "")
	if after := dirState(t, cmd.Dir); after != before {
		t.Errorf("the directory has changed from\n%sto\n%s", before, after)
	}
	// Names and data of others in a message must not reach a terminal as they are.
	if i := strings.IndexFunc(r.stderr, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) || c == unicode.ReplacementChar }); i >= 0 {
		t.Errorf("stderr holds %q: %.200q", r.stderr[i], r.stderr)
	}
	// A name cannot add a line, and an argument of any length is shown in short.
	for i, line := range strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n") {
		if i > 0 && !strings.HasPrefix(line, "usage: ") && !strings.HasPrefix(line, "       "+cmd.Args[0]) && !strings.HasPrefix(line, "hint: ") {
			t.Errorf("stderr has the line %.200q", line)
		}
	}
	if len(r.stderr) > 4000 {
		t.Errorf("stderr has %d bytes: %.200q", len(r.stderr), r.stderr)
	}
	return r
}

// TestBadNames: the errors for names of objects are those of the C library.
func TestBadNames(t *testing.T) {
	t.Parallel()
	const (
		invalid  = "invalid argument"
		absent   = "no such file or directory"
		denied   = "permission denied"
		tooLong  = "file name too long"
		timedOut = "timed out" // it is a name
	)
	type wants struct{ mq, reader, writer string }
	for _, args := range [][]string{
		{"pmsg_create", "NAME"}, {"pmsg_send", "NAME", "x"}, {"pmsg_receive", "NAME"}, {"pmsg_getattr", "NAME"}, {"pmsg_unlink", "NAME"},
		{"pshm_reader", "NAME"}, {"pshm_writer", "--timeout", "1ms", "NAME"},
	} {
		stem := object(t.Name())[1:]
		for name, wants := range map[string]wants{
			"":                    {invalid, invalid, invalid},
			"/":                   {absent, invalid, invalid},
			"//":                  {denied, invalid, invalid},
			"/.":                  {denied, invalid, invalid},
			"/..":                 {denied, invalid, invalid},
			stem:                  {invalid, absent, timedOut},
			"/" + stem:            {absent, absent, timedOut},
			"/" + stem + "/":      {denied, invalid, invalid},
			"/" + stem + "/x":     {denied, invalid, invalid},
			"/" + fill(stem, 255): {absent, absent, timedOut},
			"/" + fill(stem, 256): {tooLong, tooLong, tooLong},
			"/" + long:            {tooLong, tooLong, tooLong},
		} {
			t.Run(fmt.Sprintf("%s/%.40q", args[0], name), func(t *testing.T) {
				want := map[string]string{"pshm_reader": wants.reader, "pshm_writer": wants.writer}[args[0]]
				if want == "" {
					want = wants.mq
				}
				cmd := slices.Clone(args)
				cmd[slices.Index(cmd, "NAME")] = name
				r := wantRefused(t, golang.command(t, t.TempDir(), cmd[0], cmd[1:]...))
				if line, _, _ := strings.Cut(r.stderr, "\n"); !strings.Contains(line, want) {
					t.Errorf("stderr %.300q, want %q", line, want)
				}
			})
		}
	}
}

// fill makes stem n bytes long.
func fill(stem string, n int) string { return stem + strings.Repeat("x", n-len(stem)) }

// A kind is what may be at a path where a program expects a file of its own.
type kind struct {
	name string
	make func(t *testing.T, path string) error
}

var kinds = []kind{
	{"missing", func(t *testing.T, path string) error { return nil }},
	{"empty", func(t *testing.T, path string) error { return os.WriteFile(path, nil, 0o666) }},
	{"text", func(t *testing.T, path string) error {
		return os.WriteFile(path, []byte("It was a bright cold day"), 0o666)
	}},
	{"huge", func(t *testing.T, path string) error {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return err
		}
		return os.Truncate(path, 1<<40)
	}},
	{"unreadable", func(t *testing.T, path string) error { return os.WriteFile(path, []byte("secret"), 0) }},
	{"directory", func(t *testing.T, path string) error { return os.Mkdir(path, 0o777) }},
	{"fifo", func(t *testing.T, path string) error { return unix.Mkfifo(path, 0o666) }},
	{"socket", func(t *testing.T, path string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: shortPath(t, path)})
	}},
	{"device", func(t *testing.T, path string) error {
		return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) // that of /dev/zero
	}},
	{"symlink", func(t *testing.T, path string) error {
		if err := os.WriteFile(path+".target", []byte("precious"), 0o666); err != nil {
			return err
		}
		return os.Symlink(filepath.Base(path)+".target", path)
	}},
	{"dangling", func(t *testing.T, path string) error { return os.Symlink("nowhere", path) }},
	{"loop", func(t *testing.T, path string) error { return os.Symlink(filepath.Base(path), path) }},
}

// TestBadFiles puts every kind of file where a program expects one of its own. It
// refuses and leaves alone all but those in fine.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		file string
		fine []string
	}{
		{args: []string{"mmap_producer"}, file: "shared.dat", fine: []string{"missing", "empty", "text", "huge"}},
		{args: []string{"mmap_consumer"}, file: "shared.dat", fine: []string{"text", "huge"}},
		{args: []string{"mmap_queue", "producer", "--timeout", "1ms"}, file: "shared.dat", fine: []string{"missing", "empty", "text", "huge"}},
		{args: []string{"mmap_queue", "consumer", "--count", "1"}, file: "shared.dat"},
		{args: []string{"futex_mutex", "try", "m"}, file: "m", fine: []string{"missing", "empty"}},
		{args: []string{"futex_mutex", "hold", "m", "0s"}, file: "m", fine: []string{"missing", "empty"}},
		{args: []string{"fifo_gzip", "--timeout", "100ms", "f", "out"}, file: "f", fine: []string{"empty", "text", "symlink", "huge", "device"}},
		{args: []string{"fifo_gzip", "--timeout", "100ms", "in", "f"}, file: "f", fine: []string{"missing", "empty", "text", "huge", "symlink", "dangling", "device"}},
		{args: []string{"fifo_gzip", "--timeout", "100ms", "--fifo", "f", "in", "out"}, file: "f", fine: []string{"missing"}},
		{args: []string{"domain_sock", "server", "f"}, file: "f", fine: []string{"missing", "socket"}},
		{args: []string{"domain_sock", "client", "f"}, file: "f"},
		{args: []string{"doors_emul", "server", "f"}, file: "f", fine: []string{"missing", "empty", "socket"}},
		{args: []string{"doors_emul", "client", "--timeout", "10s", "f"}, file: "f"},
	} {
		for _, k := range kinds {
			if slices.Contains(tt.fine, k.name) {
				continue // TestScript has it
			}
			name := strings.Trim(strings.Join(tt.args, " "), "-")
			t.Run(name+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				inputFile(t, dir, "")
				if err := k.make(t, filepath.Join(dir, tt.file)); err != nil {
					skip(t, "cannot make a %s: %v", k.name, err)
				}
				cmd := golang.command(t, dir, tt.args[0], tt.args[1:]...)
				if k.name == "unreadable" {
					asOther(t, cmd)
				}
				wantRefused(t, cmd)
			})
		}
	}
}

// asOther makes cmd run as a user who may write in its directory, but not open the
// files there that are closed to others.
func asOther(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return // the file is closed to us already
	}
	for path := cmd.Dir; path != root && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
