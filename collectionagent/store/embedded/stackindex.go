// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math/rand/v2"

	"github.com/strobe-profiler/strobe/libpf"
)

// stackIndex finds the numbers of stacks in a list of them. It is a map with one
// memory access for most look-ups, since what it maps are hashes. Whoever sends
// samples may choose these, but not where in the table they go. The zero value is
// empty.
type stackIndex struct {
	slots  []uint32 // 1 + number, 0: free
	hi, lo uint64   // odd, secret
	shift  uint     // of the place in a hash
	n      int
}

// slot returns the slot of a stack or the free one that it belongs in.
func (x *stackIndex) slot(list []libpf.TraceHash, h libpf.TraceHash) *uint32 {
	for at := (h.Hi()*x.hi + h.Lo()*x.lo) >> x.shift; ; at = (at + 1) & uint64(len(x.slots)-1) { //nolint:gosec // not negative
		s := &x.slots[at]
		if *s == 0 || list[*s-1] == h {
			return s
		}
	}
}

// number returns the number of a stack in the list. isNew says that it is that of
// the next entry, which the caller appends before it asks again.
func (x *stackIndex) number(list []libpf.TraceHash, h libpf.TraceHash) (n uint32, isNew bool) {
	if 4*x.n >= 3*len(x.slots) {
		x.grow(list)
	}
	s := x.slot(list, h)
	if *s != 0 {
		return *s - 1, false
	}
	x.n++
	*s = uint32(len(list)) + 1 //nolint:gosec // bounded by memory
	return *s - 1, true
}

// grow makes the table larger.
func (x *stackIndex) grow(list []libpf.TraceHash) {
	if x.slots == nil {
		x.hi, x.lo, x.shift = rand.Uint64()|1, rand.Uint64()|1, 64-6+2 //nolint:gosec // the same for the life of the table
	}
	old := x.slots
	x.shift -= 2
	if len(old) >= 1<<16 { // then twice is enough at once
		x.shift++
	}
	x.slots = make([]uint32, 1<<(64-x.shift))
	for _, n := range old {
		if n != 0 {
			*x.slot(list, list[n-1]) = n
		}
	}
}
