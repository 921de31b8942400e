// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"encoding/binary"
)

// Names of methods are symbols: numbers that index a table. The table is a
// structure without an exported name: the number of symbols, a hash table, an
// array of arrays of 512 pairs of string and symbol. Only the array and the
// number matter; they are at the same place in all versions.
const (
	symbolsPerArray = 512
	offSymbolArrays = 16
	symbolsSize     = 24
	// Symbols of operators have their character or token as number, others have
	// kind and scope in the low bits.
	lastOperator     = 170
	symbolScopeShift = 4
	// bang is the symbol of the operator "!".
	bang = '!'
)

// Bounds on what is believed to be the table.
const (
	minSymbols = 256
	maxSymbols = 1 << 26
	// maxSearches is how often the table is looked for.
	maxSearches = 3
	// maxCandidates is how many places a search looks at more closely.
	maxCandidates = 4096
	// maxSearch is how much of a file's data is searched, in bytes; libraries
	// have less than 1 MiB.
	maxSearch = 8 << 20
)

// symbol returns the name of a symbol, "" when it is not known.
func (i *instance) symbol(id uint64) string {
	if s, ok := i.ids[id]; ok {
		return s
	}
	if i.symbols == 0 && !i.findSymbols() {
		return ""
	}
	s, err := i.symbolIn(i.symbols, id)
	if err != nil {
		return ""
	}
	if len(i.ids) >= maxNames {
		clear(i.ids)
	}
	i.ids[id] = s
	return s
}

// symbolIn looks a symbol up in the table at an address.
func (i *instance) symbolIn(table, id uint64) (string, error) {
	serial := id
	if id > lastOperator {
		serial = id >> symbolScopeShift
	}
	serial &= 1<<32 - 1
	arrays, err := i.mem.Uint64(table + offSymbolArrays)
	if err != nil {
		return "", err
	}
	pairs, err := i.mem.element(arrays, serial/symbolsPerArray)
	if err != nil {
		return "", err
	}
	v, err := i.mem.element(pairs, serial%symbolsPerArray*2)
	if err != nil {
		return "", err
	}
	return i.mem.string(v)
}

// findSymbols finds the table in the writable data of the file, by what it holds.
func (i *instance) findSymbols() bool {
	if at := i.lib.symbols.Load(); at != 0 && i.isSymbols(i.bias+at) {
		i.symbols = i.bias + at
		return true
	}
	if i.searched >= maxSearches {
		return false
	}
	i.searched++
	for _, s := range i.lib.data {
		if at, ok := i.searchSymbols(i.bias+s.start, s.end-s.start); ok {
			i.symbols = at
			i.lib.symbols.Store(at - i.bias)
			return true
		}
	}
	return false
}

func (i *instance) searchSymbols(at, size uint64) (uint64, bool) {
	const step = 64 << 10
	buf := make([]byte, step+symbolsSize)
	end := at + min(size, maxSearch)
	at = (at + 7) &^ 7
	size = (end - min(at, end)) &^ 7
	candidates := 0
	for ; size >= symbolsSize; at, size = at+step, size-min(size, step) {
		b := buf[:min(size, uint64(len(buf)))]
		if i.mem.Read(b, at) != nil {
			continue
		}
		for off := 0; off+symbolsSize <= len(b); off += 8 {
			n := binary.LittleEndian.Uint64(b[off:])
			if n < minSymbols || n > maxSymbols || !heapObject(binary.LittleEndian.Uint64(b[off+8:])) ||
				!heapObject(binary.LittleEndian.Uint64(b[off+offSymbolArrays:])) {
				continue
			}
			if i.isSymbols(at + uint64(off)) {
				return at + uint64(off), true
			}
			if candidates++; candidates > maxCandidates {
				return 0, false
			}
		}
	}
	return 0, false
}

// isSymbols tells the table by an operator's name and by the length of its array.
func (i *instance) isSymbols(table uint64) bool {
	n, err := i.mem.Uint32(table)
	if err != nil || n < minSymbols || n > maxSymbols {
		return false
	}
	arrays, err := i.mem.Uint64(table + offSymbolArrays)
	if err != nil {
		return false
	}
	_, length, err := i.mem.array(arrays)
	if err != nil || length*symbolsPerArray < uint64(n)/2 || length > maxSymbols {
		return false
	}
	s, err := i.symbolIn(table, bang)
	return err == nil && s == "!"
}
