// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Samples implements [store.Store]. Files stay open while yield runs, which must
// not call the store.
func (s *Store) Samples(ctx context.Context, q *store.Query, yield func(*store.Sample, *store.Series) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.RUnlock()
	claim, free := s.claim(ctx)
	defer free()
	ss := &sampleScan{q: q, yield: yield, claim: claim}
	heads, open, err := ss.openAll(s)
	if err != nil {
		return err
	}
	defer s.evictBlocks()
	defer func() {
		releaseAll(open)
		claim.Give(ss.taken)
	}()
	for _, h := range heads {
		if v := h.snapshot(); v.rows > 0 && v.maxTime >= ss.from && v.minTime < ss.to {
			if err := ss.head(ctx, v); err != nil || ss.stopped {
				return err
			}
		}
	}
	for _, c := range open {
		done := readFor(ctx, c.content.file)
		err := ss.block(ctx, s, c.content)
		done()
		if err != nil || ss.stopped {
			return err
		}
	}
	return ctx.Err()
}

// openBlock is a block that is being read.
type openBlock struct {
	block   *block
	content *blockContent
}

// releaseAll ends the use of blocks.
func releaseAll(open []openBlock) {
	for _, o := range open {
		o.block.release()
	}
}

// openAll opens all that has to be read, before anything is handed over: a block may
// be replaced by another one meanwhile, and no sample must be seen in both.
func (ss *sampleScan) openAll(s *Store) (heads []*head, open []openBlock, err error) {
	for {
		heads, open, err = ss.openOnce(s)
		if !errors.Is(err, errBlockGone) {
			return heads, open, err
		}
	}
}

// openOnce is openAll of the blocks that are listed now.
func (ss *sampleScan) openOnce(s *Store) (heads []*head, open []openBlock, err error) {
	heads, blocks, expired := s.readView()
	ss.visible = s.visibility(ss.q.Project, 0)
	ss.from, ss.to = max(store.CeilMs(ss.q.From), expired), store.CeilMs(ss.q.To)
	clock := s.clock.Add(1)
	for _, b := range blocks {
		if b.info.MaxTime < ss.from || b.info.MinTime >= ss.to || b.info.File == "" || !b.mayHave(ss.q) {
			continue
		}
		c, paid, err := b.acquireFor(ss.claim, clock)
		if err != nil {
			releaseAll(open)
			ss.claim.Give(ss.taken)
			ss.taken = 0
			if ss.claim.Err() == nil && !errors.Is(err, errBlockGone) {
				s.metrics.blockErrors.Inc()
			}
			return nil, nil, err
		}
		open = append(open, openBlock{b, c})
		ss.taken += paid
	}
	return heads, open, nil
}

// sampleScan hands over samples one by one.
type sampleScan struct {
	q *store.Query
	// from and to bound the rows in ms, to exclusive.
	from, to int64
	visible  visibility
	yield    func(*store.Sample, *store.Series) bool
	stopped  bool
	batch    []store.Sample
	// taken is what of the claim is for the open blocks.
	claim *memory.Claim
	taken int64
}

// head hands over the rows of a head.
func (ss *sampleScan) head(ctx context.Context, v headView) error {
	inScope, from := make([]bool, len(v.series)), make([]int64, len(v.series))
	for i := range v.series {
		inScope[i], from[i] = ss.q.InScope(&v.series[i]), max(ss.from, ss.visible.from(v.series[i].Type))
	}
	wanted, some := v.wantedSpans(ss.q)
	if !some {
		return nil
	}
	for i, c := range v.chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		for at := range min(chunkRows, v.rows-i*chunkRows) {
			t, sp := c.times[at], c.spans[at]
			if t < from[c.series[at]] || t >= ss.to || !inScope[c.series[at]] || (wanted != nil && !wanted[sp]) {
				continue
			}
			sample := store.Sample{Time: nanoseconds(t), Stack: v.stacks[c.stacks[at]], Count: c.counts[at], Value: c.values[at]}
			if sp != 0 {
				sample.TraceID, sample.SpanID = v.spans[sp-1].trace, v.spans[sp-1].id
			}
			if !ss.yield(&sample, &v.series[c.series[at]]) {
				ss.stopped = true
				return nil
			}
		}
	}
	return nil
}

// seriesRun is a run of rows of one series in a row group.
type seriesRun struct {
	series     int   // index into the series table
	first, end int64 // rows within the row group
	from       int64 // ms
}

// block hands over the rows of a block.
func (ss *sampleScan) block(ctx context.Context, s *Store, c *blockContent) error {
	rowGroups := c.parquet.RowGroups()
	runs := make([][]seriesRun, len(rowGroups))
	rowGroup, groupFirst := 0, int64(0)
	for i := range c.series {
		series := &c.series[i]
		from := max(ss.from, ss.visible.from(series.series.Type))
		if series.maxTime < from || series.minTime >= ss.to || !ss.q.InScope(&series.series) {
			continue
		}
		for first, end := series.firstRow, series.firstRow+series.rows; first < end && rowGroup < len(rowGroups); {
			groupEnd := groupFirst + rowGroups[rowGroup].NumRows()
			if first >= groupEnd {
				groupFirst = groupEnd
				rowGroup++
				continue
			}
			upTo := min(end, groupEnd)
			runs[rowGroup] = append(runs[rowGroup], seriesRun{i, first - groupFirst, upTo - groupFirst, from})
			first = upTo
		}
	}
	for i, r := range runs {
		if len(r) > 0 && !ss.stopped {
			if err := ss.rowGroup(ctx, s, c, rowGroups[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// sampleColumns are the open columns of a row group.
type sampleColumns struct {
	filter                     *spanFilter // nil: every row
	stacks, times, trace, span *columnReader
	counts, values             valueReader
}

func (sc *sampleColumns) close() {
	sc.filter.close()
	for _, c := range [...]*columnReader{sc.stacks, sc.times, sc.trace, sc.span, sc.counts.column, sc.values.column} {
		c.close()
	}
}

// open opens the columns. found is false when no row is asked for.
func (sc *sampleColumns) open(c *blockContent, rg parquet.RowGroup, q *store.Query) (found bool, err error) {
	chunks := rg.ColumnChunks()
	if bySpan(q) {
		if sc.filter, found, err = newSpanFilter(c, chunks, q); err != nil || !found {
			return false, err
		}
	}
	if sc.stacks, err = newColumnReader(chunks[c.columns.stack]); err != nil {
		return false, err
	}
	if sc.times, err = newColumnReader(chunks[c.columns.time]); err != nil {
		return false, err
	}
	if sc.counts, err = newValueReader(chunks[c.columns.count]); err != nil {
		return false, err
	}
	if sc.values, err = newValueReader(chunks[c.columns.value]); err != nil {
		return false, err
	}
	if sc.trace, err = c.openColumn(chunks, traceColumn); err != nil {
		return false, err
	}
	sc.span, err = c.openColumn(chunks, spanColumn)
	return err == nil, err
}

// rowGroup hands over the runs of one row group.
func (ss *sampleScan) rowGroup(ctx context.Context, s *Store, c *blockContent, rg parquet.RowGroup, runs []seriesRun) error {
	var columns sampleColumns
	defer columns.close()
	// What reads the file may panic, what the samples are handed to is not its business.
	guarded := func(f func() error) (err error) {
		defer s.caught(&err)
		return f()
	}
	found := false
	if err := guarded(func() (err error) { found, err = columns.open(c, rg, ss.q); return err }); err != nil || !found {
		return err
	}
	for _, r := range runs {
		for row := r.first; row < r.end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := guarded(func() error {
				n, err := ss.read(&columns, row, min(r.end-row, maxSampleStep), r.from)
				row += n
				return err
			}); err != nil {
				return err
			}
			for i := range ss.batch {
				if !ss.yield(&ss.batch[i], &c.series[r.series].series) {
					ss.stopped = true
					return nil
				}
			}
		}
	}
	return nil
}

// maxSampleStep is how many rows become samples at a time.
const maxSampleStep = 1 << 12

// read makes samples of up to n rows that are not older than from and returns how
// many rows it read.
func (ss *sampleScan) read(c *sampleColumns, row, n, from int64) (int64, error) {
	for _, column := range [...]*columnReader{c.stacks, c.times, c.trace, c.span} {
		have, err := column.load(row)
		if err != nil {
			return 0, err
		}
		n = min(n, have)
	}
	n, err := c.counts.span(row, n)
	if err != nil {
		return 0, err
	}
	if n, err = c.values.span(row, n); err != nil {
		return 0, err
	}
	if n, err = c.filter.span(row, n); err != nil {
		return 0, err
	}
	var marks []bool
	if c.filter != nil {
		if marks, err = c.filter.rows(row, n); err != nil {
			return 0, err
		}
	}
	times, err := c.times.int64s(row, n)
	if err != nil {
		return 0, err
	}
	counts, err := c.counts.read(row, n)
	if err != nil {
		return 0, err
	}
	values, err := c.values.read(row, n)
	if err != nil {
		return 0, err
	}
	ss.batch = ss.batch[:0]
	for i, t := range times {
		if t < from || t >= ss.to || (marks != nil && !marks[i]) {
			continue
		}
		if t > math.MaxInt64/int64(store.Resolution) || t < math.MinInt64/int64(store.Resolution) {
			return 0, fmt.Errorf("read block: %w: time %d overflows", errCodec, t)
		}
		sample := store.Sample{Time: nanoseconds(t), Count: counts[i], Value: values[i]}
		stack, err := c.stacks.entry(row + int64(i))
		if err != nil {
			return 0, err
		}
		if sample.Stack, err = libpf.TraceHashFromBytes(stack); err != nil {
			return 0, fmt.Errorf("read block: %w", err)
		}
		trace, err := c.trace.entry(row + int64(i))
		if err != nil {
			return 0, err
		}
		id, err := c.span.entry(row + int64(i))
		if err != nil {
			return 0, err
		}
		copy(sample.TraceID[:], trace)
		copy(sample.SpanID[:], id)
		ss.batch = append(ss.batch, sample)
	}
	return n, nil
}

// entry returns the entry of the dictionary that a row of the loaded page has.
func (r *columnReader) entry(row int64) ([]byte, error) {
	indexes, err := r.indexes(row, 1)
	if err != nil {
		return nil, err
	}
	if d := indexes[0]; d >= 0 && int(d) < r.dict.Len() {
		return r.dict.Index(d).ByteArray(), nil
	}
	return nil, fmt.Errorf("read block: %w: index %d outside of dictionary", errCodec, indexes[0])
}
