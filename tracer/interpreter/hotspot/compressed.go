// SPDX-License-Identifier: Apache-2.0

package hotspot

// compressed reads numbers as HotSpot packs them: UNSIGNED5, base 64 with one to
// five bytes, the lowest first. Bytes of 192 and more say that another follows.
// Since 20 the byte 0 is left out: 1 is added to each.
type compressed struct {
	b      []byte
	skip   byte
	failed bool // the data ended too soon
}

// byte reads a byte as it is.
func (c *compressed) byte() byte {
	if len(c.b) == 0 {
		c.failed = true
		return 0
	}
	b := c.b[0]
	c.b = c.b[1:]
	return b
}

// uint reads a number.
func (c *compressed) uint() uint32 {
	var sum uint32
	for i := range 5 {
		b := c.byte()
		if b < c.skip {
			c.failed = true
		}
		if c.failed {
			return 0
		}
		sum += uint32(b-c.skip) << (6 * i)
		if b < 192 {
			break
		}
	}
	return sum
}

// int reads a number with a sign, which is the lowest bit.
func (c *compressed) int() int32 {
	v := c.uint()
	return int32(v>>1) ^ -int32(v&1) //nolint:gosec // the encoding
}

// line is an entry of a method's table of lines: from this bytecode on.
type line struct {
	bytecode int32
	number   int32
}

// maxLines bounds the entries of a table of lines: one for each bytecode.
const maxLines = 1 << 16

// readLines reads a table of lines: a byte has the distance to the next in its
// upper 5 bits and the difference of the lines in the lower 3; 255 says that two
// numbers with a sign follow instead, 0 ends the table.
func readLines(b []byte, skip byte) []line {
	c := compressed{b: b, skip: skip}
	var out []line
	var l line
	for len(out) < maxLines {
		switch n := c.byte(); {
		case c.failed || n == 0:
			return out
		case n == 255:
			l.bytecode += c.int()
			l.number += c.int()
		default:
			l.bytecode += int32(n >> 3)
			l.number += int32(n & 7)
		}
		if c.failed {
			return out
		}
		out = append(out, l)
	}
	return out
}

// lineAt returns the line of a bytecode; 0 when there is none. The table need not
// be in order.
func lineAt(lines []line, bytecode int) uint64 {
	best := int32(-1)
	var number int32
	for _, l := range lines {
		if int(l.bytecode) == bytecode {
			best, number = l.bytecode, l.number
			break
		}
		if int(l.bytecode) < bytecode && l.bytecode >= best {
			best, number = l.bytecode, l.number
		}
	}
	if best < 0 || number < 0 {
		return 0
	}
	return uint64(number)
}
