// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	maxSegmentBytes = 4 << 20
	// capParts: a segment is at most this part of the cap, so that evicting one costs little.
	capParts = 32
	// maxNamesTaken bounds the search for a name that no other file has.
	maxNamesTaken = 100
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
			s.strays[name] = stray{size: size, foreign: true}
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

// makeRoom evicts until need more bytes fit.
func (s *Spool) makeRoom(need int64) error {
	for s.bytes()+need > s.MaxBytes {
		list := s.lists[Counts]
		if len(list) == 0 {
			list = s.lists[Definitions]
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
			defer f.Close()
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

func (s *Spool) hold(seg *segment, h *header) {
	seg.unread--
	seg.unreadWeight -= h.Weight
	s.held[h.Order] = holding{seg: seg, weight: h.Weight}
}

// Settle says that a record that is held need not be sent again. ok is false when
// it is not held.
func (s *Spool) Settle(order uint64) (ok bool) {
	held, ok := s.held[order]
	if !ok {
		return false
	}
	defer s.publish()
	delete(s.held, order)
	if held.seg != nil {
		s.settle(held.seg, order)
	}
	return true
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
	held, ok := s.held[order]
	if !ok {
		return false
	}
	defer s.publish()
	delete(s.held, order)
	if held.seg == nil {
		return false
	}
	held.seg.unread++
	held.seg.unreadWeight += held.weight
	s.cursors[held.seg.stream].close()
	return true
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
