// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

const (
	// maxRawName is where names of the linker are cut, in bytes.
	maxRawName = 16 << 10
	// maxExportedLabel is how far a label without a size reaches in a file that
	// has only exported symbols: behind it there may be functions that have no
	// name here, and a wrong name is worse than none.
	maxExportedLabel = 4 << 10
)

// elfSymbol is a symbol of code.
type elfSymbol struct {
	start, end uint64
	name       uint32 // offset in the string table
	strtab     uint8  // number of the string table
	rank       uint8  // lower is better, see the rank constants
}

// Ranks are sums: a sized symbol is better than a label whatever else it is.
const (
	rankLocal   = 1
	rankNotFunc = 2
	rankNoSize  = 4
)

// elfSymbols gathers the symbols of an executable from one or more tables.
type elfSymbols struct {
	limit   int64 // on the memory that reading takes, in bytes
	symbols []elfSymbol
	strtabs [][]byte
	text    []span // of the code sections or segments, sorted by start
	// exportedOnly is set as long as no full table was added.
	exportedOnly bool
}

// newELFSymbols returns an empty collection for the code of f.
func newELFSymbols(f *pfelf.File, limit int64) *elfSymbols {
	return &elfSymbols{limit: limit, text: textOf(f), exportedOnly: true}
}

// textOf returns where a file has code. In a file of debug data only the
// section headers tell.
func textOf(f *pfelf.File) []span {
	var text []span
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Flags&elf.SHF_ALLOC != 0 && s.Addr+s.Size > s.Addr {
			text = append(text, span{start: s.Addr, end: s.Addr + s.Size})
		}
	}
	if len(text) == 0 {
		for _, s := range f.ExecSegments() {
			text = append(text, span{start: s.Vaddr, end: s.Vaddr + s.Filesz})
		}
	}
	slices.SortFunc(text, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	return text
}

// textAt returns the end of the code section that addr lies in.
func (e *elfSymbols) textAt(addr uint64) (end uint64, ok bool) {
	i, found := slices.BinarySearchFunc(e.text, addr, func(s span, a uint64) int { return cmp.Compare(s.start, a) })
	if !found {
		i--
	}
	if i < 0 || addr >= e.text[i].end {
		return 0, false
	}
	return e.text[i].end, true
}

// add reads the symbols of code from the table of the given type, SHT_SYMTAB
// or SHT_DYNSYM. It reports how many there were; none is not an error.
func (e *elfSymbols) add(f *pfelf.File, kind elf.SectionType) (int, error) {
	i := slices.IndexFunc(f.Sections, func(s *elf.Section) bool { return s.Type == kind })
	if i < 0 {
		return 0, nil
	}
	s := f.Sections[i]
	if int64(s.Link) >= int64(len(f.Sections)) || f.Sections[s.Link].Type != elf.SHT_STRTAB {
		return 0, errors.New("symbol table has no string table")
	}
	str := f.Sections[s.Link]
	if str.FileSize > uint64(e.limit) || s.FileSize > uint64(e.limit) { //nolint:gosec // positive
		return 0, fmt.Errorf("%w: %d and %d bytes", errTooLarge, s.FileSize, str.FileSize)
	}
	strtab, err := f.ReadRange(str.Offset, str.FileSize)
	if err != nil {
		return 0, fmt.Errorf("read symbol names: %w", err)
	}
	before := len(e.symbols)
	e.strtabs = append(e.strtabs, strtab)
	err = eachSymbol(f, s, func(sym *elf.Sym64) { e.addSymbol(f, sym) })
	if err != nil {
		return 0, fmt.Errorf("read symbols: %w", err)
	}
	added := len(e.symbols) - before
	if kind == elf.SHT_SYMTAB && added > 0 {
		e.exportedOnly = false
	}
	return added, nil
}

// eachSymbol calls yield for each entry of a symbol table.
func eachSymbol(f *pfelf.File, s *elf.Section, yield func(*elf.Sym64)) error {
	size := uint64(24)
	if f.Class == elf.ELFCLASS32 {
		size = 16
	}
	order := f.ByteOrder
	buf := make([]byte, size*4096)
	for off := uint64(0); off+size <= s.FileSize; {
		want := min(uint64(len(buf)), (s.FileSize-off)/size*size)
		n, err := f.ReadAt(buf[:want], int64(s.Offset+off)) //nolint:gosec // debug/elf refuses offsets above 2^63
		if err != nil && !(errors.Is(err, io.EOF) && uint64(n) == want) {
			return err
		}
		for b := buf[:want]; len(b) > 0; b = b[size:] {
			sym := elf.Sym64{Name: order.Uint32(b)}
			if size == 16 {
				sym.Value, sym.Size = uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[8:]))
				sym.Info, sym.Other, sym.Shndx = b[12], b[13], order.Uint16(b[14:])
			} else {
				sym.Info, sym.Other, sym.Shndx = b[4], b[5], order.Uint16(b[6:])
				sym.Value, sym.Size = order.Uint64(b[8:]), order.Uint64(b[16:])
			}
			yield(&sym)
		}
		off += want
	}
	return nil
}

// addSymbol adds a symbol of the newest string table if it names code.
func (e *elfSymbols) addSymbol(f *pfelf.File, sym *elf.Sym64) {
	if elf.SectionIndex(sym.Shndx) == elf.SHN_UNDEF || elf.SectionIndex(sym.Shndx) == elf.SHN_ABS {
		return
	}
	var rank uint8
	switch elf.ST_TYPE(sym.Info) {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
	case elf.STT_NOTYPE:
		rank += rankNotFunc
	default:
		return
	}
	if elf.ST_BIND(sym.Info) == elf.STB_LOCAL {
		rank += rankLocal
	}
	if sym.Size == 0 {
		rank += rankNoSize
	}
	textEnd, ok := e.textAt(sym.Value)
	if !ok || sym.Value == 0 {
		return
	}
	name := e.rawName(uint8(len(e.strtabs)-1), sym.Name) //nolint:gosec // three tables at most
	if len(name) == 0 || f.Machine == elf.EM_AARCH64 && name[0] == '$' || bytes.HasPrefix(name, []byte(".L")) {
		return
	}
	end := sym.Value + sym.Size
	if end < sym.Value || end > textEnd {
		end = textEnd
	}
	e.symbols = append(e.symbols, elfSymbol{
		start: sym.Value, end: end, name: sym.Name, rank: rank,
		strtab: uint8(len(e.strtabs) - 1), //nolint:gosec // as above
	})
}

// rawName returns a name without its version, as in memcpy@@GLIBC_2.14.
func (e *elfSymbols) rawName(strtab uint8, off uint32) []byte {
	tab := e.strtabs[strtab]
	if int64(off) >= int64(len(tab)) {
		return nil
	}
	tab = tab[off:]
	if len(tab) > maxRawName {
		tab = tab[:maxRawName]
	}
	if i := bytes.IndexByte(tab, 0); i >= 0 {
		tab = tab[:i]
	}
	if i := bytes.IndexByte(tab, '@'); i > 0 && !bytes.HasSuffix(tab, pltSuffix) {
		tab = tab[:i]
	}
	return tab
}

// sort orders the symbols by address and keeps the best one of each.
func (e *elfSymbols) sort() {
	slices.SortFunc(e.symbols, func(a, b elfSymbol) int {
		if c := cmp.Compare(a.start, b.start); c != 0 {
			return c
		}
		if c := cmp.Compare(a.rank, b.rank); c != 0 {
			return c
		}
		if c := compareNames(e.rawName(a.strtab, a.name), e.rawName(b.strtab, b.name)); c != 0 {
			return c
		}
		return cmp.Compare(b.end, a.end)
	})
	e.symbols = slices.CompactFunc(e.symbols, func(a, b elfSymbol) bool { return a.start == b.start })
}

// build returns the table of what was added.
func (e *elfSymbols) build(limit int64) (*table, error) {
	e.sort()
	spans := make([]span, 0, len(e.symbols))
	var covered uint64 // the end of the sized symbols so far
	for i := range e.symbols {
		s := &e.symbols[i]
		if s.rank&rankNoSize == 0 {
			covered = max(covered, s.end)
		} else {
			if s.start < covered {
				continue // a label in a function
			}
			s.end, _ = e.textAt(s.start)
			if i+1 < len(e.symbols) {
				s.end = min(s.end, e.symbols[i+1].start)
			}
			if e.exportedOnly {
				s.end = min(s.end, s.start+maxExportedLabel)
			}
		}
		// Of overlapping functions the one that begins later is seen.
		spans = append(spans, span{start: s.start, end: s.end, prio: uint32(i), id: uint32(i)}) //nolint:gosec // bounded by limit
	}
	return newTable(spans, limit, func(id uint32) []byte {
		s := &e.symbols[id]
		return e.rawName(s.strtab, s.name)
	})
}

// compareNames orders names for one address: fewest leading underscores first,
// then the shortest, then by the alphabet.
func compareNames(a, b []byte) int {
	if c := cmp.Compare(underscores(a), underscores(b)); c != 0 {
		return c
	}
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return bytes.Compare(a, b)
}

func underscores(name []byte) int { return len(name) - len(bytes.TrimLeft(name, "_")) }

// nativeUint32 reads a number in the byte order of the machine.
func nativeUint32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

// littleEndian reports whether the file's numbers are little endian.
func littleEndian(f *pfelf.File) bool { return f.ByteOrder == binary.LittleEndian }
