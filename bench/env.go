package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Env is where and when figures were made.
type Env struct {
	Date    time.Time
	Kernel  string
	Machine string
	CPU     string
	CPUs    int
	Virtual bool
	Go      string
	C       string // "" if there is no C compiler
	Load    string // /proc/loadavg at the start
	LoadEnd string // and at the end
}

func (b *bench) env() Env {
	e := Env{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: len(b.cpus), Load: load()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
		e.Machine = unix.ByteSliceToString(u.Machine[:])
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "model name", "Model":
			e.CPU = value
		case "flags":
			e.Virtual = e.Virtual || strings.Contains(" "+value+" ", " hypervisor ")
		}
	}
	if path := b.halves[clang]; path != "" {
		out, _ := exec.Command(path, "version").Output()
		e.C = strings.TrimSpace(string(out))
	}
	return e
}

func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return ""
	}
	return strings.Join(f[:3], " ")
}
