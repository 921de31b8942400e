// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// The payload of a record of the log is a group of batches that became durable with one
// fsync, in two parts that are compressed with S2 each: on groups this small it is five
// times as fast as zstd for a tenth more bytes, which live for minutes.
//
//	length  uvarint, of the first part
//	tables  what the segment has not said yet, or only once, of series and stacks
//	batches columns of the batches, which refer to series and stacks by number
//
// Series and stacks are numbered from 0 in the order in which they first come in the
// segment, so that each segment can be read from its start without anything else. The
// tables are those of series and then of stacks, each:
//
//	first   uvarint: number of the first new entry, which is how many there were before
//	new     uvarint: how many; then the entries
//	again   uvarint: how many entries of before come once more; then for each the varint
//	        difference of its number to the one before it, and the entry
//
// An entry of series is its bytes behind their length, one of stacks the hash, 16 bytes.
//
// Each entry is in the first two records that refer to it. So a damaged record takes
// nothing along but what is in it; when both are damaged, the reader finds that the
// numbers of the records behind do not join on, and the samples that refer to an entry it
// has not read are lost and counted. No number ever stands for two entries: what
// follows a write that failed is in another segment, and a group is a record, so that
// whatever a record refers to was durable before it was written, or is in it.
//
// Then come the batches, uvarint how many, and each:
//
//	identity
//	series   uvarint: how many; then the number of each as a uvarint
//	samples  uvarint: how many; then columns of varints:
//	time     in ms, difference to the sample before
//	series   place among the series of the batch, difference to the sample before
//	count
//	value    the first one: what a count of 1 is worth; then value less count times that
//	stack    number, difference to the sample before
//	spans    a byte, 0: there are none. 1: a byte for each sample: 0: none, 1: that of the
//	         sample before that has one, 2: the next of those behind, 24 bytes each

// Places in the numbers of a segment: 0 is none, otherwise the number + 1, twice, and the
// last bit says that the entry came twice.
const cameTwice = 1

// segmentNumbers are those that a segment gives to the entries of a table of the head.
type segmentNumbers struct {
	of   []uint32 // by number in the head
	next uint32
	// before is next when the record began.
	before uint32
	// entries of the record: new ones, and those that come again.
	fresh, again   []byte
	nFresh, nAgain uint64
	last           uint32 // number of the last that comes again
}

// begin prepares for a record that refers to the first n entries of the head.
func (t *segmentNumbers) begin(n int) {
	if n > len(t.of) {
		t.of = append(t.of, make([]uint32, n-len(t.of))...)
	}
	t.before, t.fresh, t.again, t.nFresh, t.nAgain, t.last = t.next, t.fresh[:0], t.again[:0], 0, 0, 0
}

// number returns the number of an entry. What it returns besides is where the entry
// is to be written: it is new, or it comes for the second time; nil otherwise.
func (t *segmentNumbers) number(head uint32) (n uint32, to *[]byte) {
	v := t.of[head]
	if v == 0 {
		n = t.next
		t.next++
		t.nFresh++
		t.of[head] = (n + 1) << 1
		return n, &t.fresh
	}
	n = v>>1 - 1
	if v&cameTwice == 0 && n < t.before {
		t.of[head] |= cameTwice
		t.nAgain++
		t.again = binary.AppendVarint(t.again, int64(n)-int64(t.last))
		t.last = n
		return n, &t.again
	}
	return n, nil
}

// append appends the table of the record.
func (t *segmentNumbers) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.before))
	b = binary.AppendUvarint(b, t.nFresh)
	b = append(b, t.fresh...)
	b = binary.AppendUvarint(b, t.nAgain)
	return append(b, t.again...)
}

// segmentCode encodes the records of a segment.
type segmentCode struct {
	series, stacks segmentNumbers
	// bytes is about what a reader of the segment needs for its tables.
	bytes            int64
	key, tables, raw []byte
	packed           []byte
}

// Bounds of the memory of tables and of what is kept of the memory for a record.
const (
	maxTables    = 8 << 20
	maxKeptBytes = 4 << 20
)

// reset forgets the segment. The memory is used again.
func (c *segmentCode) reset() {
	for _, t := range []*segmentNumbers{&c.series, &c.stacks} {
		of := t.of[:0]
		if cap(of) > maxKeptBytes/4 {
			of = nil
		}
		*t = segmentNumbers{of: of, fresh: t.fresh[:0], again: t.again[:0]}
	}
	c.bytes = 0
}

// shrink gives back the memory of a record that was far larger than others are.
func (c *segmentCode) shrink() {
	for _, b := range []*[]byte{&c.tables, &c.raw, &c.packed, &c.series.fresh, &c.series.again, &c.stacks.fresh, &c.stacks.again} {
		if cap(*b) > maxKeptBytes {
			*b = nil
		}
	}
}

// appendGroup appends the payload of a record with batches that the head has numbered.
// What it takes for said by the segment is so only when the record is written.
func (c *segmentCode) appendGroup(b []byte, h *head, group []numbered) []byte {
	defer c.shrink()
	c.series.begin(len(h.series))
	c.stacks.begin(len(h.stacks))
	raw := binary.AppendUvarint(c.raw[:0], uint64(len(group)))
	for i := range group {
		raw = c.appendBatch(raw, h, &group[i])
	}
	c.raw = raw
	c.tables = c.stacks.append(c.series.append(c.tables[:0]))
	c.packed = s2.Encode(c.packed[:cap(c.packed)], c.tables)
	b = binary.AppendUvarint(b, uint64(len(c.packed)))
	b = append(b, c.packed...)
	c.packed = s2.Encode(c.packed[:cap(c.packed)], raw)
	return append(b, c.packed...)
}

// appendInt is [binary.AppendVarint] with the most frequent case first.
func appendInt(b []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63) //nolint:gosec // zigzag
	if u < 0x80 {
		return append(b, byte(u))
	}
	return binary.AppendUvarint(b, u)
}

// appendBatch appends a batch. Times are cut to the millisecond here, so that a replay
// yields what was acknowledged.
func (c *segmentCode) appendBatch(b []byte, h *head, n *numbered) []byte {
	b = appendBatchID(b, &n.batch.ID)
	b = binary.AppendUvarint(b, uint64(len(n.series)))
	for _, id := range n.series {
		number, to := c.series.number(id)
		if to != nil {
			c.key = appendSeries(c.key[:0], &h.series[id])
			*to = append(binary.AppendUvarint(*to, uint64(len(c.key))), c.key...)
			c.bytes += seriesEntryBytes/2 + int64(len(c.key))
		}
		b = binary.AppendUvarint(b, uint64(number))
	}
	samples := n.batch.Samples
	b = binary.AppendUvarint(b, uint64(len(samples)))
	if len(samples) == 0 {
		return b
	}
	var last int64
	for i := range samples {
		ms := store.FloorMs(samples[i].Time)
		b = appendInt(b, ms-last)
		last = ms
	}
	last = 0
	for i := range samples {
		b = appendInt(b, int64(samples[i].Series)-last)
		last = int64(samples[i].Series)
	}
	spans := false
	for i := range samples {
		s := &samples[i]
		b = appendInt(b, s.Count)
		spans = spans || s.TraceID != [16]byte{} || s.SpanID != [8]byte{}
	}
	var unit int64
	if samples[0].Count > 0 {
		unit = samples[0].Value / samples[0].Count
	}
	b = binary.AppendVarint(b, unit)
	for i := range samples {
		b = appendInt(b, samples[i].Value-samples[i].Count*unit) // wraps both ways
	}
	last = 0
	for _, id := range n.stacks {
		number, to := c.stacks.number(id)
		if to != nil {
			*to = h.stacks[id].AppendBytes(*to)
			c.bytes += 2 * 16
		}
		b = appendInt(b, int64(number)-last)
		last = int64(number)
	}
	if !spans {
		return append(b, 0)
	}
	return appendSpans(append(b, 1), samples)
}

// appendSpans appends the spans of samples.
func appendSpans(b []byte, samples []store.Sample) []byte {
	var last span
	var texts []byte
	for i := range samples {
		switch sp := (span{trace: samples[i].TraceID, id: samples[i].SpanID}); sp {
		case span{}:
			b = append(b, 0)
		case last:
			b = append(b, 1)
		default:
			b = append(b, 2)
			texts = append(append(texts, sp.trace[:]...), sp.id[:]...)
			last = sp
		}
	}
	return append(b, texts...)
}

// logBytes is about the bytes of a batch in a group before compression, and the most
// but for texts that are as long as the batch says.
func logBytes(b *store.Batch) int {
	n := 512 + len(b.ID.HostID) + len(b.ID.Project) + 96*len(b.Samples)
	for i := range b.Series {
		s := &b.Series[i]
		n += 108 + 16*len(s.Labels) + s.TextBytes() // numbers, and the lengths of texts
	}
	return n
}
