package prog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Draft is a file that the program makes and that is of no use to anybody before
// it is whole.
type Draft struct {
	remove func() // nil: it stays in any case
	whole  atomic.Bool
}

// Create makes a file as open(2) does with O_CREAT|O_TRUNC: one that is there is made
// empty. open is called with the flags for the creation and opens the file.
//
// Unless the program calls Whole, a file that was not there is removed again by
// Discard, which a main defers, and by a signal that ends the program. One that was
// there stays, and so does one that another process has put in its place.
func Create(name string, open func(flags int) (*os.File, error)) (f *os.File, d *Draft, err error) {
	f, d, err = CreateNew(name, open)
	if errors.Is(err, unix.EEXIST) {
		f, err = open(unix.O_CREAT | unix.O_TRUNC)
	}
	return f, d, err
}

// CreateNew is Create for a file that must not be there: EEXIST.
func CreateNew(name string, open func(flags int) (*os.File, error)) (f *os.File, d *Draft, err error) {
	d = &Draft{}
	// No signal may come between the file and its clean-up.
	err = HoldSignals(func(context.Context) error {
		if f, err = open(unix.O_CREAT | unix.O_EXCL); err != nil {
			return err
		}
		made, err := f.Stat()
		if err != nil {
			f.Close()
			return err
		}
		d.remove = Cleanup(func() {
			if !d.whole.Load() {
				RemoveSame(name, made)
			}
		})
		return nil
	})
	return f, d, err
}

// Whole tells that the file is what it is to be: it stays.
func (d *Draft) Whole() { d.whole.Store(true) }

// Discard removes the file if it is no use to anybody.
func (d *Draft) Discard() {
	if d.remove != nil {
		d.remove()
	}
}

// RemoveSame removes the file at name if it still is the one that was made.
func RemoveSame(name string, made fs.FileInfo) {
	if st, err := os.Lstat(name); err == nil && os.SameFile(st, made) {
		unix.Unlink(name)
	}
}
