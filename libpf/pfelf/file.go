// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/hostfile"
)

// ErrNotRegular is returned for a path that is not a regular file: opening a
// device may have side effects and opening a FIFO blocks.
var ErrNotRegular = hostfile.ErrNotRegular

// File is an open ELF image. All methods but Close are safe for concurrent use.
type File struct {
	*elf.File

	reader io.ReaderAt
	size   int64
	closer io.Closer

	notesOnce sync.Once
	notes     noteIDs
}

// Open opens the ELF file at path as [hostfile.Open] does. The caller closes it.
func Open(path string) (*File, error) {
	f, err := hostfile.Open(path)
	if err != nil {
		return nil, err
	}
	return fromOSFile(f)
}

// OpenInRoot opens the ELF file at a path below root as [hostfile.OpenInRoot] does,
// so that no link leads out of it. The caller closes it.
func OpenInRoot(root, path string) (*File, error) {
	f, err := hostfile.OpenInRoot(root, path)
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
