// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"encoding/binary"
	"math/bits"
)

// maxLines bounds the entries of a table of lines.
const maxLines = 1 << 20

// lineAt returns the line of the instruction at a position in the sequence whose
// body is given, in words; 0 when it is not known.
func (i *instance) lineAt(body, position uint64) uint64 {
	l := &i.lib.layout
	n, err := i.mem.Uint32(body + l.infoSize)
	if err != nil || n == 0 || n > maxLines {
		return 0
	}
	entries, err := i.mem.Uint64(body + l.info)
	if err != nil {
		return 0
	}
	entry := uint64(0)
	switch {
	case n == 1:
	case l.succinct:
		table, err := i.mem.Uint64(body + l.info + offInfoSuccinct)
		if err != nil {
			return 0
		}
		rank, ok := i.rank(table, position)
		if !ok || rank == 0 || rank > uint64(n) {
			return 0
		}
		entry = rank - 1
	default:
		// The last entry that does not begin behind the position.
		lo, hi := uint64(0), uint64(n)
		for lo < hi {
			mid := (lo + hi) / 2
			at, err := i.mem.Uint32(entries + mid*l.lineEntry)
			if err != nil {
				return 0
			}
			if uint64(at) <= position {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo == 0 {
			return 0
		}
		entry = lo - 1
	}
	line, err := i.mem.Uint32(entries + entry*l.lineEntry + l.line)
	if err != nil || line > 1<<24 {
		return 0
	}
	return uint64(line)
}

// The succinct index of positions (struct succ_index_table of iseq.c): how many
// entries begin at or before a position. The first 54 positions have the answer
// in 7 bits each, 9 to a word. Blocks of 512 positions follow: the number before
// the block, that before each of its words in 9 bits, and a bit per position.
const (
	immediatePositions = 54
	immediatePerWord   = 9
	immediateBits      = 7
	blockPositions     = 512
	blockBits          = 9
	blockSize          = 8 + 8 + blockPositions/8
)

// rank looks a position up in a succinct index.
func (i *instance) rank(table, position uint64) (uint64, bool) {
	if position < immediatePositions {
		w, err := i.mem.Uint64(table + position/immediatePerWord*8)
		return w >> (position % immediatePerWord * immediateBits) & 0x7f, err == nil
	}
	position -= immediatePositions
	var b [blockSize]byte
	at := table + immediatePositions/immediatePerWord*8 + position/blockPositions*blockSize
	if err := i.mem.Read(b[:], at); err != nil {
		return 0, false
	}
	bit := position % blockPositions
	word := bit / 64
	rank := uint64(binary.LittleEndian.Uint32(b[:]))
	if word > 0 {
		rank += binary.LittleEndian.Uint64(b[8:]) >> ((word - 1) * blockBits) & 0x1ff
	}
	set := binary.LittleEndian.Uint64(b[16+word*8:])
	return rank + uint64(bits.OnesCount64(set<<(63-bit%64))), true //nolint:gosec // at most 64
}
