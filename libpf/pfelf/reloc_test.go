// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// relocatedImage has two pointers at 0x1000 and a table of relocations.
func relocatedImage() ([]byte, []Relocation) {
	relocs := []Relocation{
		{Vaddr: 0x9000, Type: uint32(elf.R_X86_64_RELATIVE), Addend: 1},
		{Vaddr: 0x1000, Type: uint32(elf.R_X86_64_GLOB_DAT), Symbol: 7, Addend: -5},
		{Vaddr: 0x1000, Type: uint32(elf.R_X86_64_RELATIVE), Addend: 0x4000},
	}
	var table []byte
	for _, r := range relocs {
		table = binary.LittleEndian.AppendUint64(table, r.Vaddr)
		table = binary.LittleEndian.AppendUint64(table, uint64(r.Symbol)<<32|uint64(r.Type))
		table = binary.LittleEndian.AppendUint64(table, uint64(r.Addend)) //nolint:gosec // as it is
	}
	// The image is loaded so that the section is at 0x1000.
	data := make([]byte, 16)
	data[8] = 0x77
	at := uint64(64 + 56)
	at = (at + 15) &^ 15
	return testImage(0x1000-at,
		testSection{name: ".data", typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, data: data},
		testSection{name: ".rela.debug_info", typ: elf.SHT_RELA, data: table[:24]},
		testSection{name: ".rela.dyn", typ: elf.SHT_RELA, flags: elf.SHF_ALLOC, data: append(table, 1, 2, 3)},
	), relocs
}

func TestRelocations(t *testing.T) {
	t.Parallel()
	b, want := relocatedImage()
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var got []Relocation
	f.EachRelocation(func(r Relocation) bool {
		got = append(got, r)
		return true
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	calls := 0
	f.EachRelocation(func(Relocation) bool {
		calls++
		return false
	})
	if calls != 1 {
		t.Errorf("%d calls after false", calls)
	}
	for at, want := range map[uint64]uint64{0x1000: 0x4000, 0x1008: 0x77, 0x900000: 0} {
		if got, ok := f.PointerAt(at); got != want || ok != (want != 0) {
			t.Errorf("at %#x is %#x, %v; want %#x", at, got, ok, want)
		}
	}
}
