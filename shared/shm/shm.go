// Package shm opens and maps memory that processes share: POSIX shared memory
// objects and plain files.
//
// Linux keeps a shared memory object as a file of the tmpfs on /dev/shm;
// shm_open(3) is open(2) there. What the C programs leave open, a mapping that
// is shorter than the struct laid over it, a full /dev/shm, a file that shrinks
// while it is mapped, kills them with SIGBUS at some later access. Here space is
// allocated and sizes are checked before a byte is mapped, and Guard turns the
// fault that remains into an error.
//
// Source: shm_overview(7), shm_open(3), mmap(2); glibc posix/shm-directory.c.
package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	dir     = "/dev/shm/"
	nameMax = 255 // NAME_MAX of tmpfs, in bytes
)

// ErrTruncated is what Guard fails with when mapped memory is no longer there:
// its file was made shorter.
var ErrTruncated = errors.New("file was truncated while it was mapped")

// Open wraps shm_open(3). name is "/somename"; flags are O_RDONLY or O_RDWR with
// O_CREAT, O_EXCL, O_TRUNC; perm is the mode of a new object, less the umask.
// The descriptor is close-on-exec. Open does not block and follows no symlink.
//
// Errors to expect, in an *fs.PathError: ENOENT, EEXIST, EACCES, EMFILE; EINVAL
// for a name that is empty, "/" or has a second slash; ENAMETOOLONG above 255
// bytes; ELOOP for a symlink under the name.
func Open(name string, flags int, perm fs.FileMode) (*os.File, error) {
	file, err := path(name)
	if err != nil {
		return nil, &fs.PathError{Op: "shm_open", Path: name, Err: err}
	}
	return open("shm_open", name, file, flags, perm)
}

// OpenFile wraps open(2) for a file that is to be mapped. It does not block on a
// FIFO or a device and follows no symlink; Map refuses what is no regular file.
func OpenFile(name string, flags int, perm fs.FileMode) (*os.File, error) {
	return open("open", name, name, flags, perm)
}

func open(op, name, file string, flags int, perm fs.FileMode) (*os.File, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	for {
		fd, err := unix.Open(file, flags, uint32(perm.Perm()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
		unix.SetNonblock(fd, false) // it has served: the open did not block
		return os.NewFile(uintptr(fd), name), nil
	}
}

// Unlink wraps shm_unlink(3): it removes the name. Processes that have the
// object mapped keep it. Errors to expect: ENOENT, also for a name that cannot
// be one; EACCES.
func Unlink(name string) error {
	file, err := path(name)
	if err == unix.EINVAL {
		err = unix.ENOENT // as glibc's shm_unlink
	}
	if err == nil {
		err = unix.Unlink(file)
		if err == unix.EPERM {
			err = unix.EACCES // POSIX has no EPERM here; glibc maps it likewise
		}
	}
	if err != nil {
		return &fs.PathError{Op: "shm_unlink", Path: name, Err: err}
	}
	return nil
}

// path returns the file of an object, by glibc's rules: leading slashes are
// dropped, then one component of 1 to 255 bytes must be left.
func path(name string) (string, error) {
	base := strings.TrimLeft(name, "/")
	switch {
	case base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\x00"):
		return "", unix.EINVAL
	case len(base) > nameMax:
		return "", unix.ENAMETOOLONG
	}
	return dir + base, nil
}

// Allocate makes the file size bytes long and backs them with memory or disk,
// where C's ftruncate(2) only sets the size and leaves a full device to kill the
// process later. It does not shorten a file. Errors to expect: ENOSPC, the
// device is full; EFBIG, above RLIMIT_FSIZE.
func Allocate(f *os.File, size int64) error {
	err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if err == unix.EOPNOTSUPP { // a file system without it
		err = control(f, func(fd int) error { return unix.Ftruncate(fd, size) })
	}
	if err != nil {
		return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

// A Mapping is a shared mapping of the beginning of a file.
type Mapping struct {
	Bytes []byte // nil once closed
	name  string
}

// Map wraps mmap(2): it maps the first size bytes of f for reading and writing,
// shared. f may be closed afterwards. f must be a regular file that reaches to
// the page on which the last of the bytes lies, and need says how many bytes it
// must have at least: a layout that was written by C may end inside its last
// page.
//
// Errors to expect, before anything is mapped: EINVAL with the file's size or
// type in the message; EACCES, f is not open for reading and writing; ENOMEM.
func Map(f *os.File, size, need int) (*Mapping, error) {
	fail := func(op string, err error) (*Mapping, error) {
		return nil, &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return fail("mmap", fmt.Errorf("is a %s, want a regular file: %w", kind(st.Mode()), unix.EINVAL))
	}
	if size <= 0 {
		return fail("mmap", fmt.Errorf("length %d: %w", size, unix.EINVAL))
	}
	page := os.Getpagesize()
	least := int64(max(need, (size-1)/page*page+1))
	if have := st.Size(); have < least {
		return fail("mmap", fmt.Errorf("has %d bytes, want at least %d: %w", have, least, unix.EINVAL))
	}
	m := &Mapping{name: f.Name()}
	err = control(f, func(fd int) (err error) {
		m.Bytes, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return err
	})
	if err != nil {
		return fail("mmap", err)
	}
	return m, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "FIFO"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// Close wraps munmap(2). No pointer into Bytes may be used afterwards.
func (m *Mapping) Close() error {
	b := m.Bytes
	if b == nil {
		return nil
	}
	m.Bytes = nil
	if err := unix.Munmap(b); err != nil {
		return &fs.PathError{Op: "munmap", Path: m.name, Err: err}
	}
	return nil
}

// Guard calls f, which works with the mapping in the goroutine that calls Guard.
// If an access faults because the file has become shorter, also that of a system
// call (EFAULT), Guard returns an error that wraps ErrTruncated, where a C program
// would die of SIGBUS. What f had deferred has run. A fault at any other address
// is left to crash.
func (m *Mapping) Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if fault, ok := r.(interface {
			runtime.Error
			Addr() uintptr
		}); ok && holds(m.Bytes, fault.Addr()) {
			err = &fs.PathError{Op: "access", Path: m.name, Err: ErrTruncated}
			return
		}
		panic(r)
	}()
	if err = f(); errors.Is(err, unix.EFAULT) {
		err = &fs.PathError{Op: "access", Path: m.name, Err: ErrTruncated}
	}
	return err
}

// control calls f with the descriptor and repeats it after EINTR. The file stays
// open meanwhile, and unlike with Fd its mode stays as it is.
func control(f *os.File, call func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	err = c.Control(func(fd uintptr) {
		for {
			if errno = call(int(fd)); errno != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return errno
}
