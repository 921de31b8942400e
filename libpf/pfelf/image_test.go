// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// testSection is a section of a test image.
type testSection struct {
	name  string
	typ   elf.SectionType
	flags elf.SectionFlag
	align uint64
	data  []byte
}

// testNote encodes a note with padding to multiples of align.
func testNote(name string, typ uint32, desc []byte, align int) []byte {
	pad := func(b []byte) []byte {
		for len(b)%align != 0 {
			b = append(b, 0)
		}
		return b
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(desc)))
	b = binary.LittleEndian.AppendUint32(b, typ)
	return pad(append(pad(append(b, name...)), desc...))
}

// testImage encodes a 64-bit little-endian ELF file whose sections are loaded
// by one executable segment at base, and whose notes have a PT_NOTE each.
func testImage(base uint64, sections ...testSection) []byte {
	const ehsize, phsize, shsize = 64, 56, 64
	names := []byte{0}
	all := append([]testSection{{}}, sections...)
	all = append(all, testSection{name: ".shstrtab", typ: elf.SHT_STRTAB})
	nameAt := make([]int, len(all))
	for i, s := range all[1:] {
		nameAt[i+1] = len(names)
		names = append(append(names, s.name...), 0)
	}
	all[len(all)-1].data = names
	phnum := 1
	for _, s := range all {
		if s.typ == elf.SHT_NOTE {
			phnum++
		}
	}
	body := make([]byte, ehsize+phnum*phsize)
	offs := make([]int, len(all))
	for i, s := range all {
		for len(body)%16 != 0 {
			body = append(body, 0)
		}
		offs[i] = len(body)
		if s.typ != elf.SHT_NOBITS {
			body = append(body, s.data...)
		}
	}
	for len(body)%16 != 0 {
		body = append(body, 0)
	}
	var out bytes.Buffer
	put := func(v any) { _ = binary.Write(&out, binary.LittleEndian, v) }
	put(elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: base,
		Phoff: ehsize, Shoff: uint64(len(body)), Ehsize: ehsize, Phentsize: phsize, Phnum: uint16(phnum),
		Shentsize: shsize, Shnum: uint16(len(all)), Shstrndx: uint16(len(all) - 1),
	})
	put(elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base,
		Filesz: uint64(len(body)), Memsz: uint64(len(body)) + 64, Align: 0x1000,
	})
	for i, s := range all {
		if s.typ == elf.SHT_NOTE {
			put(elf.Prog64{Type: uint32(elf.PT_NOTE), Off: uint64(offs[i]), Filesz: uint64(len(s.data)), Align: s.align})
		}
	}
	out.Write(body[out.Len():])
	for i, s := range all {
		put(elf.Section64{
			Name: uint32(nameAt[i]), Type: uint32(s.typ), Flags: uint64(s.flags), Addr: base + uint64(offs[i]),
			Off: uint64(offs[i]), Size: uint64(len(s.data)), Addralign: s.align,
		})
	}
	return out.Bytes()
}
