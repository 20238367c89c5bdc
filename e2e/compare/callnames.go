package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// line returns what stands for a call in the list, or "" for one that is left out.
func (p *process) line(c call, w world) string {
	text := temporary.ReplaceAllString(p.text(c, w), "${1}…")
	if text != "" && c.err != "" && c.name != "pause" && c.name != "rt_sigsuspend" {
		text += " = " + c.err
	}
	return text
}

func (p *process) text(c call, w world) string {
	arg := func(i int) string {
		if i < len(c.args) {
			return c.args[i]
		}
		return ""
	}
	on := func(i int) string { return p.name(object(arg(i)), w) }
	path := func(i int) string { return pathName(unquote(arg(i))) }
	// of returns the line of a call on an object, if that is one of the program's.
	of := func(call, obj string, rest ...string) string {
		if obj == "" {
			return ""
		}
		return strings.Join(append([]string{call, obj}, rest...), " ")
	}
	moved := c.ret // bytes
	if c.err != "" {
		moved = ""
	}
	switch c.name {
	case "execve":
		if c.err == "ENOENT" || c.err == "EACCES" {
			return "" // a search along PATH
		}
		program := unquote(arg(0))
		return "exec " + program[strings.LastIndex(program, "/")+1:]
	case "wait4", "waitid":
		if strings.Contains(strings.Join(c.args, ","), "WNOHANG") || strings.Contains(strings.Join(c.args, ","), "WNOWAIT") ||
			strings.Contains(strings.Join(c.args, ","), "__WCLONE") {
			return ""
		}
		return waitForChild
	case "kill":
		if arg(0) == strconv.Itoa(p.pid) {
			return "" // how it ends
		}
		return "kill " + arg(1)

	case "pipe", "pipe2":
		m := pipeForm.FindString(arg(0))
		if m == "" || w.noise[m] {
			return ""
		}
		return p.number(m, "pipe") + " made"
	case "dup", "dup2", "dup3":
		to := ""
		if c.name != "dup" {
			to, _, _ = strings.Cut(arg(1), "<")
			to = "onto " + to
		}
		return of("dup", on(0), to)
	case "close":
		o := on(0)
		if strings.HasPrefix(o, "pipe") || strings.HasPrefix(o, "socket") || strings.HasPrefix(o, "FIFO ") {
			return "close " + o
		}
		return ""

	case "open", "openat", "creat":
		if c.name == "openat" {
			c.args = c.args[1:]
		}
		flags, mode := arg(1), arg(2)
		if c.name == "creat" {
			flags, mode = "O_WRONLY|O_CREAT|O_TRUNC", arg(1)
		}
		return of("open", p.opened(path(0), w), strings.TrimSpace(plainFlags(flags)+" "+mode))
	case "mknod", "mknodat":
		if c.name == "mknodat" {
			c.args = c.args[1:]
		}
		kind, mode, _ := strings.Cut(arg(1), "|")
		if kind != "S_IFIFO" {
			return of("mknod", path(0), arg(1))
		}
		if path(0) != "" && c.err == "" {
			w.fifos[path(0)] = true
		}
		return of("mkfifo", path(0), mode)
	case "unlink":
		return of("unlink", path(0))
	case "unlinkat":
		if strings.Contains(arg(2), "AT_REMOVEDIR") {
			return of("rmdir", path(1))
		}
		return of("unlink", path(1))
	case "link", "rename":
		return of(c.name, path(0), path(1))
	case "linkat":
		return of("link", path(1), path(3))
	case "renameat", "renameat2":
		return of("rename", path(1), path(3))
	case "chmod":
		return of("chmod", path(0), arg(1))
	case "fchmodat":
		return of("chmod", path(1), arg(2))
	case "fchmod":
		return of("fchmod", on(0), arg(1))

	case "ftruncate":
		return of("ftruncate", on(0), arg(1))
	case "truncate":
		return of("truncate", path(0), arg(1))
	case "fallocate":
		return of("fallocate", on(0), arg(2), arg(3))
	case "lseek":
		return of("lseek", on(0), arg(1), arg(2))
	case "memfd_create":
		return "memfd_create " + unquote(arg(0))
	case "mmap":
		if !strings.Contains(arg(3), "MAP_SHARED") {
			return ""
		}
		what := on(4)
		if strings.Contains(arg(3), "MAP_ANON") {
			what = "anonymous"
		}
		if what == "" {
			return ""
		}
		p.maps[c.ret] = what
		return of("mmap", what, arg(1), arg(2))
	case "munmap":
		what := p.maps[arg(0)]
		delete(p.maps, arg(0))
		return of("munmap", what, arg(1))

	case "mq_open":
		return of("mq_open", path(0), plainFlags(arg(1)), arg(2), queueAttr(arg(3)))
	case "mq_unlink":
		return of("mq_unlink", path(0))
	case "mq_timedsend":
		return of("mq_send", on(0), arg(2), "priority "+arg(3))
	case "mq_timedreceive":
		return of("mq_receive", on(0), moved)
	case "mq_getsetattr":
		if arg(1) == "NULL" {
			return of("mq_getattr", on(0))
		}
		return of("mq_setattr", on(0))
	case "mq_notify":
		return of("mq_notify", on(0))

	case "socket":
		return p.number(c.file, "socket") + " made: " + arg(0) + " " + socketType(arg(1))
	case "socketpair":
		return "socketpair " + arg(0) + " " + socketType(arg(1))
	case "bind", "connect":
		return of(c.name, on(0), socketPath(arg(1)))
	case "listen":
		return of("listen", on(0), arg(1))
	case "accept", "accept4":
		listener := on(0)
		if c.err != "" {
			return of("accept", listener)
		}
		return of("accept", listener, "→", p.number(c.file, "socket"))
	case "shutdown":
		return of("shutdown", on(0), arg(1))

	case "read", "readv", "pread64", "recvfrom", "recvmsg":
		return of("read", on(0), moved)
	case "write", "writev", "pwrite64", "sendto", "sendmsg":
		return of("write", on(0), moved)
	case "sendfile":
		return of("sendfile", on(0), "from", on(1), moved)
	case "splice":
		return of("splice", on(0), "to", on(2), moved)

	case "alarm":
		return "alarm " + arg(0)
	case "setitimer":
		if m := seconds.FindStringSubmatch(arg(1)); m != nil && arg(0) == "ITIMER_REAL" {
			return "setitimer " + m[1]
		}
		return ""
	case "pause", "rt_sigsuspend":
		return c.name
	}
	return ""
}

// opened adds to the name of a file that it is a FIFO.
func (p *process) opened(name string, w world) string {
	if w.fifos[name] {
		return "FIFO " + name
	}
	return name
}

var seconds = regexp.MustCompile(`it_value=\{tv_sec=(\d+)`)

// plainFlags returns the flags of an open without those of the descriptor.
func plainFlags(flags string) string {
	drop := []string{"O_CLOEXEC", "O_NONBLOCK", "O_LARGEFILE", "O_NOCTTY"}
	return strings.Join(slices.DeleteFunc(strings.Split(flags, "|"), func(f string) bool { return slices.Contains(drop, f) }), "|")
}

func socketType(t string) string {
	t, _, _ = strings.Cut(t, "|")
	return t
}

var sunPath = regexp.MustCompile(`sun_path=@?"((?:[^"\\]|\\.)*)"`)

func socketPath(addr string) string {
	if m := sunPath.FindStringSubmatch(addr); m != nil {
		name := pathName(unquote(strconv.Quote(m[1])))
		if name == "" {
			name = m[1]
		}
		return name
	}
	return addr
}

var queueForm = regexp.MustCompile(`mq_maxmsg=(\d+|-\d+), mq_msgsize=(\d+|-\d+)`)

// queueAttr returns the two attributes that mq_open looks at.
func queueAttr(attr string) string {
	if m := queueForm.FindStringSubmatch(attr); m != nil {
		return fmt.Sprintf("%s×%s", m[1], m[2])
	}
	return attr
}

// temporary is a part of a name that is another one each time: a descriptor's
// number in /proc, or a name that is chosen to be free.
var temporary = regexp.MustCompile(`(/proc/self/fd/|\.door\.)\w+`)
