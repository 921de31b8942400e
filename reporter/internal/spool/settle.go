// SPDX-License-Identifier: Apache-2.0

package spool

import "slices"

func (s *Spool) hold(seg *segment, h *header) {
	seg.unread--
	seg.unreadWeight -= h.Weight
	s.held[h.Order] = holding{seg: seg, weight: h.Weight}
}

// letGo ends the hold of a record. ok is false when it is not held.
func (s *Spool) letGo(order uint64) (held holding, ok bool) {
	held, ok = s.held[order]
	delete(s.held, order)
	return held, ok
}

// Settle says that a record that is held need not be sent again. ok is false when
// it is not held.
func (s *Spool) Settle(order uint64) (ok bool) {
	held, ok := s.letGo(order)
	if !ok {
		return false
	}
	defer s.publish()
	if held.seg != nil {
		s.settle(held.seg, order)
	}
	return true
}

// SettleReplaced settles a record that is held and that others were appended to
// take the place of. What lags elsewhere is durable here before it returns: an
// original that came back after a power failure would be cut again, under new
// identities, and the server could not tell those from new batches.
func (s *Spool) SettleReplaced(order uint64) (ok bool) {
	// The parts first. An error is counted, and the next one who syncs gets it, too.
	s.unsynced = s.Sync()
	seg := s.held[order].seg
	if ok = s.Settle(order); ok && seg != nil {
		if err := seg.syncList(s.dir); err != nil {
			s.count(err)
		}
	}
	return ok
}

func (s *Spool) settle(seg *segment, order uint64) {
	if err := seg.settle(s.dir, order); err != nil {
		s.count(err) // the record is only sent once more after a restart
	}
	if seg.left == 0 {
		s.erase(seg)
	}
}

// Withdraw takes back a record of this run that was appended and not held. ok is
// false when it is gone meanwhile.
func (s *Spool) Withdraw(stream Stream, order, weight uint64) (ok bool) {
	defer s.publish()
	for _, seg := range slices.Backward(s.lists[stream]) {
		if seg.first > order {
			continue
		}
		if seg.unread == 0 {
			return false
		}
		if c := &s.cursors[stream]; c.ready && c.head.Order == order {
			c.close()
		}
		seg.unread--
		seg.unreadWeight -= min(weight, seg.unreadWeight)
		s.settle(seg, order)
		return true
	}
	return false
}

// Return gives back a record that is held, to be read again. ok is false when it
// was evicted meanwhile.
func (s *Spool) Return(order uint64) (ok bool) {
	held, ok := s.letGo(order)
	if !ok {
		return false
	}
	defer s.publish()
	if held.seg == nil {
		return false
	}
	held.seg.unread++
	held.seg.unreadWeight += held.weight
	s.cursors[held.seg.stream].close()
	return true
}
