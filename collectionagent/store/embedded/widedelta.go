// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"math/bits"

	"github.com/parquet-go/parquet-go/encoding/delta"
)

// wideDelta is DELTA_BINARY_PACKED with gaps in whole bytes, all of a page less the same
// number. Times that are multiples of some seconds have few different gaps: the same
// ones are then the same bytes wherever they come, and the compression finds runs of
// them, which it cannot when each is packed to as few bits as possible.
type wideDelta struct{ delta.BinaryPackedEncoding }

// Values of a block, and the parts that it has.
const (
	wideBlock = 1024
	widePart  = 256
)

// EncodeInt64 replaces dst by the encoded values.
func (e *wideDelta) EncodeInt64(dst []byte, src []int64) ([]byte, error) {
	if len(src) < 2 {
		return e.BinaryPackedEncoding.EncodeInt64(dst, src)
	}
	lowest, highest := src[1]-src[0], src[1]-src[0]
	for i := 2; i < len(src); i++ {
		d := src[i] - src[i-1]
		lowest, highest = min(lowest, d), max(highest, d)
	}
	size := (bits.Len64(uint64(highest-lowest)) + 7) / 8 //nolint:gosec // not negative, or too wide
	if size > 4 {
		return e.BinaryPackedEncoding.EncodeInt64(dst, src)
	}
	dst = binary.AppendUvarint(dst[:0], wideBlock)
	dst = binary.AppendUvarint(dst, wideBlock/widePart)
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	dst = binary.AppendVarint(dst, src[0])
	for i := 1; i < len(src); i += wideBlock {
		end := min(i+wideBlock, len(src))
		dst = binary.AppendVarint(dst, lowest)
		for part := i; part < i+wideBlock; part += widePart {
			width := byte(8 * size) //nolint:gosec // at most 32
			if part >= end {
				width = 0
			}
			dst = append(dst, width)
		}
		var four [4]byte
		for j := i; j < end; j++ {
			binary.LittleEndian.PutUint32(four[:], uint32(src[j]-src[j-1]-lowest)) //nolint:gosec // has that size
			dst = append(dst, four[:size]...)
		}
		if rest := (end - i) % widePart; rest > 0 { // parts are whole
			dst = append(dst, make([]byte, (widePart-rest)*size)...)
		}
	}
	return dst, nil
}
