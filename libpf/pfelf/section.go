// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxSectionSize is the most that SectionData and ReadRange return, in bytes: a file
// with holes claims any size at no cost. What is read of programs as large as browsers
// and compilers is below it.
const MaxSectionSize = 256 << 20

var (
	// ErrNoSection is returned for a section that the file does not have, or
	// that has no content in this file, as .text in a file of debug data.
	ErrNoSection = errors.New("no such section")
	// ErrTooLarge is returned for data above a size limit.
	ErrTooLarge = errors.New("too large")
)

// FindSection returns the first section of that name that has content in the
// file, or nil.
func (f *File) FindSection(name string) *elf.Section {
	for _, s := range f.Sections {
		if s.Name == name && s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
			return s
		}
	}
	return nil
}

// SectionData returns the content of the section, decompressed. For .debug_x
// it also finds the older compressed form .zdebug_x. The error is
// [ErrNoSection] if there is none, [ErrTooLarge] above [MaxSectionSize].
func (f *File) SectionData(name string) ([]byte, error) { return f.SectionUpTo(name, MaxSectionSize) }

// SectionUpTo is SectionData with a limit of its own, before and after decompression.
func (f *File) SectionUpTo(name string, limit uint64) ([]byte, error) {
	if s := f.FindSection(name); s != nil {
		if max(s.Size, s.FileSize) > limit {
			return nil, fmt.Errorf("read section %s: %w: %d bytes", name, ErrTooLarge, s.Size)
		}
		b, err := f.sectionData(s)
		if err != nil {
			return nil, fmt.Errorf("read section %s: %w", name, err)
		}
		return b, nil
	}
	if rest, ok := strings.CutPrefix(name, ".debug_"); ok {
		if s := f.FindSection(".zdebug_" + rest); s != nil {
			b, err := f.zdebugData(s, limit)
			if err != nil {
				return nil, fmt.Errorf("read section %s: %w", s.Name, err)
			}
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoSection, name)
}

// sectionData reads a section that may have the flag SHF_COMPRESSED.
func (f *File) sectionData(s *elf.Section) ([]byte, error) {
	if s.Flags&elf.SHF_COMPRESSED == 0 {
		return f.rawSection(s)
	}
	return readInflated(s.Open(), s.Size, s.FileSize)
}

// rawSection reads the bytes of a section as they are in the file.
func (f *File) rawSection(s *elf.Section) ([]byte, error) {
	return f.ReadRange(s.Offset, s.FileSize)
}

// ReadRange returns size bytes at the file offset off. It is an error, found
// before anything is allocated, if they are not all inside the image or if
// they are more than [MaxSectionSize].
func (f *File) ReadRange(off, size uint64) ([]byte, error) {
	end := uint64(f.size) //nolint:gosec // a size is not negative
	if off > end || size > end-off {
		return nil, io.ErrUnexpectedEOF
	}
	if size > MaxSectionSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, int64(off)); err != nil && !(errors.Is(err, io.EOF) && size == 0) { //nolint:gosec // below size
		return nil, err
	}
	return b, nil
}

// zdebugData reads a section in the form "ZLIB", big-endian size, zlib data.
func (f *File) zdebugData(s *elf.Section, limit uint64) ([]byte, error) {
	if s.FileSize > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, s.FileSize)
	}
	b, err := f.rawSection(s)
	if err != nil {
		return nil, err
	}
	const header = 12
	if len(b) < header || string(b[:4]) != "ZLIB" {
		return nil, errors.New("no ZLIB header")
	}
	z, err := zlib.NewReader(bytes.NewReader(b[header:]))
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(b[4:])
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return readInflated(z, size, uint64(len(b)))
}

// readInflated reads what should be size bytes from a decompressor that was
// given packed bytes. The size is not believed: memory grows with the data.
func readInflated(r io.Reader, size, packed uint64) ([]byte, error) {
	if size > MaxSectionSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(size, 8*packed+512))) //nolint:gosec // bounded by MaxSectionSize
	n, err := io.Copy(&buf, io.LimitReader(r, int64(size)))
	if err != nil {
		return nil, err
	}
	if uint64(n) != size { //nolint:gosec // not negative
		return nil, io.ErrUnexpectedEOF
	}
	return buf.Bytes(), nil
}

// maxDebugLink bounds .gnu_debuglink: a file name and a checksum.
const maxDebugLink = 4096

// DebugLink returns the name and the CRC-32 of the separate file of debug data
// that the file points to.
func (f *File) DebugLink() (name string, crc uint32, ok bool) {
	s := f.FindSection(".gnu_debuglink")
	if s == nil || s.FileSize > maxDebugLink {
		return "", 0, false
	}
	b, err := f.sectionData(s)
	if err != nil {
		return "", 0, false
	}
	end := bytes.IndexByte(b, 0)
	at := (end + 4) &^ 3
	if end <= 0 || len(b) < at+4 {
		return "", 0, false
	}
	return string(b[:end]), f.ByteOrder.Uint32(b[at:]), true
}
