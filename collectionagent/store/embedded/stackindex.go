// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math/rand/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
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

// numbersAtOnce is for how many samples memory is asked before any of it is waited for.
const numbersAtOnce = 64

// numbers sets the numbers of the stacks of samples, and appends those that are new
// to the list.
func (x *stackIndex) numbers(list []libpf.TraceHash, samples []store.Sample, to []uint32) []libpf.TraceHash {
	for len(samples) > 0 {
		n := min(len(samples), numbersAtOnce)
		if len(x.slots) > 0 {
			for i := range samples[:n] {
				to[i] = x.slots[x.place(samples[i].Stack)]
			}
		} else {
			clear(to[:n])
		}
		for i := range samples[:n] {
			h := samples[i].Stack
			if first := to[i]; first != 0 && list[first-1] == h { // stays its number when the table grows
				to[i] = first - 1
				continue
			}
			number, isNew := x.number(list, h)
			if isNew {
				list = append(list, h)
			}
			to[i] = number
		}
		samples, to = samples[n:], to[n:]
	}
	return list
}

// place returns where the search for a stack begins.
func (x *stackIndex) place(h libpf.TraceHash) uint64 { return (h.Hi()*x.hi + h.Lo()*x.lo) >> x.shift }

// rebuild makes the index that of a list that became shorter.
func (x *stackIndex) rebuild(list []libpf.TraceHash) {
	clear(x.slots)
	for i, h := range list {
		*x.slot(list, h) = uint32(i) + 1 //nolint:gosec // bounded by memory
	}
	x.n = len(list)
}

// slot returns the slot of a stack or the free one that it belongs in.
func (x *stackIndex) slot(list []libpf.TraceHash, h libpf.TraceHash) *uint32 {
	for at := x.place(h); ; at = (at + 1) & uint64(len(x.slots)-1) { //nolint:gosec // not negative
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
