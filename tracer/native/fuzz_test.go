// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// checkTables makes all pages and checks what every table promises.
func checkTables(t *testing.T, b []byte) {
	t.Helper()
	f, err := pfelf.NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	rules := NewRules()
	tables, err := Open(f, rules)
	if err != nil {
		return
	}
	defer tables.Close()
	if tables.TotalRowsHint() < 1 || tables.MemoryBytes() > 64<<20 {
		t.Fatalf("hint %d, memory %d", tables.TotalRowsHint(), tables.MemoryBytes())
	}
	first, n := tables.Pages()
	for page := first; page < first+uint64(min(n, 64)); page++ {
		rows, err := tables.Page(page)
		if err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		checkRows(t, rows, rules)
	}
}

func checkRows(t *testing.T, rows []Row, rules *Rules) {
	t.Helper()
	if len(rows) > MaxPageRows {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows {
		switch {
		case i == 0 && r.PCLow != 0:
			t.Fatalf("first row at %#x", r.PCLow)
		case i > 0 && r.PCLow <= rows[i-1].PCLow:
			t.Fatalf("row %d at %#x behind %#x", i, r.PCLow, rows[i-1].PCLow)
		case i > 0 && r.Rule == rows[i-1].Rule:
			t.Fatalf("rows %d and %d are equal", i-1, i)
		case r.Rule&ruleIndexed != 0 && r.Rule > RuleGoSwitch && int(r.Rule&^ruleIndexed) < FirstRule,
			r.Rule&ruleIndexed != 0 && int(r.Rule&^ruleIndexed) >= rules.Len():
			t.Fatalf("rule %#x", r.Rule)
		}
	}
}

// place puts the bytes into a section of an image.
func place(machine elf.Machine, name string, sectionless bool, b []byte) []byte {
	parts := []part{{name, elf.SHT_PROGBITS, hdrOff + 0x1000, b}}
	if name == ".eh_frame_hdr" {
		frame, _ := searchable(20, peDataRel|peSdata4)
		parts[0].off = hdrOff
		parts = append(parts, part{".eh_frame", elf.SHT_PROGBITS, frameOff, frame})
	}
	return image(machine, sectionless, parts...)
}

func FuzzFrame(f *testing.F) {
	var eh frames
	eh.fde(eh.cie(stdCIE...), append(append(code(0, 0x40), 0), pushed...))
	f.Add(eh.b, false)
	var arm frames
	arm.fde(arm.cie(armCIE...), append(append(code(0, 0x40), 0), pushed...))
	f.Add(arm.b, true)
	frame, _ := searchable(3, peAbsptr)
	f.Add(frame, false)
	f.Fuzz(func(t *testing.T, b []byte, isARM bool) {
		machine := elf.EM_X86_64
		if isARM {
			machine = elf.EM_AARCH64
		}
		checkTables(t, place(machine, ".eh_frame", false, b))
	})
}

func FuzzFrameHdr(f *testing.F) {
	_, hdr := searchable(20, peDataRel|peSdata4)
	f.Add(hdr, false)
	f.Add(hdr, true)
	_, hdr = searchable(20, peAbsptr)
	f.Add(hdr, false)
	f.Fuzz(func(t *testing.T, b []byte, sectionless bool) {
		checkTables(t, place(elf.EM_X86_64, ".eh_frame_hdr", sectionless, b))
	})
}

func FuzzDebugFrame(f *testing.F) {
	for _, wide := range []bool{false, true} {
		d := frames{debug: true, wide: wide}
		d.fde(d.cie(4, 0, 8, 0, 1, 0x78, 16, cfaDefCFA, 7, 8, cfaOffset|16, 1), append(code(0, 0x40), pushed...))
		f.Add(d.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkTables(t, place(elf.EM_X86_64, ".debug_frame", false, b))
	})
}

func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.elf")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(checkTables)
}

func FuzzExpression(f *testing.F) {
	f.Add([]byte{opBreg0 + 7, 8, opDeref, opPlusUconst, 8})
	f.Add([]byte{opBreg0 + 6, 0x78, opConst2s, 0xff, 0xff, opMinus})
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, kind := cfaExpressionOf(b, &amd64)
		if kind != cfaAddress && addr != (address{}) {
			t.Fatalf("%v of kind %d", addr, kind)
		}
	})
}
