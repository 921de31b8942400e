// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// Words of the module data; type moduledata in runtime/symtab.go. The first 24
// have not moved from Go 1.16 to 1.27.
const (
	mdHeader    = 0
	mdFuncnames = 1
	mdMinPC     = 20
	mdMaxPC     = 21
	mdText      = 22
	mdWords     = 56 // what is read, enough to hold every place of gofunc
)

// gofuncWords are the places of the base of the inline trees, the likely one
// of a layout first. Which one it is in a file is proved by reading trees.
var gofuncWords = map[version][]int{
	ver118: {38, 40},
	ver120: {40, 38, 39, 41, 42, 43, 44, 37, 36, 45, 46},
}

// moduledata is the part of the runtime's module data that is used here.
type moduledata struct {
	words [mdWords]uint64
}

// image reads an ELF file by virtual address.
type image struct{ f *elf.File }

// segment returns the part of the file that is loaded at vaddr.
func (m image) segment(vaddr uint64) (p *elf.Prog, off uint64) {
	for _, p := range m.f.Progs {
		if p.Type == elf.PT_LOAD && vaddr >= p.Vaddr && vaddr-p.Vaddr < p.Filesz {
			return p, vaddr - p.Vaddr
		}
	}
	return nil, 0
}

// read fills as much of b as the segment at vaddr has.
func (m image) read(b []byte, vaddr uint64) int {
	p, off := m.segment(vaddr)
	if p == nil {
		return 0
	}
	n, _ := p.ReadAt(b[:min(uint64(len(b)), p.Filesz-off)], int64(off)) //nolint:gosec // within the file
	return n
}

// blob returns everything from vaddr to the end of its segment.
func (m image) blob(vaddr uint64) *blob {
	p, off := m.segment(vaddr)
	if p == nil {
		return nil
	}
	return newBlob(p.ReaderAt, int64(off), p.Filesz-off) //nolint:gosec // within the file
}

// executable reports whether vaddr lies in an executable segment.
func (m image) executable(vaddr uint64) bool {
	p, _ := m.segment(vaddr)
	return p != nil && p.Flags&elf.PF_X != 0
}

// findModuledata looks for the module data of the table: words that begin with
// a pointer to the table and pass accept. Pointers are in the data itself, or,
// after an external linker, in the relocations only.
func findModuledata(f *elf.File, loc *location, accept func(*moduledata) bool) (*moduledata, bool) {
	m := image{f}
	if md, ok := scanModuledata(m, loc, accept); ok {
		return md, true
	}
	if f.Type != elf.ET_DYN {
		return nil, false
	}
	var found *moduledata
	eachRelative(f, func(at, value uint64) bool {
		if value != loc.vaddr {
			return true
		}
		md := readModuledata(m, at, loc.header.ptrSize)
		eachRelative(f, func(at2, value2 uint64) bool {
			if i := (at2 - at) / loc.header.ptrSize; at2 >= at && i < mdWords {
				md.words[i] = value2
			}
			return true
		})
		if md.matches(loc) && accept(md) {
			found = md
		}
		return found == nil
	})
	return found, found != nil
}

// scanModuledata looks for a pointer to the table in the writable segments.
func scanModuledata(m image, loc *location, accept func(*moduledata) bool) (*moduledata, bool) {
	var needle [8]byte
	binary.LittleEndian.PutUint64(needle[:], loc.vaddr)
	size := loc.header.ptrSize
	budget := uint64(maxScan)
	buf := make([]byte, 256<<10)
	for _, p := range m.f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_W == 0 {
			continue
		}
		// Segments are searched in aligned pieces, so no pointer is split.
		skew := p.Vaddr % size
		for off := (size - skew) % size; off < p.Filesz && budget > 0; off += uint64(len(buf)) {
			n, _ := p.ReadAt(buf[:min(uint64(len(buf)), p.Filesz-off)], int64(off)) //nolint:gosec // within the file
			budget -= min(budget, uint64(len(buf)))
			for from := 0; ; {
				i := bytes.Index(buf[from:n], needle[:size])
				if i < 0 {
					break
				}
				from += i + 1
				at := uint64(from - 1) //nolint:gosec // an index is not negative
				if at%size != 0 {
					continue
				}
				md := readModuledata(m, p.Vaddr+off+at, size)
				if md.matches(loc) && accept(md) {
					return md, true
				}
			}
		}
	}
	return nil, false
}

// readModuledata reads the words at vaddr; those that are not there are zero.
func readModuledata(m image, vaddr, ptrSize uint64) *moduledata {
	var buf [mdWords * 8]byte
	n := m.read(buf[:mdWords*ptrSize], vaddr)
	md := new(moduledata)
	for i := range md.words {
		if end := (i + 1) * int(ptrSize); end <= n { //nolint:gosec // 4 or 8
			md.words[i] = pointer(buf[end-int(ptrSize):], ptrSize) //nolint:gosec // 4 or 8
		}
	}
	return md
}

// matches reports whether the words point to the table and to its names.
func (md *moduledata) matches(loc *location) bool {
	return md.words[mdHeader] == loc.vaddr && md.words[mdFuncnames] == loc.vaddr+loc.header.funcnames
}

// Dynamic section tags and relocation types, from the ELF and processor ABIs.
const (
	relaSize            = 24
	maxDynamicEntries   = 4096
	relocX86Relative    = uint32(elf.R_X86_64_RELATIVE)
	relocAARCH64Reltive = uint32(elf.R_AARCH64_RELATIVE)
)

// eachRelative calls yield for every relative relocation with an explicit
// addend: the address it changes, and the value it puts there before the load
// bias, until yield returns false.
func eachRelative(f *elf.File, yield func(at, value uint64) bool) {
	if f.Class != elf.ELFCLASS64 {
		return // 32-bit targets keep the addend in place
	}
	table, size, ok := relaTable(f)
	if !ok {
		return
	}
	b := image{f}.blob(table)
	if b == nil {
		return
	}
	size = min(size, b.size, maxScan)
	buf := make([]byte, relaSize*2048)
	for off := uint64(0); off+relaSize <= size; off += uint64(len(buf)) {
		n, _ := b.r.ReadAt(buf[:min(uint64(len(buf)), size-off)], b.base+int64(off)) //nolint:gosec // within the file
		for i := 0; i+relaSize <= n; i += relaSize {
			kind := binary.LittleEndian.Uint32(buf[i+8:])
			if kind != relocX86Relative && kind != relocAARCH64Reltive {
				continue
			}
			if !yield(binary.LittleEndian.Uint64(buf[i:]), binary.LittleEndian.Uint64(buf[i+16:])) {
				return
			}
		}
	}
}

// relaTable returns the address and size of the table of dynamic relocations.
func relaTable(f *elf.File) (vaddr, size uint64, ok bool) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		var entry [16]byte
		for i := range uint64(maxDynamicEntries) {
			if _, err := p.ReadAt(entry[:], int64(i*16)); err != nil { //nolint:gosec // bounded
				break
			}
			value := binary.LittleEndian.Uint64(entry[8:])
			switch elf.DynTag(int64(binary.LittleEndian.Uint64(entry[:]))) { //nolint:gosec // tags are signed
			case elf.DT_RELA:
				vaddr = value
			case elf.DT_RELASZ:
				size = value
			case elf.DT_NULL:
				return vaddr, size, vaddr != 0 && size != 0
			default:
			}
		}
	}
	return vaddr, size, vaddr != 0 && size != 0
}
