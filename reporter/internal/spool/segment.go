// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

const (
	segmentSuffix = ".seg"
	settledSuffix = ".done"
	// settledBytes is an entry of the list of settled records: order number and checksum.
	settledBytes = 12
)

// segment is one file of records.
type segment struct {
	stream Stream
	first  uint64 // order number that it is named by
	size   int64

	loaded       bool // its headers were read when the spool was opened, and damage counted
	left         int  // records that are not settled
	unread       int  // those of them that nobody holds
	unreadWeight uint64
	oldest       time.Time
	settled      map[uint64]struct{}
	settledSize  int64

	out     file // while it is written to
	dirty   bool // since the last sync
	settles file // its list, while it is written to
}

func (s *segment) name() string { return segmentName(s.stream, s.first, segmentSuffix) }
func (s *segment) list() string { return segmentName(s.stream, s.first, settledSuffix) }

func segmentName(stream Stream, first uint64, suffix string) string {
	return fmt.Sprintf("%s-%016x%s", stream, first, suffix)
}

// parseName is the inverse of segmentName.
func parseName(name, suffix string) (stream Stream, first uint64, ok bool) {
	base, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, 0, false
	}
	prefix, number, ok := strings.Cut(base, "-")
	if !ok || len(number) != 16 {
		return 0, 0, false
	}
	first, err := strconv.ParseUint(number, 16, 64)
	if err != nil || first == 0 || first > maxOrder {
		return 0, 0, false
	}
	for s := range Stream(streams) {
		if prefix == s.String() {
			return s, first, true
		}
	}
	return 0, 0, false
}

// load reads the headers of a segment of an earlier run, and returns the highest order
// number. It hands those of parts that are not settled to part.
func (s *segment) load(dir directory, skipped func(*segment, string, int64), part func(*header)) (last uint64, err error) {
	s.loaded = true
	if err := s.loadSettled(dir); err != nil {
		return 0, err
	}
	f, err := dir.open(s.name())
	if err != nil {
		return 0, fmt.Errorf("open segment: %w", err)
	}
	if err := checkFormat(f); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	w := walker{file: f, stream: s.stream, size: s.size, skipped: func(reason string, n int64) { skipped(s, reason, n) }}
	for {
		h, _, err := w.next()
		if errors.Is(err, io.EOF) {
			return w.last, f.Close()
		}
		if err != nil {
			return w.last, errors.Join(fmt.Errorf("read segment: %w", err), f.Close())
		}
		if _, ok := s.settled[h.Order]; !ok {
			s.note(&h)
			if h.PartOf != 0 {
				part(&h)
			}
		}
	}
}

// note counts a record that is not settled.
func (s *segment) note(h *header) {
	if s.left == 0 {
		s.oldest = h.Time
	}
	s.left++
	s.unread++
	s.unreadWeight += h.Weight
}

// loadSettled reads the list up to the first entry that is not intact.
func (s *segment) loadSettled(dir directory) error {
	f, err := dir.open(s.list())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open list of settled records: %w", err)
	}
	s.settled = map[uint64]struct{}{}
	var b [settledBytes]byte
	r := bufio.NewReader(io.NewSectionReader(f, 0, max(s.size, 1<<10))) // a record is larger than its entry
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil || binary.LittleEndian.Uint32(b[8:]) != checksum(b[:8]) {
			break // whatever is behind it is only sent again
		}
		s.settled[binary.LittleEndian.Uint64(b[:])] = struct{}{}
		s.settledSize += settledBytes
	}
	return f.Close()
}

// settle notes in memory and on disk that a record need not be sent again.
func (s *segment) settle(dir directory, order uint64) error {
	if s.settled == nil {
		s.settled = map[uint64]struct{}{}
	}
	s.settled[order] = struct{}{}
	s.left--
	if s.left == 0 {
		return nil // the segment goes as a whole
	}
	if s.settles == nil {
		f, err := dir.extend(s.list())
		if err != nil {
			return fmt.Errorf("open list of settled records: %w", err)
		}
		s.settles = f
	}
	var b [settledBytes]byte
	binary.LittleEndian.PutUint64(b[:], order)
	binary.LittleEndian.PutUint32(b[8:], checksum(b[:8]))
	if _, err := s.settles.WriteAt(b[:], s.settledSize); err != nil {
		return fmt.Errorf("write list of settled records: %w", err)
	}
	s.settledSize += settledBytes
	return nil
}

// syncList makes the list durable, or that the segment is gone.
func (s *segment) syncList(dir directory) error {
	if s.settles != nil {
		if err := s.settles.Sync(); err != nil {
			return fmt.Errorf("sync list of settled records: %w", err)
		}
	}
	return dir.sync()
}

// seal ends the writing to the segment.
func (s *segment) seal() error {
	if s.out == nil {
		return nil
	}
	var err error
	if s.dirty {
		err = s.out.Sync()
	}
	err = errors.Join(err, s.out.Close())
	s.out, s.dirty = nil, false
	return err
}

func (s *segment) closeList() error {
	if s.settles == nil {
		return nil
	}
	err := s.settles.Close()
	s.settles = nil
	return err
}
