// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// maxScan bounds, in bytes, how much of a file is searched for a table whose
// section is missing, and for the module data.
const maxScan = 512 << 20

// location is where the table is.
type location struct {
	header header
	blob   *blob  // from the header to the end of the section or segment
	vaddr  uint64 // of the header
}

// locate finds the table of a file: by its section, else, when scan is set, by
// looking for the header in the loaded segments.
func locate(f *elf.File, scan bool) (location, error) {
	var firstErr error
	for _, s := range f.Sections {
		if !strings.HasSuffix(s.Name, ".gopclntab") || s.Type != elf.SHT_PROGBITS || s.ReaderAt == nil {
			continue
		}
		loc, err := newLocation(newBlob(s.ReaderAt, 0, s.FileSize), s.Addr)
		if err == nil {
			return loc, nil
		}
		if firstErr == nil {
			firstErr = fmt.Errorf("section %s: %w", s.Name, err)
		}
	}
	if scan {
		if loc, ok := scanSegments(f); ok {
			return loc, nil
		}
	}
	if firstErr != nil {
		return location{}, firstErr
	}
	return location{}, ErrNotFound
}

// newLocation reads the header at the start of b.
func newLocation(b *blob, vaddr uint64) (location, error) {
	var buf [headerSize]byte
	if err := b.read(buf[:min(headerSize, b.size)], 0); err != nil {
		return location{}, err
	}
	h, err := parseHeader(buf[:], b.size)
	return location{header: h, blob: b, vaddr: vaddr}, err
}

// scanSegments looks for a header in what is loaded as data.
func scanSegments(f *elf.File) (location, bool) {
	budget := uint64(maxScan)
	var buf [64 << 10]byte
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X != 0 {
			continue
		}
		for off := uint64(0); off < p.Filesz && budget > 0; off += uint64(len(buf)) {
			n, _ := p.ReadAt(buf[:min(uint64(len(buf)), p.Filesz-off)], int64(off)) //nolint:gosec // within the file
			budget -= min(budget, uint64(len(buf)))
			for i := 0; i+8 <= n; i += 8 {
				// The magic numbers share three bytes; this test fails fast.
				if buf[i+1] != 0xff || buf[i+2] != 0xff || buf[i+3] != 0xff ||
					magics[binary.LittleEndian.Uint32(buf[i:])] == 0 {
					continue
				}
				start := off + uint64(i) //nolint:gosec // i is not negative
				b := newBlob(p.ReaderAt, int64(start), p.Filesz-start)
				if loc, err := newLocation(b, p.Vaddr+start); err == nil {
					return loc, true
				}
			}
		}
	}
	return location{}, false
}
