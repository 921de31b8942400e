// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors that callers tell apart.
var (
	// ErrNotFound is returned (wrapped) when the file has no Go function table.
	ErrNotFound = errors.New("no Go function table")
	// ErrCorrupt is returned (wrapped) when the table contradicts itself.
	ErrCorrupt = errors.New("corrupt Go function table")
)

// version is the layout of a table, named by the first Go version that wrote it.
type version uint8

const (
	ver116 version = iota + 1 // absolute pointers
	ver118                    // 32-bit offsets from the start of the text
	ver120                    // the start line of functions; also 1.21 to 1.27
)

// magics are the first four bytes of the table; internal/abi/symtab.go.
var magics = map[uint32]version{
	0xfffffffa: ver116,
	0xfffffff0: ver118,
	0xfffffff1: ver120,
}

// maxFuncs bounds the number of functions, and with it what a table keeps in
// memory: 8 bytes each. The largest programs known have under a million.
const maxFuncs = 8 << 20

// headerSize is the size of the largest header, with 8-byte pointers.
const headerSize = 8 + 8*8

// header is the start of the table; pcHeader in runtime/symtab.go.
type header struct {
	version   version
	quantum   uint64 // instructions are multiples of this many bytes
	ptrSize   uint64
	nfunc     int
	textStart uint64 // 0 where the linker does not write it
	// Offsets from the header.
	funcnames, cutab, filetab, pctab, functab uint64
}

// parseHeader reads the header of a table of which size bytes are in the file.
func parseHeader(b []byte, size uint64) (header, error) {
	var h header
	if len(b) < headerSize {
		return h, fmt.Errorf("%w: %d bytes of header", ErrCorrupt, len(b))
	}
	h.version = magics[binary.LittleEndian.Uint32(b)]
	h.quantum, h.ptrSize = uint64(b[6]), uint64(b[7])
	switch {
	case h.version == 0 || b[4] != 0 || b[5] != 0:
		return h, fmt.Errorf("%w: magic % x", ErrCorrupt, b[:6])
	case h.quantum != 1 && h.quantum != 2 && h.quantum != 4:
		return h, fmt.Errorf("%w: instruction size %d", ErrCorrupt, h.quantum)
	case h.ptrSize != 4 && h.ptrSize != 8:
		return h, fmt.Errorf("%w: pointer size %d", ErrCorrupt, h.ptrSize)
	}
	next := b[8:]
	word := func() uint64 {
		v := pointer(next, h.ptrSize)
		next = next[h.ptrSize:]
		return v
	}
	nfunc := word()
	word() // number of files
	if h.version >= ver118 {
		h.textStart = word()
	}
	h.funcnames, h.cutab, h.filetab, h.pctab, h.functab = word(), word(), word(), word(), word()
	if nfunc == 0 || nfunc > maxFuncs {
		return h, fmt.Errorf("%w: %d functions", ErrCorrupt, nfunc)
	}
	h.nfunc = int(nfunc) //nolint:gosec // bounded above
	if h.funcnames < 8 || h.funcnames > h.cutab || h.cutab > h.filetab || h.filetab > h.pctab ||
		h.pctab > h.functab || h.functab >= size || (2*nfunc+1)*h.fieldSize() > size-h.functab {
		return h, fmt.Errorf("%w: parts at %#x %#x %#x %#x %#x, %d functions in %#x bytes",
			ErrCorrupt, h.funcnames, h.cutab, h.filetab, h.pctab, h.functab, nfunc, size)
	}
	return h, nil
}

// fieldSize returns the size of the fields of the table of functions.
func (h *header) fieldSize() uint64 {
	if h.version >= ver118 {
		return 4
	}
	return h.ptrSize
}

// pointer reads a little-endian value of 4 or 8 bytes.
func pointer(b []byte, size uint64) uint64 {
	if size == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}
