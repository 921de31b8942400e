// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/tracer/internal/extent"
	"github.com/strobe-profiler/strobe/tracer/native"
)

// room finds space for n rows, evicting cold pages as needed.
func (s *tableStore) room(n uint32) (extent.Range, error) {
	for try := 0; ; try++ {
		r, ok, err := s.rows.Alloc(n)
		if ok || err != nil {
			return r, err
		}
		if try == 8 || !s.evict(n) {
			return r, errors.New("no room in the budget of unwind tables")
		}
	}
}

// evict removes the pages that were not used for longest: an eighth of all, and
// no less than the space that is needed. It waits until no stack is being
// unwound with them.
func (s *tableStore) evict(need uint32) bool {
	type aged struct {
		page
		age uint32
	}
	all := make([]aged, 0, len(s.pages))
	for _, p := range s.pages {
		all = append(all, aged{p, s.epoch - s.stampOf(p.index)})
	}
	slices.SortFunc(all, func(a, b aged) int {
		return cmp.Or(cmp.Compare(b.age, a.age), cmp.Compare(a.index, b.index))
	})
	var freed uint32
	var gone []extent.Range
	for i, p := range all {
		if i >= (len(all)+7)/8 && freed >= need {
			break
		}
		if err := s.k.objs.PageDir.Put(p.index, uint64(0)); err != nil {
			continue
		}
		delete(s.pages, p.index)
		gone = append(gone, p.rows)
		freed += p.rows.Len
	}
	if len(gone) == 0 {
		return false
	}
	s.waitForReaders()
	for _, r := range gone {
		s.rows.Free(r)
	}
	s.metrics.tableEvictions.Add(float64(len(gone)))
	s.metrics.tableBytes.Set(float64(s.rows.Used() * rowBytes))
	return true
}

// waitForReaders returns when every program that was running has ended: the
// kernel waits for that when an inner map is replaced.
func (s *tableStore) waitForReaders() {
	if len(s.segments) > 0 {
		_ = s.k.objs.RowSegments.Put(uint32(0), s.segments[0])
	}
}

func (s *tableStore) write(r extent.Range, rows []native.Row) error {
	mem, err := s.segments[r.Start/segmentRows].Memory()
	if err != nil {
		return fmt.Errorf("map segment of unwind tables: %w", err)
	}
	b := make([]byte, 0, len(rows)*int(rowBytes))
	for _, row := range rows {
		b = binary.LittleEndian.AppendUint16(b, row.PCLow)
		b = binary.LittleEndian.AppendUint16(b, row.Rule)
	}
	_, err = mem.WriteAt(b, int64(r.Start%segmentRows)*rowBytes)
	return err
}

func (s *tableStore) stamp(index uint32) {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], s.epoch)
	_, _ = s.used.WriteAt(b[:], int64(index)*4)
}

func (s *tableStore) stampOf(index uint32) uint32 {
	var b [4]byte
	_, _ = s.used.ReadAt(b[:], int64(index)*4)
	return binary.LittleEndian.Uint32(b[:])
}

// nextEpoch ages all pages that are not used from now on.
func (s *tableStore) nextEpoch() {
	s.epoch++
	if err := s.k.setEpoch(s.epoch); err != nil {
		s.k.log.Debug("epoch not advanced", "error", err)
	}
}
