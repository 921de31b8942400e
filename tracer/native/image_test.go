// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// Where things are in test images: the file is loaded as it is, at imageBase.
const (
	imageBase  = 0x400000
	textOff    = 0x1000
	textVaddr  = imageBase + textOff
	textSize   = 0x1000
	frameOff   = 0x2000
	frameVaddr = imageBase + frameOff
)

// part is a section of a test image. Its bytes are at off.
type part struct {
	name string
	typ  elf.SectionType
	off  uint64
	data []byte
}

// image encodes an ELF file with a segment of code from textOff to frameOff and
// the given sections. With segments set, a PT_GNU_EH_FRAME points to the section
// .eh_frame_hdr, and there are no section headers.
func image(machine elf.Machine, sectionless bool, parts ...part) []byte {
	const ehsize, phsize, shsize = 64, 56, 64
	parts = append([]part{{}}, parts...)
	names := []byte{0}
	nameAt := make([]uint32, len(parts)+1)
	end := uint64(frameOff)
	for i, p := range parts[1:] {
		nameAt[i+1] = uint32(len(names))
		names = append(append(names, p.name...), 0)
		end = max(end, p.off+uint64(len(p.data)))
	}
	nameAt[len(parts)] = uint32(len(names))
	names = append(names, ".shstrtab\x00"...)
	parts = append(parts, part{".shstrtab", elf.SHT_STRTAB, end, names})
	body := make([]byte, end+uint64(len(names)))
	for _, p := range parts {
		copy(body[p.off:], p.data)
	}
	progs := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Vaddr: imageBase, Filesz: textOff, Memsz: textOff},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: textOff, Vaddr: textVaddr, Filesz: textSize, Memsz: textSize},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Off: frameOff, Vaddr: frameVaddr, Filesz: uint64(len(body)) - frameOff, Memsz: uint64(len(body)) - frameOff},
	}
	for _, p := range parts {
		if p.name == ".eh_frame_hdr" {
			progs = append(progs, elf.Prog64{
				Type: uint32(elf.PT_GNU_EH_FRAME), Off: p.off, Vaddr: imageBase + p.off, Filesz: uint64(len(p.data)), Memsz: uint64(len(p.data)),
			})
		}
	}
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1,
		Phoff: ehsize, Ehsize: ehsize, Phentsize: phsize, Phnum: uint16(len(progs)),
	}
	if !sectionless {
		h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = uint64(len(body)), shsize, uint16(len(parts)), uint16(len(parts)-1)
	}
	var head bytes.Buffer
	_ = binary.Write(&head, binary.LittleEndian, h)
	_ = binary.Write(&head, binary.LittleEndian, progs)
	copy(body, head.Bytes())
	if sectionless {
		return body
	}
	out := bytes.NewBuffer(body)
	for i, p := range parts {
		_ = binary.Write(out, binary.LittleEndian, elf.Section64{
			Name: nameAt[i], Type: uint32(p.typ), Addr: imageBase + p.off, Off: p.off, Size: uint64(len(p.data)),
		})
	}
	return out.Bytes()
}

// openImage opens the tables of an image.
func openImage(tb testing.TB, b []byte) (*Tables, *Rules) {
	tb.Helper()
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatal(err)
	}
	rules := NewRules()
	t, err := Open(f, rules)
	if err != nil {
		tb.Fatal(err)
	}
	return t, rules
}

// textRows returns the rows of the image's code, by offset from textVaddr.
func textRows(tb testing.TB, t *Tables, rules *Rules) string {
	tb.Helper()
	rows, err := t.Page(0)
	if err != nil {
		tb.Fatal(err)
	}
	out := []string{"0 " + formatRule(rules, Lookup(rows, textOff))}
	for _, r := range rows {
		if r.PCLow > textOff {
			out = append(out, hex(uint64(r.PCLow)-textOff)+" "+formatRule(rules, r.Rule))
		}
	}
	return strings.Join(out, "; ")
}

func hex(v uint64) string {
	const digits = "0123456789abcdef"
	s := ""
	for ; v > 0 || s == ""; v >>= 4 {
		s = string(digits[v&15]) + s
	}
	return s
}

// frames assembles a section of call frame information.
type frames struct {
	debug bool
	wide  bool // 64-bit DWARF
	b     []byte
}

// entry adds an entry with an ID field and returns where it begins. The ID is
// made by id, from the offset of its field.
func (f *frames) entry(id func(at uint64) uint64, body []byte) uint64 {
	off := uint64(len(f.b))
	idSize := 4
	if f.wide {
		idSize = 8
	}
	for (len(body)+idSize)%8 != 4 && !f.wide || (len(body)+idSize)%8 != 0 && f.wide {
		body = append(body, 0)
	}
	length := uint64(len(body) + idSize)
	if f.wide {
		f.b = binary.LittleEndian.AppendUint32(f.b, 0xffffffff)
		f.b = binary.LittleEndian.AppendUint64(f.b, length)
		f.b = binary.LittleEndian.AppendUint64(f.b, id(uint64(len(f.b))))
	} else {
		f.b = binary.LittleEndian.AppendUint32(f.b, uint32(length))
		f.b = binary.LittleEndian.AppendUint32(f.b, uint32(id(uint64(len(f.b)))))
	}
	f.b = append(f.b, body...)
	return off
}

// cie adds a CIE with the given content from the version on.
func (f *frames) cie(body ...byte) uint64 {
	return f.entry(func(uint64) uint64 {
		switch {
		case f.debug && f.wide:
			return 1<<64 - 1
		case f.debug:
			return 1<<32 - 1
		}
		return 0
	}, body)
}

// fde adds an FDE with the given content from the start of the code on.
func (f *frames) fde(cie uint64, body []byte) uint64 {
	return f.entry(func(at uint64) uint64 {
		if f.debug {
			return cie
		}
		return at - cie
	}, body)
}

// code encodes the start and size of code for the encoding absptr.
func code(start, size uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, textVaddr+start), size)
}

// stdCIE is the content of a CIE of x86-64: absolute pointers, CFA = RSP + 8.
var stdCIE = []byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr, cfaDefCFA, 7, 8, cfaOffset | 16, 1}

// armCIE is the same for arm64: CFA = SP.
var armCIE = []byte{1, 'z', 'R', 0, 4, 0x78, 30, 1, peAbsptr, cfaDefCFA, 31, 0}

// oneFDE returns an image with one function of 0x40 bytes at textVaddr.
func oneFDE(machine elf.Machine, cie, prog []byte) []byte {
	var f frames
	c := f.cie(cie...)
	f.fde(c, append(append(code(0, 0x40), 0), prog...))
	return image(machine, false,
		part{".text", elf.SHT_PROGBITS, textOff, make([]byte, textSize)},
		part{".eh_frame", elf.SHT_PROGBITS, frameOff, f.b})
}
