// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/libpf"
)

const testBase = 0x10000

func openImage(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// compressed puts an SHF_COMPRESSED header before data.
func compressed(typ elf.CompressionType, size uint64, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(typ))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, size)
	b = binary.LittleEndian.AppendUint64(b, 1)
	return append(b, data...)
}

func TestSectionData(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("a row of debug data ", 500))
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zdebug := append([]byte("ZLIB"), binary.BigEndian.AppendUint64(nil, uint64(len(text)))...)
	n := uint64(len(text))
	f := openImage(t, testImage(testBase,
		testSection{name: ".plain", typ: elf.SHT_PROGBITS, data: text},
		testSection{name: ".empty", typ: elf.SHT_PROGBITS},
		testSection{name: ".bss", typ: elf.SHT_NOBITS, data: text},
		testSection{name: ".debug_zlib", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZLIB, n, deflate(t, text))},
		testSection{name: ".debug_zstd", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZSTD, n, enc.EncodeAll(text, nil))},
		testSection{name: ".zdebug_old", typ: elf.SHT_PROGBITS, data: append(zdebug, deflate(t, text)...)},
		testSection{name: ".debug_bomb", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZLIB, 1<<40, deflate(t, text))},
		testSection{name: ".debug_short", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(elf.COMPRESS_ZLIB, n+1, deflate(t, text))},
		testSection{name: ".debug_other", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(77, n, text)},
	))
	for name, want := range map[string]string{
		".plain": string(text), ".empty": "", ".debug_zlib": string(text), ".debug_zstd": string(text), ".debug_old": string(text),
	} {
		got, err := f.SectionData(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, want := range map[string]error{
		".bss": ErrNoSection, ".none": ErrNoSection, ".debug_none": ErrNoSection, ".debug_bomb": ErrTooLarge,
		".debug_short": io.ErrUnexpectedEOF, ".debug_other": nil,
	} {
		if _, err := f.SectionData(name); err == nil || (want != nil && !errors.Is(err, want)) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
}

func TestNotesAndLinks(t *testing.T) {
	t.Parallel()
	link := append([]byte("a.debug\x00"), 0x78, 0x56, 0x34, 0x12)
	f := openImage(t, testImage(testBase,
		testSection{name: ".note.gnu.property", typ: elf.SHT_NOTE, align: 8, data: testNote("GNU\x00", 5, make([]byte, 12), 8)},
		testSection{name: ".note.gnu.build-id", typ: elf.SHT_NOTE, align: 4, data: testNote("GNU\x00", 3, []byte{0xab, 0xcd, 0x01}, 4)},
		testSection{name: ".note.go.buildid", typ: elf.SHT_NOTE, align: 4, data: testNote("Go\x00\x00", 4, []byte("x/y/z"), 4)},
		testSection{name: ".gnu_debuglink", typ: elf.SHT_PROGBITS, data: link},
	))
	if got := f.BuildID(); got != "abcd01" {
		t.Errorf("build ID %q", got)
	}
	if got := f.GoBuildID(); got != "x/y/z" || !f.IsGo() {
		t.Errorf("Go build ID %q, Go %v", got, f.IsGo())
	}
	if name, crc, ok := f.DebugLink(); !ok || name != "a.debug" || crc != 0x12345678 {
		t.Errorf("debug link %q %#x %v", name, crc, ok)
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	img := testImage(testBase, testSection{name: ".text", typ: elf.SHT_PROGBITS, data: []byte("0123456789")})
	f := openImage(t, img)
	segs := f.ExecSegments()
	if len(segs) != 1 || segs[0].Vaddr != testBase || segs[0].Offset != 0 {
		t.Fatalf("segments %+v", segs)
	}
	end := testBase + segs[0].Filesz
	for _, c := range []struct {
		v, off uint64
		ok     bool
	}{{testBase, 0, true}, {end - 1, segs[0].Filesz - 1, true}, {end, 0, false}, {testBase - 1, 0, false}, {0, 0, false}} {
		if off, ok := f.VaddrToOffset(c.v); off != c.off || ok != c.ok {
			t.Errorf("VaddrToOffset(%#x) = %#x, %v", c.v, off, ok)
		}
		if c.ok {
			if v, ok := f.OffsetToVaddr(c.off); v != c.v || !ok {
				t.Errorf("OffsetToVaddr(%#x) = %#x, %v", c.off, v, ok)
			}
		}
	}
	b := make([]byte, 10)
	if n, err := f.ReadVaddr(b, f.FindSection(".text").Addr); n != 10 || err != nil || string(b) != "0123456789" {
		t.Errorf("ReadVaddr: %d, %v, %q", n, err, b)
	}
	if n, err := f.ReadVaddr(b, end-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadVaddr over the end: %d, %v", n, err)
	}
}

// TestDamagedSections checks that a file whose section table cannot be used
// still opens by its program headers.
func TestDamagedSections(t *testing.T) {
	t.Parallel()
	img := testImage(testBase, testSection{name: ".text", typ: elf.SHT_PROGBITS, data: []byte("x")},
		testSection{name: ".note.gnu.build-id", typ: elf.SHT_NOTE, align: 4, data: testNote("GNU\x00", 3, []byte{1, 2}, 4)})
	shoff := binary.LittleEndian.Uint64(img[0x28:])
	nsect := uint64(binary.LittleEndian.Uint16(img[0x3c:]))
	names := shoff + (nsect-1)*64
	for name, damage := range map[string]func(b []byte) []byte{
		"cut off":            func(b []byte) []byte { return b[:shoff] },
		"cut in the table":   func(b []byte) []byte { return b[:shoff+70] },
		"offset beyond":      func(b []byte) []byte { binary.LittleEndian.PutUint64(b[0x28:], 1<<62); return b },
		"offset negative":    func(b []byte) []byte { binary.LittleEndian.PutUint64(b[0x28:], 1<<63); return b },
		"names beyond":       func(b []byte) []byte { binary.LittleEndian.PutUint16(b[0x3e:], 99); return b },
		"names huge":         func(b []byte) []byte { binary.LittleEndian.PutUint64(b[names+32:], 1<<40); return b },
		"names not a table":  func(b []byte) []byte { binary.LittleEndian.PutUint32(b[names+4:], 1); return b },
		"names bad index":    func(b []byte) []byte { binary.LittleEndian.PutUint32(b[shoff+64:], 1<<30); return b },
		"extended, no count": func(b []byte) []byte { binary.LittleEndian.PutUint16(b[0x3c:], 0); return b },
		"extended, bad link": func(b []byte) []byte {
			binary.LittleEndian.PutUint16(b[0x3c:], 0)
			binary.LittleEndian.PutUint16(b[0x3e:], 0xffff)
			binary.LittleEndian.PutUint64(b[shoff+32:], 0xff00)
			binary.LittleEndian.PutUint32(b[shoff+40:], 0xfffffff0)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := openImage(t, damage(bytes.Clone(img)))
			if len(f.Sections) != 0 || len(f.ExecSegments()) != 1 || f.BuildID() != "0102" {
				t.Errorf("%d sections, %d segments, build ID %q", len(f.Sections), len(f.ExecSegments()), f.BuildID())
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := testImage(testBase, testSection{name: ".text", typ: elf.SHT_PROGBITS, data: []byte("x")})
	path := filepath.Join(dir, "elf")
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Size() != int64(len(img)) {
		t.Errorf("size %d, want %d", f.Size(), len(img))
	}
	got, err := f.FileID()
	if err != nil {
		t.Fatal(err)
	}
	want, err := libpf.FileIDFromReader(bytes.NewReader(img), int64(len(img)))
	if diff := cmp.Diff(want.String(), got.String()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error("close:", err)
		}
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotRegular) {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open(os.DevNull); !errors.Is(err, ErrNotRegular) {
		t.Errorf("device: %v", err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a script opened as ELF")
	}
}
