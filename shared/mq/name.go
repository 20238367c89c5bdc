package mq

import (
	"strings"

	"golang.org/x/sys/unix"
)

// kernelName checks name as glibc does (sysdeps/unix/sysv/linux/mq_open.c)
// and returns what the system call takes: the name without its slash.
//
// Only the leading slash is checked here. The kernel judges the rest:
//
//	""  "q"  a NUL inside     EINVAL
//	"/"                       ENOENT
//	"/a/b"  "/."  "/.."       EACCES
//	more than 255 bytes       ENAMETOOLONG
func kernelName(name string) (string, error) {
	rest, ok := strings.CutPrefix(name, "/")
	if !ok || strings.IndexByte(rest, 0) >= 0 {
		return "", unix.EINVAL
	}
	return rest, nil
}
