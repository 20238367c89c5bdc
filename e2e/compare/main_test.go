package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built is a suite of all programs, built when a test first asks for it.
var built = sync.OnceValues(func() (*Suite, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	s := &Suite{Root: root, Programs: programs, Pairs: pairs}
	return s, s.Build(context.Background())
})

// started tells whether a test has asked.
var started bool

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if s, _ := built(); s != nil {
			if err := s.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// whole returns the suite, or skips the test where there is no C compiler.
func whole(t *testing.T) *Suite {
	t.Helper()
	started = true
	s, err := built()
	if err == errNoCompiler {
		skip(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// skip skips the test for a cause that lies outside of the suite. With CI=true
// nothing is skipped: the test fails.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true allows no skip: "+format, args...)
	}
	t.Skipf(format, args...)
}

// report fails the test with the table if anything differs that is not listed,
// and with CI=true if anything is skipped.
func report(t *testing.T, r *Report) {
	t.Helper()
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if r.Differs() || len(r.Warnings) > 0 {
		t.Errorf("\n%s", b.String())
	} else {
		t.Logf("\n%s", b.String())
	}
	var skipped []string
	for _, p := range r.Programs {
		for _, f := range p.Findings {
			if f.Verdict == Skipped {
				skipped = append(skipped, f.Why...)
			}
		}
	}
	if len(skipped) > 0 && os.Getenv("CI") == "true" {
		t.Errorf("CI=true allows no skip: %s", strings.Join(skipped, "; "))
	}
}

func TestTwins(t *testing.T) {
	report(t, whole(t).Run(t.Context()))
}

func TestOriginals(t *testing.T) {
	root := whole(t).Root
	dir := os.Getenv("ORIGINALS")
	switch {
	case dir == "":
		dir = filepath.Join(root, "../shared/originals")
		if _, err := os.Stat(dir); err != nil {
			skip(t, "ORIGINALS names no folder")
		}
	case !filepath.IsAbs(dir):
		// Like the shell that set it, the variable speaks of the folder of go.mod.
		dir = filepath.Join(root, dir)
	}
	s := &Suite{Root: root, Originals: dir, Programs: programs, Pairs: pairs}
	t.Cleanup(func() { s.Close() })
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	report(t, r)
	n := 0
	for _, p := range r.Programs {
		if p.C == "original" {
			n++
		}
	}
	if n == 0 {
		t.Errorf("no original in %s", dir)
	}
}

// Every example has an entry.
func TestEntries(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	mains, err := filepath.Glob(filepath.Join(root, "examples/*/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, p := range programs {
		have[p.Name] = true
		kinds := map[Kind]int{}
		for _, c := range p.Cases {
			kinds[c.Kind]++
		}
		for _, k := range []Kind{Success, Usage, Failure} {
			if kinds[k] == 0 {
				t.Errorf("%s has no case of %s", p.Name, k)
			}
		}
	}
	for _, m := range mains {
		if name := filepath.Base(filepath.Dir(m)); !have[name] {
			t.Errorf("%s is in no entry of the table", name)
		}
	}
	if len(mains) != len(programs) {
		t.Errorf("%d entries for %d examples", len(programs), len(mains))
	}
}

// The numbers match even where nothing can be compiled.
func TestSteps(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	s := &Suite{Root: root}
	for _, p := range programs {
		if f := s.compareSteps(p, nil); f.Verdict != OK {
			t.Errorf("%s: %v: %v", p.Name, f.Verdict, f.Why)
		}
	}
}

func TestNoCompiler(t *testing.T) {
	t.Setenv("CC", "ipcbook-no-such-compiler")
	status, err := compareAll(t.Context(), nil)
	if status != statusCannot || err != errNoCompiler {
		t.Errorf("status %d, %v; want %d, %v", status, err, statusCannot, errNoCompiler)
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-ex", "nope"}} {
		if status, err := compareAll(t.Context(), args); status != statusCannot || err == nil {
			t.Errorf("%q: status %d, %v", args, status, err)
		}
	}
	t.Setenv("ORIGINALS", filepath.Join(t.TempDir(), "none"))
	if status, err := compareAll(t.Context(), nil); status != statusCannot || err == nil {
		t.Errorf("no folder of originals: status %d, %v", status, err)
	}
}

// Without strace the column says so, and everything else is compared.
func TestNoStrace(t *testing.T) {
	base := whole(t)
	var none *tracer
	t.Run("tracer", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		none = newTracer(t.Context(), t.TempDir())
		if none.ok() || none.cause != "no strace on this machine" {
			t.Fatalf("newTracer without strace: %+v", none)
		}
	})
	s := variant(t, base, nil, "simple_pipe", "a string", "no argument")
	s.strace = none
	r := s.Run(t.Context())
	cells := r.Programs[0].Cells
	if cells[Calls] != Skipped || cells[Stdout] != OK || cells[ExitUse] != OK {
		t.Errorf("cells %v", cells)
	}
	if r.Differs() {
		t.Error("a skipped cell counts as a difference")
	}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "no strace on this machine") {
		t.Errorf("no cause in\n%s", b.String())
	}
}

// variant is base with texts replaced, and one program's cases of these names.
func variant(t *testing.T, base *Suite, overlay map[string]string, name string, cases ...string) *Suite {
	t.Helper()
	s := &Suite{Root: base.Root, Overlay: overlay, Base: base}
	for _, p := range base.Programs {
		if p.Name != name {
			continue
		}
		all := p.Cases
		p.Cases = nil
		for _, want := range cases {
			for _, c := range all {
				if c.Name == want {
					p.Cases = append(p.Cases, c)
				}
			}
		}
		if len(p.Cases) != len(cases) {
			t.Fatalf("%s has not all of the cases %q", name, cases)
		}
		s.Programs = []Program{p}
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
