// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/support/hostile"
)

// packZstd compresses b.
func packZstd(t testing.TB, b []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(b, nil)
}

// TestCompressedSectionBombs has sections that say less or more than what they
// unfold to, or that unfold to more than is ever read.
func TestCompressedSectionBombs(t *testing.T) {
	zeros := make([]byte, 32<<20)
	for name, test := range map[string]struct {
		typ  elf.CompressionType
		size uint64
		data []byte
		want error // nil: any
	}{
		"zlib that says too little":         {elf.COMPRESS_ZLIB, 100, deflate(t, zeros), nil},
		"zlib that says too much":           {elf.COMPRESS_ZLIB, 1 << 27, deflate(t, []byte("short")), io.ErrUnexpectedEOF},
		"zlib that says more than is read":  {elf.COMPRESS_ZLIB, math.MaxUint64, deflate(t, zeros), ErrTooLarge},
		"zstd that says too little":         {elf.COMPRESS_ZSTD, 100, packZstd(t, zeros), nil},
		"zstd that says too much":           {elf.COMPRESS_ZSTD, 1 << 27, packZstd(t, []byte("short")), io.ErrUnexpectedEOF},
		"zstd that says more than is read":  {elf.COMPRESS_ZSTD, math.MaxInt64, packZstd(t, zeros), ErrTooLarge},
		"zstd with a huge window":           {elf.COMPRESS_ZSTD, 1 << 20, []byte("\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00"), nil},
		"zstd with a huge declared content": {elf.COMPRESS_ZSTD, 1 << 20, []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00"), nil},
		"an unknown method":                 {99, 100, []byte("data"), nil},
	} {
		f := openImage(t, testImage(testBase, testSection{
			name: ".debug_info", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, data: compressed(test.typ, test.size, test.data),
		}))
		hostile.Bound(t, len(test.data)+int(min(test.size, 1<<10)), 1<<10, func() {
			b, err := f.SectionData(".debug_info")
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
			if err == nil && uint64(len(b)) != test.size {
				t.Errorf("%s: %d bytes instead of %d", name, len(b), test.size)
			}
		})
	}
	old := append([]byte("ZLIB\x00\x00\x00\x00\x08\x00\x00\x00"), deflate(t, []byte("short"))...)
	f := openImage(t, testImage(testBase, testSection{name: ".zdebug_info", typ: elf.SHT_PROGBITS, data: old}))
	hostile.Bound(t, len(old), 64, func() {
		if _, err := f.SectionData(".debug_info"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("old form that says too much: %v", err)
		}
	})
}

// sparse is an image of any size that is zero behind its start, as a file with a
// hole is.
type sparse struct {
	start []byte
	size  int64
}

// ReadAt implements io.ReaderAt.
func (s sparse) ReadAt(b []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), s.size-off))
	clear(b[:n])
	if off < int64(len(s.start)) {
		copy(b[:n], s.start[off:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// TestManyTables has thousands of sections that all claim the same large part of
// a file that is mostly a hole: they are not all read.
func TestManyTables(t *testing.T) {
	const tables, each = 20_000, 8 << 20
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	put(elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: 64, Ehsize: 64, Shentsize: 64, Shnum: tables,
	})
	put(elf.Section64{})
	for i := range tables - 1 {
		s := elf.Section64{Type: uint32(elf.SHT_SYMTAB), Off: 1 << 20, Size: each, Link: uint32(i), Entsize: 24}
		switch i % 3 {
		case 1:
			s.Type = uint32(elf.SHT_NOTE)
		case 2:
			s.Type = uint32(elf.SHT_DYNSYM)
		}
		put(s)
	}
	size := int64(1 << 30)
	f, err := NewFile(sparse{b.Bytes(), size}, size)
	if err != nil {
		t.Fatal(err)
	}
	hostile.Bound(t, each, 32, func() {
		f.BuildID()
		if _, ok := f.Symbol("main"); ok {
			t.Error("found a symbol in a hole")
		}
	})
}

// TestHugeTables has tables whose sizes say that there are 2^32 symbols and more.
func TestHugeTables(t *testing.T) {
	img := testImage(testBase,
		testSection{name: ".strtab", typ: elf.SHT_STRTAB, data: []byte("\x00main\x00")},
		testSection{name: ".symtab", typ: elf.SHT_SYMTAB, data: make([]byte, 48)},
		testSection{name: ".dynsym", typ: elf.SHT_DYNSYM, data: make([]byte, 48)},
	)
	shoff := binary.LittleEndian.Uint64(img[0x28:])
	for _, huge := range []uint64{24 << 32, math.MaxInt64, math.MaxUint64, maxSymbolTable} {
		for section := uint64(1); section <= 3; section++ {
			b := bytes.Clone(img)
			binary.LittleEndian.PutUint64(b[shoff+section*64+32:], huge)
			hostile.Bound(t, len(b), 64, func() {
				f, err := NewFile(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					return
				}
				_, _ = f.Symbol("main")
				_, _ = f.SectionData(".strtab")
				f.BuildID()
			})
		}
	}
	// As many program headers as the field can say, all in one place.
	b := append(bytes.Clone(img), make([]byte, 56<<16)...)
	binary.LittleEndian.PutUint64(b[0x20:], uint64(len(img)))
	binary.LittleEndian.PutUint16(b[0x38:], math.MaxUint16)
	if _, err := NewFile(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("65,535 program headers: %v", err)
	}
}
