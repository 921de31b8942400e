// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// logRecord is a decoded record of the log. What it refers to is found when it is the
// turn of the record, see [logRecord.join].
type logRecord struct {
	series  tablePart[store.Series]
	stacks  tablePart[libpf.TraceHash]
	batches []logBatch
	// raw is memory that decoding uses again.
	raw []byte
}

// logBatch is a batch whose series and samples lack what they refer to.
type logBatch struct {
	batch          store.Batch
	series, stacks []uint32
}

// tablePart is what a record adds to a table of the segment.
type tablePart[T any] struct {
	first       uint32
	fresh       []T
	again       []T
	againNumber []uint32
}

// end returns the number behind the last new entry.
func (p *tablePart[T]) end() uint64 { return uint64(p.first) + uint64(len(p.fresh)) }

// number reads a number of a segment.
func (d *decoder) number() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.refuse("number of an entry")
		return 0
	}
	return uint32(v)
}

// refuse makes what was read an error because it is out of range.
func (d *decoder) refuse(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s is out of range", errCodec, what)
	}
	d.b = nil
}

// decode reads the part of a table; entry reads an entry, which has size bytes at least.
func (p *tablePart[T]) decode(d *decoder, size uint64, entry func() T) {
	p.first = d.number()
	p.fresh = resize(p.fresh, d.count(size))
	for i := range p.fresh {
		p.fresh[i] = entry()
	}
	if p.end() > math.MaxUint32 {
		d.refuse("length of a table")
	}
	p.again = resize(p.again, d.count(1+size))
	p.againNumber = resize(p.againNumber, len(p.again))
	n := int64(0)
	for i := range p.again {
		n += d.varint()
		if n < 0 || n >= int64(p.first) {
			d.refuse("number of an entry")
			return
		}
		p.againNumber[i] = uint32(n) //nolint:gosec // less than one
		p.again[i] = entry()
	}
}

// unpack decompresses a part of a record. The memory of to is used again.
func unpack(to, b []byte) ([]byte, error) {
	if n, err := s2.DecodedLen(b); err != nil || n > maxRecord {
		return nil, fmt.Errorf("%w: log record that unfolds to %d bytes: %w", errCodec, n, err)
	}
	b, err := s2.Decode(to[:cap(to)], b)
	if err != nil {
		return nil, fmt.Errorf("decompress log record: %w", err)
	}
	return b, nil
}

// decode reads the payload of a record, only the tables if that is what is wanted. It
// keeps nothing of the payload.
func (r *logRecord) decode(payload []byte, tablesOnly bool) (err error) {
	defer func() {
		if cap(r.raw) > 1<<20 {
			r.raw = nil
		}
	}()
	r.batches = r.batches[:0]
	d := decoder{b: payload}
	packed := d.bytes(d.uvarint())
	batches := d.b
	if d.err != nil {
		return d.err
	}
	if r.raw, err = unpack(r.raw, packed); err != nil {
		return err
	}
	d = decoder{b: r.raw}
	r.series.decode(&d, 16, func() store.Series {
		inner := decoder{b: d.bytes(d.uvarint())}
		s := inner.series()
		if inner.err != nil && d.err == nil {
			d.err = inner.err
		}
		return s
	})
	r.stacks.decode(&d, 16, func() libpf.TraceHash { return libpf.TraceHash{Hash128: d.hash()} })
	if err := d.end("tables"); err != nil || tablesOnly {
		return err
	}
	if r.raw, err = unpack(r.raw, batches); err != nil {
		return err
	}
	d = decoder{b: r.raw}
	n := d.count(16)
	for range n {
		if len(r.batches) < cap(r.batches) {
			r.batches = r.batches[:len(r.batches)+1]
		} else {
			r.batches = append(r.batches, logBatch{})
		}
		if err := r.batches[len(r.batches)-1].decode(&d, r.series.end(), r.stacks.end()); err != nil {
			return err
		}
	}
	return d.end("batches")
}

// end returns the first error, or that something is left.
func (d *decoder) end(what string) error {
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%w: %d bytes behind the %s of a log record", errCodec, len(d.b), what)
	}
	return d.err
}

// sampleBytes is what a sample takes in a record at least.
const sampleBytes = 5

// decode reads a batch of a record that refers to entries with numbers below the ends.
func (b *logBatch) decode(d *decoder, endSeries, endStacks uint64) error {
	b.batch.ID = d.batchID()
	b.series = resize(b.series, d.count(1))
	for i := range b.series {
		if b.series[i] = d.number(); uint64(b.series[i]) >= endSeries {
			return fmt.Errorf("%w: series %d of %d", errCodec, b.series[i], endSeries)
		}
	}
	samples := resize(b.batch.Samples, d.count(sampleBytes))
	b.batch.Samples = samples
	b.stacks = resize(b.stacks, len(samples))
	if len(samples) == 0 {
		return d.err
	}
	var v int64
	for i := range samples {
		v += d.varint()
		if v > math.MaxInt64/int64(store.Resolution) || v < math.MinInt64/int64(store.Resolution) {
			return fmt.Errorf("%w: time of sample %d overflows", errCodec, i)
		}
		samples[i].Time = libpf.UnixTimeNs(v * int64(store.Resolution))
	}
	v = 0
	for i := range samples {
		v += d.varint()
		if v < 0 || v >= int64(len(b.series)) {
			return fmt.Errorf("%w: sample %d refers to series %d of %d", errCodec, i, v, len(b.series))
		}
		samples[i].Series = uint32(v) //nolint:gosec // checked above
	}
	for i := range samples {
		samples[i].Count = d.varint()
	}
	unit := d.varint()
	for i := range samples {
		samples[i].Value = d.varint() + samples[i].Count*unit
	}
	v = 0
	for i := range b.stacks {
		v += d.varint()
		if v < 0 || uint64(v) >= endStacks {
			return fmt.Errorf("%w: sample %d refers to stack %d of %d", errCodec, i, v, endStacks)
		}
		b.stacks[i] = uint32(v) //nolint:gosec // checked above
	}
	if d.byte() == 1 {
		d.spans(samples)
	}
	return d.err
}

// spans reads the spans of samples.
func (d *decoder) spans(samples []store.Sample) {
	kinds := d.bytes(uint64(len(samples)))
	var last span
	for i, kind := range kinds {
		switch kind {
		case 0:
			continue
		case 1:
		default:
			copy(last.trace[:], d.bytes(16))
			copy(last.id[:], d.bytes(8))
		}
		samples[i].TraceID, samples[i].SpanID = last.trace, last.id
	}
}

// table is a table of a segment as far as it was read.
type table[T any] struct {
	runs []run[T] // ascending
	end  uint64   // number behind the last entry that there is
	// found are entries that were missing and came again.
	found map[uint32]T
}

// run is consecutive entries.
type run[T any] struct {
	first   uint32
	entries []T
}

// get returns an entry, if it was read.
func (t *table[T]) get(n uint32) (v T, ok bool) {
	at := len(t.runs) - 1
	if at > 0 { // there is damage
		i, exact := slices.BinarySearchFunc(t.runs, n, func(r run[T], n uint32) int { return cmp.Compare(r.first, n) })
		if at = i; !exact {
			at--
		}
	}
	if at >= 0 && n >= t.runs[at].first && int64(n-t.runs[at].first) < int64(len(t.runs[at].entries)) {
		return t.runs[at].entries[n-t.runs[at].first], true
	}
	v, ok = t.found[n]
	return v, ok
}

// fits reports whether a part of a record can be of the same segment as what was read.
func (t *table[T]) fits(p *tablePart[T], equal func(a, b T) bool) bool {
	if uint64(p.first) < t.end {
		return false
	}
	for i, n := range p.againNumber {
		if v, ok := t.get(n); ok && !equal(v, p.again[i]) {
			return false
		}
	}
	return true
}

// add adds a part that fits. Entries between what was read and the part are missing.
func (t *table[T]) add(p *tablePart[T]) {
	for i, n := range p.againNumber {
		if _, ok := t.get(n); !ok {
			if t.found == nil {
				t.found = make(map[uint32]T)
			}
			t.found[n] = p.again[i]
		}
	}
	if len(p.fresh) > 0 {
		if n := len(t.runs); n == 0 || uint64(p.first) != uint64(t.runs[n-1].first)+uint64(len(t.runs[n-1].entries)) {
			t.runs = append(t.runs, run[T]{first: p.first})
		}
		last := &t.runs[len(t.runs)-1]
		last.entries = append(last.entries, p.fresh...)
	}
	t.end = p.end()
}

// logTables are the tables of a segment as far as they were read.
type logTables struct {
	series table[store.Series]
	stacks table[libpf.TraceHash]
}

// errContradiction is returned for a record that cannot stand where it does.
var errContradiction = fmt.Errorf("%w: it contradicts the records before it", errCodec)

// join adds what a record says to the tables, and gives its batches what they refer to.
// Records are joined in the order of the log. Samples that refer to something that was not
// read are taken out of their batch; lost is how many. A batch that has lost all is left
// out, so that a repeat of it is taken.
func (r *logRecord) join(t *logTables, use func(*store.Batch)) (lost int, err error) {
	sameSeries := func(a, b store.Series) bool { return a.Equal(&b) }
	sameStack := func(a, b libpf.TraceHash) bool { return a == b }
	if !t.series.fits(&r.series, sameSeries) || !t.stacks.fits(&r.stacks, sameStack) {
		return 0, errContradiction
	}
	t.series.add(&r.series)
	t.stacks.add(&r.stacks)
	for i := range r.batches {
		had := len(r.batches[i].batch.Samples)
		n := r.batches[i].join(t)
		lost += n
		if n == 0 || n < had {
			use(&r.batches[i].batch)
		}
	}
	return lost, nil
}

// join gives a batch what it refers to, and returns how many samples had to be left out.
func (b *logBatch) join(t *logTables) (lost int) {
	batch := &b.batch
	batch.Series = resize(batch.Series, len(b.series))
	kept, missing := batch.Series[:0], []bool(nil)
	place := b.series // from here on: where a series is among those that are kept
	for i, n := range b.series {
		s, ok := t.series.get(n)
		if !ok {
			if missing == nil {
				missing = make([]bool, len(b.series))
			}
			missing[i] = true
			continue
		}
		place[i] = uint32(len(kept)) //nolint:gosec // at most i
		kept = append(kept, s)
	}
	batch.Series = kept
	samples := batch.Samples[:0]
	for i := range batch.Samples {
		s := batch.Samples[i]
		stack, ok := t.stacks.get(b.stacks[i])
		if !ok || (missing != nil && missing[s.Series]) {
			lost++
			continue
		}
		s.Stack, s.Series = stack, place[s.Series]
		samples = append(samples, s)
	}
	batch.Samples = samples
	return lost
}
