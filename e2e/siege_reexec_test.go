package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A forker is a program that starts itself again, at a moment when the child can
// be looked at.
type forker struct {
	args  []string
	child string             // its argv[0]
	there func(kid int) bool // whether the child has come to where it stays
	given string             // what its descriptor 3 is, "" if there is none
	free  func(t *testing.T, p *proc, dir string)
	want  string // on standard output
}

var forkers = []forker{{
	args:  []string{"simple_pipe", strings.Repeat("long ", 20_000)},
	child: "simple_pipe:child",
	there: func(kid int) bool { return blocked(kid, unix.SYS_WRITE) },
	given: "^pipe:",
	want:  strings.Repeat("long ", 20_000) + "\n",
}, {
	args:  []string{"fifo_gzip", "-", "out"},
	child: "gzip", // it was fifo_gzip:gzip
	there: func(kid int) bool { return blocked(kid, unix.SYS_READ) },
	free:  func(t *testing.T, p *proc, dir string) { p.stdin.Close() },
}, {
	args:  []string{"futex_mutex", "--procs", "1", "--iters", "1000000000000"},
	child: "futex_mutex:adder",
	there: func(kid int) bool {
		maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", kid))
		return strings.Contains(string(maps), "memfd:counter")
	},
	given: "^/memfd:counter",
}, {
	args:  []string{"domain_sock", "server", "sock"},
	child: "domain_sock:connection",
	there: func(kid int) bool { return blocked(kid, unix.SYS_READ) },
	given: "^socket:",
	want:  "message from client: hello\n",
}, {
	// Its child is too short-lived to be looked at: see TestForkPipeDescriptors.
	args: []string{"fork_pipe"},
	want: "child sent value = 5000\n",
}}

// The ways in which a program is started. Each gets the directory in which the
// program's file is, alone, and a command that it may change.
var startings = []struct {
	name  string
	apply func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd
}{
	{"relative path", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		rel, err := filepath.Rel(cmd.Dir, cmd.Path)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args[0] = rel, rel
		return cmd
	}},
	{"PATH", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@"`}, cmd.Args...)
		cmd.Path = need(t, "sh")
		return cmd
	}},
	{"relative PATH", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		rel, err := filepath.Rel(cmd.Dir, dir)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "PATH="+rel+":"+os.Getenv("PATH"))
		cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@"`}, cmd.Args...)
		cmd.Path = need(t, "sh")
		return cmd
	}},
	{"symbolic link", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		link := filepath.Join(cmd.Dir, "link")
		if err := os.Symlink(cmd.Path, link); err != nil {
			t.Fatal(err)
		}
		cmd.Path = link
		return cmd
	}},
	{"empty argv[0]", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		cmd.Args[0] = ""
		return cmd
	}},
	{"removed", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		byDescriptor(t, cmd)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		return cmd
	}},
	{"replaced", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		file := cmd.Path
		byDescriptor(t, cmd)
		impostor := filepath.Join(dir, "impostor")
		if err := os.WriteFile(impostor, []byte("#!/bin/sh\necho impostor\n"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(impostor, file); err != nil {
			t.Fatal(err)
		}
		return cmd
	}},
	{"unreachable", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		stranger(t, cmd)
		byDescriptor(t, cmd)
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return cmd
	}},
	{"unreadable file", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		if err := os.Chmod(cmd.Path, 0o111); err != nil {
			t.Fatal(err)
		}
		return stranger(t, cmd)
	}},
	{"unreadable directories", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		stranger(t, cmd)
		for _, d := range []string{dir, cmd.Dir} {
			if err := os.Chmod(d, 0o733); err != nil {
				t.Fatal(err)
			}
		}
		return cmd
	}},
	{"descriptors inherited", func(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
		null, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { null.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, null, null, null)
		return cmd
	}},
}

// byDescriptor makes cmd run the program's file, which may go, by a descriptor.
func byDescriptor(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	f, err := os.Open(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	cmd.Path = fmt.Sprintf("/proc/self/fd/%d", 2+len(cmd.ExtraFiles))
}

// However a program was started, its child is there, has the descriptors that it
// was given and no other, and does its work.
func TestSiegeReexec(t *testing.T) {
	t.Parallel()
	for _, s := range startings {
		for _, f := range forkers {
			t.Run(s.name+"/"+f.args[0], func(t *testing.T) {
				t.Parallel()
				bin, dir := public(t), public(t)
				cmd := golang.command(t, dir, f.args[0], f.args[1:]...)
				cmd.Path = copied(t, cmd.Path, bin)
				cmd = s.apply(t, bin, cmd)
				f.begin(t, cmd, dir).finish(t)
			})
		}
	}
}

// copied copies a program to dir. A link would be refused for an unreadable file.
func copied(t testing.TB, file, dir string) string {
	t.Helper()
	to := filepath.Join(dir, filepath.Base(file))
	// Not by a descriptor of this process: another test could fork while it is open
	// for writing, and the file could then not be executed (ETXTBSY).
	cp := exec.Command(need(t, "cp"), file, to)
	if out, err := cp.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cp, err, out)
	}
	return to
}

// A fork is a program whose child is where it stays.
type fork struct {
	forker
	p      *proc
	dir    string
	kid    int
	reader *os.File // of simple_pipe's output
	conn   *os.File // to domain_sock
}

func (f forker) begin(t *testing.T, cmd *exec.Cmd, dir string) *fork {
	t.Helper()
	run := &fork{forker: f, dir: dir}
	if f.args[0] == "simple_pipe" {
		// Nobody reads yet: the child stands in its write.
		var err error
		if run.reader, cmd.Stdout, err = pipeEnds(t); err != nil {
			t.Fatal(err)
		}
	}
	run.p = start(t, cmd)
	if f.child == "" {
		return run
	}
	if f.args[0] == "domain_sock" {
		run.connect(t)
	}
	run.look(t)
	return run
}

// connect makes the server have a child.
func (f *fork) connect(t *testing.T) {
	t.Helper()
	path := shortPath(t, filepath.Join(f.dir, "sock"))
	until(t, "connected", func() bool {
		conn, err := dial(path)
		if err == nil {
			f.conn = conn
			t.Cleanup(func() { conn.Close() })
		}
		return err == nil || f.p.hasEnded()
	})
}

// look checks the descriptors of the child.
func (f *fork) look(t *testing.T) {
	t.Helper()
	f.kid = f.p.child(f.child)
	until(t, f.child+" is there", func() bool { return f.there(f.kid) || f.p.hasEnded() })
	got := descriptors(f.kid)
	want := 3
	if f.given != "" {
		want = 4
		if !regexp.MustCompile(f.given).MatchString(got[3]) {
			t.Errorf("descriptor 3 is %q, want %s", got[3], f.given)
		}
	}
	if len(got) != want {
		t.Errorf("descriptors of the child: %v, want 0 to %d", got, want-1)
	}
}

// finish lets the program do its work to the end.
func (f *fork) finish(t *testing.T) {
	t.Helper()
	if f.reader != nil {
		f.p.cmd.Stdout.(*os.File).Close()
		all := make(chan string)
		go func() {
			var b strings.Builder
			buf := make([]byte, 1<<16)
			for {
				n, err := f.reader.Read(buf)
				b.Write(buf[:n])
				if err != nil {
					break
				}
			}
			all <- b.String()
		}()
		f.p.wait().wantExit(t, 0)
		if got := <-all; got != f.want {
			t.Errorf("printed %d bytes, want %d", len(got), len(f.want))
		}
		return
	}
	switch f.args[0] {
	case "futex_mutex": // it would count for long
		f.p.signal(unix.SIGTERM)
		f.p.wait().wantSignal(t, unix.SIGTERM)
		return
	case "domain_sock":
		if _, err := f.conn.WriteString("hello"); err != nil {
			t.Fatal(err)
		}
		if err := answered(f.conn); err != nil {
			t.Error(err)
		}
		f.p.line("^message from client: hello$")
		f.p.signal(unix.SIGTERM)
		f.p.wait().wantSignal(t, unix.SIGTERM).wantStdout(t, f.want)
		return
	}
	if f.free != nil {
		f.free(t, f.p, f.dir)
	}
	f.p.wait().wantExit(t, 0).wantStdout(t, f.want)
}

func pipeEnds(t *testing.T) (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err == nil {
		t.Cleanup(func() { r.Close(); w.Close() })
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	}
	return r, w, err
}

// The server runs; then its file is removed, or another is put in its place. The
// next client is served by the program that runs.
func TestSiegeReexecLater(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, file string){
		"removed": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, file string) {
			impostor := file + ".new"
			if err := os.WriteFile(impostor, []byte("#!/bin/sh\necho impostor\n"), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(impostor, file); err != nil {
				t.Fatal(err)
			}
		},
		"moved": func(t *testing.T, file string) {
			if err := os.Rename(file, file+".old"); err != nil {
				t.Fatal(err)
			}
		},
		"without permission": func(t *testing.T, file string) {
			if err := os.Chmod(file, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin, dir := public(t), public(t)
			cmd := golang.command(t, dir, "domain_sock", "server", "sock")
			cmd.Path = copied(t, cmd.Path, bin)
			file := cmd.Path
			server := start(t, cmd)
			listening(server, dir)
			path := shortPath(t, filepath.Join(dir, "sock"))
			if err := polite(path); err != nil {
				t.Fatal(err)
			}
			change(t, file)
			answer, err := exchange(path, "afterwards")
			if name == "without permission" {
				// It cannot start a child any more, and says so.
				if answer != "" {
					t.Errorf("answer %q, %v", answer, err)
				}
				server.errLine("^domain_sock: create a child: .*: permission denied$")
			} else {
				if answer != socketAnswer {
					t.Errorf("answer %q, %v\nstderr: %s", answer, err, server.stderr)
				}
				server.line("^message from client: afterwards$")
			}
			server.signal(unix.SIGTERM)
			server.wait().wantSignal(t, unix.SIGTERM)
			gone(t, filepath.Join(dir, "sock"))
		})
	}
}

// Programs that start themselves, with some of 0, 1 and 2 closed: what does not
// need them works, the rest says why not if it can, and nobody takes one
// descriptor for another.
func TestSiegeReexecClosed(t *testing.T) {
	t.Parallel()
	for closed := 1; closed < 8; closed++ {
		var redirect string
		for fd := range 3 {
			if closed&(1<<fd) != 0 {
				redirect += fmt.Sprintf(" %d>&-", fd)
			}
		}
		in, out, diag := closed&1 == 0, closed&2 == 0, closed&4 == 0
		for _, tt := range []struct {
			args  []string
			works bool
			want  string
			stays string // the file that is there afterwards
		}{
			{args: []string{"simple_pipe", "hello"}, works: out, want: "hello\n"},
			{args: []string{"fork_pipe"}, works: out, want: "child sent value = 5000\n"},
			{args: []string{"futex_mutex", "--procs", "2", "--iters", "9"}, works: out, want: "18\n"},
			{args: []string{"fifo_gzip", "in", "out"}, works: true, stays: "out"},
			{args: []string{"fifo_gzip", "-", "out"}, works: in, stays: "out"},
			{args: []string{"fifo_gzip", "none", "out"}, works: false},
		} {
			t.Run(fmt.Sprintf("%s/%s", strings.TrimSpace(redirect), strings.Join(tt.args, " ")), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				inputFile(t, dir, "")
				r := run(t, shelled(t, "exec"+redirect, golang.command(t, dir, tt.args[0], tt.args[1:]...)))
				if tt.works {
					r.wantExit(t, 0).wantStdout(t, tt.want)
				} else {
					r.wantExit(t, failure[tt.args[0]]).wantStdout(t, "")
				}
				if tt.works != (r.stderr == "") && diag {
					t.Errorf("stderr %q", r.stderr)
				}
				list := strings.Join(names(t, dir)[1:], " ")
				if want := strings.TrimSpace("in " + map[bool]string{true: tt.stays}[tt.works]); list != want {
					t.Errorf("afterwards there is %q, want %q", list, want)
				}
			})
		}
		t.Run(fmt.Sprintf("%s/domain_sock", strings.TrimSpace(redirect)), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := start(t, shelled(t, "exec"+redirect, golang.command(t, dir, "domain_sock", "server", "sock")))
			if !out {
				r := server.wait().wantExit(t, 255)
				if diag {
					wantText(t, r.stderr, "^domain_sock: write standard output: bad file descriptor\n$")
				}
				return
			}
			listening(server, dir)
			if err := polite(shortPath(t, filepath.Join(dir, "sock"))); err != nil {
				t.Error(err)
			}
			server.line("^message from client: polite$")
			server.signal(unix.SIGTERM)
			server.wait().wantSignal(t, unix.SIGTERM)
		})
	}
}
