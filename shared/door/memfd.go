package door

import "golang.org/x/sys/unix"

// keepMax is how large a shelf may be that a client keeps between calls.
const keepMax = 4 << 20

// newMemfd makes a memfd that can be sealed.
func newMemfd() (int, unix.Errno) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("door", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("door", flags)
	}
	if err != nil {
		return -1, toErrno(err)
	}
	return fd, 0
}

// seal returns a memfd with data, of which neither the size nor a byte can change
// any more, whoever holds the descriptor.
func seal(data []byte) (int, unix.Errno) {
	fd, errno := newMemfd()
	if errno != 0 {
		return -1, errno
	}
	for done := 0; done < len(data); {
		n, err := unix.Pwrite(fd, data[done:], int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			unix.Close(fd)
			return -1, toErrno(err)
		}
		done += n
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, toErrno(err)
	}
	return fd, 0
}

// A shelf is a memfd that a link uses for one large frame after another: to get
// the pages from the kernel, and to give them back, takes longer than to fill
// them. Only this process can write to it, by its mapping.
type shelf struct {
	fd  int
	mem []byte // nil: there is none
}

// put puts data on the shelf, a larger one if need be.
func (s *shelf) put(data []byte) unix.Errno {
	if len(data) > len(s.mem) {
		s.drop()
		if errno := s.make(len(data)); errno != 0 {
			return errno
		}
	}
	for at := 0; at < len(data); at += copyStep {
		copy(s.mem[at:], data[at:min(at+copyStep, len(data))])
	}
	return 0
}

// copyStep keeps what is copied in the cache, where the peer is about to read it: from
// 256 KiB on Go's copy goes past the cache (runtime/memmove_amd64.s).
const copyStep = 128 << 10

func (s *shelf) make(size int) unix.Errno {
	fd, errno := newMemfd()
	if errno != 0 {
		return errno
	}
	// With all its pages, so that a lack of memory is an error here and not a
	// SIGBUS later.
	err := unix.Fallocate(fd, 0, 0, int64(size))
	for err == unix.EINTR {
		err = unix.Fallocate(fd, 0, 0, int64(size))
	}
	if err == nil {
		s.mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if err == nil {
		const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_FUTURE_WRITE
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		if s.mem != nil {
			unix.Munmap(s.mem)
			s.mem = nil
		}
		unix.Close(fd)
		return toErrno(err)
	}
	s.fd = fd
	return 0
}

func (s *shelf) drop() {
	if s.mem != nil {
		unix.Munmap(s.mem)
		unix.Close(s.fd)
		s.mem = nil
	}
}

// checkSealed checks that fd, which came with a frame, is a sealed memfd that
// holds what the frame announced. The sender may keep a writable mapping, so what
// we look at is a copy.
func checkSealed(fd int, size uint64) unix.Errno {
	const (
		resize = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
		write  = unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE
	)
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || got&resize != resize || got&write == 0 {
		return unix.EPROTO
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size < 0 || uint64(st.Size) < size {
		return unix.EPROTO
	}
	return 0
}

// readAll fills buf from the start of fd. The data is read and not mapped: a page
// of a mapping of huge pages can be missing at the moment of its use.
func readAll(fd int, buf []byte) unix.Errno {
	for done := 0; done < len(buf); {
		n, err := unix.Pread(fd, buf[done:], int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return toErrno(err)
		case n == 0:
			return unix.EPROTO
		}
		done += max(n, 0)
	}
	return 0
}
