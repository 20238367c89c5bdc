package e2e

import "golang.org/x/sys/unix"

// archNoise are calls that only this architecture has; see noise.
var archNoise = map[int]bool{unix.SYS_ARCH_PRCTL: true, unix.SYS_EPOLL_WAIT: true}
