// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// cursor is where the reading of a stream is.
type cursor struct {
	seg  *segment
	file file
	walk walker
	// The next record, when there is one.
	ready   bool
	head    header
	payload int64
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	*c = cursor{}
}

// Read returns the oldest record that is neither settled nor held, and holds it.
// ok is false when there is none. After an error the same record is tried again.
func (s *Spool) Read() (r Record, ok bool, err error) {
	defer s.publish()
	for {
		var c *cursor
		for stream := range Stream(streams) {
			ready, err := s.advance(stream)
			if err != nil {
				s.count(err)
				return Record{}, false, err
			}
			if next := &s.cursors[stream]; ready && (c == nil || next.head.Order < c.head.Order) {
				c = next
			}
		}
		if c == nil {
			return Record{}, false, nil
		}
		h, seg := c.head, c.seg
		payload, err := s.payload(c.file, &h, c.payload)
		if err != nil && !errors.Is(err, errPayload) {
			s.count(err)
			return Record{}, false, fmt.Errorf("read segment: %w", err)
		}
		c.ready = false
		if err != nil {
			s.damaged(seg, reasonPayload, int64(h.stored))
			s.lose(seg, 1, h.Weight)
			s.settle(seg, h.Order)
			continue
		}
		s.hold(seg, &h)
		return Record{Header: h.Header, Payload: payload}, true, nil
	}
}

var errPayload = errors.New("payload does not match its header")

// payload reads and checks what a header stands for.
func (s *Spool) payload(f io.ReaderAt, h *header, at int64) ([]byte, error) {
	if cap(s.in) < h.stored {
		s.in = make([]byte, h.stored)
	}
	stored := s.in[:h.stored]
	if n, err := f.ReadAt(stored, at); n < len(stored) {
		if errors.Is(err, io.EOF) {
			return nil, errPayload
		}
		return nil, err
	}
	if checksum(stored) != h.sum {
		return nil, errPayload
	}
	payload, err := s.dec.DecodeAll(stored, make([]byte, 0, h.size))
	if err != nil || len(payload) != h.size {
		return nil, errPayload
	}
	return payload, nil
}

// advance makes the stream's cursor stand on a record, and reports whether there is one.
func (s *Spool) advance(stream Stream) (bool, error) {
	c := &s.cursors[stream]
	for !c.ready {
		if c.seg == nil {
			seg := s.firstUnread(stream)
			if seg == nil {
				return false, nil
			}
			f, err := s.dir.open(seg.name())
			if errors.Is(err, fs.ErrNotExist) {
				s.vanished(seg)
				continue
			}
			if err != nil {
				return false, fmt.Errorf("open segment: %w", err)
			}
			*c = cursor{seg: seg, file: f, walk: walker{file: f, stream: stream}}
			c.walk.skipped = func(reason string, n int64) {
				if !seg.loaded {
					s.damaged(seg, reason, n)
				}
			}
		}
		c.walk.size = c.seg.size
		if c.seg.unread == 0 {
			// All of it is read. More may follow if it is still written to.
			if s.firstUnread(stream) == nil {
				return false, nil
			}
			c.close()
			continue
		}
		h, payload, err := c.walk.next()
		if errors.Is(err, io.EOF) {
			seg := c.seg
			c.close()
			s.vanished(seg)
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read segment: %w", err)
		}
		if _, settled := c.seg.settled[h.Order]; settled {
			continue
		}
		if _, held := s.held[h.Order]; held {
			continue
		}
		c.ready, c.head, c.payload = true, h, payload
	}
	return true, nil
}

func (s *Spool) firstUnread(stream Stream) *segment {
	for _, seg := range s.lists[stream] {
		if seg.unread > 0 {
			return seg
		}
	}
	return nil
}

// vanished gives up the records of a segment that were there and are not any more.
func (s *Spool) vanished(seg *segment) {
	if seg.unread == 0 {
		return
	}
	s.damaged(seg, reasonMissing, seg.size)
	seg.left -= seg.unread
	s.lose(seg, seg.unread, seg.unreadWeight)
	s.quit(seg) // what is appended to it would be lost, too
}

// lose takes records that nobody holds out of the account.
func (s *Spool) lose(seg *segment, n int, weight uint64) {
	seg.unread -= n
	seg.unreadWeight -= weight
	if s.Lost != nil {
		s.Lost(seg.stream, weight)
	}
}

// eachUnread calls f for the intact records of a segment that are neither settled nor held.
func (s *Spool) eachUnread(seg *segment, file io.ReaderAt, f func(Record)) {
	w := walker{file: file, stream: seg.stream, size: seg.size, skipped: func(string, int64) {}}
	for {
		h, at, err := w.next()
		if err != nil {
			return
		}
		_, settled := seg.settled[h.Order]
		if _, held := s.held[h.Order]; held || settled {
			continue
		}
		if payload, err := s.payload(file, &h, at); err == nil {
			f(Record{Header: h.Header, Payload: payload})
		}
	}
}
