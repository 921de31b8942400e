// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

var pltSuffix = []byte("@plt")

const (
	// maxPLT bounds the size of the sections with stubs and relocations.
	maxPLT = 16 << 20

	// x86-64: an entry is 16 bytes, or 8 in .plt.got without IBT.
	pltEntryX86 = 16
	// arm64: a header of 32 bytes, then entries of 16; longer ones begin with a
	// landing pad and are found by the instructions as well.
	pltEntryARM64 = 16
)

// addPLT adds name@plt for the stubs of the procedure linkage tables: .plt,
// .plt.sec (the second table of programs with IBT) and .plt.got. The slot that a
// stub jumps through is read from its instructions, so the order in which a
// linker lays out the stubs does not matter.
func (e *elfSymbols) addPLT(f *pfelf.File) {
	if f.Class != elf.ELFCLASS64 || !littleEndian(f) {
		return
	}
	var slots map[uint64]string
	var names bytes.Buffer
	names.WriteByte(0)
	strtab := uint8(len(e.strtabs)) //nolint:gosec // three tables at most
	for _, s := range f.Sections {
		if (s.Name != ".plt" && !strings.HasPrefix(s.Name, ".plt.") && s.Name != ".iplt") ||
			s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_EXECINSTR == 0 || s.FileSize > maxPLT {
			continue
		}
		code, err := f.ReadRange(s.Offset, s.FileSize)
		if err != nil {
			continue
		}
		if slots == nil {
			e.sort()
			slots = e.gotSlots(f)
		}
		for _, stub := range stubs(f.Machine, code, s) {
			name, ok := slots[stub.slot]
			if !ok {
				continue
			}
			e.symbols = append(e.symbols, elfSymbol{
				start: stub.start, end: stub.end, strtab: strtab,
				name: uint32(names.Len()), //nolint:gosec // bounded by maxPLT
			})
			names.WriteString(name)
			names.Write(pltSuffix)
			names.WriteByte(0)
		}
	}
	if slots != nil {
		e.strtabs = append(e.strtabs, names.Bytes())
	}
}

// stub is an entry of a procedure linkage table.
type stub struct{ start, end, slot uint64 }

// stubs decodes the entries of a section.
func stubs(machine elf.Machine, code []byte, s *elf.Section) []stub {
	var found []stub
	switch machine {
	case elf.EM_X86_64:
		size := pltEntryX86
		if s.Entsize == 8 || s.Name == ".plt.got" && s.Entsize == 0 {
			size = 8
		}
		for i := 0; i+size <= len(code); i += size {
			entry := code[i : i+size]
			// jmp *disp(%rip), behind an optional endbr64 and bnd prefix.
			at := bytes.Index(entry, []byte{0xff, 0x25})
			if at < 0 || at+6 > size || i == 0 && entry[0] == 0xff && entry[1] == 0x35 {
				continue // the header pushes first
			}
			start := s.Addr + uint64(i)                                    //nolint:gosec // an index
			disp := int64(int32(binary.LittleEndian.Uint32(entry[at+2:]))) //nolint:gosec // signed
			slot := start + uint64(at) + 6 + uint64(disp)                  //nolint:gosec // wraps as the CPU does
			found = append(found, stub{start, start + uint64(size), slot}) //nolint:gosec // 8 or 16
		}
	case elf.EM_AARCH64:
		for i := 0; i+pltEntryARM64 <= len(code); i += 4 {
			// adrp x16, page; ldr x17, [x16, #off]
			adrp, ldr := binary.LittleEndian.Uint32(code[i:]), binary.LittleEndian.Uint32(code[i+4:])
			if adrp&0x9f00001f != 0x90000010 || ldr&0xffc003ff != 0xf9400211 {
				continue
			}
			start := s.Addr + uint64(i) //nolint:gosec // an index
			imm := int64(adrp>>5&0x7ffff)<<2 | int64(adrp>>29&3)
			imm = imm << 43 >> 43                                            // sign-extend 21 bits
			slot := start&^0xfff + uint64(imm<<12) + uint64(ldr>>10&0xfff)*8 //nolint:gosec // wraps as the CPU does
			found = append(found, stub{start, start + pltEntryARM64, slot})
		}
	default:
	}
	return found
}

// gotSlots returns the names of the functions whose addresses the dynamic
// linker puts into slots, by the slots' addresses.
func (e *elfSymbols) gotSlots(f *pfelf.File) map[uint64]string {
	slots := make(map[uint64]string)
	names := dynamicNames(f)
	for _, s := range f.Sections {
		if s.Type != elf.SHT_RELA || s.FileSize > maxPLT ||
			!strings.HasSuffix(s.Name, ".plt") && !strings.HasSuffix(s.Name, ".dyn") {
			continue
		}
		b, err := f.ReadRange(s.Offset, s.FileSize)
		if err != nil {
			continue
		}
		for ; len(b) >= 24; b = b[24:] {
			info := binary.LittleEndian.Uint64(b[8:])
			slot := binary.LittleEndian.Uint64(b)
			switch kind := uint32(info); { //nolint:gosec // the lower half
			case f.Machine == elf.EM_X86_64 && (kind == uint32(elf.R_X86_64_JMP_SLOT) || kind == uint32(elf.R_X86_64_GLOB_DAT)),
				f.Machine == elf.EM_AARCH64 && (kind == uint32(elf.R_AARCH64_JUMP_SLOT) || kind == uint32(elf.R_AARCH64_GLOB_DAT)):
				if name := names(uint32(info >> 32)); name != "" { //nolint:gosec // the upper half
					slots[slot] = name
				}
			case f.Machine == elf.EM_X86_64 && kind == uint32(elf.R_X86_64_IRELATIVE),
				f.Machine == elf.EM_AARCH64 && kind == uint32(elf.R_AARCH64_IRELATIVE):
				// A function chosen at start, by the code at the addend, which has
				// the function's name.
				slots[slot] = e.nameAt(binary.LittleEndian.Uint64(b[16:]))
			}
		}
	}
	return slots
}

// nameAt returns the best name of what begins at addr, in the way of objdump if
// it has none. The symbols must be sorted.
func (e *elfSymbols) nameAt(addr uint64) string {
	i, found := slices.BinarySearchFunc(e.symbols, addr, func(s elfSymbol, a uint64) int { return cmp.Compare(s.start, a) })
	if !found {
		return "*ABS*+0x" + strconv.FormatUint(addr, 16)
	}
	return string(e.rawName(e.symbols[i].strtab, e.symbols[i].name))
}

// dynamicNames returns a function that names the entries of .dynsym.
func dynamicNames(f *pfelf.File) func(index uint32) string {
	none := func(uint32) string { return "" }
	for _, s := range f.Sections {
		if s.Type != elf.SHT_DYNSYM || int64(s.Link) >= int64(len(f.Sections)) {
			continue
		}
		str := f.Sections[s.Link]
		if s.FileSize > maxPLT || str.FileSize > 4*maxPLT {
			return none
		}
		syms, err := f.ReadRange(s.Offset, s.FileSize)
		if err != nil {
			return none
		}
		strtab, err := f.ReadRange(str.Offset, str.FileSize)
		if err != nil {
			return none
		}
		return func(index uint32) string {
			at := int64(index) * 24
			if index == 0 || at+24 > int64(len(syms)) {
				return ""
			}
			off := binary.LittleEndian.Uint32(syms[at:])
			if int64(off) >= int64(len(strtab)) {
				return ""
			}
			name, _, ok := bytes.Cut(strtab[off:], []byte{0})
			if !ok || len(name) > maxRawName {
				return ""
			}
			return string(name)
		}
	}
	return none
}
