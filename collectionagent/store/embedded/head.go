// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// chunkRows is how many rows a chunk of the head has. Chunks never move, so
// that the head grows without copying and readers need no lock for rows.
const chunkRows = 8192

// chunk is a piece of the head, one array per column.
type chunk struct {
	times  [chunkRows]int64 // ms
	counts [chunkRows]int64
	values [chunkRows]int64
	series [chunkRows]uint32 // index into head.series
	stacks [chunkRows]uint32 // index into head.stacks
	spans  [chunkRows]uint32 // 1 + index into head.spans, 0: none

	sums atomic.Pointer[chunkSums] // of a full chunk, nil: nobody asked
}

// chunkBytes is the size of a chunk.
const chunkBytes = chunkRows * (3*8 + 3*4)

// span is a reference to a span of a distributed trace.
type span struct {
	trace [16]byte
	id    [8]byte
}

// Rough sizes of an entry of the head's tables, with its share of the map.
const (
	stackEntryBytes  = 80
	seriesEntryBytes = 600
	spanEntryBytes   = 80
)

// head holds the samples that are not in a block yet. One goroutine adds, any
// number reads: rows and entries of tables below the lengths in a view are
// never changed.
type head struct {
	created time.Time

	mu   sync.RWMutex // guards view
	view headView

	// The rest belongs to the goroutine that adds. The tables hold what was numbered,
	// of which the view has what was added.
	series    []store.Series
	stacks    []libpf.TraceHash
	seriesIDs map[string]uint32
	stackIDs  stackIndex
	spanIDs   map[span]uint32
	bytes     atomic.Int64
	room      []uint32 // for numbers
	key       []byte
	// note, where it is not nil, is told of stacks that are new in the head.
	note func(libpf.TraceHash)
}

// headView is a consistent state of the head.
type headView struct {
	chunks           []*chunk
	rows             int
	series           []store.Series
	stacks           []libpf.TraceHash
	spans            []span
	minTime, maxTime int64 // ms, valid when rows > 0
}

func newHead() *head {
	return &head{
		created:   time.Now(),
		seriesIDs: make(map[string]uint32),
		spanIDs:   make(map[span]uint32),
	}
}

// snapshot returns the state to read from.
func (h *head) snapshot() headView {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.view
}

// numbered is a batch with the numbers that a head gives to what it refers to.
type numbered struct {
	batch  *store.Batch
	series []uint32 // of each series of the batch
	stacks []uint32 // of each sample
	// lengths of the tables of the head with it, and how much memory it takes in them
	nSeries, nStacks int
	grown            int64
}

// begin forgets the numbers of all batches, whether they were added or not.
func (h *head) begin() {
	if h.room = h.room[:0]; cap(h.room) > maxKeptBytes/4 {
		h.room = nil
	}
}

// number gives numbers to the series and stacks of a checked batch, which is either
// added then or taken back. They are valid until begin.
func (h *head) number(b *store.Batch) numbered {
	n := numbered{batch: b}
	from := len(h.room)
	for i := range b.Series {
		h.key = appendSeries(h.key[:0], &b.Series[i])
		id, ok := h.seriesIDs[string(h.key)]
		if !ok {
			id = uint32(len(h.series)) //nolint:gosec // bounded by the size of the head
			h.seriesIDs[string(h.key)] = id
			h.series = append(h.series, b.Series[i].Clone())
			n.grown += seriesEntryBytes + 2*int64(len(h.key))
		}
		h.room = append(h.room, id)
	}
	n.series = h.room[from:]
	from = len(h.room)
	h.room = slices.Grow(h.room, len(b.Samples))[:from+len(b.Samples)]
	n.stacks = h.room[from:]
	before := len(h.stacks)
	h.stacks = h.stackIDs.numbers(h.stacks, b.Samples, n.stacks)
	n.grown += stackEntryBytes * int64(len(h.stacks)-before)
	n.nSeries, n.nStacks = len(h.series), len(h.stacks)
	return n
}

// takeBack makes the numbers free again of what was numbered and not added.
func (h *head) takeBack() {
	for i := len(h.view.series); i < len(h.series); i++ {
		h.key = appendSeries(h.key[:0], &h.series[i])
		delete(h.seriesIDs, string(h.key))
	}
	h.series = h.series[:len(h.view.series)]
	if len(h.stacks) > len(h.view.stacks) {
		h.stacks = h.stacks[:len(h.view.stacks)]
		h.stackIDs.rebuild(h.stacks)
	}
}

// add adds the samples of a checked batch.
func (h *head) add(b *store.Batch) {
	h.begin()
	n := h.number(b)
	h.addNumbered(&n)
}

// addNumbered adds the samples of a batch. Batches are added in the order in which they
// were numbered.
func (h *head) addNumbered(n *numbered) {
	v := h.view // only this goroutine changes it
	if h.note != nil {
		for _, stack := range h.stacks[len(v.stacks):n.nStacks] {
			h.note(stack)
		}
	}
	v.series, v.stacks = h.series[:n.nSeries], h.stacks[:n.nStacks]
	grown := n.grown
	samples := n.batch.Samples
	for i := range samples {
		s := &samples[i]
		at := v.rows % chunkRows
		if at == 0 {
			v.chunks = append(v.chunks, new(chunk))
			grown += chunkBytes
		}
		c := v.chunks[len(v.chunks)-1]
		ms := store.FloorMs(s.Time)
		c.times[at], c.counts[at], c.values[at] = ms, s.Count, s.Value
		c.series[at], c.stacks[at] = n.series[s.Series], n.stacks[i]
		if s.TraceID != [16]byte{} || s.SpanID != [8]byte{} {
			sp := span{trace: s.TraceID, id: s.SpanID}
			id, ok := h.spanIDs[sp]
			if !ok {
				v.spans = append(v.spans, sp)
				id = uint32(len(v.spans)) //nolint:gosec // bounded by the size of the head
				h.spanIDs[sp] = id
				grown += spanEntryBytes
			}
			c.spans[at] = id
		}
		if v.rows == 0 {
			v.minTime, v.maxTime = ms, ms
		}
		v.minTime, v.maxTime = min(v.minTime, ms), max(v.maxTime, ms)
		v.rows++
	}
	h.bytes.Add(grown)
	h.mu.Lock()
	h.view = v
	h.mu.Unlock()
}
