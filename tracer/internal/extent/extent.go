// SPDX-License-Identifier: Apache-2.0

// Package extent hands out contiguous ranges of a numbered space, such as rows
// of a slab or entries of a directory. The space is divided into segments that
// no range crosses and that are added as they are needed.
package extent

import "sort"

// Range is a contiguous range.
type Range struct {
	Start, Len uint32
}

// Allocator is a first-fit allocator. It is not safe for concurrent use.
type Allocator struct {
	segment uint32 // units per segment
	limit   int    // most segments
	grow    func(segment int) error
	count   int
	used    int64
	free    []Range // sorted by Start, neighbours in one segment merged
}

// New returns an allocator of at most limit segments of the given number of
// units. Grow is called before a segment is used for the first time; it may be nil.
func New(segment uint32, limit int, grow func(segment int) error) *Allocator {
	return &Allocator{segment: segment, limit: limit, grow: grow}
}

// Alloc returns a range of n units. ok is false when there is no room; err is
// set when a segment could not be added.
func (a *Allocator) Alloc(n uint32) (r Range, ok bool, err error) {
	if n == 0 || n > a.segment {
		return Range{}, false, nil
	}
	for {
		for i := range a.free {
			if a.free[i].Len < n {
				continue
			}
			r = Range{Start: a.free[i].Start, Len: n}
			a.free[i].Start += n
			if a.free[i].Len -= n; a.free[i].Len == 0 {
				a.free = append(a.free[:i], a.free[i+1:]...)
			}
			a.used += int64(n)
			return r, true, nil
		}
		if a.count >= a.limit {
			return Range{}, false, nil
		}
		if a.grow != nil {
			if err := a.grow(a.count); err != nil {
				return Range{}, false, err
			}
		}
		a.free = append(a.free, Range{Start: uint32(a.count) * a.segment, Len: a.segment}) //nolint:gosec // bounded by limit
		a.count++
	}
}

// Free gives a range back.
func (a *Allocator) Free(r Range) {
	if r.Len == 0 {
		return
	}
	a.used -= int64(r.Len)
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].Start >= r.Start })
	a.free = append(a.free, Range{})
	copy(a.free[i+1:], a.free[i:])
	a.free[i] = r
	if i+1 < len(a.free) && a.joins(i) {
		a.merge(i)
	}
	if i > 0 && a.joins(i-1) {
		a.merge(i - 1)
	}
}

// joins reports whether free ranges i and i+1 touch inside one segment.
func (a *Allocator) joins(i int) bool {
	end := a.free[i].Start + a.free[i].Len
	return end == a.free[i+1].Start && end%a.segment != 0
}

func (a *Allocator) merge(i int) {
	a.free[i].Len += a.free[i+1].Len
	a.free = append(a.free[:i+1], a.free[i+2:]...)
}

// Used returns how many units are handed out.
func (a *Allocator) Used() int64 { return a.used }

// Segments returns how many segments are in use.
func (a *Allocator) Segments() int { return a.count }
