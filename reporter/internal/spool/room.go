// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// makeRoom evicts until need more bytes fit.
func (s *Spool) makeRoom(need int64) error {
	for s.bytes()+need > s.MaxBytes {
		list := s.lists[Counts]
		if len(list) == 0 {
			list = s.lists[Definitions]
		}
		if len(list) == 0 && s.evictOther() {
			continue
		}
		if len(list) == 0 {
			return fmt.Errorf("files that cannot be removed fill the spool: %w", fs.ErrPermission)
		}
		if err := s.evict(list[0]); err != nil {
			return err
		}
	}
	return nil
}

// evictOther removes the oldest segment of another format and reports whether there was one.
// How much is in it nobody here can tell.
func (s *Spool) evictOther() bool {
	for _, name := range slices.Sorted(maps.Keys(s.strays)) {
		st := s.strays[name]
		if !st.other || s.dir.remove(name) != nil {
			continue
		}
		delete(s.strays, name)
		if stream, first, ok := parseName(name, segmentSuffix); ok {
			s.remove(segmentName(stream, first, settledSuffix), 0)
		}
		s.mu.Lock()
		s.stats.Corrupt[reasonFormat]++
		s.mu.Unlock()
		s.Logger.Warn("the spool is full; a segment of another version is given up", "file", name, "bytes", st.size)
		return true
	}
	return false
}

// Trim evicts what is over the cap, which may have been lowered since the last run.
func (s *Spool) Trim() error {
	defer s.publish()
	return s.makeRoom(0)
}

// evict removes a segment and reports what nobody held of it.
func (s *Spool) evict(seg *segment) error {
	var f file
	var err error
	if seg.stream == Definitions && seg.unread > 0 && s.Evicted != nil {
		if f, err = s.dir.open(seg.name()); err != nil {
			s.failed("definitions that are evicted cannot be read", seg.name(), err)
		} else {
			defer f.Close() //nolint:errcheck // read only
		}
	}
	if err := s.dir.remove(seg.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment: %w", err)
	}
	s.Logger.Warn("the spool is full; its oldest batches are given up", "stream", seg.stream.String(),
		"batches", seg.unread, "samples", seg.unreadWeight)
	if f != nil {
		s.eachUnread(seg, f, func(r Record) { s.Evicted(r) })
	}
	s.mu.Lock()
	if seg.stream == Definitions {
		s.stats.EvictedDefinitions += uint64(seg.unread) //nolint:gosec // not negative
	}
	s.stats.EvictedWeight += seg.unreadWeight
	s.mu.Unlock()
	if seg.stream == Counts && s.Evicted != nil {
		s.Evicted(Record{Header: Header{Stream: Counts, Weight: seg.unreadWeight}})
	}
	seg.unread, seg.unreadWeight = 0, 0
	s.drop(seg)
	return nil
}

// erase removes the files of a segment in which nothing is left.
func (s *Spool) erase(seg *segment) {
	s.remove(seg.name(), seg.size)
	s.drop(seg)
}

// drop lets go of a segment whose file is gone, or written off.
func (s *Spool) drop(seg *segment) {
	if c := &s.cursors[seg.stream]; c.seg == seg {
		c.close()
	}
	seg.dirty = false
	if err := errors.Join(seg.seal(), seg.closeList()); err != nil {
		s.count(err)
	}
	if seg.settledSize > 0 {
		s.remove(seg.list(), seg.settledSize)
	}
	list := s.lists[seg.stream]
	if i := slices.Index(list, seg); i >= 0 {
		s.lists[seg.stream] = slices.Delete(list, i, i+1)
	}
	for order, h := range s.held {
		if h.seg == seg {
			h.seg = nil
			s.held[order] = h
		}
	}
}

// remove removes a file, now or at a later sweep.
func (s *Spool) remove(name string, size int64) {
	if err := s.dir.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.failed("a file of the spool cannot be removed", name, err)
		s.strays[name] = stray{size: size}
	}
}

// sweep tries again to remove what could not be removed.
func (s *Spool) sweep() {
	for name, st := range s.strays {
		if st.foreign {
			continue
		}
		if err := s.dir.remove(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			delete(s.strays, name)
		}
	}
}

func (s *Spool) bytes() int64 {
	var n int64
	for _, list := range s.lists {
		for _, seg := range list {
			n += seg.size + seg.settledSize
		}
	}
	for _, st := range s.strays {
		n += st.size
	}
	return n
}
