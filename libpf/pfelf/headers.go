// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"encoding/binary"
	"io"
)

const (
	// maxSections bounds the section table. Linked files have tens of
	// sections, objects built with one section per function some ten thousand.
	maxSections = 1 << 17
	// maxPrograms bounds the program headers, all of which are looked at for each
	// address that is read. Linked files have about a dozen.
	maxPrograms = 1 << 12
	// maxSectionNames bounds the table of section names.
	maxSectionNames = 16 << 20
)

// sectionFields says where the fields about sections lie in an ELF header and
// in a section header.
type sectionFields struct {
	ehsize, shoff, shentsize, shnum, shstrndx int
	shsize                                    int
	flags, offset, size, link                 int
	wide                                      bool
}

var (
	fields32 = sectionFields{
		ehsize: 52, shoff: 0x20, shentsize: 0x2e, shnum: 0x30, shstrndx: 0x32,
		shsize: 40, flags: 8, offset: 16, size: 20, link: 24,
	}
	fields64 = sectionFields{
		ehsize: 64, shoff: 0x28, shentsize: 0x3a, shnum: 0x3c, shstrndx: 0x3e,
		shsize: 64, flags: 8, offset: 24, size: 32, link: 40, wide: true,
	}
)

// word reads a value of the class's size.
func (s *sectionFields) word(bo binary.ByteOrder, b []byte, at int) uint64 {
	if s.wide {
		return bo.Uint64(b[at:])
	}
	return uint64(bo.Uint32(b[at:]))
}

// layout returns the field positions and byte order for an ELF identification.
func layout(ident []byte) (*sectionFields, binary.ByteOrder, bool) {
	var bo binary.ByteOrder
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		bo = binary.LittleEndian
	case elf.ELFDATA2MSB:
		bo = binary.BigEndian
	default:
		return nil, nil, false
	}
	switch elf.Class(ident[elf.EI_CLASS]) {
	case elf.ELFCLASS32:
		return &fields32, bo, true
	case elf.ELFCLASS64:
		return &fields64, bo, true
	}
	return nil, nil, false
}

// usableSections reports whether the section table lies inside the image and
// is of a sane size, so that debug/elf may read it. debug/elf does not bound
// the table of section names and trusts its index when there are more than
// 65,279 sections.
func usableSections(r io.ReaderAt, size int64) bool {
	var hdr [64]byte
	if n, _ := r.ReadAt(hdr[:], 0); n < 52 { // a short header is debug/elf's to report
		return false
	}
	l, bo, ok := layout(hdr[:])
	if !ok {
		return false
	}
	shoff := l.word(bo, hdr[:], l.shoff)
	entsize := uint64(bo.Uint16(hdr[l.shentsize:]))
	num := uint64(bo.Uint16(hdr[l.shnum:]))
	names := uint64(bo.Uint16(hdr[l.shstrndx:]))
	if shoff == 0 || entsize < uint64(l.shsize) { //nolint:gosec // of two constants
		return false
	}
	header := func(i uint64) ([]byte, bool) {
		b := make([]byte, l.shsize)
		_, err := r.ReadAt(b, int64(shoff+i*entsize)) //nolint:gosec // checked below
		return b, err == nil
	}
	if shoff >= uint64(size) { //nolint:gosec // a size is not negative
		return false
	}
	if num == 0 {
		first, ok := header(0)
		if !ok {
			return false
		}
		num = l.word(bo, first, l.size)
		if names == uint64(elf.SHN_XINDEX) {
			names = uint64(bo.Uint32(first[l.link:]))
		}
	}
	if num == 0 || num > maxSections || names >= num || num*entsize > uint64(size)-shoff { //nolint:gosec // see above
		return false
	}
	if names == 0 {
		return true
	}
	h, ok := header(names)
	if !ok {
		return false
	}
	tableSize := l.word(bo, h, l.size)
	return tableSize <= maxSectionNames && l.word(bo, h, l.flags)&uint64(elf.SHF_COMPRESSED) == 0
}

// withoutSections is an ELF image whose header says that it has no sections.
type withoutSections struct{ io.ReaderAt }

// ReadAt implements io.ReaderAt.
func (w withoutSections) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(b, off)
	if off < 0 || off >= int64(fields64.ehsize) {
		return n, err
	}
	var ident [elf.EI_NIDENT]byte
	if m, _ := w.ReaderAt.ReadAt(ident[:], 0); m < len(ident) {
		return n, err
	}
	l, _, ok := layout(ident[:])
	if !ok {
		return n, err
	}
	word := 4
	if l.wide {
		word = 8
	}
	clearRange(b[:n], off, l.shoff, word)
	clearRange(b[:n], off, l.shnum, 2)
	clearRange(b[:n], off, l.shstrndx, 2)
	return n, err
}

// clearRange zeroes the bytes of b, which start at off, that belong to the
// field of the given size at position at.
func clearRange(b []byte, off int64, at, size int) {
	for i := at; i < at+size; i++ {
		if p := int64(i) - off; p >= 0 && p < int64(len(b)) {
			b[p] = 0
		}
	}
}
