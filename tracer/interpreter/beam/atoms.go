// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"fmt"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// Atoms are immediate terms: 6 bits of tag, then the index in the table of atoms.
const (
	atomTag      = 0x0b
	atomTagMask  = 0x3f
	atomTagBits  = 6
	atomPageBits = 10 // atoms per page of the table
	atomSlot     = 16 // of struct Atom: its own index
	atomLength   = 24
	atomName     = 32
	maxAtom      = 4 * 255 // bytes
	maxAtoms     = 1 << 12 // kept per process
)

type atomCache map[uint64]string

// atom reads the name of an atom. Atoms never change nor go away.
func (in *instance) atom(term uint64) (string, error) {
	if s, ok := in.atoms[term]; ok {
		return s, nil
	}
	s, err := readAtom(in.mem, in.atomTable, term)
	if err != nil {
		return "", err
	}
	if in.atoms == nil || len(in.atoms) >= maxAtoms {
		in.atoms = atomCache{}
	}
	in.atoms[term] = s
	return s, nil
}

// readAtom follows the table's pages; table is the address of the pointer to them.
func readAtom(mem process.Memory, table, term uint64) (string, error) {
	if term&atomTagMask != atomTag || term>>32 != 0 {
		return "", fmt.Errorf("atom: %w", errLayout)
	}
	i := term >> atomTagBits
	pages, err := mem.Uint64(table)
	if err != nil {
		return "", err
	}
	page, err := mem.Uint64(pages + i>>atomPageBits*8)
	if err != nil {
		return "", err
	}
	at, err := mem.Uint64(page + i&(1<<atomPageBits-1)*8)
	if err != nil {
		return "", err
	}
	b := make([]byte, atomName+8)
	if err := mem.Read(b, at); err != nil {
		return "", err
	}
	w := words(b)
	length := w.at(atomLength/8) & 0xffff
	if w.at(atomSlot/8)&0xffffffff != i || length > maxAtom {
		return "", fmt.Errorf("atom: %w", errLayout)
	}
	name := w.at(atomName / 8)
	if name&3 == boxed {
		// From OTP 28 on a binary on a heap: a header, the length in bits, the text.
		// Before, and as it may look the same, the address of the text.
		b := make(words, 16)
		if mem.Read(b, name&^7) == nil && b.at(0)&3 == 0 && b.at(1) == length*8 {
			name = name&^7 + 16
		}
	}
	return mem.Text(name, length)
}

// Tags of terms: a list's cell, its end, other terms on a heap, small integers.
const (
	list      = 1
	boxed     = 2
	emptyList = 0x3b
	smallTag  = 0xf
	maxList   = 1024
)

// readString reads a list of characters, "" when the term is none.
func readString(mem process.Memory, term uint64) string {
	var out []byte
	cell := make(words, 16)
	for range maxList {
		if term == emptyList {
			return process.Clean(out)
		}
		if term&3 != list || mem.Read(cell, term&^7) != nil || cell.at(0)&smallTag != smallTag || cell.at(0)>>4 > utf8.MaxRune {
			return ""
		}
		out = utf8.AppendRune(out, rune(cell.at(0)>>4)) //nolint:gosec // bounded
		term = cell.at(1)
	}
	return ""
}
