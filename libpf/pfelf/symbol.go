// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
)

// Symbol is a defined symbol of an ELF file.
type Symbol struct {
	Name string
	// Value is the ELF virtual address, for thread-local symbols the offset in
	// the module's block. Size is in bytes, 0 when unknown.
	Value, Size uint64
	// Info is the type and binding as in the file.
	Info byte
}

// Type returns what the symbol names.
func (s Symbol) Type() elf.SymType { return elf.ST_TYPE(s.Info) }

// errNoTable reports a file without the table that was asked for.
var errNoTable = errors.New("no such symbol table")

// Bounds on what a foreign file may make the reader do.
const (
	maxSymbolChain = 1 << 12
	// maxSymbolTables bounds how many tables of a kind are scanned. Files have one.
	maxSymbolTables = 4
	maxSymbolName   = 4096
	maxSymbolTable  = 1 << 30 // bytes
	symbolChunk     = 4096    // symbols read at a time
)

const sym64Size = 24

// Symbol finds a defined symbol by its name: among the exported ones through the
// hash table of the dynamic section, which costs a few reads, and then in .symtab,
// which is scanned. ok is false when there is none.
func (f *File) Symbol(name string) (s Symbol, ok bool) {
	if s, ok = f.ExportedSymbol(name); ok {
		return s, true
	}
	want := []byte(name)
	_ = f.EachSymbol(func(n []byte, sym Symbol) bool {
		if bytes.Equal(n, want) {
			s, ok = sym, true
			s.Name = name
		}
		return !ok
	})
	return s, ok
}

// ExportedSymbol finds a defined symbol of the dynamic symbol table by its name.
// It reads no section headers, so it works on images from memory too.
func (f *File) ExportedSymbol(name string) (Symbol, bool) {
	if f.Class != elf.ELFCLASS64 || name == "" || len(name) > maxSymbolName {
		return Symbol{}, false
	}
	d, err := f.dynamicTable()
	if err != nil {
		return Symbol{}, false
	}
	if d.gnuHash != 0 {
		return f.gnuLookup(d, name)
	}
	if d.hash != 0 {
		return f.sysvLookup(d, name)
	}
	return Symbol{}, false
}

// dynamicTable holds the addresses of the tables that the loader uses.
type dynamicTable struct {
	symtab, strtab, gnuHash, hash uint64
}

func (f *File) dynamicTable() (dynamicTable, error) {
	var d dynamicTable
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		n := min(p.Filesz, 64<<10)
		b := make([]byte, n)
		if _, err := f.ReadAt(b, int64(p.Off)); err != nil { //nolint:gosec // ReadAt refuses what is outside
			return d, err
		}
	entries:
		for ; len(b) >= 16; b = b[16:] {
			v := f.ByteOrder.Uint64(b[8:])
			switch elf.DynTag(f.ByteOrder.Uint64(b)) { //nolint:gosec // a tag
			case elf.DT_SYMTAB:
				d.symtab = v
			case elf.DT_STRTAB:
				d.strtab = v
			case elf.DT_GNU_HASH:
				d.gnuHash = v
			case elf.DT_HASH:
				d.hash = v
			case elf.DT_NULL:
				break entries
			}
		}
		break // a file has one; a thousand that overlap would all be read
	}
	if d.symtab == 0 || d.strtab == 0 {
		return d, errNoTable
	}
	return d, nil
}

func (f *File) u32At(v uint64) (uint32, bool) {
	var b [4]byte
	_, err := f.ReadVaddr(b[:], v)
	return f.ByteOrder.Uint32(b[:]), err == nil
}

// symbolAt reads symbol i and compares its name.
func (f *File) symbolAt(d dynamicTable, i uint32, name string) (Symbol, bool) {
	var b [sym64Size]byte
	if _, err := f.ReadVaddr(b[:], d.symtab+uint64(i)*sym64Size); err != nil {
		return Symbol{}, false
	}
	s := parseSym(f.ByteOrder, b[:])
	if f.ByteOrder.Uint16(b[6:]) == uint16(elf.SHN_UNDEF) {
		return s, false
	}
	got := make([]byte, len(name)+1)
	if _, err := f.ReadVaddr(got, d.strtab+uint64(f.ByteOrder.Uint32(b[:]))); err != nil {
		return s, false
	}
	if string(got[:len(name)]) != name || got[len(name)] != 0 {
		return s, false
	}
	s.Name = name
	return s, true
}

func parseSym(bo binary.ByteOrder, b []byte) Symbol {
	return Symbol{Info: b[4], Value: bo.Uint64(b[8:]), Size: bo.Uint64(b[16:])}
}

// gnuLookup walks a chain of the hash table of the GNU tools.
func (f *File) gnuLookup(d dynamicTable, name string) (Symbol, bool) {
	var head [16]byte
	if _, err := f.ReadVaddr(head[:], d.gnuHash); err != nil {
		return Symbol{}, false
	}
	buckets, first, bloom := f.ByteOrder.Uint32(head[:]), f.ByteOrder.Uint32(head[4:]), f.ByteOrder.Uint32(head[8:])
	if buckets == 0 {
		return Symbol{}, false
	}
	h := uint32(5381)
	for i := range len(name) {
		h = h*33 + uint32(name[i])
	}
	bucketsAt := d.gnuHash + 16 + uint64(bloom)*8
	i, ok := f.u32At(bucketsAt + uint64(h%buckets)*4)
	if !ok || i < first {
		return Symbol{}, false
	}
	chains := bucketsAt + uint64(buckets)*4
	for range maxSymbolChain {
		c, ok := f.u32At(chains + uint64(i-first)*4)
		if !ok {
			break
		}
		if c|1 == h|1 {
			if s, ok := f.symbolAt(d, i, name); ok {
				return s, true
			}
		}
		if c&1 != 0 {
			break
		}
		i++
	}
	return Symbol{}, false
}

// sysvLookup walks a chain of the hash table of System V.
func (f *File) sysvLookup(d dynamicTable, name string) (Symbol, bool) {
	buckets, ok := f.u32At(d.hash)
	if !ok || buckets == 0 {
		return Symbol{}, false
	}
	var h uint32
	for i := range len(name) {
		h = h<<4 + uint32(name[i])
		g := h & 0xf0000000
		h = (h ^ g>>24) &^ g
	}
	i, ok := f.u32At(d.hash + 8 + uint64(h%buckets)*4)
	for n := 0; ok && i != 0 && n < maxSymbolChain; n++ {
		if s, ok := f.symbolAt(d, i, name); ok {
			return s, true
		}
		i, ok = f.u32At(d.hash + 8 + uint64(buckets)*4 + uint64(i)*4)
	}
	return Symbol{}, false
}

// EachSymbol calls fn for every defined symbol of .symtab and then of .dynsym,
// until it returns false. The name is valid during the call only; Symbol.Name is
// empty. Memory is bounded by the string table. A file without symbol tables is
// no error.
func (f *File) EachSymbol(fn func(name []byte, s Symbol) bool) error {
	if f.Class != elf.ELFCLASS64 {
		return nil
	}
	for _, typ := range []elf.SectionType{elf.SHT_SYMTAB, elf.SHT_DYNSYM} {
		tables := 0
		for _, s := range f.Sections {
			if s.Type != typ || s.Link >= uint32(len(f.Sections)) || s.Size > maxSymbolTable { //nolint:gosec // small
				continue
			}
			if tables++; tables > maxSymbolTables {
				break
			}
			more, err := f.scanSymbols(s, f.Sections[s.Link], fn)
			if err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func (f *File) scanSymbols(s, link *elf.Section, fn func([]byte, Symbol) bool) (bool, error) {
	if link.Size > maxSymbolTable || link.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NOBITS {
		return true, nil
	}
	names, err := f.ReadRange(link.Offset, link.Size)
	if err != nil {
		return true, err
	}
	for off := uint64(0); off < s.Size; off += symbolChunk * sym64Size {
		b, err := f.ReadRange(s.Offset+off, min(s.Size-off, symbolChunk*sym64Size))
		if err != nil {
			return true, err
		}
		for ; len(b) >= sym64Size; b = b[sym64Size:] {
			at := uint64(f.ByteOrder.Uint32(b))
			if f.ByteOrder.Uint16(b[6:]) == uint16(elf.SHN_UNDEF) || at == 0 || at >= uint64(len(names)) {
				continue
			}
			name := names[at:]
			if len(name) > maxSymbolName {
				name = name[:maxSymbolName]
			}
			if n := bytes.IndexByte(name, 0); n >= 0 {
				name = name[:n]
			}
			if !fn(name, parseSym(f.ByteOrder, b)) {
				return false, nil
			}
		}
	}
	return true, nil
}
