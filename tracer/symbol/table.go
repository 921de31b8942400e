// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
)

// errTooLarge is returned for tables that would take more memory than allowed.
var errTooLarge = errors.New("symbol table too large")

// table maps addresses to names. It never changes once built.
type table struct {
	// parts divide the ranges, so that 32 bits are enough for an address
	// within a part. Executables have one part, perf maps a few.
	parts []part
	// starts are the first addresses of ranges, relative to their part. A range
	// ends where the next one begins.
	starts []uint32
	// names are the places of the names of the ranges in blob, or noID.
	names []uint32
	// blob holds the names, each behind its length.
	blob []byte
}

// part is where a run of ranges begins.
type part struct {
	base  uint64
	first int // index of its first range
}

// find returns the index of the range that addr lies in, -1 if there is none.
func (t *table) find(addr uint64) int {
	p := sort.Search(len(t.parts), func(i int) bool { return t.parts[i].base > addr }) - 1
	if p < 0 {
		return -1
	}
	first, end := t.parts[p].first, len(t.starts)
	if p+1 < len(t.parts) {
		end = t.parts[p+1].first
	}
	off := uint32(min(addr-t.parts[p].base, math.MaxUint32)) //nolint:gosec // the last range goes on
	return first + sort.Search(end-first, func(i int) bool { return t.starts[first+i] > off }) - 1
}

// start returns the first address of range i.
func (t *table) start(i int) uint64 {
	p := sort.Search(len(t.parts), func(p int) bool { return t.parts[p].first > i }) - 1
	return t.parts[p].base + uint64(t.starts[i])
}

// lookup returns the name of the range that addr lies in, and a number that
// stands for the name within this table.
func (t *table) lookup(addr uint64) (name []byte, id uint32, ok bool) {
	i := t.find(addr)
	if i < 0 || t.names[i] == noID {
		return nil, 0, false
	}
	return t.name(t.names[i]), t.names[i], true
}

// name returns the name at a place of the blob.
func (t *table) name(id uint32) []byte {
	size, n := binary.Uvarint(t.blob[id:])
	return t.blob[int(id)+n:][:size]
}

// bytes returns how much memory the table takes.
func (t *table) bytes() int64 {
	return int64(4*cap(t.starts) + 4*cap(t.names) + cap(t.blob))
}

// newTable builds a table of spans, which must be sorted by start and have
// ids from 0 on. name returns the name of an id; it is copied. The error is errTooLarge above limit bytes.
func newTable(spans []span, limit int64, name func(id uint32) []byte) (*table, error) {
	t := new(table)
	var err error
	// Where the names of spans are: a span comes again behind one that lies in it.
	ids := uint32(0)
	for i := range spans {
		ids = max(ids, spans[i].id+1)
	}
	places := slices.Repeat([]uint32{noID}, int(ids))
	t.starts = make([]uint32, 0, len(spans)+len(spans)/8+1)
	t.names = make([]uint32, 0, cap(t.starts))
	flatten(spans, func(start uint64, id uint32) {
		if err != nil {
			return
		}
		if n := len(t.parts); n == 0 || start-t.parts[n-1].base > math.MaxUint32 {
			t.parts = append(t.parts, part{base: start, first: len(t.starts)})
		}
		place := noID
		if id != noID {
			if place = places[id]; place == noID {
				place = uint32(len(t.blob)) //nolint:gosec // limited below
				places[id] = place
				b := name(id)
				t.blob = binary.AppendUvarint(t.blob, uint64(len(b)))
				t.blob = append(t.blob, b...)
			}
		}
		t.starts = append(t.starts, uint32(start-t.parts[len(t.parts)-1].base)) //nolint:gosec // checked above
		t.names = append(t.names, place)
		if int64(len(t.blob))+8*int64(len(t.starts)) > limit || len(t.blob) >= math.MaxInt32 {
			err = errTooLarge
		}
	})
	if err != nil {
		return nil, err
	}
	t.starts, t.names, t.blob = shrink(t.starts), shrink(t.names), shrink(t.blob)
	return t, nil
}

// shrink returns s in memory of its size.
func shrink[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }
