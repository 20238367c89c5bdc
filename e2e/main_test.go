package e2e

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// programs are the programs of the suite, each with its transcript.
var programs = []string{
	"domain_sock", "doors_emul", "fifo_gzip", "fork_pipe", "futex_mutex",
	"mmap_consumer", "mmap_producer", "mmap_queue",
	"pmsg_create", "pmsg_getattr", "pmsg_receive", "pmsg_send", "pmsg_unlink",
	"pshm_reader", "pshm_writer", "simple_pipe", "sleep_alarm",
}

// Where a run keeps what it makes; all of it is below root.
var (
	root    string
	goDir   string // the programs
	cDir    string // the C twins
	origDir string // the originals
	scratch string // TMPDIR of the tests and of the programs
)

// buildArgs are those of the Makefile.
var buildArgs = []string{"build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags=-E=ipcbook/shared/prog.start"}

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (code int, err error) {
	root, err = os.MkdirTemp("", "ipcbook-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(root)
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return 1, err
	}
	// Programs of the suite are run as another user, too.
	if err := os.Chmod(root, 0o755); err != nil {
		return 1, err
	}
	for _, d := range []struct {
		path *string
		name string
	}{{&goDir, "go"}, {&cDir, "c"}, {&origDir, "originals"}, {&scratch, "tmp"}} {
		*d.path = filepath.Join(root, d.name)
		if err := os.Mkdir(*d.path, 0o755); err != nil {
			return 1, err
		}
	}
	if err := build(); err != nil {
		return 1, err
	}
	if err := os.Setenv("TMPDIR", scratch); err != nil {
		return 1, err
	}
	// What this process has inherited is nothing to the programs.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 1, err
	}
	// A death that dumps core leaves none.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return 1, err
	}
	before := takeStock()
	code = m.Run()
	return code, errors.Join(before.missing(), before.left())
}

// build makes the programs, and beside them what there is to make of C.
func build() error {
	c := make(chan error, 1)
	go func() { c <- errors.Join(buildTwins(), buildOriginals()) }()
	err := goBuild(goDir, nil)
	return errors.Join(err, <-c)
}

// goBuild builds the programs into dir; env adds to the environment.
func goBuild(dir string, env []string) error {
	cmd := exec.Command("go", append(buildArgs, "-o", dir, "./examples/...")...)
	cmd.Dir = ".."
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}
