// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"
	"slices"
)

// MaxWindowRanges bounds how many ranges a [Window] remembers.
const MaxWindowRanges = 1024

// errWindowFormat is returned when bytes are not an encoded window.
var errWindowFormat = errors.New("not an encoded batch window")

// Window remembers which sequences of one run of an agent and one type were
// stored. Sequences come nearly in order, so it holds ranges: usually a single
// one. The zero value is empty. It is not safe for concurrent use.
type Window struct {
	ranges []seqRange // ascending, disjoint, with gaps between them
}

// seqRange holds the sequences first to last, both inclusive.
type seqRange struct{ first, last uint64 }

// search returns the index of the first range that ends at or after seq.
func (w *Window) search(seq uint64) int {
	i, _ := slices.BinarySearchFunc(w.ranges, seq, func(r seqRange, s uint64) int {
		switch {
		case r.last < s:
			return -1
		case r.last > s:
			return 1
		}
		return 0
	})
	return i
}

// Has reports whether the sequence was added.
func (w *Window) Has(seq uint64) bool {
	i := w.search(seq)
	return i < len(w.ranges) && w.ranges[i].first <= seq
}

// Add remembers a sequence. It reports how many sequences that were never added
// had to be declared added to stay within [MaxWindowRanges]; they belong to the
// oldest gap, whose batches the agent has long given up.
func (w *Window) Add(seq uint64) (forgotten uint64) {
	i := w.search(seq)
	if i < len(w.ranges) && w.ranges[i].first <= seq {
		return 0
	}
	// The differences cannot overflow: seq lies strictly between the two ranges.
	joinsLeft := i > 0 && seq-w.ranges[i-1].last == 1
	joinsRight := i < len(w.ranges) && w.ranges[i].first-seq == 1
	switch {
	case joinsLeft && joinsRight:
		w.ranges[i-1].last = w.ranges[i].last
		w.ranges = slices.Delete(w.ranges, i, i+1)
	case joinsLeft:
		w.ranges[i-1].last = seq
	case joinsRight:
		w.ranges[i].first = seq
	default:
		w.ranges = slices.Insert(w.ranges, i, seqRange{seq, seq})
	}
	if len(w.ranges) > MaxWindowRanges {
		forgotten = w.ranges[1].first - w.ranges[0].last - 1
		w.ranges[1].first = w.ranges[0].first
		w.ranges = slices.Delete(w.ranges, 0, 1)
	}
	return forgotten
}

// Clone returns a copy that does not change with w.
func (w *Window) Clone() Window { return Window{ranges: slices.Clone(w.ranges)} }

// AppendBinary appends the encoded window to b.
func (w *Window) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(w.ranges)))
	var last uint64
	for _, r := range w.ranges {
		b = binary.AppendUvarint(b, r.first-last)
		b = binary.AppendUvarint(b, r.last-r.first)
		last = r.last
	}
	return b
}

// CutWindow reads a window that AppendBinary wrote from the start of b, and
// returns what follows it.
func CutWindow(b []byte) (w Window, rest []byte, err error) {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	count := next()
	if b == nil || count > MaxWindowRanges {
		return Window{}, nil, errWindowFormat
	}
	var last uint64
	for i := range count {
		if len(b) == 0 {
			return Window{}, nil, errWindowFormat
		}
		first := last + next()
		if len(b) == 0 {
			return Window{}, nil, errWindowFormat
		}
		end := first + next()
		if end < first || first < last || (i > 0 && first <= last+1) {
			return Window{}, nil, errWindowFormat
		}
		w.ranges = append(w.ranges, seqRange{first, end})
		last = end
	}
	if b == nil {
		return Window{}, nil, errWindowFormat
	}
	return w, b, nil
}
