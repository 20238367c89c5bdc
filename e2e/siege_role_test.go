package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays a part in a test if it is started with this variable.
const roleVar = "E2E_ROLE"

var roles = map[string]func(args []string) error{
	"racer":       racer,
	"door-server": doorServerRole,
	"door-caller": doorCaller,
	"door-hanger": doorHanger,
}

func init() {
	name := os.Getenv(roleVar)
	if name == "" {
		return
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		os.Exit(2)
	}
	if err := role(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// playing returns a command that runs the test binary in a role, in dir.
func playing(dir, role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = role
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	return cmd
}

// often is how often something is done: with SOAK=1 as often as is worth an hour,
// else as often as is worth a second.
func often(soak, normally int) int {
	if os.Getenv("SOAK") == "1" {
		return soak
	}
	return normally
}

// public returns a new directory that everybody may use.
func public(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "public")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// stranger makes cmd run as the user 65534, who owns nothing.
func stranger(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root may start a process of another user")
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	return cmd
}

// shelled runs cmd by a shell that does something first.
func shelled(t testing.TB, first string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	sh := *cmd
	sh.Path = need(t, "sh")
	sh.Args = append([]string{"sh", "-c", first + `; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	return &sh
}

// peak returns the most memory that a process has had in use, in KiB.
func peak(t testing.TB, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &kib)
	}
	return kib
}

// A watch looks at a process while a test goes on.
type watch struct {
	quit chan bool
	done chan bool

	looks    int
	children int // the most at one time
	open     int
}

func watching(pid int) *watch {
	w := &watch{quit: make(chan bool), done: make(chan bool)}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			w.looks++
			w.children = max(w.children, len(children(pid)))
			fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			w.open = max(w.open, len(fds))
			select {
			case <-w.quit:
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

func (w *watch) stop() *watch {
	close(w.quit)
	<-w.done
	return w
}

// wantText fails the test unless text matches the regular expression.
func wantText(t testing.TB, text, re string) {
	t.Helper()
	if !regexp.MustCompile(re).MatchString(text) {
		t.Errorf("got %.500q, want a match of %q", text, re)
	}
}
