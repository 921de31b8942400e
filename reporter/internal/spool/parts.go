// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"errors"
	"io"
	"slices"
)

// parts are the records that were to take the place of others when the process
// died, or that did so before, by the order of the original.
type parts map[uint64]*replacement

type replacement struct {
	stream   Stream
	parts    []header
	complete bool
}

// original is a record that others replace, and where it is.
type original struct {
	header
	home *segment
}

func (p *parts) add(h *header) {
	if *p == nil {
		*p = parts{}
	}
	r := (*p)[h.PartOf]
	if r == nil {
		r = &replacement{stream: h.Stream}
		(*p)[h.PartOf] = r
	}
	r.parts = append(r.parts, *h)
	r.complete = r.complete || h.Completes
}

// decide keeps, of an original and its parts, the one that counts. An original that
// is settled or gone was replaced, or given up, and its parts stand for themselves.
func (s *Spool) decide(found parts) {
	// Each segment is read once, however many originals are in it, and before anything is withdrawn.
	homes := map[*segment]struct{}{}
	for order, r := range found {
		if home := s.home(r.stream, order); home != nil {
			homes[home] = struct{}{}
		}
	}
	var there []original
	for home := range homes {
		there = append(there, s.originals(home, found)...)
	}
	// A part may be an original, too, and be gone when its turn comes.
	slices.SortFunc(there, func(a, b original) int { return cmp.Compare(a.Order, b.Order) })
	for i := range there {
		h := &there[i].header
		if _, settled := there[i].home.settled[h.Order]; settled {
			continue
		}
		if r := found[h.Order]; r.complete {
			s.Withdraw(h.Stream, h.Order, h.Weight)
		} else {
			for i := range r.parts {
				s.Withdraw(r.stream, r.parts[i].Order, r.parts[i].Weight)
			}
		}
	}
}

// home returns the segment that a record would be in, nil if there is none.
func (s *Spool) home(stream Stream, order uint64) (home *segment) {
	for _, seg := range s.lists[stream] {
		if seg.first <= order {
			home = seg
		}
	}
	return home
}

// originals returns the headers of the records in a segment that others replace and
// that are not settled.
func (s *Spool) originals(home *segment, found parts) (there []original) {
	f, err := s.dir.open(home.name())
	if err != nil {
		s.failed("a segment cannot be read", home.name(), err)
		return nil
	}
	defer f.Close() //nolint:errcheck // it was only read
	w := walker{file: f, stream: home.stream, size: home.size, skipped: func(string, int64) {}}
	for {
		h, _, err := w.next()
		if errors.Is(err, io.EOF) {
			return there
		}
		if err != nil {
			s.failed("a segment cannot be read", home.name(), err)
			return there
		}
		_, settled := home.settled[h.Order]
		if r := found[h.Order]; r != nil && r.stream == h.Stream && !settled {
			there = append(there, original{h, home})
		}
	}
}
