// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"math/bits"
	"math/rand/v2"

	"github.com/strobe-profiler/strobe/libpf"
)

// symbols are the frames that locations of a request name, each once, in order.
type symbols struct {
	list []named
	// places are indices into list plus one, by hash; a power of two of them.
	places []uint32
	seeds  [4]uint64
}

type named struct {
	id       libpf.FrameID
	location int32
}

// reset empties the list and makes room for n.
func (s *symbols) reset(n int) {
	s.list = s.list[:0]
	s.places = sized(s.places, 1<<bits.Len(uint(2*n+1))) //nolint:gosec // not negative
	for i := range s.seeds {
		s.seeds[i] = rand.Uint64() //nolint:gosec // keeps requests from choosing what collides
	}
}

// hash goes through each number of a frame with secrets of its own: requests choose
// all of them, and two that only went in together could be chosen to cancel out.
func (s *symbols) hash(id libpf.FrameID) uint64 {
	file := fold(id.FileID.Hi()^s.seeds[0], id.FileID.Lo()^s.seeds[1])
	return fold(file^s.seeds[2], uint64(id.AddressOrLineno)^s.seeds[3])
}

// fold multiplies and keeps both halves of the product.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// add adds a frame that a location names, unless it is there: then it returns the
// location that named it first.
func (s *symbols) add(id libpf.FrameID, location int32) (first int32, added bool) {
	mask := uint64(len(s.places) - 1) //nolint:gosec // reset makes two places or more
	for at := s.hash(id) & mask; ; at = (at + 1) & mask {
		n := s.places[at]
		if n == 0 {
			s.list = append(s.list, named{id, location})
			s.places[at] = uint32(len(s.list)) //nolint:gosec // of a request
			return location, true
		}
		if s.list[n-1].id == id {
			return s.list[n-1].location, false
		}
	}
}
