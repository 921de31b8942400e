// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
	"sort"
)

// Flags of a function; FuncFlag in internal/abi/symtab.go. Go 1.16 has none.
const (
	// FlagTopFrame marks a function that is the root of its stack, such as
	// runtime.goexit.
	FlagTopFrame = 1 << 0
	// FlagSPWrite marks a function that moves the stack pointer in a way that
	// the table does not describe.
	FlagSPWrite = 1 << 1
	// FlagAsm marks a function written in assembly.
	FlagAsm = 1 << 2
)

const (
	// maxName and maxPath bound what a broken table can make of a string.
	// Names of instantiated generic functions can be long.
	maxName = 16 << 10
	maxPath = 4 << 10
)

// Func is a function of a [Table].
type Func struct {
	// Entry and End are the first address and the one after the last.
	Entry, End uint64
	// Name is the linker's name, such as net/http.(*Server).Serve.
	Name string
	// StartLine is the line of the func keyword, 0 before Go 1.20.
	StartLine int
	// Flags are the Flag bits, 0 before Go 1.17.
	Flags uint8
}

// Table is the function table of one file. It is not safe for concurrent use.
type Table struct {
	header header
	blob   *blob
	// entries are the functions' first addresses, relative to text; one more
	// than there are functions, the last being the end of the last function.
	entries []uint32
	// funcoffs are the offsets of the functions' records from header.functab.
	funcoffs []uint32
	text     uint64
	// gofunc holds the inline trees, from gofuncVaddr on where the functions
	// point to them with addresses; nil when they cannot be found.
	gofunc      *blob
	gofuncVaddr uint64
}

// openELF reads the table of f. With scan set, it is looked for also where no
// section names it.
func openELF(f *elf.File, scan bool) (*Table, error) {
	if f.ByteOrder != binary.LittleEndian {
		return nil, fmt.Errorf("%w: big-endian file", ErrNotFound)
	}
	loc, err := locate(f, scan)
	if err != nil {
		return nil, err
	}
	t := &Table{header: loc.header, blob: loc.blob}
	if err := t.loadFunctab(); err != nil {
		return nil, err
	}
	m := image{f}
	if t.header.version == ver116 {
		t.findInlineTreePointers(m)
		return t, nil
	}
	md, ok := findModuledata(f, &loc, func(md *moduledata) bool {
		text := md.words[mdText]
		return m.executable(text) && md.words[mdMinPC] == text+uint64(t.entries[0]) &&
			md.words[mdMaxPC] == text+uint64(t.entries[t.header.nfunc])
	})
	t.text = textStart(f, &loc, md)
	if ok {
		t.findInlineTrees(m, md)
	}
	return t, nil
}

// textStart returns the address that the table's offsets count from.
func textStart(f *elf.File, loc *location, md *moduledata) uint64 {
	if md != nil {
		return md.words[mdText]
	}
	if loc.header.textStart != 0 {
		return loc.header.textStart
	}
	if syms, err := f.Symbols(); err == nil {
		for i := range syms {
			if syms[i].Name == "runtime.text" {
				return syms[i].Value
			}
		}
	}
	if s := f.Section(".text"); s != nil {
		return s.Addr
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			return p.Vaddr
		}
	}
	return 0
}

// loadFunctab reads the table of functions. In the layouts with absolute
// addresses it also sets text.
func (t *Table) loadFunctab() error {
	h := &t.header
	field := h.fieldSize()
	n := h.nfunc
	t.entries = make([]uint32, n+1)
	t.funcoffs = make([]uint32, n)
	var pair [16]byte
	var previous uint64
	for i := range n + 1 {
		size := 2 * field
		if i == n {
			size = field
		}
		if err := t.blob.read(pair[:size], h.functab+uint64(i)*2*field); err != nil { //nolint:gosec // bounded
			return err
		}
		entry := pointer(pair[:], field)
		if i == 0 && h.version == ver116 {
			t.text = entry
		}
		if h.version == ver116 {
			entry -= t.text
		}
		if entry < previous || entry > math.MaxUint32 {
			return fmt.Errorf("%w: function %d begins before the one before it", ErrCorrupt, i)
		}
		previous = entry
		t.entries[i] = uint32(entry)
		if i == n {
			break
		}
		off := pointer(pair[field:], field)
		if off > math.MaxUint32 || off >= t.blob.size-h.functab {
			return fmt.Errorf("%w: record of function %d at %#x", ErrCorrupt, i, off)
		}
		t.funcoffs[i] = uint32(off)
	}
	if t.entries[n] == 0 {
		// What an external linker leaves of a Go 1.16 or 1.17 table in a
		// position-independent program: the addresses are in relocations only.
		return fmt.Errorf("%w: no addresses in the file", ErrCorrupt)
	}
	return nil
}

// Funcs returns the number of functions.
func (t *Table) Funcs() int { return t.header.nfunc }

// TextStart returns the address of runtime.text.
func (t *Table) TextStart() uint64 { return t.text }

// HasInlineTrees reports whether [Table.Inlined] can tell inlined functions.
func (t *Table) HasInlineTrees() bool { return t.gofunc != nil }

// Bytes returns about how much memory the table takes.
func (t *Table) Bytes() int {
	n := 4*len(t.entries) + 4*len(t.funcoffs) + windowCount*windowSize
	if t.gofunc != nil {
		n += windowCount * windowSize
	}
	return n
}

// Bounds returns the first address of function i and the one after its last.
// It reads no file. i must be in [0, Funcs()).
func (t *Table) Bounds(i int) (entry, end uint64) {
	return t.text + uint64(t.entries[i]), t.text + uint64(t.entries[i+1])
}

// Find returns the function that pc lies in. It reads no file.
func (t *Table) Find(pc uint64) (i int, ok bool) {
	n := t.header.nfunc
	off := pc - t.text
	if pc < t.text || off < uint64(t.entries[0]) || off >= uint64(t.entries[n]) {
		return 0, false
	}
	return sort.Search(n, func(i int) bool { return uint64(t.entries[i+1]) > off }), true
}

// Func returns function i, which must be in [0, Funcs()).
func (t *Table) Func(i int) (Func, error) {
	var f Func
	f.Entry, f.End = t.Bounds(i)
	r, err := t.record(i)
	if err != nil {
		return f, err
	}
	f.StartLine, f.Flags = int(max(r.startLine, 0)), r.flags
	f.Name, err = t.name(uint64(r.nameoff))
	return f, err
}

// record is what is used of a function's record; type _func in
// runtime/runtime2.go.
type record struct {
	nameoff, pcsp, pcfile, pcln, npcdata, cuOffset uint32

	startLine        int32
	flags, nfuncdata uint8
	pcdata           uint64 // offset in the blob of the table numbers that follow
}

// record reads the record of function i.
func (t *Table) record(i int) (record, error) {
	var buf [8 + 4*10]byte
	h := &t.header
	// The entry is a pointer up to Go 1.17; what follows is the same.
	size := h.fieldSize() + 36
	if h.version >= ver120 {
		size += 4
	}
	at := h.functab + uint64(t.funcoffs[i])
	if err := t.blob.read(buf[:size], at); err != nil {
		return record{}, fmt.Errorf("record of function %d: %w", i, err)
	}
	b := buf[h.fieldSize():size]
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	r := record{
		nameoff: word(0), pcsp: word(3), pcfile: word(4), pcln: word(5), npcdata: word(6), cuOffset: word(7),
		pcdata: at + size,
	}
	last := b[32:]
	if h.version >= ver120 {
		r.startLine = int32(word(8)) //nolint:gosec // it is signed in the runtime
		last = b[36:]
	}
	r.flags, r.nfuncdata = last[1], last[3]
	return r, nil
}

// name returns the function name at an offset from the table of names.
func (t *Table) name(off uint64) (string, error) {
	if off == 0 || off >= t.header.cutab-t.header.funcnames {
		// The runtime, too, takes offset 0 for "no name".
		if off == 0 && t.header.version >= ver118 {
			return t.blob.cstring(t.header.funcnames, maxName)
		}
		return "", fmt.Errorf("%w: name at %#x", ErrCorrupt, off)
	}
	return t.blob.cstring(t.header.funcnames+off, maxName)
}
