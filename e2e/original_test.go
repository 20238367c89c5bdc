package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Our programs, the twins and the originals end with the same status, on success
// and where something is missing; what they print on success is the same.
func TestSameStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		args    []string
		prepare func(t *testing.T, dir, name string)
		status  int
		stdout  string
	}{
		{"value", []string{"fork_pipe"}, nil, 0, "child sent value = 5000\n"},
		{"stored", []string{"mmap_producer"}, nil, 0, "memory mapped. press any key to exit...\n"},
		{"read", []string{"mmap_consumer"}, mapped, 0, "Hello World\n"},
		{"no-file", []string{"mmap_consumer"}, nil, 255, ""},
		{"directory", []string{"mmap_consumer"}, directory, 255, ""},
		{"directory", []string{"mmap_producer"}, directory, 255, ""},
		{"no-file", []string{"mmap_queue", "consumer"}, nil, 255, ""},
		{"directory", []string{"mmap_queue", "consumer"}, directory, 255, ""},
		{"directory", []string{"mmap_queue", "producer"}, directory, 255, ""},
		{"no-path", []string{"domain_sock", "server"}, nil, 255, ""},
		{"two-paths", []string{"domain_sock", "client", "a", "b"}, nil, 255, ""},
		{"no-server", []string{"domain_sock", "client", "sock"}, nil, 255, ""},
		{"no-directory", []string{"domain_sock", "server", "no/such/sock"}, nil, 255, ""},
	} {
		for _, m := range []maker{golang, twin, original} {
			t.Run(fmt.Sprintf("%s/%s/%s", tt.args[0], tt.name, m), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if tt.prepare != nil {
					tt.prepare(t, dir, "")
				}
				r := run(t, m.command(t, dir, tt.args[0], tt.args[1:]...)).wantExit(t, tt.status)
				if m != original || tt.status == 0 { // their diagnostics are part of the output
					r.wantStdout(t, tt.stdout)
				}
			})
		}
	}
	// The same program once more, from the article.
	t.Run("pipe_example", func(t *testing.T) {
		run(t, original.command(t, t.TempDir(), "pipe_example")).wantExit(t, 0).wantStdout(t, "child sent value = 5000\n")
	})
}

func directory(t *testing.T, dir, _ string) {
	if err := os.Mkdir(filepath.Join(dir, "shared.dat"), 0o777); err != nil {
		t.Fatal(err)
	}
}
