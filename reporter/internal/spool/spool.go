// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	maxSegmentBytes = 4 << 20
	// capParts: a segment is at most this part of the cap, so that evicting one costs little.
	capParts = 32
)

// Options of a spool.
type Options struct {
	// Dir is made with mode 0700 if need be.
	Dir string
	// MaxBytes caps the size of all files.
	MaxBytes int64
	// Logger receives what was damaged. Default: discard.
	Logger *slog.Logger
	// Evicted is told what the cap cost: for counts once per segment, with the weight of
	// what nobody held, for definitions with each record. Nil: nobody is.
	Evicted func(r Record)
	// Lost is told the weight of records that turned out to be unreadable. Nil: nobody is.
	Lost func(stream Stream, weight uint64)
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	directory func(path string) (directory, error)
}

// Stats is a snapshot.
type Stats struct {
	Bytes, MaxBytes int64
	// Batches that are not settled, in how many segments.
	Batches, Segments int
	// Weight of the records that nobody holds.
	Weight uint64
	// Oldest is about when the oldest record that is not settled was written; zero: there is none.
	Oldest time.Time
	// Counters since Open.
	EvictedWeight, EvictedDefinitions uint64
	Corrupt, Errors                   map[string]uint64
}

// Spool is an open spool. It is for one goroutine, but Stats is for all.
type Spool struct {
	Options
	dir   directory
	split int64 // size of segments

	lists   [streams][]*segment // oldest first; the last may be written to
	cursors [streams]cursor
	held    map[uint64]holding
	order   uint64 // given out last
	// strays are files that could not be read or removed; their bytes count.
	strays map[string]stray
	// unsynced is what went wrong with a segment that was ended since the last Sync.
	unsynced error

	enc *zstd.Encoder
	dec *zstd.Decoder
	// out holds the record that is written, in what is read: making room for one reads others.
	out, in []byte

	mu    sync.Mutex
	stats Stats
}

type stray struct {
	size int64
	// foreign: it could not be read when the spool was opened, and is left for the next run.
	foreign bool
	// other: it has another format, and goes when the cap wants its room and nothing else is left.
	other bool
}

// holding is a record that was read, or appended as read.
type holding struct {
	seg    *segment // nil: evicted meanwhile
	weight uint64
}

// Open opens the spool and reads the headers of what earlier runs left in it. It
// fails when the directory cannot be used, and with [ErrInUse] when another process has it.
func Open(o Options) (*Spool, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.directory == nil {
		o.directory = openDirectory
	}
	s := &Spool{
		Options: o, split: min(maxSegmentBytes, max(o.MaxBytes/capParts, 1)),
		held: map[uint64]holding{}, strays: map[string]stray{},
		stats: Stats{MaxBytes: o.MaxBytes, Corrupt: map[string]uint64{}, Errors: map[string]uint64{}},
	}
	var err error
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, fmt.Errorf("create encoder: %w", err)
	}
	if s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPayload)); err != nil {
		return nil, fmt.Errorf("create decoder: %w", err)
	}
	if s.dir, err = o.directory(o.Dir); err != nil {
		return nil, fmt.Errorf("open spool directory: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.dir.close())
	}
	s.publish()
	return s, nil
}

func (s *Spool) load() error {
	files, err := s.dir.list()
	if err != nil {
		return fmt.Errorf("list spool: %w", err)
	}
	var found parts
	for name, size := range files {
		stream, first, ok := parseName(name, segmentSuffix)
		if !ok {
			continue
		}
		seg := &segment{stream: stream, first: first, size: size}
		last, err := seg.load(s.dir, s.damaged, found.add)
		s.order = max(s.order, first, last)
		switch {
		case err != nil:
			s.failed("a segment cannot be read and is left alone", name, err)
			s.order = max(s.order, first+uint64(size/headerBytes)) //nolint:gosec // what may be in it
			s.strays[name] = stray{size: size, foreign: true, other: errors.Is(err, ErrFormat)}
		case seg.left == 0:
			s.erase(seg)
		default:
			s.lists[stream] = append(s.lists[stream], seg)
		}
	}
	for _, list := range s.lists {
		slices.SortFunc(list, func(a, b *segment) int {
			if a.first < b.first {
				return -1
			}
			return 1
		})
	}
	s.decide(found)
	for name := range files {
		stream, first, ok := parseName(name, settledSuffix)
		if _, kept := files[segmentName(stream, first, segmentSuffix)]; ok && !kept {
			s.remove(name, 0)
		}
	}
	return nil
}

// SegmentBytes returns how many bytes of records lie in a directory, whoever has it
// open; 0 if it cannot be read.
func SegmentBytes(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if _, _, ok := parseName(e.Name(), segmentSuffix); !ok {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}

// Stats returns a snapshot. It is safe for concurrent use and never waits for the disk.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Corrupt, st.Errors = maps.Clone(st.Corrupt), maps.Clone(st.Errors)
	return st
}

func (s *Spool) publish() {
	var batches, segments int
	var weight uint64
	var oldest time.Time
	for _, list := range s.lists {
		for _, seg := range list {
			batches += seg.left
			weight += seg.unreadWeight
			if segments++; oldest.IsZero() || seg.oldest.Before(oldest) {
				oldest = seg.oldest
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Bytes, s.stats.Batches, s.stats.Segments = s.bytes(), batches, segments
	s.stats.Weight, s.stats.Oldest = weight, oldest
}

func (s *Spool) count(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Errors[Reason(err)]++
}

func (s *Spool) failed(what, name string, err error) {
	s.count(err)
	s.Logger.Warn(what, "file", name, "err", err)
}

// damaged takes note of bytes that are no records.
func (s *Spool) damaged(seg *segment, reason string, n int64) {
	s.mu.Lock()
	s.stats.Corrupt[reason]++
	s.mu.Unlock()
	s.Logger.Warn("a part of the spool is damaged", "file", seg.name(), "reason", reason, "bytes", n)
}

// Close writes what is not written yet and lets another process have the directory.
func (s *Spool) Close() error {
	var errs []error
	for i := range s.cursors {
		s.cursors[i].close()
	}
	for _, list := range s.lists {
		for _, seg := range list {
			errs = append(errs, seg.seal(), seg.closeList())
		}
	}
	s.dec.Close()
	errs = append(errs, s.enc.Close(), s.dir.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}
