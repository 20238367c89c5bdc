package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	// As in the suite's Makefile.
	goFlags = []string{"-tags", "urfave_cli_no_docs", "-ldflags=-E=ipcbook/shared/prog.start"}

	cFlags    = []string{"-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pedantic", "-pthread"}
	twinFlags = []string{"-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-pthread"}
)

// build makes the halves, and the suite's programs with their twins if programs
// is true. What needs a C compiler is left out where there is none.
func (b *bench) build(programs bool) error {
	half := filepath.Join(b.bin, "half")
	if err := b.goBuild(false, goFlags, half, b.dir, "./half"); err != nil {
		return err
	}
	b.halves[golang] = half
	b.halves[bare] = filepath.Join(b.bin, "bare")
	if err := b.goBuild(false, nil, b.halves[bare], b.dir, "./bare"); err != nil {
		return err
	}
	if programs {
		var mains []string
		for _, name := range b.programs() {
			mains = append(mains, "./examples/"+name)
		}
		out := filepath.Join(b.bin, "go") + "/"
		if err := b.goBuild(false, goFlags, out, b.root, mains...); err != nil {
			return err
		}
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		b.note("no C compiler (%s): only the Go halves are measured, and nothing is compared", cc)
		return nil
	}
	sources, err := filepath.Glob(filepath.Join(b.dir, "c", "*.c"))
	if err != nil {
		return err
	}
	out := filepath.Join(b.bin, "half-c")
	if err := compile(cc, cFlags, out, append(sources, "-lrt")...); err != nil {
		return err
	}
	b.halves[clang], b.halves[bound], b.halves[dynamic] = out, out, out
	cgoOut := filepath.Join(b.bin, "half-cgo")
	if err := b.goBuild(true, nil, cgoOut, b.dir, "./cgo"); err != nil {
		b.note("the cgo baseline does not build here and is left out: %v", err)
	} else {
		b.halves[cgo] = cgoOut
	}
	if programs {
		return b.buildTwins(cc)
	}
	return nil
}

func (b *bench) goBuild(cgo bool, flags []string, out, dir string, packages ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", out}, flags...), packages...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if cgo {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	return tell(cmd)
}

// buildTwins compiles the C twins, linked as usual and statically. One that is as
// new as its source is left alone.
func (b *bench) buildTwins(cc string) error {
	sources, err := filepath.Glob(filepath.Join(b.root, "examples/*/*.c"))
	if err != nil {
		return err
	}
	for _, dir := range []string{"c", "c-static"} {
		if err := os.MkdirAll(filepath.Join(b.bin, dir), 0o777); err != nil {
			return err
		}
		flags := twinFlags
		if dir == "c-static" {
			flags = append(flags[:len(flags):len(flags)], "-static")
		}
		for _, src := range sources {
			out := filepath.Join(b.bin, dir, strings.TrimSuffix(filepath.Base(src), ".c"))
			if fresh(out, src) {
				continue
			}
			if err := compile(cc, flags, out, src); err != nil {
				if dir == "c-static" {
					b.note("C does not link statically here, so the starts of programs are not compared: %v", err)
					return nil
				}
				return err
			}
		}
	}
	return nil
}

func fresh(out, src string) bool {
	o, err1 := os.Stat(out)
	s, err2 := os.Stat(src)
	return err1 == nil && err2 == nil && o.ModTime().After(s.ModTime())
}

func compile(cc string, flags []string, out string, args ...string) error {
	return tell(exec.Command(cc, append(append(flags[:len(flags):len(flags)], "-o", out), args...)...))
}

// tell runs a command and puts what it says into the error.
func tell(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return err
}
