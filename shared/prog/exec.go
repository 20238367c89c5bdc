package prog

import (
	"io/fs"
	"runtime"

	"golang.org/x/sys/unix"
)

// Exec wraps execve(2). The new program has the timer slack that this one was started
// with, on whichever thread it was called. Errors are those of execve(2), with the path.
func Exec(path string, argv, env []string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restoreSlack()
	return &fs.PathError{Op: "exec", Path: path, Err: unix.Exec(path, argv, env)}
}
