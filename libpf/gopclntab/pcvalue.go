// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"encoding/binary"
	"fmt"
	"math"
)

// cursor reads a table of pc values byte by byte through a small buffer of its
// own, so that it survives other reads of the blob.
type cursor struct {
	blob *blob
	off  uint64
	buf  [64]byte
	i, n int
}

// next returns the next byte.
func (c *cursor) next() (byte, error) {
	if c.i == c.n {
		w, err := c.blob.window(c.off)
		if err != nil {
			return 0, err
		}
		c.n = copy(c.buf[:], w)
		c.off += uint64(c.n) //nolint:gosec // not negative
		c.i = 0
	}
	b := c.buf[c.i]
	c.i++
	return b, nil
}

// varint returns the next variable-length number.
func (c *cursor) varint() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b, err := c.next()
		if err != nil {
			return 0, err
		}
		v |= uint32(b&0x7f) << shift
		if b&0x80 == 0 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: number too long", ErrCorrupt)
}

// eachValue calls yield for the ranges [start, end) of function i and the
// values that the table at off of the pc tables gives them. Offset 0 stands for
// no table.
func (t *Table) eachValue(i int, off uint32, yield func(start, end uint64, value int32) bool) error {
	if off == 0 {
		return nil
	}
	if uint64(off) >= t.header.functab-t.header.pctab {
		return fmt.Errorf("%w: pc table at %#x", ErrCorrupt, off)
	}
	c := cursor{blob: t.blob, off: t.header.pctab + uint64(off)}
	pc, limit := t.Bounds(i)
	value := int32(-1)
	for first := true; ; first = false {
		// Values are zigzag-coded differences; a zero ends the table, except
		// as its first one.
		delta, err := c.varint()
		if err != nil {
			return err
		}
		if delta == 0 && !first {
			return nil
		}
		value += int32(-(delta & 1) ^ delta>>1) //nolint:gosec // zigzag
		length, err := c.varint()
		if err != nil {
			return err
		}
		end := pc + uint64(length)*t.header.quantum
		if end <= pc {
			return fmt.Errorf("%w: empty range in a pc table", ErrCorrupt)
		}
		// The last range may reach into the padding after the function, and
		// tables are shared, so they can be longer than a function.
		if !yield(pc, min(end, limit), value) || end >= limit {
			return nil
		}
		pc = end
	}
}

// value returns what a pc table of function i says for pc, and -1 when it says
// nothing.
func (t *Table) value(i int, off uint32, pc uint64) (int32, error) {
	value := int32(-1)
	err := t.eachValue(i, off, func(start, end uint64, v int32) bool {
		if pc >= start && pc < end {
			value = v
		}
		return pc >= end
	})
	return value, err
}

// PCSP calls yield for each step of the stack pointer in function i, in
// ascending order: from pc on, delta bytes lie between the stack pointer and
// its value at the function's entry, which points at the return address on
// amd64. A step holds up to the next, the last one up to the function's end.
// A function without steps has no table, which [FlagAsm] ones may lack.
func (t *Table) PCSP(i int, yield func(pc uint64, delta int32) bool) error {
	r, err := t.record(i)
	if err != nil {
		return err
	}
	return t.eachValue(i, r.pcsp, func(start, _ uint64, v int32) bool { return yield(start, v) })
}

// Line returns the place in the source that the instruction at pc in function
// i comes from: "", 0 when the table does not say. Where functions were
// inlined, this is a line of the innermost one; see [Table.Inlined].
func (t *Table) Line(i int, pc uint64) (file string, line int, err error) {
	r, err := t.record(i)
	if err != nil {
		return "", 0, err
	}
	return t.line(i, &r, pc)
}

// line is [Table.Line] with the record at hand.
func (t *Table) line(i int, r *record, pc uint64) (file string, line int, err error) {
	fileno, err := t.value(i, r.pcfile, pc)
	if err != nil {
		return "", 0, err
	}
	lineno, err := t.value(i, r.pcln, pc)
	if err != nil || fileno < 0 || lineno < 0 || r.cuOffset == math.MaxUint32 {
		return "", 0, err
	}
	var buf [4]byte
	at := 4 * (uint64(r.cuOffset) + uint64(fileno)) // an index of 32-bit offsets
	if at >= t.header.filetab-t.header.cutab {
		return "", 0, fmt.Errorf("%w: file number %d", ErrCorrupt, fileno)
	}
	if err := t.blob.read(buf[:], t.header.cutab+at); err != nil {
		return "", 0, err
	}
	off := binary.LittleEndian.Uint32(buf[:])
	if off == math.MaxUint32 {
		return "", 0, nil // dead code that the linker removed
	}
	if uint64(off) >= t.header.pctab-t.header.filetab {
		return "", 0, fmt.Errorf("%w: file name at %#x", ErrCorrupt, off)
	}
	file, err = t.blob.cstring(t.header.filetab+uint64(off), maxPath)
	return file, int(lineno), err
}
