package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
)

// claim calls bind once nothing is left at path that a dead server has bound. It
// returns a function that removes the socket, which a signal calls too.
//
// bind(2) by itself lets one server win and gives EADDRINUSE to the other. But a
// server that finds a stale socket must not remove the one which another server has
// put in its place a moment later. So the look, the removal and bind are done under
// a lock on the directory, which leaves nothing behind.
func claim(path string, bind func() error) (remove func(), err error) {
	dir, err := lock(path[:strings.LastIndexByte(path, '/')+1])
	switch {
	case errors.Is(err, fs.ErrPermission):
		// A directory that one may write but not read: nothing is removed from it.
	case err != nil:
		return nil, err
	default:
		defer dir.Close()
		if err := removeStale(path); err != nil {
			return nil, err
		}
	}
	// No signal may come between the socket and its clean-up.
	err = prog.HoldSignals(func(context.Context) error {
		if err := bind(); err != nil {
			return err
		}
		made, err := os.Lstat(path)
		if err != nil {
			return err
		}
		remove = prog.Cleanup(func() {
			// It is ours as long as this process has it bound: nobody replaces it.
			if st, err := os.Lstat(path); err == nil && os.SameFile(st, made) {
				unix.Unlink(path)
			}
		})
		return nil
	})
	return remove, err
}

// removeStale removes a socket that no server has bound any more. It fails with
// EADDRINUSE for one that a server has, and for everything that is no socket.
func removeStale(path string) error {
	fail := func(err error) error { return &fs.PathError{Op: "bind", Path: path, Err: err} }

	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // bind will tell if it is the directory that is missing
	}
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return fail(fmt.Errorf("is there and is no socket: %w", unix.EADDRINUSE))
	}
	switch err := probe(path); {
	case err == unix.ECONNREFUSED:
	case err == nil || err == unix.EPROTOTYPE:
		return fail(fmt.Errorf("a server is there: %w", unix.EADDRINUSE))
	default:
		return fail(fmt.Errorf("cannot tell whether a server is there: %w", err))
	}
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: path, Err: err}
	}
	return nil
}

// probe tells by its error whether a process has the socket at path bound: no is
// ECONNREFUSED, yes is EPROTOTYPE for a stream socket. It connects a datagram
// socket, so that a live server sees no connection, and a server between bind and
// listen is not taken for a dead one (unix_find_bsd in the kernel's net/unix/af_unix.c).
func probe(path string) error {
	address, err := sockaddr(path)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, address)
}

// lock opens the directory and takes its flock(2) lock, which ends with the
// returned file. It does not wait long: anybody who may read the directory could
// hold the lock for ever.
func lock(dir string) (*os.File, error) {
	if dir == "" {
		dir = "."
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	for deadline := time.Now().Add(patience); ; moment() {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), dir), nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR, time.Now().After(deadline):
			unix.Close(fd)
			return nil, &fs.PathError{Op: "flock", Path: dir, Err: err}
		}
	}
}
