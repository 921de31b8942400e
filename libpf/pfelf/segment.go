// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"io"
)

// Segment is a part of the file that is loaded into memory.
type Segment struct {
	// Offset and Filesz are the range in the file, in bytes.
	Offset, Filesz uint64
	// Vaddr is the ELF virtual address of the first byte.
	Vaddr uint64
}

// ExecSegments returns the segments that are loaded executable, in the order of
// the program headers. Ranges that overflow are left out; they may lie beyond
// the end of a truncated file.
func (f *File) ExecSegments() []Segment {
	var segs []Segment
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && validSegment(p) {
			segs = append(segs, Segment{Offset: p.Off, Filesz: p.Filesz, Vaddr: p.Vaddr})
		}
	}
	return segs
}

// validSegment reports whether the segment has content whose end can be
// computed without overflow.
func validSegment(p *elf.Prog) bool {
	return p.Filesz != 0 && p.Off+p.Filesz > p.Off && p.Vaddr+p.Filesz > p.Vaddr
}

// VaddrToOffset returns the file offset of an ELF virtual address. ok is false
// if no loaded segment has it in the file.
func (f *File) VaddrToOffset(v uint64) (off uint64, ok bool) {
	p := f.segmentAt(v)
	if p == nil {
		return 0, false
	}
	return v - p.Vaddr + p.Off, true
}

func (f *File) segmentAt(v uint64) *elf.Prog {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && validSegment(p) && v >= p.Vaddr && v-p.Vaddr < p.Filesz {
			return p
		}
	}
	return nil
}

// OffsetToVaddr returns the ELF virtual address at which a file offset is
// loaded, preferring executable segments where several load it. ok is false if
// none does.
func (f *File) OffsetToVaddr(off uint64) (v uint64, ok bool) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || !validSegment(p) || off < p.Off || off-p.Off >= p.Filesz {
			continue
		}
		if p.Flags&elf.PF_X != 0 {
			return off - p.Off + p.Vaddr, true
		}
		if !ok {
			v, ok = off-p.Off+p.Vaddr, true
		}
	}
	return v, ok
}

// ReadVaddr reads the bytes that the file loads at the ELF virtual address v.
// It returns io.EOF with a short count where the loaded content ends, as for
// memory that starts out as zeros.
func (f *File) ReadVaddr(b []byte, v uint64) (int, error) {
	p := f.segmentAt(v)
	if p == nil {
		return 0, io.EOF
	}
	skip := v - p.Vaddr
	want := b[:min(uint64(len(b)), p.Filesz-skip)]
	n, err := f.ReadAt(want, int64(p.Off+skip)) //nolint:gosec // debug/elf refuses offsets above 2^63
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}
