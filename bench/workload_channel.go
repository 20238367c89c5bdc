package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What carries bytes or packets. io is how the examples use it.
var channels = []struct {
	name, io string
	make     func(j *job, b *bench, both bool) (first, second []*os.File, err error)
	largest  func() int
}{
	{"pipe", "file", makePipes, unlimited},
	{"FIFO", "file", makeFIFOs, unlimited},
	{"stream", "fd", sockets(unix.SOCK_STREAM), unlimited},
	{"seqpacket", "fd", sockets(unix.SOCK_SEQPACKET), largestPacket},
	{"datagram", "fd", sockets(unix.SOCK_DGRAM), largestPacket},
}

var sizes = []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

// Ways are how messages travel.
const (
	roundTrip = "round trip"
	oneWay    = "one way"
)

func channelWorkloads() []*workload {
	var all []*workload
	for _, way := range []string{roundTrip, oneWay} {
		for _, c := range channels {
			for _, size := range sizes {
				if size > c.largest() {
					continue
				}
				// Beside the way of the examples, the other one.
				other := variant{Label: "Go, os.File", io: "file"}
				if c.io == "file" {
					other = variant{Label: "Go, read(2)", io: "fd"}
				}
				this := goGo
				this.io = c.io
				w := &workload{
					name:     c.name + " " + way,
					size:     size,
					procs:    1,
					variants: []variant{this},
					quick:    size == 64 && c.name != "FIFO", // which is a pipe
					busy:     size == 64,
				}
				if size == 64 {
					w.variants = append(w.variants, other)
				}
				w.setup = func(b *bench, w *workload, v variant) (*job, error) {
					j := &job{size: w.size, peer: 1}
					both := way == roundTrip
					first, second, err := c.make(j, b, both)
					if err != nil {
						return j, err
					}
					io := v.io
					if io == "" {
						io = c.io
					}
					roles := [2]string{"send", "recv"}
					if both {
						roles = [2]string{"ping", "pong"}
					}
					j.halves = []half{
						{by: v.first, role: io + "." + roles[0], seat: 0, sign: +1, files: first},
						{by: v.second, role: io + "." + roles[1], seat: 1, sign: -1, files: second},
					}
					return j, nil
				}
				all = append(all, w)
			}
		}
	}
	return all
}

func unlimited() int { return 1 << 20 }

// largestPacket is what the send buffer takes: the kernel charges a packet for
// some memory beside its bytes.
func largestPacket() int {
	var n int
	b, err := os.ReadFile("/proc/sys/net/core/wmem_default")
	if err == nil {
		fmt.Sscan(string(b), &n)
	}
	return n - 4096
}

func files(f ...*os.File) []*os.File { return f }

func pipe() (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
}

// makePipes gives the first half descriptors to read from and to write to, and
// the second half those that belong to them. A half that only writes gets
// /dev/null to read from, so that nobody holds an end it does not use.
func makePipes(j *job, b *bench, both bool) (first, second []*os.File, err error) {
	r1, w1, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	var r2, w2 *os.File
	if both {
		r2, w2, err = pipe()
	} else {
		r2, err = os.OpenFile(os.DevNull, os.O_RDWR, 0)
		w2 = r2
	}
	return files(r2, w1), files(r1, w2), err
}

func makeFIFOs(j *job, b *bench, both bool) (first, second []*os.File, err error) {
	j.path = b.name()
	for _, way := range []string{".to", ".from"} {
		if err := unix.Mkfifo(j.path+way, 0o600); err != nil {
			return nil, nil, &os.PathError{Op: "mkfifo", Path: j.path + way, Err: err}
		}
		j.cleanup = append(j.cleanup, func() { os.Remove(j.path + way) })
	}
	return nil, nil, nil
}

// sockets gives both halves the same socket to read from and to write to.
func sockets(typ int) func(*job, *bench, bool) (first, second []*os.File, err error) {
	return func(*job, *bench, bool) (first, second []*os.File, err error) {
		s, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, nil, os.NewSyscallError("socketpair", err)
		}
		a, z := os.NewFile(uintptr(s[0]), "socket"), os.NewFile(uintptr(s[1]), "socket")
		return files(a, a), files(z, z), nil
	}
}
