package main

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	long := strings.Repeat("x", maxPath)
	for _, tt := range []struct {
		path, name string
		err        error
	}{
		{path: "s", name: "s"},
		{path: "/tmp/%s%n", name: "/tmp/%s%n"},
		{path: "@s", name: "./@s"}, // a file, not an abstract address
		{path: "@", name: "./@"},
		{path: long, name: long},
		{path: "@" + long[3:], name: "./@" + long[3:]},
		{path: long + "x", err: unix.ENAMETOOLONG},
		{path: "@" + long[2:], err: unix.ENAMETOOLONG},
		{path: strings.Repeat("x", 1<<20), err: unix.ENAMETOOLONG},
		{path: "", err: unix.EINVAL},
	} {
		sa, err := sockaddr(tt.path)
		if !errors.Is(err, tt.err) {
			t.Errorf("sockaddr(%.20q): error %v, want %v", tt.path, err, tt.err)
		}
		if err != nil {
			continue
		}
		if name := sa.(*unix.SockaddrUnix).Name; name != tt.name {
			t.Errorf("sockaddr(%.20q) = %q, want %q", tt.path, name, tt.name)
		}
	}
}
