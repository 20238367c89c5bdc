package door

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	probeTime = 2 * time.Second // for a socket in use to show that it is a door
	lockTime  = 2 * probeTime   // for another Attach or Detach in the directory
	backlog   = 4096            // the kernel lowers it to net.core.somaxconn
)

// An attachment is a door at a path: a listening socket.
type attachment struct {
	door *Door
	path string
	dir  *os.File // the directory, so that a chdir does not matter
	base string
	dev  uint64
	ino  uint64

	covered bool // there was an empty plain file
	mode    uint32

	ln *os.File
	rc syscall.RawConn
}

// Attach wraps fattach(3C): it makes the door reachable at path.
//
// The path may be free; Solaris wants a file there, of which it takes the
// permissions, and hides it until the door is detached. So here: an empty plain
// file of this user, as creat(2) makes it, is replaced, and Detach gives back
// such a file. A socket of this user that nobody serves any more, left by a
// server that was killed, is replaced, too. All else is left untouched.
//
// The socket has the permissions of the file it covers, or 0666 less the umask.
// To open a door takes write permission, where on Solaris that to read is enough.
// A client never finds the socket half made: it gets its name by rename(2) when
// it listens. Attachments and detachments of one directory wait for each other
// with flock(2) on it; after four seconds they go on without. If the process is
// killed meanwhile, a file .door.XXXX may stay in the directory: the next Attach to
// the same path removes it, and so does rm. The path may have any length, since the
// system calls go by way of /proc/self/fd; a path of 108 bytes or more is, however,
// hard to reach for others than this package.
//
// EBUSY: a door of this user is attached there; see [Detach]. EADDRINUSE: a
// socket is in use there that is no door, does not answer, or is another user's.
// EPERM: the file, or the socket that nobody serves, is another user's. EEXIST:
// there is a file that is not empty, has several names, or is neither plain nor a
// socket. EISDIR, ELOOP: it is a directory, a symbolic link. EBADF: the door is
// closed. ENOENT, ENOTDIR, EACCES, EROFS, ENAMETOOLONG: as for creat(2). EMFILE,
// ENFILE: too many descriptors.
func (d *Door) Attach(path string) error {
	if err := d.attach(path); err != nil {
		return &fs.PathError{Op: "fattach", Path: path, Err: err}
	}
	return nil
}

func (d *Door) attach(path string) error {
	d.attaching.RLock()
	defer d.attaching.RUnlock()
	dir, base, err := openDir(path)
	if err != nil {
		return err
	}
	at := &attachment{door: d, path: absolute(path), dir: dir, base: base}
	if err := at.listen(); err != nil {
		at.close()
		return err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		at.remove()
		return unix.EBADF
	}
	d.attached = append(d.attached, at)
	d.isUnref = false
	d.mu.Unlock()
	go at.accept()
	return nil
}

// Detach wraps fdetach(3C) for a path of this door. EINVAL: it is not attached
// there. If something else has taken its place meanwhile, that is left alone.
func (d *Door) Detach(path string) error {
	abs := absolute(path)
	d.mu.Lock()
	var at *attachment
	for _, a := range d.attached {
		if a.path == abs {
			at = a
		}
	}
	d.mu.Unlock()
	err := error(unix.EINVAL)
	if at != nil {
		err = at.detach()
	}
	if err != nil {
		return &fs.PathError{Op: "fdetach", Path: path, Err: err}
	}
	return nil
}

// Detach wraps fdetach(3C): it takes whatever door is attached at path off it,
// also one of another process, which goes on to serve the clients that it has. A
// plain file that the door covered is there again. What a killed server left is
// removed.
//
// EINVAL: there is no door. ENOENT: there is nothing. EPERM: the door is another
// user's. EADDRINUSE: there is a socket in use that is no door or does not answer
// within two seconds.
func Detach(path string) error {
	if err := detachPath(path); err != nil {
		return &fs.PathError{Op: "fdetach", Path: path, Err: err}
	}
	return nil
}

func detachPath(path string) error {
	dir, base, err := openDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	there, err := examine(dir, base)
	if err != nil {
		return err
	}
	defer there.close()
	switch {
	case there.free():
		return unix.ENOENT
	case there.st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return unix.EINVAL
	case !there.ours():
		return unix.EPERM
	}
	switch err := there.probe(); err {
	case nil:
		// The server does it: it knows what it has covered.
		ctx, cancel := context.WithTimeout(context.Background(), probeTime)
		defer cancel()
		err := there.client.transact(ctx, typeDetach, new(Arg))
		if err == unix.EINVAL {
			return nil // somebody else was faster
		}
		return err
	case errDead:
		unlock, _ := lock(dir)
		defer unlock()
		if !there.same(dir, base) {
			return nil // somebody else was faster
		}
		return unix.Unlinkat(int(dir.Fd()), base, 0)
	default:
		return err
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// openDir opens the directory of path.
func openDir(path string) (dir *os.File, base string, err error) {
	i := strings.LastIndexByte(path, '/') + 1
	name, base := path[:i], path[i:]
	switch {
	case path == "":
		return nil, "", unix.ENOENT
	case strings.IndexByte(path, 0) >= 0:
		return nil, "", unix.EINVAL
	case base == "" || base == "." || base == "..":
		return nil, "", unix.EISDIR
	case name == "":
		name = "."
	}
	for _, how := range []int{unix.O_RDONLY, unix.O_PATH} { // O_PATH if it cannot be read
		var fd int
		for {
			fd, err = unix.Open(name, how|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != unix.EINTR {
				break
			}
		}
		if err == nil {
			return os.NewFile(uintptr(fd), name), base, nil
		}
		if err != unix.EACCES {
			break
		}
	}
	return nil, "", err
}

// lock makes others that attach or detach in dir wait. That several servers may
// replace a dead one's socket at the same time needs it: between the look and the
// rename the winner's could have come there.
func lock(dir *os.File) (unlock func(), held bool) {
	fd := int(dir.Fd())
	for end, nap := time.Now().Add(lockTime), time.Millisecond; ; nap *= 2 {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { unix.Flock(fd, unix.LOCK_UN) }, true
		}
		// Anybody who can read the directory can hold a lock on it, for ever.
		if err != unix.EAGAIN && err != unix.EINTR || time.Now().After(end) {
			return func() {}, false
		}
		time.Sleep(min(nap, 10*time.Millisecond))
	}
}

// occupant is what is at a path.
type occupant struct {
	client *Client // holds it, whatever it is; nil: there is nothing
	st     unix.Stat_t
}

func examine(dir *os.File, base string) (*occupant, error) {
	fd, err := openPath(int(dir.Fd()), base)
	if err == unix.ENOENT {
		return new(occupant), nil
	}
	if err != nil {
		return nil, err
	}
	o := &occupant{client: &Client{path: base, door: os.NewFile(uintptr(fd), base)}}
	if err := unix.Fstat(fd, &o.st); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *occupant) close() {
	if !o.free() {
		o.client.Close()
	}
}

func (o *occupant) free() bool { return o.client == nil }

func (o *occupant) ours() bool { return o.st.Uid == uint32(os.Geteuid()) }

// same reports whether the occupant is still at its path. As long as it is open
// its inode number belongs to nothing else.
func (o *occupant) same(dir *os.File, base string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Dev == o.st.Dev && st.Ino == o.st.Ino
}

var errDead = errors.New("nobody serves the socket")

// probe looks who serves a socket: nil if it is a door of this user, errDead if
// nobody does, and EADDRINUSE for all else.
func (o *occupant) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	l, err := o.client.dial(ctx)
	if err == unix.ECONNREFUSED {
		return errDead
	}
	if err != nil {
		return unix.EADDRINUSE
	}
	if !o.ours() {
		l.close() // without a word
		return unix.EADDRINUSE
	}
	o.client.give(l)
	err = o.client.shake(ctx)
	if err != nil && !errors.Is(err, unix.EPROTONOSUPPORT) {
		return unix.EADDRINUSE
	}
	return nil
}

// vacant checks that a door may be attached in the occupant's place.
func (o *occupant) vacant() error {
	if o.free() {
		return nil
	}
	switch o.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFLNK:
		return unix.ELOOP
	case unix.S_IFREG:
		if !o.ours() {
			return unix.EPERM
		}
		if o.st.Size > 0 || o.st.Nlink > 1 {
			return unix.EEXIST
		}
		return nil
	case unix.S_IFSOCK:
		switch err := o.probe(); {
		case err == nil:
			return unix.EBUSY
		case err != errDead:
			return err
		case !o.ours():
			return unix.EPERM
		}
		return nil
	}
	return unix.EEXIST
}

// listen makes the socket and puts it in its place.
func (at *attachment) listen() error {
	unlock, held := lock(at.dir)
	defer unlock()
	there, err := examine(at.dir, at.base)
	if err != nil {
		return err
	}
	defer there.close()
	if err := there.vacant(); err != nil {
		return err
	}
	if there.st.Mode&unix.S_IFMT == unix.S_IFREG {
		at.covered, at.mode = true, there.st.Mode&0o777
	}
	temp, err := at.bind(held)
	if err != nil {
		return err
	}
	if err := at.place(temp, there); err != nil {
		unix.Unlinkat(int(at.dir.Fd()), temp, 0)
		return err
	}
	return nil
}

// bind makes the listening socket under a temporary name.
func (at *attachment) bind(locked bool) (temp string, err error) {
	dir := int(at.dir.Fd())
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	at.ln = os.NewFile(uintptr(fd), at.path)
	if at.rc, err = at.ln.SyscallConn(); err != nil {
		return "", err
	}
	// The name that bind gives has this mode less the umask.
	if err := unix.Fchmod(fd, 0o666); err != nil {
		return "", err
	}
	for {
		temp = at.tempName(locked)
		err := unix.Bind(fd, &unix.SockaddrUnix{Name: procFD(dir) + "/" + temp})
		if err == nil {
			break
		}
		if err != unix.EADDRINUSE {
			return "", err
		}
	}
	err = at.settle(temp)
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Unlinkat(dir, temp, 0)
		return "", err
	}
	return temp, nil
}

// settle gives the new socket its mode and remembers which file it is.
func (at *attachment) settle(temp string) error {
	fd, err := openPath(int(at.dir.Fd()), temp)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Uid != uint32(os.Geteuid()) {
		return unix.EADDRINUSE // somebody plays tricks with the name
	}
	at.dev, at.ino = st.Dev, st.Ino
	if at.covered && st.Mode&0o777 != at.mode {
		if err := unix.Chmod(procFD(fd), at.mode); err != nil {
			return err
		}
	}
	return nil
}

// place moves the socket from its temporary name to its own.
func (at *attachment) place(temp string, there *occupant) error {
	dir := int(at.dir.Fd())
	if there.free() {
		err := unix.Renameat2(dir, temp, dir, at.base, unix.RENAME_NOREPLACE)
		if err == unix.EINVAL { // a file system without it
			if err = unix.Linkat(dir, temp, dir, at.base, 0); err == nil {
				err = unix.Unlinkat(dir, temp, 0)
			}
		}
		if err == unix.EEXIST {
			err = unix.EBUSY
		}
		return err
	}
	if !there.same(at.dir, at.base) {
		return unix.EBUSY
	}
	err := unix.Renameat2(dir, temp, dir, at.base, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL {
		return unix.Renameat(dir, temp, dir, at.base)
	}
	if err != nil {
		return err
	}
	// What came out must be what was looked at, and a plain file still empty.
	var st unix.Stat_t
	err = unix.Fstatat(dir, temp, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || st.Dev != there.st.Dev || st.Ino != there.st.Ino || at.covered && st.Size > 0 {
		if err := unix.Renameat2(dir, temp, dir, at.base, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		return unix.EEXIST
	}
	return unix.Unlinkat(dir, temp, 0)
}

// detach takes the attachment off its path, once.
func (at *attachment) detach() error {
	d := at.door
	d.mu.Lock()
	i := slices.Index(d.attached, at)
	if i < 0 {
		d.mu.Unlock()
		return unix.EINVAL
	}
	d.attached = slices.Delete(d.attached, i, i+1)
	d.mu.Unlock()
	err := at.remove()
	d.mu.Lock()
	d.unreferenced()
	d.mu.Unlock()
	return err
}

// remove ends an attachment that is no longer among the door's. It removes the
// socket if that is still at its path, and gives back the file that it covered.
func (at *attachment) remove() error {
	defer at.close()
	unlock, held := lock(at.dir)
	defer unlock()
	dir := int(at.dir.Fd())
	var st unix.Stat_t
	err := unix.Fstatat(dir, at.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == nil && (st.Dev != at.dev || st.Ino != at.ino) {
		return nil // somebody else has removed it, or replaced it
	}
	if err != nil {
		return err
	}
	if at.covered {
		err := at.uncover(held)
		if err == nil {
			return nil
		}
		if uerr := unix.Unlinkat(dir, at.base, 0); uerr != nil {
			return uerr
		}
		return err
	}
	return unix.Unlinkat(dir, at.base, 0)
}

// uncover puts an empty plain file in the socket's place.
func (at *attachment) uncover(locked bool) error {
	dir, temp := int(at.dir.Fd()), at.tempName(locked)
	fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = unix.Fchmod(fd, at.mode); err == nil {
		err = unix.Renameat(dir, temp, dir, at.base)
	}
	if err != nil {
		unix.Unlinkat(dir, temp, 0)
	}
	return err
}

// close closes the descriptors. The accepting goroutine sees it.
func (at *attachment) close() {
	if at.ln != nil {
		at.ln.Close()
	}
	at.dir.Close()
}

// tempName returns a name for something that gets its own by rename. Under the lock
// of the directory it is always the same for a path, so that what an earlier process
// left there, which was killed in the middle, is found and removed.
func (at *attachment) tempName(locked bool) string {
	if locked {
		h := fnv.New64a()
		h.Write([]byte(at.base))
		if name := fmt.Sprintf(".door.%016x", h.Sum64()); at.clear(name) {
			return name
		}
	}
	return ".door." + rand.Text()[:12]
}

// clear removes what a process that was killed has left under a temporary name: a
// socket that nobody serves, or an empty file that was to be covered or uncovered.
// What is another user's it leaves alone. It reports whether the name is free.
func (at *attachment) clear(temp string) bool {
	there, err := examine(at.dir, temp)
	if err != nil {
		return false
	}
	defer there.close()
	if there.free() {
		return true
	}
	return there.ours() && there.vacant() == nil && unix.Unlinkat(int(at.dir.Fd()), temp, 0) == nil
}
