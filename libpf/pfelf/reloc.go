// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
)

// Relocation is a change that the loader makes to a file's memory.
type Relocation struct {
	// Vaddr is the ELF virtual address of what is changed.
	Vaddr uint64
	// Type is one of the machine's: elf.R_X86_64, elf.R_AARCH64.
	Type uint32
	// Symbol is an index in the table of exported symbols, 0 for none.
	Symbol uint32
	// Addend is what is added to the symbol's value, or to the load address.
	Addend int64
}

const (
	relaSize         = 24
	relaChunk        = 4096 // relocations read at a time
	maxRelocTable    = 64 << 20
	maxRelocSections = 64
)

// EachRelocation calls fn for the relocations that have explicit addends and that
// the loader applies, until it returns false. It stops at a table that cannot be
// read; those of 64-bit files only are read.
func (f *File) EachRelocation(fn func(Relocation) bool) {
	if f.Class != elf.ELFCLASS64 {
		return
	}
	tables := 0
	for _, s := range f.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 || s.Size > maxRelocTable {
			continue
		}
		if tables++; tables > maxRelocSections {
			return
		}
		for off := uint64(0); off+relaSize <= s.Size; off += relaChunk * relaSize {
			b, err := f.ReadRange(s.Offset+off, min(s.Size-off, relaChunk*relaSize))
			if err != nil {
				return
			}
			for ; len(b) >= relaSize; b = b[relaSize:] {
				info := f.ByteOrder.Uint64(b[8:])
				if !fn(Relocation{
					Vaddr: f.ByteOrder.Uint64(b), Type: uint32(info), Symbol: uint32(info >> 32), //nolint:gosec // halves
					Addend: int64(f.ByteOrder.Uint64(b[16:])), //nolint:gosec // signed
				}) {
					return
				}
			}
		}
	}
}

// PointerAt returns the pointer that an ELF virtual address holds once the file is
// loaded, before the load address is added: what a relative relocation sets, else what
// the file has there. ok is false where the file has nothing. It reads the table of
// relocations, in most files less than a megabyte.
func (f *File) PointerAt(v uint64) (p uint64, ok bool) {
	var b [8]byte
	if _, err := f.ReadVaddr(b[:], v); err != nil {
		return 0, false
	}
	p = f.ByteOrder.Uint64(b[:])
	relative := uint32(elf.R_X86_64_RELATIVE)
	if f.Machine == elf.EM_AARCH64 {
		relative = uint32(elf.R_AARCH64_RELATIVE)
	}
	f.EachRelocation(func(r Relocation) bool {
		if r.Vaddr != v || r.Type != relative {
			return true
		}
		p = uint64(r.Addend) //nolint:gosec // an address
		return false
	})
	return p, true
}
