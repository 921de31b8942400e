// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// catching are the ops that may have to start a loop of their own, for an
// exception to come back to.
var catching = [][]byte{[]byte("entertry"), []byte("entereval"), []byte("require"), []byte("entertrycatch")}

// Bounds on what a file may make the reader do.
const (
	maxOps    = 1024
	maxOpName = 32
	maxRelocs = 1 << 24 // bytes
)

// catchRanges returns where the functions of the catching ops are. From 5.38 on
// they are not exported, but the tables of all ops are.
func catchRanges(f *pfelf.File) []interpreter.Range {
	names, functions := opTable(f, "PL_op_name"), opTable(f, "PL_ppaddr")
	if len(names) == 0 || len(functions) == 0 {
		return nil
	}
	// A function ends where the next one starts, at the latest.
	starts := slices.Clone(functions)
	slices.Sort(starts)
	var out []interpreter.Range
	for i := range min(len(names), len(functions)) {
		var text [maxOpName]byte
		if _, err := f.ReadVaddr(text[:], names[i]); err != nil {
			continue
		}
		name, _, ok := bytes.Cut(text[:], []byte{0})
		if !ok || !slices.ContainsFunc(catching, func(b []byte) bool { return bytes.Equal(b, name) }) {
			continue
		}
		at, _ := slices.BinarySearch(starts, functions[i]+1)
		off, ok := f.VaddrToOffset(functions[i])
		if !ok || at == len(starts) || starts[at]-functions[i] > maxFunction {
			continue
		}
		out = append(out, interpreter.Range{Start: off, End: off + starts[at] - functions[i], Tag: tagCatch})
	}
	return out
}

const maxFunction = 64 << 10

// opTable reads an exported table of pointers, with an element for each op, as
// the loader will fill it in.
func opTable(f *pfelf.File, symbol string) []uint64 {
	s, ok := f.ExportedSymbol(symbol)
	if !ok || s.Size/8 > maxOps {
		return nil
	}
	raw := make([]byte, s.Size/8*8)
	if _, err := f.ReadVaddr(raw, s.Value); err != nil {
		return nil
	}
	table := make([]uint64, s.Size/8)
	for i := range table {
		// What needs no relocation, or has its addend in place.
		table[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	section := f.FindSection(".rela.dyn")
	if section == nil || section.Size > maxRelocs {
		return table
	}
	relocs, err := f.SectionData(".rela.dyn")
	if err != nil {
		return table
	}
	applyRelative(table, s.Value, relocs)
	return table
}

// applyRelative sets the elements of a table at an address that relocations
// relative to the file's load address set.
func applyRelative(table []uint64, at uint64, relocs []byte) {
	for ; len(relocs) >= 24; relocs = relocs[24:] {
		off := binary.LittleEndian.Uint64(relocs) - at
		kind := binary.LittleEndian.Uint32(relocs[8:])
		relative := kind == uint32(elf.R_X86_64_RELATIVE) || kind == uint32(elf.R_AARCH64_RELATIVE)
		if relative && off%8 == 0 && off/8 < uint64(len(table)) {
			table[off/8] = binary.LittleEndian.Uint64(relocs[16:])
		}
	}
}
