package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A maker is where one half of a pair comes from.
type maker string

const (
	golang   maker = "Go"
	twin     maker = "C"
	original maker = "original"
)

// pairs are the ways in which two halves meet.
var pairs = [][2]maker{
	{golang, golang}, {golang, twin}, {twin, golang}, {twin, twin},
	{golang, original}, {original, golang},
}

// eachPair runs test as a subtest for each of the pairs.
func eachPair(t *testing.T, pairs [][2]maker, test func(t *testing.T, first, second maker)) {
	for _, p := range pairs {
		t.Run(string(p[0]+"-"+p[1]), func(t *testing.T) {
			t.Parallel()
			test(t, p[0], p[1])
		})
	}
}

// command returns a command that runs a program in dir. It skips the test if
// there is no such maker on this machine. An original is a program for each
// command of ours: for "mmap_queue", "producer" it is mmap_queue_producer.
func (m maker) command(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(goDir, name)
	switch m {
	case twin:
		if noCompiler != "" {
			skip(t, "no C twins: %s", noCompiler)
		}
		path = filepath.Join(cDir, name)
		if name == "doors_emul" && len(args) > 0 { // two programs in C
			path, args = filepath.Join(cDir, "doors_"+args[0]), args[1:]
		}
	case original:
		if noOriginals != "" {
			skip(t, "no originals: %s", noOriginals)
		}
		path = filepath.Join(origDir, name)
		if _, ok := originals[name]; !ok && len(args) > 0 {
			path, args = path+"_"+args[0], args[1:]
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Args[0] = name
	cmd.Dir = dir
	return cmd
}

// skip skips the test for a cause that lies outside of the suite. With CI=true
// nothing is skipped: the test fails.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true allows no skip: "+format, args...)
	}
	t.Skipf(format, args...)
}

// need skips the test where a program of the machine is missing.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		skip(t, "no %s on this machine", program)
	}
	return path
}

// Causes for which C programs are missing; "" if they are there.
var noCompiler, noOriginals string

func buildTwins() error {
	cc, err := exec.LookPath("cc")
	if err != nil {
		noCompiler = "no C compiler (cc)"
		return nil
	}
	sources, err := filepath.Glob("../examples/*/*.c")
	if err != nil {
		return err
	}
	var jobs []*exec.Cmd
	for _, src := range sources {
		out := filepath.Join(cDir, strings.TrimSuffix(filepath.Base(src), ".c"))
		jobs = append(jobs, exec.Command(cc, "-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-pthread", "-o", out, src))
	}
	return compile(jobs, true)
}

// originals are the sources of each original, in the folder that ORIGINALS names.
var originals = map[string][]string{
	"mmap_producer":       {"mmap/producer.c"},
	"mmap_consumer":       {"mmap/consumer.c"},
	"mmap_queue_producer": {"mmap_locks/producer.cc", "mmap_locks/message.cc"},
	"mmap_queue_consumer": {"mmap_locks/consumer.cc", "mmap_locks/message.cc"},
	"domain_sock_server":  {"domain_sock/server.c"},
	"domain_sock_client":  {"domain_sock/client.c"},
	"fork_pipe":           {"fork_pipe/main.c"},
	"pipe_example":        {"pipe_example.c"},
}

func buildOriginals() error {
	dir := os.Getenv("ORIGINALS")
	if dir == "" {
		noOriginals = "ORIGINALS names no folder"
		return nil
	}
	// Like the shell that set it, the variable speaks of the folder of go.mod.
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", dir)
	}
	compilers := map[string]string{".c": "cc", ".cc": "c++"}
	var jobs []*exec.Cmd
	for name, sources := range originals {
		cc, err := exec.LookPath(compilers[filepath.Ext(sources[0])])
		if err != nil {
			noOriginals = err.Error()
			return nil
		}
		args := []string{"-O2", "-w", "-pthread", "-o", filepath.Join(origDir, name)}
		for _, src := range sources {
			args = append(args, filepath.Join(dir, src))
		}
		jobs = append(jobs, exec.Command(cc, args...))
	}
	return compile(jobs, false)
}

// compile runs the jobs, two at a time. If strict, a warning is an error.
func compile(jobs []*exec.Cmd, strict bool) error {
	errs := make([]error, len(jobs))
	slots := make(chan bool, 2)
	var wg sync.WaitGroup
	for i, job := range jobs {
		wg.Go(func() {
			slots <- true
			defer func() { <-slots }()
			out, err := job.CombinedOutput()
			if err == nil && strict && len(out) > 0 {
				err = errors.New("warnings")
			}
			if err != nil {
				errs[i] = fmt.Errorf("%v: %w\n%s", job, err, out)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
