// SPDX-License-Identifier: Apache-2.0

package spool

// parts are the records that were to take the place of others when the process
// died, or that did so before, by the order of the original.
type parts map[uint64]*replacement

type replacement struct {
	stream   Stream
	parts    []header
	complete bool
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
	for original, r := range found {
		weight, there := s.unsettled(r.stream, original)
		switch {
		case !there:
		case r.complete:
			s.Withdraw(r.stream, original, weight)
		default:
			for i := range r.parts {
				s.Withdraw(r.stream, r.parts[i].Order, r.parts[i].Weight)
			}
		}
	}
}

// unsettled finds a record that an earlier run left.
func (s *Spool) unsettled(stream Stream, order uint64) (weight uint64, ok bool) {
	var home *segment
	for _, seg := range s.lists[stream] {
		if seg.first <= order {
			home = seg
		}
	}
	if home == nil {
		return 0, false
	}
	if _, settled := home.settled[order]; settled {
		return 0, false
	}
	f, err := s.dir.open(home.name())
	if err != nil {
		s.failed("a segment cannot be read", home.name(), err)
		return 0, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	w := walker{file: f, stream: stream, size: home.size, skipped: func(string, int64) {}}
	for {
		h, _, err := w.next()
		if err != nil || h.Order > order {
			return 0, false
		}
		if h.Order == order {
			return h.Weight, true
		}
	}
}
