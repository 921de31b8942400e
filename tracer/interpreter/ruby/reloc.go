// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"debug/elf"
	"encoding/binary"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// reloc is a relocation that the loader applies.
type reloc struct {
	at     uint64
	typ    uint32
	symbol uint32 // index in the table of exported symbols, 0: none
	addend int64
}

// eachReloc calls fn for the relocations of a file until it returns false.
func eachReloc(f *pfelf.File, fn func(reloc) bool) {
	const size = 24
	for _, s := range f.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 || s.Size > maxRelocs {
			continue
		}
		for off := uint64(0); off+size <= s.Size; off += 4096 * size {
			b, err := f.ReadRange(s.Offset+off, min(s.Size-off, 4096*size))
			if err != nil {
				return
			}
			for ; len(b) >= size; b = b[size:] {
				info := binary.LittleEndian.Uint64(b[8:])
				if !fn(reloc{
					at: binary.LittleEndian.Uint64(b), typ: uint32(info), symbol: uint32(info >> 32), //nolint:gosec // halves
					addend: int64(binary.LittleEndian.Uint64(b[16:])), //nolint:gosec // signed
				}) {
					return
				}
			}
		}
	}
}
