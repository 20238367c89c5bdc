package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tag is in the names of all kernel objects of this run, so that runs beside this
// one are left alone.
var tag = fmt.Sprintf("e2e-%d-", os.Getpid())

// given are the names that object has given out.
var given struct {
	sync.Mutex
	names []string
}

// object returns a new name for a kernel object: "/e2e-PID-N-TEST".
func object(test string) string {
	given.Lock()
	defer given.Unlock()
	test = strings.NewReplacer("/", "-", " ", "-").Replace(test)
	name := fmt.Sprintf("/%s%d-%.60s", tag, len(given.names), test)
	given.names = append(given.names, name)
	return name
}

// A stock is what there is on the machine that a run may leave behind.
type stock struct {
	sysv map[string]bool
}

func takeStock() stock { return stock{sysvIDs()} }

// missing says what cannot be looked at.
func (stock) missing() error {
	if _, err := queues(); err != nil && os.Getenv("CI") == "true" {
		return fmt.Errorf("message queues cannot be listed: %w", err)
	}
	return nil
}

// left returns an error that names what was not there before. It removes it.
func (before stock) left() error {
	// A process that was killed takes a moment to go.
	var pids []string
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if pids = processes(); len(pids) == 0 || time.Now().After(end) {
			break
		}
	}
	var errs []error
	leak := func(what, name string) { errs = append(errs, fmt.Errorf("left behind: %s %s", what, name)) }
	for _, p := range pids {
		leak("process", p)
		pid, _, _ := strings.Cut(p, " ")
		if n, err := strconv.Atoi(pid); err == nil {
			if proc, err := os.FindProcess(n); err == nil {
				proc.Kill()
			}
		}
	}
	shm, _ := filepath.Glob("/dev/shm/*" + tag + "*")
	for _, name := range shm {
		leak("object", name)
		os.Remove(name)
	}
	names, err := queues()
	if err != nil {
		names = given.names // at least these
	}
	for _, name := range names {
		if unlinkQueue(name) == nil {
			leak("message queue", name)
		}
	}
	for id := range sysvIDs() {
		if !before.sysv[id] {
			leak("System V object", id)
		}
	}
	filepath.WalkDir(scratch, func(path string, _ fs.DirEntry, err error) error {
		if path != scratch {
			leak("file", path)
		}
		return nil
	})
	return errors.Join(errs...)
}

// processes lists the processes that run a program of this run or work in its
// directories, each as "PID argv[0]".
func processes() (list []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		for _, link := range []string{"exe", "cwd"} {
			target, err := os.Readlink(filepath.Join(dir, link))
			if err == nil && strings.HasPrefix(target, root+"/") {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				list = append(list, fmt.Sprintf("%d %s", pid, role(pid)))
				break
			}
		}
	}
	return list
}

// sysvIDs lists the System V objects of this user.
func sysvIDs() map[string]bool {
	ids := make(map[string]bool)
	for file, uidField := range map[string]int{"shm": 7, "sem": 4, "msg": 7} {
		b, _ := os.ReadFile("/proc/sysvipc/" + file)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > uidField && f[uidField] == strconv.Itoa(os.Getuid()) {
				ids[file+" "+f[1]] = true
			}
		}
	}
	return ids
}

// queues lists the message queues of this run. Where no mqueue file system is
// mounted it mounts one for itself, which the superuser may.
func queues() (names []string, err error) {
	const dir = "/dev/mqueue"
	list, err := os.ReadDir(dir)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	if err != nil || !isMounted(dir) {
		sh := fmt.Sprintf("mount -t mqueue none %[1]s && ls %[1]s", cDir)
		out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", sh).Output()
		if err != nil {
			return nil, fmt.Errorf("unshare --mount sh -c %q: %w", sh, err)
		}
		all = strings.Fields(string(out))
	}
	for _, name := range all {
		if strings.Contains(name, tag) {
			names = append(names, "/"+name)
		}
	}
	return names, nil
}

func isMounted(dir string) bool {
	b, _ := os.ReadFile("/proc/mounts")
	return strings.Contains(string(b), " "+dir+" mqueue ")
}

// dirState lists the files of a directory with type, mode and size, to see
// whether anything changed.
func dirState(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		fmt.Fprintf(&b, "%v %d %s\n", info.Mode(), size, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
