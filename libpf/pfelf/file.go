// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
)

// ErrNotRegular is returned for a path that is not a regular file: opening a
// device may have side effects and opening a FIFO blocks.
var ErrNotRegular = errors.New("not a regular file")

// File is an open ELF image. All methods but Close are safe for concurrent use.
type File struct {
	*elf.File

	reader io.ReaderAt
	size   int64
	closer io.Closer

	notesOnce sync.Once
	notes     noteIDs
}

// Open opens the ELF file at path. The caller closes it.
func Open(path string) (*File, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	return fromOSFile(f)
}

// NewFile reads the ELF headers of an image of the given size in bytes. The
// image may be one that was copied from memory, with or without section
// headers. Close does not close r.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	if size < 0 {
		return nil, fmt.Errorf("read ELF headers: size %d", size)
	}
	bounded := io.NewSectionReader(r, 0, size)
	var src io.ReaderAt = bounded
	sections := usableSections(bounded, size)
	if !sections {
		src = withoutSections{bounded}
	}
	ef, err := elf.NewFile(src)
	if err != nil && sections {
		if ef, err = elf.NewFile(withoutSections{bounded}); err != nil {
			return nil, fmt.Errorf("read ELF headers: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read ELF headers: %w", err)
	}
	if len(ef.Progs) > maxPrograms {
		return nil, fmt.Errorf("read ELF headers: %w: %d program headers", ErrTooLarge, len(ef.Progs))
	}
	return &File{File: ef, reader: bounded, size: size}, nil
}

// Close releases the file. It does nothing for images given to NewFile.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	c := f.closer
	f.closer = nil
	return c.Close()
}

// Size returns the size of the image in bytes, as it was when it was opened.
func (f *File) Size() int64 { return f.size }

// ReadAt implements io.ReaderAt over the whole image.
func (f *File) ReadAt(b []byte, off int64) (int, error) { return f.reader.ReadAt(b, off) }

// FileID returns the identity of the image's content; see [libpf.FileIDFromReader].
func (f *File) FileID() (libpf.FileID, error) { return libpf.FileIDFromReader(f.reader, f.size) }

// openRegular opens path for reading if it is a regular file. It looks before
// it opens, and again after, as the path may have changed in between.
func openRegular(path string) (*os.File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: %w", path, ErrNotRegular)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return checkRegular(f)
}

// checkRegular returns f if it is a regular file and closes it otherwise.
func checkRegular(f *os.File) (*os.File, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", f.Name(), ErrNotRegular)
	}
	if err != nil {
		_ = f.Close() // only read from
		return nil, err
	}
	return f, nil
}

// fromOSFile takes over f.
func fromOSFile(f *os.File) (*File, error) {
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close() // only read from
		return nil, err
	}
	ef, err := NewFile(f, fi.Size())
	if err != nil {
		_ = f.Close() // only read from
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	ef.closer = f
	return ef, nil
}
