// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"testing"
)

func FuzzFile(f *testing.F) {
	img := testImage(testBase,
		testSection{name: ".text", typ: elf.SHT_PROGBITS, data: []byte("text")},
		testSection{name: ".note.go.buildid", typ: elf.SHT_NOTE, align: 4, data: testNote("Go\x00\x00", 4, []byte("x/y"), 4)},
		testSection{name: ".note", typ: elf.SHT_NOTE, align: 8, data: testNote("GNU\x00", 3, []byte{1, 2, 3, 4}, 8)},
		testSection{name: ".gnu_debuglink", typ: elf.SHT_PROGBITS, data: []byte("a\x00\x00\x00\x01\x02\x03\x04")},
		testSection{name: ".debug_x", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZLIB, 4, deflate(f, []byte("data")))},
	)
	f.Add(img)
	f.Add(img[:len(img)-100])
	f.Add(img[:64])
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := NewFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		file.BuildID()
		file.IsGo()
		file.DebugLink()
		file.Symbol("main")
		buf := make([]byte, 16)
		for _, s := range file.ExecSegments() {
			for _, v := range []uint64{s.Vaddr, s.Vaddr + s.Filesz - 1} {
				off, ok := file.VaddrToOffset(v)
				if !ok {
					t.Fatalf("address %#x of a segment has no offset", v)
				}
				if _, ok := file.OffsetToVaddr(off); !ok {
					t.Fatalf("offset %#x of a segment has no address", off)
				}
				if n, err := file.ReadVaddr(buf, v); err == nil && n != len(buf) {
					t.Fatalf("short read of %d bytes without an error", n)
				}
			}
		}
		for _, s := range file.Sections {
			if data, err := file.SectionData(s.Name); err == nil && len(data) > 1<<20 && len(b) < 1<<10 {
				t.Fatalf("%d bytes out of %d", len(data), len(b))
			}
		}
	})
}
