package sem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ipcbook/shared/shm"
)

// A Named is a process's handle of a named semaphore, which C opens with
// sem_open(3): a sem_t alone in the file /dev/shm/sem.NAME. Two handles of one
// name in a process are the same semaphore.
type Named struct {
	*Sem    // nil once closed
	mapping *shm.Mapping
}

// Open wraps sem_open(3) without O_CREAT: it opens the semaphore that has the
// name. It does not block and follows no symlink.
//
// Errors to expect, in an *fs.PathError: ENOENT; EACCES, also for somebody who may
// only read; EINVAL for a name that is empty, "/" or has a second slash;
// ENAMETOOLONG above 251 bytes; ELOOP for a symlink under the name. C attaches to
// any file; here one that is shorter than a sem_t (an access would be SIGBUS) is
// EINVAL, and one that holds none is ErrNotShared or ErrCorrupt.
//
// Source: glibc sysdeps/pthread/sem_open.c.
func Open(name string) (*Named, error) {
	obj, err := object(name)
	if err != nil {
		return nil, failed("sem_open", name, err)
	}
	s, err := openExisting(obj)
	if err != nil {
		return nil, failed("sem_open", name, err)
	}
	return s, nil
}

// Create wraps sem_open(3) with O_CREAT: it makes the semaphore with the value
// and the mode perm less the umask. With flags 0 it opens one that exists as it
// is; with O_EXCL that is an error. Nobody ever sees it half made: it gets its
// name when it is complete. Before that it has none, so that a process that is
// killed leaves nothing. Where that is impossible, for want of O_TMPFILE or, before
// Linux 6.10, of /proc, it may leave what C does: a file /dev/shm/sem.XXXXXX, with
// six random characters.
//
// Errors to expect are those of Open, and EEXIST; EINVAL for a value above
// ValueMax; ENOSPC, /dev/shm is full; EMFILE.
func Create(name string, flags int, perm fs.FileMode, value uint32) (*Named, error) {
	obj, err := object(name)
	if err != nil {
		return nil, failed("sem_open", name, err)
	}
	for {
		if flags&unix.O_EXCL == 0 {
			s, err := openExisting(obj)
			if err == nil {
				return s, nil
			}
			if !errors.Is(err, unix.ENOENT) {
				return nil, failed("sem_open", name, err)
			}
		}
		s, err := create(obj, perm, value)
		if err == nil {
			return s, nil
		}
		if flags&unix.O_EXCL != 0 || !errors.Is(err, unix.EEXIST) {
			return nil, failed("sem_open", name, err)
		}
		// Another process was faster: open its semaphore.
	}
}

// Unlink wraps sem_unlink(3): it removes the name. Processes that have the
// semaphore open keep it. Errors to expect: ENOENT, also for a name that cannot
// be one; EACCES.
func Unlink(name string) error {
	obj, err := object(name)
	if err == unix.EINVAL {
		err = unix.ENOENT // as glibc's sem_unlink
	}
	if err == nil {
		err = shm.Unlink(obj)
	}
	if err != nil {
		return failed("sem_unlink", name, err)
	}
	return nil
}

// Close wraps sem_close(3). It leaves the name and the value as they are. Nobody
// may use the handle during Close or afterwards.
func (n *Named) Close() error {
	n.Sem = nil
	return n.mapping.Close()
}

const (
	dir     = "/dev/shm" // where glibc keeps named semaphores
	nameMax = 251        // NAME_MAX of tmpfs less "sem.", in bytes
)

// object returns the name of the shared memory object that holds the semaphore.
func object(name string) (string, error) {
	base := strings.TrimLeft(name, "/")
	switch {
	case base == "" || strings.ContainsAny(base, "/\x00"):
		return "", unix.EINVAL
	case len(base) > nameMax:
		return "", unix.ENAMETOOLONG
	}
	return "/sem." + base, nil
}

// failed names the call and the semaphore in place of what lies below.
func failed(op, name string, err error) error {
	if below := (*fs.PathError)(nil); errors.As(err, &below) {
		err = below.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func openExisting(obj string) (*Named, error) {
	f, err := shm.Open(obj, unix.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return attach(f)
}

// attach maps the semaphore in f.
func attach(f *os.File) (*Named, error) {
	m, err := shm.Map(f, Size, Size)
	if err != nil {
		return nil, err
	}
	s, err := At(m.Bytes)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return &Named{s, m}, nil
}

// A way to make a file in dir that gets its name when it is complete.
type way struct {
	file func(perm fs.FileMode) (*os.File, error)
	link func(f *os.File, path string) error
}

var (
	byDescriptor = way{nameless, linkDescriptor} // from Linux 6.10, or with CAP_DAC_READ_SEARCH
	byProc       = way{nameless, linkProc}       // where /proc is mounted
	byName       = way{temporary, linkName}      // everywhere, as C does it
)

// create makes the semaphore, then links it to its name, which fails if that exists.
func create(obj string, perm fs.FileMode, value uint32) (*Named, error) {
	if value > ValueMax {
		return nil, unix.EINVAL
	}
	return createBy(obj, perm, value, byDescriptor, byProc, byName)
}

// createBy tries one way after the other. The error is that of the last.
func createBy(obj string, perm fs.FileMode, value uint32, ways ...way) (s *Named, err error) {
	for _, w := range ways {
		s, err = w.create(obj, perm, value)
		if err == nil || errors.Is(err, unix.EEXIST) {
			break
		}
	}
	return s, err
}

func (w way) create(obj string, perm fs.FileMode, value uint32) (*Named, error) {
	f, err := w.file(perm)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Name() != "" {
		defer shm.Unlink(f.Name())
	}

	var content [Size]byte // struct new_sem
	binary.NativeEndian.PutUint64(content[0:], uint64(value))
	binary.NativeEndian.PutUint32(content[8:], sharedFlag)
	if n, err := f.Write(content[:]); err != nil {
		return nil, err
	} else if n < Size {
		return nil, io.ErrShortWrite
	}
	s, err := attach(f)
	if err != nil {
		return nil, err
	}
	if err := w.link(f, dir+obj); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// nameless creates a file in dir that has no name yet.
func nameless(perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
		if err == nil {
			return os.NewFile(uintptr(fd), ""), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}

// temporary creates an object under a name that nobody uses, of glibc's form.
func temporary(perm fs.FileMode) (*os.File, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for {
		name := []byte("/sem.XXXXXX")
		for i := len("/sem."); i < len(name); i++ {
			name[i] = letters[rand.IntN(len(letters))]
		}
		f, err := shm.Open(string(name), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, perm)
		if err == nil || !errors.Is(err, unix.EEXIST) {
			return f, err
		}
	}
}

func linkDescriptor(f *os.File, path string) error {
	return unix.Linkat(int(f.Fd()), "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
}

func linkProc(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

func linkName(f *os.File, path string) error { return unix.Link(dir+f.Name(), path) }
