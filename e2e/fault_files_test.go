package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A file or an object of the wrong size, or of the right size without the layout
// in it, is refused before a byte of it is mapped, and is left as it is.
func TestFaultSizes(t *testing.T) {
	t.Parallel()
	const (
		noQueue = `holds no queue: semaphore lock: .*private is 0, want 128\n`
		noKind  = `mutex has kind 0, want (128|144)\n`
	)
	for _, tt := range []struct {
		mapper
		least int    // bytes that it takes; 0: none do
		then  string // what it says of zeros; "" if it has no objection
	}{
		{mapper{use{args: []string{"mmap_consumer"}}, "shared.dat"}, 1, ""},
		{mapper{use{name: "mmap_queue", args: []string{"mmap_queue", "consumer", "--timeout", "10s"}}, "shared.dat"}, 200, noQueue},
		{mapper{use{args: []string{"pshm_reader", "--timeout", "10s", "NAME"}}, "/dev/shm/NAME"}, 1096, `semaphore wsem: .*private is 0, want 128\n`},
		{mapper{use{args: []string{"pshm_writer", "--timeout", "10s", "NAME"}}, "/dev/shm/NAME"}, 0, ""},
		{mapper{use{name: "futex_mutex-hold", args: []string{"futex_mutex", "hold", "mutex", "0s"}}, "mutex"}, 40, noKind},
		{mapper{use{name: "futex_mutex-robust", args: []string{"futex_mutex", "hold", "--robust", "mutex", "0s"}}, "mutex"}, 40, noKind},
		{mapper{use{name: "futex_mutex-try", args: []string{"futex_mutex", "try", "mutex"}}, "mutex"}, 40, noKind},
	} {
		for _, size := range []int{0, 1, 3, 12, 199, 201, 4096} {
			t.Run(fmt.Sprintf("%v/%d", tt.use, size), func(t *testing.T) {
				t.Parallel()
				c, path := tt.prepared(t)
				t.Cleanup(func() { os.Remove(path) })
				if err := os.WriteFile(path, make([]byte, size), 0o666); err != nil {
					t.Fatal(err)
				}
				if tt.program() == "futex_mutex" && size == 0 {
					run(t, c).wantExit(t, 0) // it makes the mutex
					return
				}
				if tt.least > 0 && size >= tt.least {
					r := run(t, c)
					if tt.then == "" {
						r.wantExit(t, 0).wantStdout(t, "\n")
					} else {
						r.wantError(t, tt.program(), failure[tt.program()], tt.then)
					}
				} else {
					cmd, seen := traced(t, c, plan{})
					r := run(t, cmd)
					if tt.least == 0 {
						r.wantError(t, tt.program(), failure[tt.program()], `: file exists\nhint: .*: rm `+path+`\n$`)
					} else {
						r.wantError(t, tt.program(), failure[tt.program()], fmt.Sprintf(`has %d bytes, want at least %d: invalid argument\n$`, size, tt.least))
					}
					if slices.Contains(seen().Calls, unix.SYS_MMAP) {
						t.Error("it has mapped the file")
					}
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, make([]byte, size)) {
					t.Errorf("the file has changed: %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// What is no regular file under an object's name neither blocks pshm_writer and
// pshm_reader nor is mapped, and the target of a symlink stays as it is.
// (TestBadFiles has it for the programs that use files.)
func TestFaultObjectKinds(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"pshm_writer", "pshm_reader"} {
		for _, k := range kinds {
			if slices.Contains([]string{"missing", "empty", "text", "unreadable", "huge"}, k.name) {
				continue
			}
			t.Run(program+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				name := object(t.Name())
				path := filepath.Join("/dev/shm", name)
				t.Cleanup(func() { os.Remove(path); os.Remove(path + ".target") })
				if err := k.make(t, path); err != nil {
					skip(t, "cannot make a %s: %v", k.name, err)
				}
				before, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				target, _ := os.ReadFile(path + ".target")
				cmd, seen := traced(t, golang.command(t, t.TempDir(), program, "--timeout", "10s", name), plan{})
				run(t, cmd).wantError(t, program, 1, name)
				if slices.Contains(seen().Calls, unix.SYS_MMAP) {
					t.Error("it has mapped the file")
				}
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
					t.Errorf("the file has changed: %v", err)
				}
				if after, _ := os.ReadFile(path + ".target"); !bytes.Equal(target, after) {
					t.Errorf("the target of the symlink holds %q", after)
				}
			})
		}
	}
}
