package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ipcbook/shared/mq"
)

const shmDir = "/dev/shm"

// place returns where the run looks for a path of the spec.
func (r *scene) place(path string) string {
	path = r.expand(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

// expand replaces $DIR and $NAME.
func (r *scene) expand(text string) string {
	return strings.NewReplacer("$DIR", r.dir, "$NAME", r.name).Replace(text)
}

// generic is the inverse of expand.
func (r *scene) generic(text string) string {
	return strings.NewReplacer(r.dir, "$DIR", r.name, "$NAME", r.name[1:], "NAME").Replace(text)
}

// make makes a file before the run.
func (r *scene) make(f File) error {
	path := r.place(f.Path)
	switch f.Type {
	case Dir:
		return os.Mkdir(path, 0o755)
	case FIFO:
		return unix.Mkfifo(path, 0o644)
	case Symlink:
		return os.Symlink(r.expand(f.Data), path)
	case Socket:
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	return os.WriteFile(path, []byte(f.Data), 0o644)
}

// makeQueue makes the message queue $NAME before the run.
func (r *scene) makeQueue(q *Queue) error {
	h, err := mq.Create(r.name, unix.O_RDWR|unix.O_EXCL, 0o600, &mq.Attr{MaxMsg: q.MaxMsg, MsgSize: q.MsgSize})
	if err != nil {
		return err
	}
	defer h.Close()
	for _, m := range q.Msgs {
		if err := h.TrySend([]byte(m.Text), m.Prio); err != nil {
			return err
		}
	}
	return nil
}

// is tells whether an object is as described.
func (r *scene) is(o *Object) bool {
	path := r.place(o.Path)
	if o.Path == "$NAME" {
		h, err := mq.Open(path, unix.O_RDONLY)
		if err != nil {
			return o.Absent
		}
		h.Close()
		return !o.Absent
	}
	st, err := os.Lstat(path)
	if err != nil {
		return o.Absent
	}
	if o.Absent {
		return false
	}
	if o.Listen {
		return listens(path)
	}
	if o.Socket && st.Mode()&fs.ModeSocket == 0 {
		return false
	}
	if len(o.Words) == 0 || !st.Mode().IsRegular() {
		return true
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for _, w := range o.Words {
		if len(b) < w.At+4 || binary.NativeEndian.Uint32(b[w.At:]) != w.Is {
			return false
		}
	}
	return true
}

// listens tells whether a server listens at the path. A connection that only asks
// would be a client.
func listens(path string) bool {
	const accepting = 0x10000 // __SO_ACCEPTCON
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return false
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l) // Num RefCount Protocol Flags Type St Inode Path
		if len(f) == 8 && f[7] == path {
			if flags, err := strconv.ParseUint(f[3], 16, 64); err == nil && flags&accepting != 0 {
				return true
			}
		}
	}
	return false
}

// describe notes the state of a file or queue: its kind, name, mode, size, and
// its bytes.
func (r *scene) describe(path string) []string {
	name := strings.TrimPrefix(r.generic(path), "$DIR/")
	if path == r.name {
		return r.describeQueue(path)
	}
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{"absent " + name}
	}
	if err != nil {
		return []string{"error " + r.generic(err.Error())}
	}
	mode := st.Mode().Perm()
	switch st.Mode().Type() {
	case 0:
	case fs.ModeDir:
		return []string{fmt.Sprintf("directory %s, mode %04o", name, mode)}
	case fs.ModeSymlink:
		to, _ := os.Readlink(path)
		return []string{fmt.Sprintf("symlink %s to %s", name, r.generic(to))}
	case fs.ModeNamedPipe:
		return []string{fmt.Sprintf("FIFO %s, mode %04o", name, mode)}
	case fs.ModeSocket:
		return []string{fmt.Sprintf("socket %s, mode %04o", name, mode)}
	default:
		return []string{fmt.Sprintf("device %s, mode %04o", name, mode)}
	}
	kind := "file"
	if filepath.Dir(path) == shmDir {
		kind = "shared memory"
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return []string{"error " + r.generic(err.Error())}
	}
	if slices.Contains(r.loose, r.generic(path)) {
		b = b[:0:0]
	}
	return append([]string{fmt.Sprintf("%s %s, mode %04o, %d bytes", kind, name, mode, st.Size())}, dump(b)...)
}

func (r *scene) describeQueue(name string) []string {
	h, err := mq.Open(name, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{"absent message queue $NAME"}
	}
	if err != nil {
		return []string{"error " + r.generic(err.Error())}
	}
	defer h.Close()
	a, err := h.Attr()
	if err != nil {
		return []string{"error " + r.generic(err.Error())}
	}
	return []string{fmt.Sprintf("message queue $NAME, mode %04o, at most %d messages of %d bytes, %d in it",
		queueMode(name), a.MaxMsg, a.MsgSize, a.CurMsgs)}
}

// queueMode returns the mode of a queue that this process has open. The file
// system of the queues need not be mounted, but /proc leads there.
func queueMode(name string) fs.FileMode {
	const dir = "/proc/self/fd"
	fds, _ := os.ReadDir(dir)
	for _, fd := range fds {
		path := filepath.Join(dir, fd.Name())
		if to, _ := os.Readlink(path); to == name {
			if st, err := os.Stat(path); err == nil {
				return st.Mode().Perm()
			}
		}
	}
	return 0
}

// dump returns the bytes of a small file, sixteen a line, without the lines that
// are all zero, and the checksum of a large one.
func dump(b []byte) []string {
	if len(b) > 4096 {
		return []string{fmt.Sprintf("  sha256 %x", sha256.Sum256(b))}
	}
	var lines []string
	for off := 0; off < len(b); off += 16 {
		row := b[off:min(off+16, len(b))]
		if slices.Max(row) > 0 {
			lines = append(lines, fmt.Sprintf("  %04x  % x  %s", off, row, printable(row)))
		}
	}
	return lines
}

func printable(b []byte) string {
	text := []byte(strings.Repeat(".", len(b)))
	for i, c := range b {
		if ' ' <= c && c <= '~' {
			text[i] = c
		}
	}
	return string(text)
}

// left describes what the run has left: all in its directory, and the objects
// with its name.
func (r *scene) left() []string {
	var lines []string
	filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		if path != r.dir {
			lines = append(lines, r.describe(path)...)
		}
		return nil
	})
	if path := shmDir + r.name; exists(path) {
		lines = append(lines, r.describe(path)...)
	}
	if r.is(&Object{Path: "$NAME"}) {
		lines = append(lines, r.describeQueue(r.name)...)
	}
	return lines
}

// clean removes it.
func (r *scene) clean() {
	os.RemoveAll(r.dir)
	os.Remove(shmDir + r.name)
	mq.Unlink(r.name)
}
