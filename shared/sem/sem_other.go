//go:build !amd64 && !arm64

package sem

// Package sem knows the layout of sem_t on amd64 and arm64 only. On another
// architecture the build stops at the next line.
var _ = sem_t_has_another_layout_on_this_architecture__see_package_sem
