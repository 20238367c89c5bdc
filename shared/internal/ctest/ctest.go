// Package ctest compiles the C halves of tests.
package ctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// flags are the same for every program: GNU C, because semaphore.h and
// sched.h show less of themselves to -std=c11.
var flags = []string{"-std=gnu11", "-O2", "-pthread", "-Wall", "-Wextra"}

// Build compiles a C source file, named relative to the test's package, into a
// directory that is removed with the test, and returns the program's path. The
// compiler is $CC, or else cc, gcc or clang. Where there is none the test is
// skipped, or fails if CI=true.
func Build(t testing.TB, source string) string {
	t.Helper()
	cc := compiler(t)
	bin := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c"))
	args := append(append([]string{}, flags...), "-o", bin, source)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s %s: %v\n%s", cc, strings.Join(args, " "), err, out)
	}
	return bin
}

func compiler(t testing.TB) string {
	t.Helper()
	names := []string{"cc", "gcc", "clang"}
	if cc := os.Getenv("CC"); cc != "" {
		names = []string{cc}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Skip(t, "no C compiler (%s)", strings.Join(names, ", "))
	return ""
}

// Skip skips the test for a cause that lies outside the suite. With CI=true
// nothing is skipped: the test fails.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true allows no skip: "+format, args...)
	}
	t.Skipf(format, args...)
}
