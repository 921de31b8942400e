// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

// spoolRetry is for how many flushes a disk that failed is left alone: 30 s.
const spoolRetry = 6

// States of a spool that is not broken.
const (
	spoolOn  = "on"
	spoolOff = "off"
)

// freezer is what the disk needs of a source: what is on disk means something to it alone.
type freezer interface {
	// recovered takes note of the weight that earlier runs left.
	recovered(weight uint64)
	// thaw makes a batch of a record, nil if it is of an unknown kind.
	thaw(r *spool.Record) *batch
	// evicted takes note that a record, or the weight of many, was given up for lack of
	// room; lost of weight that cannot be read.
	evicted(r *spool.Record)
	lost(stream spool.Stream, weight uint64)
}

// disk is the part of the backlog that is on disk. It opens the spool, and leaves it
// alone for a while after an error; batches then stay in memory. Only the flusher
// calls it, but for status.
type disk struct {
	settings *settings
	dir      string
	other    string // where the other protocol keeps its batches
	log      *slog.Logger
	source   freezer
	retry    time.Duration
	codes    map[string]uint8
	streams  map[string]spool.Stream

	open    atomic.Pointer[spool.Spool]
	retryAt time.Time // while broken: no write before

	mu      sync.Mutex
	broken  string            // "" while it works
	last    spool.Stats       // when it was closed
	foreign int64             // bytes in other, when it was opened
	errors  map[string]uint64 // at opening
}

func newDisk(s *settings, source freezer, dir, other string) *disk {
	d := &disk{
		settings: s, dir: dir, other: other, log: s.Logger, source: source, retry: spoolRetry * s.timers.report,
		codes: map[string]uint8{}, streams: map[string]spool.Stream{}, errors: map[string]uint64{},
	}
	for code, k := range spoolKinds {
		if k.kind != "" {
			d.codes[k.kind], d.streams[k.kind] = uint8(code), k.stream //nolint:gosec // few
		}
	}
	return d
}

// usable reports that the disk takes batches, as far as is known. It opens the spool
// when that is due; with now it does not wait for the time after an error.
func (d *disk) usable(now bool) bool {
	if !now && time.Now().Before(d.retryAt) {
		return false
	}
	if d.open.Load() != nil {
		return true
	}
	s, err := spool.Open(spool.Options{
		Dir: d.dir, MaxBytes: d.settings.SpoolMaxBytes, Logger: d.log,
		Evicted: func(r spool.Record) { d.source.evicted(&r) },
		Lost:    d.source.lost,
	})
	if err != nil {
		d.mu.Lock()
		d.errors[spool.Reason(err)]++
		d.mu.Unlock()
		d.note(err)
		return false
	}
	st := s.Stats()
	d.source.recovered(st.Weight)
	d.open.Store(s)
	d.noteForeign()
	if st.Batches > 0 {
		d.log.Info("taking over what earlier runs could not deliver", "batches", st.Batches, "samples", st.Weight,
			"bytes", st.Bytes, "oldest", st.Oldest)
	}
	d.note(s.Trim())
	return true
}

// noteForeign looks for what a reporter of the other protocol could not deliver. It
// stays for the next one of its kind.
func (d *disk) noteForeign() {
	n := spool.SegmentBytes(d.other)
	d.mu.Lock()
	d.foreign = n
	d.mu.Unlock()
	if n > 0 {
		d.log.Warn("the spool holds batches of the other protocol, which only that one can send; they stay there",
			"dir", d.other, "bytes", n)
	}
}

// note takes note of how the last writing went.
func (d *disk) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		if d.broken != "" {
			d.log.Info("the spool works again", "dir", d.dir)
		}
		d.broken, d.retryAt = "", time.Time{}
		return
	}
	if d.broken == "" {
		d.log.Warn("the spool does not work; batches stay in memory", "dir", d.dir,
			"reason", spool.Reason(err), "retry_in", d.retry, "err", err)
	}
	d.broken = fmt.Sprintf("%v (batches stay in memory)", err)
	d.retryAt = time.Now().Add(d.retry)
}

// works reports that the spool is open and that the last writing went well.
func (d *disk) works() bool { return d.open.Load() != nil && d.retryAt.IsZero() }

func (d *disk) empty() bool {
	s := d.open.Load()
	return s == nil || s.Stats().Batches == 0
}

func (d *disk) record(b *batch) *spool.Record {
	return &spool.Record{
		Header: spool.Header{
			Stream: d.streams[b.kind], Kind: d.codes[b.kind], Attempted: b.unclear || b.sending,
			Run: d.settings.RunID, Sequence: b.sequence, Weight: b.cargo.weight(),
		},
		Payload: b.payload,
	}
}

// put appends a batch, or leaves it there if it has a copy. One that is larger than the
// whole spool is not put and no error.
func (d *disk) put(b *batch) (bool, error) {
	if d.giveBack(b) {
		return true, nil
	}
	order, err := d.open.Load().Append(d.record(b), false)
	if errors.Is(err, spool.ErrTooLarge) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b.order = order
	b.cargo.toDisk()
	return true, nil
}

// keep appends a batch that stays in memory as well. It may take the place of an
// original together with others, of which it may be the last. One that is larger
// than the whole spool is not kept and no error.
func (d *disk) keep(b *batch, original uint64, last bool) error {
	s := d.open.Load()
	if s == nil {
		return nil
	}
	r := d.record(b)
	r.PartOf, r.Completes = original, last
	order, err := s.Append(r, true)
	if errors.Is(err, spool.ErrTooLarge) {
		return nil
	}
	if err == nil {
		b.order = order
	}
	return err
}

// withdraw takes back a batch that was put, unless it was evicted meanwhile.
func (d *disk) withdraw(b *batch) bool {
	order := b.order
	b.order = 0
	if !d.open.Load().Withdraw(d.streams[b.kind], order, b.cargo.weight()) {
		return false
	}
	b.cargo.fromDisk()
	return true
}

func (d *disk) sync() error {
	if s := d.open.Load(); s != nil {
		return s.Sync()
	}
	return nil
}

// read returns the next batch, nil when there is none or the disk does not work.
func (d *disk) read() *batch {
	s := d.open.Load()
	if s == nil {
		return nil
	}
	for {
		r, ok, err := s.Read()
		if err != nil {
			d.note(err)
			return nil
		}
		if !ok {
			return nil
		}
		b := d.source.thaw(&r)
		if b == nil {
			d.log.Warn("a spooled batch is of a type that this version does not know", "type", r.Kind)
			s.Settle(r.Order)
			d.source.lost(r.Stream, r.Weight)
			continue
		}
		b.cargo.fromDisk()
		return b
	}
}

// settle forgets a batch that was read.
func (d *disk) settle(b *batch) {
	if s := d.open.Load(); s != nil {
		s.Settle(b.order)
	}
}

// settleReplaced forgets a batch that was read and that kept ones take the place of.
func (d *disk) settleReplaced(b *batch) {
	if s := d.open.Load(); s != nil {
		s.SettleReplaced(b.order)
	}
}

// giveBack lets go of a batch that was read or kept, to be read again, unless it was evicted meanwhile.
func (d *disk) giveBack(b *batch) bool {
	s := d.open.Load()
	if s == nil || b.order == 0 || !s.Return(b.order) {
		b.order = 0
		return false
	}
	b.cargo.toDisk()
	return true
}

func (d *disk) close() {
	s := d.open.Load()
	if s == nil {
		return
	}
	if err := s.Close(); err != nil {
		d.log.Warn("closing the spool", "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = s.Stats()
	d.open.Store(nil)
}

// status describes the spool. It is safe for concurrent use; a nil disk is off.
func (d *disk) status() (SpoolStatus, spool.Stats) {
	if d == nil {
		return SpoolStatus{State: spoolOff}, spool.Stats{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.last
	if s := d.open.Load(); s != nil {
		st = s.Stats()
	}
	if st.Errors = maps.Clone(st.Errors); st.Errors == nil {
		st.Errors = map[string]uint64{}
	}
	for reason, n := range d.errors {
		st.Errors[reason] += n
	}
	state := spoolOn
	if d.broken != "" {
		state = d.broken
	}
	return SpoolStatus{
		State: state, Bytes: st.Bytes, MaxBytes: d.settings.SpoolMaxBytes, Batches: st.Batches,
		Segments: st.Segments, Oldest: st.Oldest, ForeignBytes: d.foreign,
	}, st
}
