// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// pushed is a program of a function that pushes RBP after one byte.
var pushed = []byte{cfaAdvanceLoc | 1, cfaDefCFAOffset, 16, cfaOffset | 6, 2}

const pushedRows = "0 sp+8 n=0; 1 sp+16 n=1; 40 invalid"

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// TestEntries reads the forms of CIEs and FDEs.
func TestEntries(t *testing.T) {
	t.Parallel()
	init := []byte{cfaDefCFA, 7, 8, cfaOffset | 16, 1}
	cie := func(parts ...[]byte) []byte { return append(bytes.Join(parts, nil), init...) }
	abs := append(code(0, 0x40), 0)
	// The start of an FDE behind one CIE of the standard size, for pc-relative starts.
	for name, c := range map[string]struct {
		f    frames
		cie  []byte
		fde  []byte // start, size, augmentation
		want string
	}{
		"absolute":          {frames{}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr}), abs, pushedRows},
		"udata4":            {frames{}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peUdata4}), append(append(le32(textVaddr), le32(0x40)...), 0), pushedRows},
		"no augmentation":   {frames{}, cie([]byte{1, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		"version 3":         {frames{}, cie([]byte{3, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr}), abs, pushedRows},
		"version 4":         {frames{}, cie([]byte{4, 0, 8, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		"version 4, narrow": {frames{}, cie([]byte{4, 0, 4, 0, 1, 0x78, 16}), append(le32(textVaddr), le32(0x40)...), pushedRows},
		"version 4, odd":    {frames{}, cie([]byte{4, 0, 2, 0, 1, 0x78, 16}), code(0, 0x40), "0 invalid"},
		"version 9":         {frames{}, cie([]byte{9, 0, 1, 0x78, 16}), code(0, 0x40), "0 invalid"},
		"personality":       {frames{}, cie([]byte{1, 'z', 'P', 'L', 'R', 0, 1, 0x78, 16, 7, peUdata4 | peIndirect | pePCRel, 1, 2, 3, 4, pePCRel | peSdata4, peAbsptr}), append(code(0, 0x40), 4, 1, 2, 3, 4), pushedRows},
		"aligned pointer":   {frames{}, cie([]byte{1, 'z', 'P', 'R', 0, 1, 0x78, 16, 16, peAligned, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, peAbsptr}), abs, pushedRows},
		"unknown, sized":    {frames{}, cie([]byte{1, 'z', 'R', 'Q', 0, 1, 0x78, 16, 3, peAbsptr, 1, 2}), abs, pushedRows},
		"unknown, unsized":  {frames{}, cie([]byte{1, 'Q', 0, 1, 0x78, 16}), code(0, 0x40), "0 invalid"},
		"gcc 2":             {frames{}, cie([]byte{1, 'e', 'h', 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		"arm's key B":       {frames{}, cie([]byte{1, 'z', 'R', 'B', 0, 1, 0x78, 16, 1, peAbsptr}), abs, pushedRows},
		"signal frame":      {frames{}, cie([]byte{1, 'z', 'R', 'S', 0, 1, 0x78, 16, 1, peAbsptr}), abs, "0 signal; 40 invalid"},
		"indirect start":    {frames{}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr | peIndirect}), abs, "0 invalid"},
		"64-bit DWARF":      {frames{wide: true}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr}), abs, pushedRows},
		"other RA column":   {frames{}, append([]byte{1, 'z', 'R', 0, 1, 0x78, 12, 1, peAbsptr}, cfaDefCFA, 7, 8, cfaOffset|12, 1), abs, pushedRows},
		"other factors":     {frames{}, append([]byte{1, 'z', 'R', 0, 1, 0x7c, 16, 1, peAbsptr}, cfaDefCFA, 7, 8, cfaOffset|16, 2), abs, "0 sp+8 n=0; 1 cfa=r7+16 ra=default fp=*(cfa-8); 40 invalid"},
		"empty":             {frames{}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr}), append(code(0, 0), 0), "0 invalid"},
		"wraps around":      {frames{}, cie([]byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, peAbsptr}), append(code(0, 1<<64-1), 0), "0 invalid"},
		".debug_frame":      {frames{debug: true}, cie([]byte{1, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		".debug_frame 3":    {frames{debug: true}, cie([]byte{3, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		".debug_frame 4":    {frames{debug: true}, cie([]byte{4, 0, 8, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
		".debug_frame 64":   {frames{debug: true, wide: true}, cie([]byte{3, 0, 1, 0x78, 16}), code(0, 0x40), pushedRows},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.f
			f.b = nil
			f.fde(f.cie(c.cie...), append(bytes.Clone(c.fde), pushed...))
			section := ".eh_frame"
			if f.debug {
				section = ".debug_frame"
			}
			tables, rules := openImage(t, image(elf.EM_X86_64, false, part{section, elf.SHT_PROGBITS, frameOff, f.b}))
			if got := textRows(t, tables, rules); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// searchable returns the section .eh_frame at frameOff and its .eh_frame_hdr at
// hdrOff, for functions of 0x10 bytes at multiples of 0x20.
const hdrOff = 0x8000

func searchable(n int, tableEnc uint8) (ehFrame, hdr []byte) {
	var f frames
	c := f.cie(stdCIE...)
	hdr = []byte{1, pePCRel | peSdata4, peUdata4, tableEnc}
	back := int32(frameOff - hdrOff - 4)
	hdr = append(hdr, le32(uint32(back))...)
	hdr = append(hdr, le32(uint32(n))...)
	for i := range n {
		off := f.fde(c, append(append(code(uint64(i)*0x20, 0x10), 0), cfaDefCFAOffset, byte(8*(i%8+1))))
		pair := [2]uint64{textVaddr + uint64(i)*0x20, frameVaddr + off}
		for _, v := range pair {
			switch tableEnc {
			case peDataRel | peSdata4:
				hdr = append(hdr, le32(uint32(v-imageBase-hdrOff))...)
			default:
				hdr = binary.LittleEndian.AppendUint64(hdr, v)
			}
		}
	}
	return f.b, hdr
}

// TestSearchTable compares tables made by searching to ones made from the
// whole section, with and without section headers.
func TestSearchTable(t *testing.T) {
	t.Parallel()
	const n = 100
	frame, hdr := searchable(n, peDataRel|peSdata4)
	_, hdr8 := searchable(n, peAbsptr)
	part1 := part{".eh_frame", elf.SHT_PROGBITS, frameOff, frame}
	whole, rules := openImage(t, image(elf.EM_X86_64, false, part1))
	want := dump(t, whole, rules)
	empty := append(append([]byte{}, hdr[:4]...), hdr[4:8]...)
	empty[2], empty[3] = peOmit, peOmit
	for name, h := range map[string][]byte{"sdata4": hdr, "absptr": hdr8, "no table": empty} {
		for _, sectionless := range []bool{false, true} {
			tables, rules := openImage(t, image(elf.EM_X86_64, sectionless, part1, part{".eh_frame_hdr", elf.SHT_PROGBITS, hdrOff, h}))
			if got := dump(t, tables, rules); got != want {
				t.Errorf("%s, sectionless %v:\n%s", name, sectionless, got)
			}
			_, searched := tables.frameIndex.(*searchTable)
			if searched == (name == "no table") {
				t.Errorf("%s: searched %v", name, searched)
			}
			if tables.TotalRowsHint() != n*rowsPerFDE {
				t.Errorf("hint %d", tables.TotalRowsHint())
			}
		}
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	restorer := []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}
	for name, c := range map[string]struct {
		fdes [][2]uint64 // start, size
		code map[uint64][]byte
		want string
	}{
		"padding":           {[][2]uint64{{0, 8}, {16, 8}}, nil, "0 sp+8 n=0; 18 invalid"},
		"gap":               {[][2]uint64{{0, 8}, {0x20, 8}}, nil, "0 sp+8 n=0; 8 invalid; 20 sp+8 n=0; 28 invalid"},
		"at the start":      {[][2]uint64{{8, 8}}, nil, "0 invalid; 8 sp+8 n=0; 10 invalid"},
		"signal return":     {[][2]uint64{{0, 8}}, map[uint64][]byte{0x20: restorer}, "0 sp+8 n=0; 8 invalid; 1f signal; 29 invalid"},
		"as padding":        {[][2]uint64{{0, 8}, {0x14, 8}}, map[uint64][]byte{0x9: restorer}, "0 sp+8 n=0; 8 signal; 12 sp+8 n=0; 1c invalid"},
		"at once behind":    {[][2]uint64{{0, 8}}, map[uint64][]byte{8: restorer}, "0 sp+8 n=0; 7 signal; 11 invalid"},
		"short form":        {nil, map[uint64][]byte{0x20: {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05}}, "0 invalid; 1f signal; 27 invalid"},
		"twice":             {nil, map[uint64][]byte{0x20: restorer, 0x40: restorer}, "0 invalid; 1f signal; 29 invalid; 3f signal; 49 invalid"},
		"overlapping":       {[][2]uint64{{0, 0x20}, {0x10, 0x20}}, nil, "0 sp+8 n=0; 30 invalid"},
		"outside the code":  {[][2]uint64{{textSize, 8}, {0xffffffffff, 8}}, nil, "0 invalid"},
		"across the border": {[][2]uint64{{textSize - 8, 0x100}}, nil, "0 invalid; ff8 sp+8 n=0; 1000 invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f frames
			cie := f.cie(stdCIE...)
			for _, r := range c.fdes {
				f.fde(cie, append(code(r[0], r[1]), 0))
			}
			text := make([]byte, textSize)
			for at, b := range c.code {
				copy(text[at:], b)
			}
			tables, rules := openImage(t, image(elf.EM_X86_64, false,
				part{".text", elf.SHT_PROGBITS, textOff, text}, part{".eh_frame", elf.SHT_PROGBITS, frameOff, f.b}))
			if got := textRows(t, tables, rules); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLinkageTables(t *testing.T) {
	t.Parallel()
	at := func(name string, off uint64, b ...byte) part {
		return part{name, elf.SHT_PROGBITS, textOff + off, append(b, make([]byte, 0x40-len(b))...)}
	}
	for name, c := range map[string]struct {
		machine elf.Machine
		part    part
		want    string
	}{
		"with head":    {elf.EM_X86_64, at(".plt", 0x100, 0xff, 0x35), "0 invalid; 100 sp+16 n=0; 106 sp+24 n=0; 110 plt; 140 invalid"},
		"without head": {elf.EM_X86_64, at(".iplt", 0x100, 0xff, 0x25), "0 invalid; 100 plt; 140 invalid"},
		".plt.sec":     {elf.EM_X86_64, at(".plt.sec", 0x100), "0 invalid; 100 sp+8 n=0; 140 invalid"},
		".plt.got":     {elf.EM_X86_64, at(".plt.got", 0), "0 sp+8 n=0; 40 invalid"},
		"arm64":        {elf.EM_AARCH64, at(".plt", 0x100), "0 invalid; 100 plt; 140 invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables, rules := openImage(t, image(c.machine, false, c.part))
			if got := textRows(t, tables, rules); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestStart marks the entry point of programs that say nothing about it.
func TestStart(t *testing.T) {
	t.Parallel()
	const entry = 0x80
	call := append(bytes.Repeat([]byte{0x90}, 0x10), 0xe8, 1, 2, 3, 4, 0xf4)
	callGOT := append(bytes.Repeat([]byte{0x90}, 0x10), 0xff, 0x15, 1, 2, 3, 4, 0xf4)
	for name, c := range map[string]struct {
		code []byte
		fdes [][2]uint64
		want string
	}{
		"unknown length": {nil, nil, "0 invalid; 80 stop; c0 invalid"},
		"call":           {call, nil, "0 invalid; 80 stop; 96 invalid"},
		"call by table":  {callGOT, nil, "0 invalid; 80 stop; 97 invalid"},
		"function":       {nil, [][2]uint64{{0xa0, 0x10}}, "0 invalid; 80 stop; a0 sp+8 n=0; b0 invalid"},
		"described":      {nil, [][2]uint64{{0x80, 0x10}}, "0 invalid; 80 sp+8 n=0; 90 invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f frames
			cie := f.cie(stdCIE...)
			for _, r := range c.fdes {
				f.fde(cie, append(code(r[0], r[1]), 0))
			}
			text := make([]byte, textSize)
			copy(text[entry:], c.code)
			b := image(elf.EM_X86_64, false, part{".text", elf.SHT_PROGBITS, textOff, text}, part{".eh_frame", elf.SHT_PROGBITS, frameOff, f.b})
			binary.LittleEndian.PutUint64(b[24:], textVaddr+entry)
			tables, rules := openImage(t, b)
			if got := textRows(t, tables, rules); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestSourceOrder takes .debug_frame for what .eh_frame does not know, wherever it is.
func TestSourceOrder(t *testing.T) {
	t.Parallel()
	var eh frames
	eh.fde(eh.cie(stdCIE...), append(code(0, 0x20), 0))
	debug := frames{debug: true}
	cie := debug.cie(1, 0, 1, 0x78, 16, cfaDefCFA, 7, 16, cfaOffset|16, 1)
	debug.fde(cie, code(0x10, 0x30))
	debug.fde(cie, code(0x80, 0x10))
	const want = "0 sp+8 n=0; 20 sp+16 n=0; 40 invalid; 80 sp+16 n=0; 90 invalid"
	ehPart := part{".eh_frame", elf.SHT_PROGBITS, frameOff, eh.b}

	var packed bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 12}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	mini := image(elf.EM_X86_64, false, part{".debug_frame", elf.SHT_PROGBITS, frameOff, debug.b})
	if _, err := w.Write(mini); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]part{
		".debug_frame":   {".debug_frame", elf.SHT_PROGBITS, frameOff + 0x1000, debug.b},
		".gnu_debugdata": {".gnu_debugdata", elf.SHT_PROGBITS, frameOff + 0x1000, packed.Bytes()},
	} {
		tables, rules := openImage(t, image(elf.EM_X86_64, false, ehPart, p))
		before := tables.MemoryBytes()
		if got := textRows(t, tables, rules); got != want {
			t.Errorf("%s: got  %s\nwant %s", name, got, want)
		}
		if tables.MemoryBytes() <= before {
			t.Errorf("%s: memory %d, before %d", name, tables.MemoryBytes(), before)
		}
	}
	// What does not unpack is not there.
	for i := 0; i < packed.Len(); i += 5 {
		broken := bytes.Clone(packed.Bytes())
		broken[i] ^= 0xff
		tables, _ := openImage(t, image(elf.EM_X86_64, false, ehPart, part{".gnu_debugdata", elf.SHT_PROGBITS, frameOff + 0x1000, broken}))
		if _, err := tables.Page(0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	open := func(b []byte) error {
		f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(f, NewRules())
		return err
	}
	if err := open(image(elf.EM_RISCV, false)); err == nil {
		t.Error("opened a file for another processor")
	}
	noCode := image(elf.EM_X86_64, false)
	binary.LittleEndian.PutUint32(noCode[64+56+4:], uint32(elf.PF_R))
	if err := open(noCode); err == nil {
		t.Error("opened a file without code")
	}
	tables, _ := openImage(t, image(elf.EM_X86_64, false))
	if _, err := tables.Page(1 << 40); err == nil {
		t.Error("a page outside of the file")
	}
	if rows, err := tables.Page(0); err != nil || rows != nil {
		t.Errorf("a page of which nothing is known: %v, %v", rows, err)
	}
}
