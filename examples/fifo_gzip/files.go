package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
)

// open wraps open(2): it returns a file in blocking mode.
func open(name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o666)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// openInput opens FILE, or returns standard input for "-".
func openInput(name string) (*os.File, error) {
	if name == "-" {
		_, err := prog.Stdin.Read(nil) // fails if it is closed
		return os.Stdin, err
	}
	f, err := open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: unix.EISDIR}
	}
	return f, nil
}

// An output is FILE.gz.
type output struct {
	*os.File
	*prog.Draft // one that was made is removed unless gzip has written all of it
}

// openOutput opens FILE.gz as the ">" of a shell does, or returns standard output
// for "-". An existing file is made empty, unless it is the input.
func openOutput(name string, in *os.File, fifo fs.FileInfo) (*output, error) {
	out := &output{os.Stdout, &prog.Draft{}}
	if name == "-" {
		if _, err := prog.Stdout.Write(nil); err != nil { // fails if it is closed
			return nil, err
		}
		return out, out.differ(in)
	}
	if st, err := os.Stat(name); err == nil && os.SameFile(st, fifo) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is the FIFO itself")}
	}
	var err error
	out.File, out.Draft, err = prog.CreateNew(name, func(flags int) (*os.File, error) {
		return open(name, flags|unix.O_WRONLY)
	})
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return out, err
	}
	if out.File, err = open(name, unix.O_WRONLY|unix.O_CREAT); err != nil {
		return nil, err
	}
	if err := out.differ(in); err != nil {
		return nil, err
	}
	if st, err := out.Stat(); err != nil || !st.Mode().IsRegular() {
		return out, err
	}
	return out, out.Truncate(0)
}

// differ returns an error if the output is the input file.
func (o *output) differ(in *os.File) error {
	from, err := in.Stat()
	if err != nil {
		return err
	}
	to, err := o.Stat()
	if err != nil {
		return err
	}
	if to.Mode().IsRegular() && os.SameFile(from, to) {
		return &fs.PathError{Op: "open", Path: o.Name(), Err: errors.New("is the input file itself")}
	}
	return nil
}

// makeFIFO wraps mkfifo(3). It fails with EEXIST if there is anything at the path.
// remove removes the FIFO.
func makeFIFO(path string) (made fs.FileInfo, remove func(), err error) {
	// No signal may come between the FIFO and its clean-up.
	err = prog.HoldSignals(func(context.Context) error {
		if err := unix.Mkfifo(path, 0o666); err != nil {
			return &fs.PathError{Op: "mkfifo", Path: path, Err: err}
		}
		if made, err = os.Lstat(path); err != nil {
			return err
		}
		remove = prog.Cleanup(func() { prog.RemoveSame(path, made) })
		return nil
	})
	if errors.Is(err, fs.ErrExist) {
		if st, serr := os.Lstat(path); serr == nil && st.Mode()&fs.ModeNamedPipe != 0 {
			err = prog.Hint(err, "if no other program uses it, remove it with: rm %s", prog.Word(path))
		} else {
			err = prog.Hint(err, "it is no FIFO; choose another path with --fifo")
		}
	}
	return made, remove, err
}

// openFIFO opens one end of the FIFO. It waits until the other end has been opened.
// made, if it is not nil, tells which FIFO is meant.
func openFIFO(name string, flags int, made fs.FileInfo) (*os.File, error) {
	f, err := open(name, flags|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode()&fs.ModeNamedPipe == 0 || made != nil && !os.SameFile(st, made) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is no longer the FIFO that was made")}
	}
	return f, nil
}
