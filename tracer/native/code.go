// SPDX-License-Identifier: Apache-2.0

package native

import (
	"encoding/binary"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// codeMargin is how much code is read beyond a page, for patterns that cross
// its border.
const codeMargin = 32

// codeView holds the machine code of a part of a page, once somebody asks.
type codeView struct {
	valid bool
	start uint64 // address of buf
	buf   []byte
	far   []byte // a piece from elsewhere
}

// maxFarCode bounds a read of code that is not in the part.
const maxFarCode = 8 << 10

// codeAt returns the machine code at [lo, hi), nil if it cannot be read. It is
// valid until the next call.
func (b *builder) codeAt(lo, hi uint64) []byte {
	c := &b.code
	if !c.valid {
		c.valid = true
		c.load(b.t.file, b.lo, b.hi)
	}
	if lo >= c.start && hi >= lo && hi-c.start <= uint64(len(c.buf)) {
		return c.buf[lo-c.start : hi-c.start]
	}
	if hi < lo || hi-lo > maxFarCode {
		return nil
	}
	// The start of a function that reaches into the part.
	c.far = append(c.far[:0], make([]byte, hi-lo)...)
	if _, err := b.t.file.ReadVaddr(c.far, lo); err != nil {
		return nil
	}
	return c.far
}

func (c *codeView) load(f *pfelf.File, lo, hi uint64) {
	want := hi - lo + 2*codeMargin
	if uint64(cap(c.buf)) < want {
		c.buf = make([]byte, want)
	}
	c.buf = c.buf[:want]
	c.start = lo - codeMargin
	if _, ok := f.VaddrToOffset(c.start); !ok || c.start > lo {
		c.start = lo
	}
	n, _ := f.ReadVaddr(c.buf, c.start) // what cannot be read is not looked at
	c.buf = c.buf[:n]
}

// has reports whether the code at addr begins with the bytes.
func (b *builder) has(addr uint64, pattern ...byte) bool {
	code := b.codeAt(addr, addr+uint64(len(pattern)))
	return string(code) == string(pattern) && code != nil
}

// instruction returns the arm64 instruction at addr, 0 if it cannot be read.
func (b *builder) instruction(addr uint64) uint32 {
	if code := b.codeAt(addr, addr+4); code != nil {
		return binary.LittleEndian.Uint32(code)
	}
	return 0
}
