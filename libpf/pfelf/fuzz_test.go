// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzFile asks everything of any bytes.
func FuzzFile(f *testing.F) {
	img := testImage(testBase,
		testSection{name: ".text", typ: elf.SHT_PROGBITS, data: []byte("text")},
		testSection{name: ".note.go.buildid", typ: elf.SHT_NOTE, align: 4, data: testNote("Go\x00\x00", 4, []byte("x/y"), 4)},
		testSection{name: ".note", typ: elf.SHT_NOTE, align: 8, data: testNote("GNU\x00", 3, []byte{1, 2, 3, 4}, 8)},
		testSection{name: ".gnu_debuglink", typ: elf.SHT_PROGBITS, data: []byte("a\x00\x00\x00\x01\x02\x03\x04")},
		testSection{name: ".debug_x", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZLIB, 4, deflate(f, []byte("data")))},
		testSection{name: ".debug_y", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZSTD, 4, packZstd(f, []byte("data")))},
		testSection{name: ".zdebug_z", typ: elf.SHT_PROGBITS, data: append([]byte("ZLIB\x00\x00\x00\x00\x00\x00\x00\x04"), deflate(f, []byte("data"))...)},
	)
	f.Add(img)
	f.Add(img[:len(img)-100])
	f.Add(img[:64])
	// Made of "int main_value; int main(void) { return main_value; }" with
	// cc -shared -nostdlib -Wl,-z,noseparate-code,--hash-style=STYLE, and stripped.
	for _, name := range []string{"gnu.so", "sysv.so"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		if _, ok := openImage(f, b).ExportedSymbol("main_value"); !ok {
			f.Fatalf("%s does not export main_value", name)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// A section may be read under several names, each gives 1,000 times its bytes at
		// most, and debug/elf takes 10 MiB at once for a table that says to be large.
		hostile.Bound(t, len(b)+8<<10, 4<<10, func() {
			file, err := NewFile(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return
			}
			checkFile(t, file)
		})
	})
}

func checkFile(t *testing.T, file *File) {
	t.Helper()
	file.BuildID()
	file.IsGo()
	file.DebugLink()
	file.Symbol("main")
	file.ExportedSymbol("main_value")
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
	for _, s := range file.Sections[:min(len(file.Sections), 64)] {
		_, _ = file.SectionData(s.Name)
	}
	_, _ = file.SectionData(".debug_z")
}
