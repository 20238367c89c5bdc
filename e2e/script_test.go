package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScript runs the transcripts in testdata. Their commands are in doc.go.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		WorkdirRoot:        t.TempDir(), // by itself it leaves a directory if -run picks some of them
		Setup:              setUp,
		Cmds:               scriptCommands(),
	})
}

// Every program has a transcript.
func TestScripts(t *testing.T) {
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join("testdata", name+".txtar")); err != nil {
			t.Error(err)
		}
	}
}

// A script is what the commands of a transcript know of each other.
type script struct {
	ts    *testscript.TestScript
	t     testscript.T
	keys  []string // of the environment
	procs map[string]*proc
}

type scriptKey struct{}

func setUp(env *testscript.Env) error {
	env.Setenv("PATH", goDir+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("NAME", object(strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")))
	s := &script{t: env.T(), procs: make(map[string]*proc)}
	for _, v := range env.Vars {
		key, _, _ := strings.Cut(v, "=")
		s.keys = append(s.keys, key)
	}
	env.Values[scriptKey{}] = s
	return nil
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(s *script, args []string){
		"status":  (*script).status,
		"start":   (*script).start,
		"line":    (*script).line,
		"errline": (*script).errLine,
		"blocked": (*script).blocked,
		"type":    (*script).typeText,
		"eof":     (*script).eof,
		"signal":  (*script).signal,
		"end":     (*script).end,
		"bytes":   (*script).bytes,
		"need":    (*script).need,
	}
	for _, name := range append(programs, "sh") {
		cmds[name] = func(s *script, args []string) {
			s.status(append([]string{"0", name}, args...))
		}
	}
	all := make(map[string]func(*testscript.TestScript, bool, []string))
	for name, cmd := range cmds {
		all[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("write status N %s … for a failure", name)
			}
			s := ts.Value(scriptKey{}).(*script)
			s.ts = ts
			cmd(s, args)
		}
	}
	return all
}

// args checks that a command has from min to max arguments.
func (s *script) args(args []string, min, max int) {
	if len(args) < min || len(args) > max {
		s.ts.Fatalf("wrong number of arguments, see doc.go")
	}
}

// status N COMMAND
func (s *script) status(args []string) {
	s.args(args, 2, 1000)
	cmd := s.command(args[1:])
	if cmd.Stdin == nil {
		cmd.Stdin = strings.NewReader("")
	}
	p := s.launch(cmd)
	s.ended(p, args[0])
}

// ended waits for the end of a process and checks how it ended.
func (s *script) ended(p *proc, want string) {
	r, err := p.await(patience)
	s.ts.Stdout().Write([]byte(r.stdout))
	s.ts.Stderr().Write([]byte(r.stderr))
	s.ts.Check(err)
	got := strconv.Itoa(r.status.ExitStatus())
	if r.status.Signaled() {
		got = unix.SignalName(r.status.Signal())
	}
	if got != want {
		s.ts.Fatalf("%s: ended with %s, want %s\nstdout: %s\nstderr: %s", p.name, got, want, r.stdout, r.stderr)
	}
}

// command makes the command of a line with its redirections.
func (s *script) command(words []string) *exec.Cmd {
	var args []string
	cmd := &exec.Cmd{Dir: s.ts.MkAbs(".")}
	for _, word := range words {
		switch {
		case len(word) > 1 && word[0] == '<':
			f, err := os.Open(s.ts.MkAbs(word[1:]))
			s.ts.Check(err)
			s.ts.Defer(func() { f.Close() })
			cmd.Stdin = f
		case len(word) > 1 && word[0] == '>':
			f, err := os.Create(s.ts.MkAbs(word[1:]))
			s.ts.Check(err)
			s.ts.Defer(func() { f.Close() })
			cmd.Stdout = f
		default:
			args = append(args, word)
		}
	}
	if args[0] == "sh" && len(args) == 2 {
		args = []string{"sh", "-c", args[1]}
	}
	cmd.Args = args
	cmd.Path = filepath.Join(goDir, args[0])
	if _, err := os.Stat(cmd.Path); err != nil {
		path, err := exec.LookPath(args[0])
		s.ts.Check(err)
		cmd.Path = path
	}
	for _, key := range s.keys {
		cmd.Env = append(cmd.Env, key+"="+s.ts.Getenv(key))
	}
	return cmd
}

func (s *script) launch(cmd *exec.Cmd) *proc {
	p, err := launch(scriptTB{s.ts}, cmd)
	s.ts.Check(err)
	s.ts.Defer(p.finish)
	return p
}

// start ID COMMAND
func (s *script) start(args []string) {
	s.args(args, 2, 1000)
	s.procs[args[0]] = s.launch(s.command(args[1:]))
}

func (s *script) proc(id string) *proc {
	p := s.procs[id]
	if p == nil {
		s.ts.Fatalf("no process %s was started", id)
	}
	return p
}

// line ID REGEXP
func (s *script) line(args []string) {
	s.args(args, 2, 2)
	s.proc(args[0]).line(args[1])
}

// errline ID REGEXP
func (s *script) errLine(args []string) {
	s.args(args, 2, 2)
	s.proc(args[0]).errLine(args[1])
}

// blocked ID
func (s *script) blocked(args []string) {
	s.args(args, 1, 1)
	s.proc(args[0]).mustBlock()
}

// type ID TEXT
func (s *script) typeText(args []string) {
	s.args(args, 2, 2)
	_, err := s.proc(args[0]).stdin.Write([]byte(args[1] + "\n"))
	s.ts.Check(err)
}

// eof ID
func (s *script) eof(args []string) {
	s.args(args, 1, 1)
	s.ts.Check(s.proc(args[0]).stdin.Close())
}

// signal ID SIGNAL
func (s *script) signal(args []string) {
	s.args(args, 2, 2)
	sig := unix.SignalNum(args[1])
	if sig == 0 {
		s.ts.Fatalf("no signal %s", args[1])
	}
	s.proc(args[0]).signal(sig)
}

// end ID [STATUS]
func (s *script) end(args []string) {
	s.args(args, 1, 2)
	want := "0"
	if len(args) == 2 {
		want = args[1]
	}
	s.ended(s.proc(args[0]), want)
	delete(s.procs, args[0])
}

// bytes FILE TEXT
func (s *script) bytes(args []string) {
	s.args(args, 2, 2)
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	s.ts.Check(err)
	s.ts.Check(os.WriteFile(s.ts.MkAbs(args[0]), []byte(text), 0o666))
}

// need PROGRAM
func (s *script) need(args []string) {
	s.args(args, 1, 1)
	need(s.t.(testing.TB), args[0])
}

// scriptTB lets a proc fail the script that it belongs to.
type scriptTB struct{ ts *testscript.TestScript }

func (tb scriptTB) Helper()                           {}
func (tb scriptTB) Fatal(args ...any)                 { tb.ts.Fatalf("%v", args) }
func (tb scriptTB) Fatalf(format string, args ...any) { tb.ts.Fatalf(format, args...) }
