// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

const (
	madeText     = 0x1000
	madeTextSize = 0x1000
)

// madeSymbol is a symbol of a made-up file, in .text unless section is set.
type madeSymbol struct {
	name        string
	value, size uint64
	bind        elf.SymBind
	kind        elf.SymType
	section     uint16
}

func function(name string, value, size uint64) madeSymbol {
	return madeSymbol{name: name, value: value, size: size, bind: elf.STB_GLOBAL, kind: elf.STT_FUNC}
}

// makeELF returns an ELF file with a code section at madeText, another one
// right behind it, and the given symbols in a table of the given type.
func makeELF(t testing.TB, kind elf.SectionType, symbols ...madeSymbol) []byte {
	t.Helper()
	strtab := []byte{0}
	var symtab bytes.Buffer
	write := func(w *bytes.Buffer, v any) {
		if err := binary.Write(w, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	write(&symtab, elf.Sym64{})
	for _, s := range symbols {
		if s.section == 0 {
			s.section = 1
		}
		write(&symtab, elf.Sym64{
			Name: uint32(len(strtab)), Info: elf.ST_INFO(s.bind, s.kind), Shndx: s.section, Value: s.value, Size: s.size,
		})
		strtab = append(append(strtab, s.name...), 0)
	}
	names := []byte("\x00.text\x00.fini\x00.symtab\x00.strtab\x00.shstrtab\x00")
	nameOf := func(n string) uint32 { return uint32(bytes.Index(names, []byte("\x00"+n+"\x00")) + 1) }
	const headers = 64 + 56
	symtabAt := uint64(headers)
	strtabAt := symtabAt + uint64(symtab.Len())
	namesAt := strtabAt + uint64(len(strtab))
	sectionsAt := (namesAt + uint64(len(names)) + 7) &^ 7
	code := uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR)
	sections := []elf.Section64{
		{},
		{Name: nameOf(".text"), Type: uint32(elf.SHT_NOBITS), Flags: code, Addr: madeText, Size: madeTextSize},
		{Name: nameOf(".fini"), Type: uint32(elf.SHT_NOBITS), Flags: code, Addr: madeText + madeTextSize, Size: 0x10},
		{Name: nameOf(".symtab"), Type: uint32(kind), Off: symtabAt, Size: uint64(symtab.Len()), Link: 4, Entsize: 24},
		{Name: nameOf(".strtab"), Type: uint32(elf.SHT_STRTAB), Off: strtabAt, Size: uint64(len(strtab))},
		{Name: nameOf(".shstrtab"), Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))},
	}
	var out bytes.Buffer
	header := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Shoff: sectionsAt,
		Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: 5,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	write(&out, header)
	write(&out, elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: madeText, Filesz: 0x10, Memsz: madeTextSize + 0x10,
	})
	out.Write(symtab.Bytes())
	out.Write(strtab)
	out.Write(names)
	out.Write(make([]byte, sectionsAt-uint64(out.Len())))
	for _, s := range sections {
		write(&out, s)
	}
	return out.Bytes()
}

// openBytes opens a made-up file.
func openBytes(t testing.TB, b []byte) *pfelf.File {
	t.Helper()
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
