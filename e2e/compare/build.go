package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A Lang is one of the languages of a pair.
type Lang int

const (
	Go Lang = iota
	C
)

func (l Lang) String() string { return [...]string{"Go", "C"}[l] }

// A Suite is what is compared: the texts, and the binaries made of them.
type Suite struct {
	Root      string            // the module's folder
	Overlay   map[string]string // file, relative to Root → text that takes the place of it
	Originals string            // folder, or ""
	Programs  []Program
	Pairs     []Pair
	Base      *Suite // built already, of the same texts without the overlay

	work   string // temporary folder
	goDir  string // the Go programs
	cc     string
	cxx    string
	strace *tracer
	halves map[string]*cProgram // by their name in work/c
}

// A cProgram is a compiled C program.
type cProgram struct {
	half     Half
	original bool
	path     string
	warnings string
	err      error
}

var errNoCompiler = errors.New("no C compiler (cc, gcc, clang, or what CC names); on Debian: apt-get install gcc libc6-dev")

// goFlags are those of the Makefile.
var goFlags = []string{"build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags=-E=ipcbook/shared/prog.start"}

// twinFlags likewise.
var twinFlags = []string{"-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-pthread"}

// moduleRoot finds the folder of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("not inside of the module ipcbook")
	}
	return filepath.Dir(mod), nil
}

// compiler returns the first that is there, or "".
func compiler(env string, names ...string) string {
	if cc := os.Getenv(env); cc != "" {
		names = strings.Fields(cc)[:1]
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Build compiles everything into a temporary folder, which Close removes.
func (s *Suite) Build(ctx context.Context) error {
	s.cc, s.cxx = compiler("CC", "cc", "gcc", "clang"), compiler("CXX", "c++", "g++", "clang++")
	if s.cc == "" {
		return errNoCompiler
	}
	work, err := os.MkdirTemp("", "ipcbook-compare-")
	if err != nil {
		return err
	}
	unix.Umask(0o002) // modes are compared: most of their bits are to come through
	// What strace prints of a path has no symlinks in it.
	if s.work, err = filepath.EvalSymlinks(work); err != nil {
		return err
	}
	if err := s.copyC(); err != nil {
		return err
	}
	s.planC()
	var wg sync.WaitGroup
	wg.Go(func() {
		if s.Base != nil {
			s.strace = s.Base.strace
			return
		}
		s.strace = newTracer(ctx, s.work)
	})
	wg.Go(func() {
		for name, b := range s.halves {
			if s.Base != nil && !b.original && !s.replaced(b) {
				*b = *s.Base.halves[name]
				continue
			}
			s.compile(ctx, b)
		}
	})
	err = s.buildGo(ctx)
	wg.Wait()
	return err
}

// Close removes what Build has made.
func (s *Suite) Close() error {
	if s.work == "" {
		return nil
	}
	return os.RemoveAll(s.work)
}

// read returns a text of the suite.
func (s *Suite) read(path string) (string, error) {
	if text, ok := s.Overlay[path]; ok {
		return text, nil
	}
	b, err := os.ReadFile(filepath.Join(s.Root, path))
	return string(b), err
}

// glob returns the files that match, relative to Root.
func (s *Suite) glob(pattern string) []string {
	names, _ := filepath.Glob(filepath.Join(s.Root, pattern))
	for i, name := range names {
		names[i], _ = filepath.Rel(s.Root, name)
	}
	return names
}

func (s *Suite) buildGo(ctx context.Context) error {
	s.goDir = filepath.Join(s.work, "go")
	args := append(slices.Clone(goFlags), "-o", s.goDir+"/")
	replace := map[string]string{}
	for path, text := range s.Overlay {
		if filepath.Ext(path) != ".go" {
			continue
		}
		file := filepath.Join(s.work, "overlay", path)
		if err := writeFile(file, text); err != nil {
			return err
		}
		replace[filepath.Join(s.Root, path)] = file
	}
	if len(replace) > 0 {
		b, err := json.Marshal(map[string]any{"Replace": replace})
		if err != nil {
			return err
		}
		list := filepath.Join(s.work, "overlay.json")
		if err := writeFile(list, string(b)); err != nil {
			return err
		}
		args = append(args, "-overlay", list)
	}
	if s.Base != nil && len(replace) == 0 {
		s.goDir = s.Base.goDir
		return nil
	}
	for _, p := range s.built() {
		args = append(args, "./examples/"+p.Name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// copyC copies the C texts, with those of the overlay, to where they are compiled.
func (s *Suite) copyC() error {
	paths := slices.Concat(s.glob("examples/*/*.[ch]"), s.glob("shared/*.h"), s.glob("shared/*/*.h"))
	for _, path := range paths {
		text, err := s.read(path)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(s.work, "src", path), text); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(s.work, "c"), 0o755)
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// built returns the programs of which there are binaries: those that are compared,
// and those that their cases and pairs need.
func (s *Suite) built() []Program {
	needed := map[string]bool{}
	note := func(steps []Step) {
		for _, st := range steps {
			needed[st.Proc.Prog] = true
		}
	}
	for _, p := range s.Programs {
		needed[p.Name] = true
		for _, c := range p.Cases {
			note(c.Do)
		}
	}
	for _, p := range s.Pairs {
		note(p.Do)
	}
	all := slices.Clone(s.Programs)
	for _, p := range programs {
		if needed[p.Name] && !slices.ContainsFunc(all, func(q Program) bool { return q.Name == p.Name }) {
			all = append(all, p)
		}
	}
	return all
}

// planC decides for each program which C stands beside it.
func (s *Suite) planC() {
	s.halves = map[string]*cProgram{}
	for _, p := range s.built() {
		halves, original := s.choose(p)
		for _, h := range halves {
			name := p.Name
			if h.Command != "" {
				name += "." + h.Command
			}
			s.halves[name] = &cProgram{half: h, original: original, path: filepath.Join(s.work, "c", name)}
		}
	}
}

// choose returns the originals of a program if they are there, or else the twins,
// with the paths of their sources.
func (s *Suite) choose(p Program) (halves []Half, original bool) {
	if s.Originals != "" && len(p.Originals) > 0 {
		for _, h := range p.Originals {
			if paths := s.find(h); paths != nil {
				halves = append(halves, Half{Command: h.Command, Sources: paths})
			}
		}
		if len(halves) == len(p.Originals) {
			return halves, true
		}
	}
	twins := p.Twins
	if twins == nil {
		twins = []Half{{Sources: []string{p.Name + ".c"}}}
	}
	halves = nil
	for _, h := range twins {
		var paths []string
		for _, src := range h.Sources {
			paths = append(paths, filepath.Join(s.work, "src", "examples", p.Name, src))
		}
		halves = append(halves, Half{Command: h.Command, Sources: paths})
	}
	return halves, false
}

// find returns the sources of an original, or nil if they are not all there.
func (s *Suite) find(h Half) []string {
	for _, sources := range [][]string{h.Sources, h.Or} {
		var paths []string
		for _, src := range sources {
			path := filepath.Join(s.Originals, src)
			if _, err := os.Stat(path); err == nil {
				paths = append(paths, path)
			}
		}
		if len(paths) > 0 && len(paths) == len(sources) {
			return paths
		}
	}
	return nil
}

// original tells whether the C beside the program is the textbook's own.
func (s *Suite) original(p Program) bool { return s.originalNamed(p.Name) }

func (s *Suite) originalNamed(prog string) bool {
	for name, b := range s.halves {
		if n, _, _ := strings.Cut(name, "."); n == prog {
			return b.original
		}
	}
	return false
}

// replaced tells whether the overlay has a text that a C program is made of.
func (s *Suite) replaced(b *cProgram) bool {
	for path := range s.Overlay {
		if filepath.Ext(path) == ".h" || slices.Contains(b.half.Sources, filepath.Join(s.work, "src", path)) {
			return true
		}
	}
	return false
}

func (s *Suite) compile(ctx context.Context, b *cProgram) {
	cc, args := s.cc, slices.Clone(twinFlags)
	if b.original {
		// As their own makefiles do, in GNU C and with warnings as they come.
		args = []string{"-O2", "-w", "-pthread"}
		if ext := filepath.Ext(b.half.Sources[0]); ext != ".c" {
			cc = s.cxx
			if cc == "" {
				b.err = errors.New("no C++ compiler (c++, or what CXX names)")
				return
			}
		}
		args = append(args, s.library()...)
	}
	args = append(args, "-o", b.path)
	args = append(args, b.half.Sources...)
	args = append(args, "-lrt")
	cmd := exec.CommandContext(ctx, cc, args...)
	cmd.Dir = filepath.Join(s.work, "src")
	out, err := cmd.CombinedOutput()
	b.warnings = strings.ReplaceAll(string(out), cmd.Dir+"/", "")
	if err != nil {
		b.err = fmt.Errorf("does not compile: %s", firstError(b.warnings))
	}
}

// library returns the flags for the functions that the programs of "The Linux
// Programming Interface" share, in its folder lib, if the originals have that.
func (s *Suite) library() []string {
	lib := filepath.Join(s.Originals, "lib")
	if _, err := os.Stat(filepath.Join(lib, "tlpi_hdr.h")); err != nil {
		return nil
	}
	// The names of the errors: its own makefile generates them.
	names := filepath.Join(s.work, "lib", "ename.c.inc")
	if _, err := os.Stat(names); err != nil {
		var text strings.Builder
		text.WriteString("static char *ename[] = {\n")
		const last = 133
		for e := range unix.Errno(last + 1) {
			fmt.Fprintf(&text, "\t%q,\n", unix.ErrnoName(e))
		}
		fmt.Fprintf(&text, "};\n#define MAX_ENAME %d\n", last)
		writeFile(names, text.String())
	}
	flags := []string{"-D_GNU_SOURCE", "-I" + lib, "-I" + filepath.Dir(names)}
	for _, src := range []string{"error_functions.c", "get_num.c"} {
		if path := filepath.Join(lib, src); exists(path) {
			flags = append(flags, path)
		}
	}
	return flags
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// firstError returns the line of a compiler's output that says what is wrong.
func firstError(out string) string {
	first, _, _ := strings.Cut(out, "\n")
	for l := range strings.Lines(out) {
		if strings.Contains(l, "error") {
			return strings.TrimSpace(l)
		}
	}
	return first
}

// errNoHalf means that no C program stands for such a command.
var errNoHalf = errors.New("the C programs are one for each command")

// command returns how to start a program.
func (s *Suite) command(lang Lang, prog string, args []string) (path string, _ []string, err error) {
	if lang == Go {
		return filepath.Join(s.goDir, prog), args, nil
	}
	b, ok := s.halves[prog]
	if !ok && len(args) > 0 {
		if b, ok = s.halves[prog+"."+args[0]]; ok {
			args = args[1:]
		}
	}
	if !ok {
		return "", nil, errNoHalf
	}
	return b.path, args, b.err
}

// warnings returns what the compiler had to say of the twins.
func (s *Suite) warnings() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.halves)) {
		if b := s.halves[name]; !b.original {
			text.WriteString(b.warnings)
		}
	}
	return text.String()
}
