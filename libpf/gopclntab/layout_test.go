// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

// Where the parts of a made-up file are.
const (
	textVaddr  = 0x401000
	tableVaddr = 0x500000
	dataVaddr  = 0x600000
	textSize   = 0x1000
)

// writer builds a table.
type writer struct{ b []byte }

func (w *writer) u32(v ...uint32) {
	for _, v := range v {
		w.b = binary.LittleEndian.AppendUint32(w.b, v)
	}
}

func (w *writer) u64(v ...uint64) {
	for _, v := range v {
		w.b = binary.LittleEndian.AppendUint64(w.b, v)
	}
}

func (w *writer) align(n int) {
	for len(w.b)%n != 0 {
		w.b = append(w.b, 0)
	}
}

// makeFile returns what is in a made-up file of the given layout: a table of
// two functions, main.outer with main.inner inlined into it at [0x10, 0x20),
// and main.leaf; and, behind it, the module data.
func makeFile(v version) []byte {
	var w writer
	for magic, mv := range magics {
		if mv == v {
			w.u32(magic)
		}
	}
	w.b = append(w.b, 0, 0, 1, 8)
	headerWords := 7
	if v >= ver118 {
		headerWords = 8
	}
	w.b = append(w.b, make([]byte, 8*headerWords)...)
	offsets := make([]uint64, 0, 5)
	part := func() {
		w.align(8)
		offsets = append(offsets, uint64(len(w.b)))
	}

	part()
	w.b = append(w.b, "\x00main.outer\x00main.inner\x00main.leaf\x00"...)
	const outerName, innerName, leafName = 1, 12, 23
	part()
	w.u32(0, 9)
	part()
	w.b = append(w.b, "outer.go\x00inner.go\x00"...)
	part()
	// Pairs of a zigzag difference from -1 and a length.
	const (
		pcsp  = 1             // 0 in [0, 4), 0x18 in [4, 0x40)
		files = pcsp + 5      // 0 in [0, 0x10), 1 in [0x10, 0x20), 0 from there on
		lines = files + 7     // 10, 50, 12
		trees = lines + 7     // -1, 0, -1
		none  = trees + 7 + 0 // 20 in [0, 0x10)
	)
	w.b = append(w.b, 0, 2, 4, 0x30, 0x3c, 0)
	w.b = append(w.b, 2, 0x10, 2, 0x10, 1, 0x20, 0)
	w.b = append(w.b, 22, 0x10, 80, 0x10, 75, 0x20, 0)
	w.b = append(w.b, 0, 0x10, 2, 0x10, 1, 0x20, 0)
	w.b = append(w.b, 42, 0x10, 0)
	part()
	functab := len(w.b)
	entries := []uint64{0, 0x40, 0x50}
	records := len(w.b) + 8*5
	if v == ver116 {
		records = functab + 16*5
	}
	recordSize := 96
	for i, e := range entries {
		off := uint64(records + i*recordSize - functab)
		if v == ver116 {
			w.u64(textVaddr + e)
		} else {
			w.u32(uint32(e))
		}
		if i == 2 {
			break
		}
		if v == ver116 {
			w.u64(off)
		} else {
			w.u32(uint32(off))
		}
	}
	// The inline tree of main.outer lies behind the records.
	tree := uint64(records + 2*recordSize)
	for i, name := range []uint32{outerName, leafName} {
		w.b = append(w.b, make([]byte, records+i*recordSize-len(w.b))...)
		if v == ver116 {
			w.u64(textVaddr + entries[i])
		} else {
			w.u32(uint32(entries[i]))
		}
		npcdata, nfuncdata, file, line := uint32(3), byte(4), uint32(files), uint32(lines)
		if i == 1 {
			npcdata, nfuncdata, line = 0, 0, none
		}
		w.u32(name, 0, 0, pcsp, file, line, npcdata, 0)
		if v >= ver120 {
			w.u32(uint32(9 + i))
		}
		w.b = append(w.b, 0, FlagAsm, 0, nfuncdata)
		if i == 1 {
			break
		}
		w.u32(0, 0, trees)
		switch v {
		case ver116:
			w.align(8)
			w.u64(0, 0, 0, tableVaddr+tree)
		default:
			w.u32(^uint32(0), ^uint32(0), ^uint32(0), 8)
		}
	}
	w.b = append(w.b, make([]byte, int(tree)-len(w.b))...)
	if v >= ver120 {
		w.u32(0, innerName, 0xf, 49)
	} else {
		w.u32(0, 0, 0, innerName, 0xf)
	}
	w.align(16)
	mdAt := len(w.b)

	words := make([]uint64, mdWords)
	words[mdHeader], words[mdFuncnames] = tableVaddr, tableVaddr+offsets[0]
	words[mdMinPC], words[mdMaxPC], words[mdText] = textVaddr, textVaddr+0x50, textVaddr
	words[gofuncWords[max(v, ver118)][0]] = tableVaddr + tree - 8
	w.u64(words...)

	header := []uint64{2, 2}
	if v >= ver118 {
		header = append(header, 0)
	}
	for i, word := range append(header, offsets...) {
		binary.LittleEndian.PutUint64(w.b[8+8*i:], word)
	}
	binary.LittleEndian.PutUint32(w.b[mdAt-4:], 0)
	return w.b
}

// asFile returns a file that has b as its table and as its data.
func asFile(b []byte) *elf.File {
	return &elf.File{
		FileHeader: elf.FileHeader{Class: elf.ELFCLASS64, ByteOrder: binary.LittleEndian, Type: elf.ET_DYN},
		Sections: []*elf.Section{{
			SectionHeader: elf.SectionHeader{
				Name: ".gopclntab", Type: elf.SHT_PROGBITS, Addr: tableVaddr, FileSize: uint64(len(b)), Size: uint64(len(b)),
			},
			ReaderAt: bytes.NewReader(b),
		}},
		Progs: []*elf.Prog{
			{
				ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Vaddr: textVaddr, Filesz: textSize},
				ReaderAt:   bytes.NewReader(make([]byte, textSize)),
			},
			{
				ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_R, Vaddr: tableVaddr, Filesz: uint64(len(b))},
				ReaderAt:   bytes.NewReader(b),
			},
			{
				ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_W, Vaddr: dataVaddr, Filesz: uint64(len(b))},
				ReaderAt:   bytes.NewReader(b),
			},
		},
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]version{"go1.16": ver116, "go1.18": ver118, "go1.20": ver120} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := openELF(asFile(makeFile(v)), false)
			if err != nil {
				t.Fatal(err)
			}
			start := func(line int) libpf.SourceLineno {
				if v < ver120 {
					return 0
				}
				return libpf.SourceLineno(line)
			}
			outer := Func{Entry: textVaddr, End: textVaddr + 0x40, Name: "main.outer", StartLine: int(start(9)), Flags: FlagAsm}
			if f, err := table.Func(0); err != nil || f != outer {
				t.Errorf("Func(0) = %+v, %v", f, err)
			}
			for pc, want := range map[uint64][]libpf.SourceLine{
				0x4: {{Function: "main.outer", File: "outer.go", Line: 10, StartLine: start(9)}},
				0x18: {
					{Function: "main.inner", File: "inner.go", Line: 50, StartLine: start(49)},
					{Function: "main.outer", File: "outer.go", Line: 10, StartLine: start(9)},
				},
				0x20: {{Function: "main.outer", File: "outer.go", Line: 12, StartLine: start(9)}},
				0x41: {{Function: "main.leaf", File: "outer.go", Line: 20, StartLine: start(10)}},
			} {
				i, ok := table.Find(textVaddr + pc)
				if !ok {
					t.Errorf("%#x: not found", pc)
					continue
				}
				got, err := table.Inlined(i, textVaddr+pc)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%#x: %v (-want +got):\n%s", pc, err, diff)
				}
			}
			type step struct {
				PC    uint64
				Delta int32
			}
			var steps []step
			err = table.PCSP(0, func(pc uint64, delta int32) bool {
				steps = append(steps, step{pc - textVaddr, delta})
				return true
			})
			if diff := cmp.Diff([]step{{0, 0}, {4, 24}}, steps); diff != "" || err != nil {
				t.Errorf("PCSP: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestCorruptHeader(t *testing.T) {
	t.Parallel()
	tests := map[string]func([]byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"short":            func(b []byte) []byte { return b[:40] },
		"magic":            func(b []byte) []byte { b[0] = 0; return b },
		"pad":              func(b []byte) []byte { b[5] = 1; return b },
		"quantum":          func(b []byte) []byte { b[6] = 3; return b },
		"pointer size":     func(b []byte) []byte { b[7] = 2; return b },
		"no functions":     func(b []byte) []byte { b[8] = 0; return b },
		"many functions":   func(b []byte) []byte { b[10] = 1; return b },
		"endless":          func(b []byte) []byte { b[15] = 0xff; return b },
		"parts in reverse": func(b []byte) []byte { b[40], b[48] = b[48], b[40]; return b },
	}
	for name, breakIt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openELF(asFile(breakIt(makeFile(ver120))), false)
			if err == nil {
				t.Error("opened")
			}
			if name != "empty" && name != "short" && !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzTable(f *testing.F) {
	for _, v := range []version{ver116, ver118, ver120} {
		b := makeFile(v)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(slices.Concat(b[:100], b[104:]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		table, err := openELF(asFile(b), true)
		if err != nil {
			return
		}
		for i := range min(table.Funcs(), 64) {
			entry, end := table.Bounds(i)
			if end < entry {
				t.Fatalf("function %d: [%#x, %#x)", i, entry, end)
			}
			if end > entry {
				if j, ok := table.Find(entry); !ok || i != j {
					t.Fatalf("Find(%#x) = %d, %v; want %d", entry, j, ok, i)
				}
			}
			_, _ = table.Func(i)
			_ = table.PCSP(i, func(pc uint64, _ int32) bool { return pc < end })
			lines, err := table.Inlined(i, (entry+end)/2)
			if (err == nil) != (len(lines) > 0) {
				t.Fatalf("function %d: %d lines, %v", i, len(lines), err)
			}
		}
	})
}

func BenchmarkInlined(b *testing.B) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		b.Skip(err)
	}
	defer func() { _ = f.Close() }()
	table, err := openELF(f, false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i * 97 % table.Funcs()
		entry, end := table.Bounds(n)
		if _, err := table.Inlined(n, (entry+end)/2); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		b.Skip(err)
	}
	defer func() { _ = f.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openELF(f, false); err != nil {
			b.Fatal(err)
		}
	}
}
