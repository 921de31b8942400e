// SPDX-License-Identifier: Apache-2.0

package python

// The tables from instructions to lines, which have had three forms. Each
// function returns the line of the instruction at a byte of the code, 0 when the
// table does not say.

// lnotabLine reads co_lnotab of Python 3 up to 3.9: pairs of a number of bytes
// and a signed number of lines.
func lnotabLine(table []byte, first int, at int64) int {
	line, pos := first, int64(0)
	for ; len(table) >= 2; table = table[2:] {
		if pos += int64(table[0]); pos > at {
			break
		}
		line += int(int8(table[1])) //nolint:gosec // signed
	}
	return line
}

// oldLnotabLine reads co_lnotab of Python 2, where lines only grow.
func oldLnotabLine(table []byte, first int, at int64) int {
	line, pos := first, int64(0)
	for ; len(table) >= 2; table = table[2:] {
		if pos += int64(table[0]); pos > at {
			break
		}
		line += int(table[1])
	}
	return line
}

// rangeLine reads co_linetable of 3.10: pairs of the length of a range in bytes
// and of the number of lines from the range before; -128 is a range without a line.
func rangeLine(table []byte, first int, at int64) int {
	line, pos := first, int64(0)
	for ; len(table) >= 2; table = table[2:] {
		delta := int8(table[1]) //nolint:gosec // signed
		if delta != -128 {
			line += int(delta)
		}
		if pos += int64(table[0]); pos > at {
			if delta == -128 {
				return 0
			}
			return line
		}
	}
	return 0
}

// Kinds of entries of the table of 3.11 and later, and what follows them.
const (
	kindOneLine   = 10 // to 12: 0 to 2 lines more, two bytes for columns
	kindNoColumns = 13 // lines
	kindLong      = 14 // lines, lines, columns, columns
	kindNone      = 15
)

// locationLine reads co_linetable of 3.11 and later. An entry begins with a byte
// whose top bit is set; 4 bits are its kind, 3 bits one less than the
// instructions that it covers.
func locationLine(table []byte, first int, at int64) int {
	line, pos := first, int64(0)
	for len(table) > 0 {
		b := table[0]
		table = table[1:]
		if b&0x80 == 0 {
			return 0
		}
		kind := b >> 3 & 15
		switch kind {
		case kindNone:
		case kindNoColumns, kindLong:
			var d int
			if d, table = signedVarint(table); d > 1<<30 || d < -1<<30 {
				return 0
			}
			line += d
		case kindOneLine, kindOneLine + 1, kindOneLine + 2:
			line += int(kind - kindOneLine)
		}
		if pos += 2 * (int64(b&7) + 1); pos > at {
			if kind == kindNone {
				return 0
			}
			return line
		}
		// The columns: no byte of them has the top bit.
		for len(table) > 0 && table[0]&0x80 == 0 {
			table = table[1:]
		}
	}
	return 0
}

// signedVarint reads 6 bits per byte, the lowest first, as long as bit 6 is set;
// the lowest bit of the number is its sign.
func signedVarint(b []byte) (int, []byte) {
	var v uint64
	for shift := uint(0); len(b) > 0 && shift < 36; shift += 6 {
		c := b[0]
		b = b[1:]
		v |= uint64(c&63) << shift
		if c&64 == 0 {
			break
		}
	}
	n := int(v >> 1) //nolint:gosec // 35 bits
	if v&1 != 0 {
		n = -n
	}
	return n, b
}
