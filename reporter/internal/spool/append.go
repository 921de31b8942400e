// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io/fs"
)

// maxNamesTaken bounds the search for a name that no other file has.
const maxNamesTaken = 100

// Append writes a record and returns its order number. With hold it counts as read,
// as if [Spool.Read] had returned it. It is safe from power failure after Sync. An error
// means that the record is not there, and that those before it are.
func (s *Spool) Append(r *Record, hold bool) (order uint64, err error) {
	defer s.publish()
	if len(r.Payload) > maxPayload {
		return 0, ErrTooLarge
	}
	h := header{Header: r.Header, size: len(r.Payload)}
	s.out = append(s.out[:0], make([]byte, headerBytes)...)
	s.out = s.enc.EncodeAll(r.Payload, s.out)
	h.stored = len(s.out) - headerBytes
	h.sum = checksum(s.out[headerBytes:])
	if h.bytes() > s.MaxBytes {
		return 0, ErrTooLarge
	}
	if err := s.makeRoom(h.bytes()); err != nil {
		s.count(err)
		return 0, err
	}
	seg, err := s.writable(h.Stream, h.bytes())
	if err != nil {
		s.count(err)
		return 0, err
	}
	h.Order, h.Time = s.order+1, s.Now()
	h.append(s.out[:0])
	if _, err := seg.out.WriteAt(s.out, seg.size); err != nil {
		s.count(err)
		// What was written in part must not lie before what comes next.
		if cut := seg.out.Truncate(seg.size); cut != nil || seg.left == 0 {
			s.quit(seg)
		}
		return 0, fmt.Errorf("write segment: %w", err)
	}
	s.order++
	seg.size += h.bytes()
	seg.dirty = true
	seg.note(&h)
	if hold {
		s.hold(seg, &h)
	}
	return h.Order, nil
}

// writable returns the segment of the stream to append to.
func (s *Spool) writable(stream Stream, need int64) (*segment, error) {
	list := s.lists[stream]
	if n := len(list); n > 0 && list[n-1].out != nil {
		if seg := list[n-1]; seg.size+need <= s.split {
			return seg, nil
		}
		if err := list[n-1].seal(); err != nil {
			s.count(err)
			s.unsynced = fmt.Errorf("end segment: %w", err)
			return nil, s.unsynced
		}
	}
	seg := &segment{stream: stream, first: s.order + 1}
	out, err := s.dir.create(seg.name())
	for range maxNamesTaken {
		if !errors.Is(err, fs.ErrExist) {
			break
		}
		s.order++ // something else has the name
		seg.first = s.order + 1
		out, err = s.dir.create(seg.name())
	}
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	seg.out = out
	if err := s.dir.sync(); err != nil {
		s.count(err)
		err = errors.Join(err, out.Close())
		s.remove(seg.name(), 0)
		return nil, fmt.Errorf("create segment: %w", err)
	}
	s.lists[stream] = append(s.lists[stream], seg)
	return seg, nil
}

// quit ends a segment that cannot be written to any more.
func (s *Spool) quit(seg *segment) {
	seg.dirty = false
	if err := seg.seal(); err != nil {
		s.count(err)
	}
	if seg.left == 0 {
		s.erase(seg)
	}
}

// Sync makes what was appended safe from power failure.
func (s *Spool) Sync() error {
	defer s.publish()
	errs := []error{s.unsynced}
	s.unsynced = nil
	for _, list := range s.lists {
		if len(list) == 0 || !list[len(list)-1].dirty {
			continue
		}
		seg := list[len(list)-1]
		if err := seg.out.Sync(); err != nil {
			s.count(err)
			errs = append(errs, fmt.Errorf("sync segment: %w", err))
			// After a failure the kernel may take unwritten pages for written.
			s.quit(seg)
			continue
		}
		seg.dirty = false
	}
	s.sweep()
	return errors.Join(errs...)
}
