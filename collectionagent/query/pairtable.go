// SPDX-License-Identifier: Apache-2.0

package query

import "math/bits"

// pairTable maps numbers other than 0 to numbers. It is an open hash table with
// key and value side by side, because building a tree is one look-up per frame
// of every stack and each should touch one line of memory. It does not shrink
// and is for one goroutine.
type pairTable struct {
	slots []pair
	used  int
	shift uint // 64 minus the number of bits of an index
}

type pair struct {
	key   uint64
	value uint32
}

// newPairTable returns a table for the given number of keys, a power of two.
func newPairTable(capacity int) *pairTable {
	t := &pairTable{}
	t.resize(2 * capacity)
	return t
}

func (t *pairTable) resize(size int) {
	t.slots = make([]pair, size)
	t.shift = uint(64 - bits.TrailingZeros(uint(size))) //nolint:gosec // at most 64
}

// index returns the value of a key; a key that is new gets the given value.
func (t *pairTable) index(key uint64, value uint32) (got uint32, added bool) {
	// Multiplying by 2^64 divided by the golden ratio spreads consecutive keys.
	const golden = 0x9e3779b97f4a7c15
	mask := uint64(len(t.slots) - 1)
	for i := key * golden >> t.shift; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.key == key {
			return s.value, false
		}
		if s.key == 0 {
			*s = pair{key, value}
			t.used++
			if 2*t.used > len(t.slots) {
				t.grow()
			}
			return value, true
		}
	}
}

// find returns the value of a key.
func (t *pairTable) find(key uint64) (value uint32, ok bool) {
	const golden = 0x9e3779b97f4a7c15
	mask := uint64(len(t.slots) - 1)
	for i := key * golden >> t.shift; ; i = (i + 1) & mask {
		switch s := &t.slots[i]; s.key {
		case key:
			return s.value, true
		case 0:
			return 0, false
		}
	}
}

func (t *pairTable) grow() {
	old := t.slots
	t.resize(2 * len(old))
	t.used = 0
	for _, s := range old {
		if s.key != 0 {
			t.index(s.key, s.value)
		}
	}
}
