// SPDX-License-Identifier: Apache-2.0

package v8

import "sort"

// position is a place in a source: bit 0 says that it is in no script, bits 1 to
// 30 are the place plus 1, 0 for none, and bits 31 to 46 say what call was
// inlined there, plus 1.
type position uint64

// script returns the offset in the script, false if there is none.
func (p position) script() (int, bool) {
	n := int(p >> 1 & (1<<30 - 1))
	return n - 1, p&1 == 0 && n > 0
}

// inlined returns the index of the call that was inlined, false if there is none.
func (p position) inlined() (int, bool) {
	n := int(p >> 31 & 0xffff)
	return n - 1, n > 0
}

// maxVarint is how many bytes an encoded number has at most.
const maxVarint = 10

// readUnsigned reads a number of 7-bit groups, the lowest first. n is its
// length, 0 if it is cut.
func readUnsigned(b []byte) (v uint64, n int) {
	for i := range min(len(b), maxVarint) {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// readSigned reads one whose lowest bit is the sign.
func readSigned(b []byte) (v int64, n int) {
	u, n := readUnsigned(b)
	return int64(u>>1) ^ -int64(u&1), n //nolint:gosec // two's complement
}

// encoding is how a source position table is written. An entry is the difference
// of its code offset to that of the entry before, with flags, then a position.
type encoding uint8

const (
	// Signed: inverted if no statement begins there. The position is a
	// difference too. Up to V8 13.6.
	encodingSigned encoding = iota
	// Unsigned, above two flags. Since V8 14.
	encodingFlags
	// Unsigned, above three flags: the third says that the position is no
	// difference.
	encodingAbsolute
	encodings
)

// tableReader reads a source position table.
type tableReader struct {
	rest     []byte
	encoding encoding
	at       int64
	position int64
}

func newTableReader(table []byte, e encoding) tableReader {
	return tableReader{rest: table, encoding: e, at: -1}
}

// next reads an entry; ok is false at the end, or where the table is damaged.
func (r *tableReader) next() (ok bool) {
	u, n := readUnsigned(r.rest)
	if n == 0 {
		return false
	}
	p, m := readSigned(r.rest[n:])
	if m == 0 {
		return false
	}
	r.rest = r.rest[n+m:]
	switch r.encoding {
	case encodingSigned:
		r.at += int64(u >> 1) //nolint:gosec // of at most 63 bits
	case encodingFlags:
		r.at += int64(u >> 2) //nolint:gosec // see above
	default:
		r.at += int64(u >> 3) //nolint:gosec // see above
		if u&4 != 0 {
			r.position = 0
		}
	}
	r.position += p
	return r.at >= -1 && r.position >= 0
}

// fits reports whether a table can be of an encoding: it ends before the code
// does, and its positions are such.
func (e encoding) fits(table []byte, size int64) bool {
	r := newTableReader(table, e)
	for r.next() {
		if r.at > size || r.position >= 1<<47 {
			return false
		}
	}
	return len(r.rest) == 0
}

// findPosition returns the position of the last entry of a source position table
// that begins at or before offset. found is false if there is none.
func findPosition(table []byte, e encoding, offset int64) (p position, found bool) {
	for r := newTableReader(table, e); r.next() && r.at <= offset; {
		p, found = position(r.position), true //nolint:gosec // not negative
	}
	return p, found
}

// findBytecode returns the offset of the bytecode that baseline code at a
// program counter belongs to. The table holds the length of the code before the
// first bytecode, then of each one's.
func findBytecode(table, code []byte, sizes *bytecodeSizes, pc uint64) (offset int64, ok bool) {
	end, n := readUnsigned(table)
	if n == 0 {
		return 0, false
	}
	table = table[n:]
	offset = -1
	next := 0
	for end < pc {
		d, n := readUnsigned(table)
		if n == 0 || next >= len(code) {
			return 0, false
		}
		table = table[n:]
		end += d
		offset = int64(next)
		size := sizes.at(code[next:])
		if size == 0 {
			return 0, false
		}
		next += size
	}
	return offset, true
}

// lineOf returns the line of a place in a script, from 1: ends holds where the
// lines end.
func lineOf(ends []uint32, place int) int {
	if len(ends) == 0 || place < 0 {
		return 0
	}
	return 1 + sort.Search(len(ends), func(i int) bool { return int(ends[i]) >= place })
}
