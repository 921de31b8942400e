// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"fmt"

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
	return mem.Text(w.at(atomName/8), length)
}
