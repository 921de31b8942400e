// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// compareRows is the order of the rows of a series.
func compareRows(a, b *row) int {
	if c := bytes.Compare(a.stack[:], b.stack[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.time, b.time)
}

// badBlockError says that a block cannot be read.
type badBlockError struct {
	block *block
	err   error
}

func (e *badBlockError) Error() string { return e.err.Error() }
func (e *badBlockError) Unwrap() error { return e.err }

// blame says which block an error of reading is of. A block that cannot be reached now, for
// which there is no memory or no descriptor, or whose files went because it expired
// meanwhile, is not a bad one: nothing must be given up because of that.
func blame(b *block, err error) error {
	switch {
	case err == nil, isPassing(err):
		return err
	case b.isDead():
		return fmt.Errorf("%w: %w", errBlockGone, err)
	}
	return &badBlockError{b, err}
}

// isPassing reports whether the same file may well be read later.
func isPassing(err error) bool {
	for _, passing := range []error{store.ErrAway, context.Canceled, context.DeadlineExceeded, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// cursorRows is how many rows of each block a merge has in memory.
const cursorRows = 4096

// blockCursor reads a block, or a companion of one, from its first row to its
// last. It does not need the table of series in memory.
type blockCursor struct {
	block   *block
	file    blockReader
	parquet *parquet.File
	columns blockColumns
	table   *tableReader
	sorted  bool

	// series is the one whose rows are read; more is false behind the last.
	series blockSeries
	more   bool
	// left is how many of its rows are not loaded yet.
	left int64

	group            int   // the next row group
	first, end, next int64 // rows of the open row group, and the next row to load
	stacks, times    *columnReader
	traces, spans    *columnReader // nil where there are none
	counts, values   valueReader
	stackDict        hashDict
	traceDict        hashDict
	spanDict         hashDict
	rows             []row
	at               int
}

// hashDict holds the entries of a dictionary.
type hashDict struct {
	dict   parquet.Dictionary
	values [][16]byte
}

// load reads the entries of the dictionary of the loaded page.
func (d *hashDict) load(c *columnReader, size int) error {
	if d.dict == c.dict && d.dict != nil {
		return nil
	}
	if c.dict == nil {
		return fmt.Errorf("read block: %w: column has no dictionary", errCodec)
	}
	d.dict = c.dict
	d.values = make([][16]byte, d.dict.Len())
	for i := range d.values {
		v := d.dict.Index(int32(i)).ByteArray() //nolint:gosec // indexes are int32
		if len(v) != size {
			return fmt.Errorf("read block: %w: hash of %d bytes", errCodec, len(v))
		}
		copy(d.values[i][:], v)
	}
	return nil
}

// newBlockCursor opens a block for a merge.
func (s *Store) newBlockCursor(b *block) (c *blockCursor, err error) {
	defer func() {
		if err == nil {
			return
		}
		if c != nil && c.file != nil {
			c.close()
		}
		c, err = nil, blame(b, err)
	}()
	defer s.caught(&err)
	part := b.finest()
	table, err := part.rawTable(part.info.Number)
	if err != nil {
		return nil, err
	}
	c = &blockCursor{block: b, sorted: part.info.Sorted}
	if c.table, err = newTableReader(table, s.zstdDec); err != nil {
		return c, err
	}
	if c.file, c.parquet, c.columns, err = part.openFile(); err != nil {
		return c, err
	}
	return c, c.nextSeries()
}

func (c *blockCursor) close() {
	c.closeGroup()
	_ = c.file.Close() // was only read
}

func (c *blockCursor) closeGroup() {
	for _, r := range []*columnReader{c.stacks, c.times, c.traces, c.spans, c.counts.column, c.values.column} {
		r.close()
	}
	c.stacks, c.times, c.traces, c.spans = nil, nil, nil, nil
	c.counts, c.values = valueReader{}, valueReader{}
}

// nextSeries goes on to the next series, past what is left of this one.
func (c *blockCursor) nextSeries() (err error) {
	c.rows, c.at = c.rows[:0], 0
	c.more, err = c.table.next(&c.series)
	c.left, c.next = c.series.rows, c.series.firstRow
	if err == nil && !c.more && c.table.row != c.parquet.NumRows() {
		err = fmt.Errorf("read block: %w: %d rows, its series table has %d", errCodec, c.parquet.NumRows(), c.table.row)
	}
	return err
}

// row returns the next row of the series, nil behind the last one. It is valid
// until the call after the next.
func (c *blockCursor) row() (*row, error) {
	if c.at == len(c.rows) {
		if c.left == 0 {
			return nil, nil
		}
		c.rows, c.at = c.rows[:0], 0
		for first := true; c.left > 0 && (first || !c.sorted); first = false {
			if err := c.load(min(c.left, cursorRows)); err != nil {
				return nil, err
			}
		}
		if !c.sorted {
			slices.SortFunc(c.rows, func(a, b row) int { return compareRows(&a, &b) })
		}
	}
	return &c.rows[c.at], nil
}

// load appends up to n rows, which lie in one page of each column.
func (c *blockCursor) load(n int64) error {
	for c.next >= c.end {
		if err := c.openGroup(); err != nil {
			return err
		}
	}
	row0 := c.next - c.first
	n = min(n, c.end-c.next)
	for _, r := range [...]*columnReader{c.stacks, c.times, c.traces, c.spans} {
		if r == nil {
			continue
		}
		have, err := r.load(row0)
		if err != nil {
			return err
		}
		n = min(n, have)
	}
	n, err := c.counts.span(row0, n)
	if err != nil {
		return err
	}
	if n, err = c.values.span(row0, n); err != nil {
		return err
	}
	times, err := c.times.int64s(row0, n)
	if err != nil {
		return err
	}
	counts, err := c.counts.read(row0, n)
	if err != nil {
		return err
	}
	values, err := c.values.read(row0, n)
	if err != nil {
		return err
	}
	base := len(c.rows)
	c.rows = slices.Grow(c.rows, int(n))[:base+int(n)]
	added := c.rows[base:]
	for i := range added {
		added[i] = row{time: times[i], count: counts[i], value: values[i]}
		if times[i] < c.series.minTime || times[i] > c.series.maxTime {
			return fmt.Errorf("read block: %w: time %d is not within those of the series table", errCodec, times[i])
		}
	}
	if err := c.hashes(c.stacks, &c.stackDict, 16, row0, n, func(i int, h *[16]byte) { added[i].stack = *h }); err != nil {
		return err
	}
	if err := c.hashes(c.traces, &c.traceDict, 16, row0, n, func(i int, h *[16]byte) { added[i].trace = *h }); err != nil {
		return err
	}
	if err := c.hashes(c.spans, &c.spanDict, 8, row0, n, func(i int, h *[16]byte) { added[i].span = [8]byte(h[:8]) }); err != nil {
		return err
	}
	c.next += n
	c.left -= n
	return nil
}

// hashes hands the hashes of n rows of a column to set.
func (*blockCursor) hashes(r *columnReader, d *hashDict, size int, row0, n int64, set func(int, *[16]byte)) error {
	if r == nil {
		return nil
	}
	if err := d.load(r, size); err != nil {
		return err
	}
	indexes, err := r.indexes(row0, n)
	if err != nil {
		return err
	}
	for i, index := range indexes {
		if index < 0 || int(index) >= len(d.values) {
			return fmt.Errorf("read block: %w: index %d outside of dictionary", errCodec, index)
		}
		set(i, &d.values[index])
	}
	return nil
}

// openGroup goes on to the next row group.
func (c *blockCursor) openGroup() (err error) {
	groups := c.parquet.RowGroups()
	if c.group == len(groups) {
		return fmt.Errorf("read block: %w: fewer rows than in the series table", errCodec)
	}
	g := groups[c.group]
	c.group++
	c.closeGroup()
	c.first, c.end = c.end, c.end+g.NumRows()
	if c.next >= c.end {
		return nil // no row of it is wanted
	}
	chunks := g.ColumnChunks()
	for _, column := range []struct {
		reader **columnReader
		index  int
	}{{&c.stacks, c.columns.stack}, {&c.times, c.columns.time}, {&c.traces, c.columns.trace}, {&c.spans, c.columns.span}} {
		if column.index < 0 {
			continue
		}
		if *column.reader, err = newColumnReader(chunks[column.index]); err != nil {
			return err
		}
	}
	if c.counts, err = newValueReader(chunks[c.columns.count]); err != nil {
		return err
	}
	c.values, err = newValueReader(chunks[c.columns.value])
	return err
}

// merger reads several blocks as if they were one.
type merger struct {
	store   *Store
	cursors []*blockCursor
	// active are those that have rows of the series.
	active []*blockCursor
	// current has the next row, and all of its rows that are before bound are next.
	current *blockCursor
	bound   *row
}

// newMerger opens blocks for a merge; close must follow.
func (s *Store) newMerger(in []*block) (*merger, error) {
	m := &merger{store: s}
	for _, b := range in {
		c, err := s.newBlockCursor(b)
		if err != nil {
			m.close()
			return nil, err
		}
		m.cursors = append(m.cursors, c)
	}
	return m, nil
}

func (m *merger) close() {
	for _, c := range m.cursors {
		c.close()
	}
}

// guard runs a step of a cursor, and says which block an error is of.
func (m *merger) guard(c *blockCursor, f func() error) (err error) {
	defer func() { err = blame(c.block, err) }()
	defer m.store.caught(&err)
	return f()
}

// nextSeries goes on to the next series and returns it, with the bounds of the
// times of its rows, nil behind the last.
func (m *merger) nextSeries(ctx context.Context) (*blockSeries, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, c := range m.active {
		if err := m.guard(c, c.nextSeries); err != nil {
			return nil, err
		}
	}
	m.active, m.current, m.bound = m.active[:0], nil, nil
	var lowest *blockSeries
	for _, c := range m.cursors {
		if !c.more {
			continue
		}
		order := -1
		if lowest != nil {
			order = c.series.series.Compare(&lowest.series)
		}
		if order < 0 {
			m.active, lowest = m.active[:0], &c.series
		}
		if order <= 0 {
			m.active = append(m.active, c)
		}
	}
	if lowest == nil {
		return nil, nil
	}
	all := *lowest
	for _, c := range m.active[1:] {
		all.minTime, all.maxTime = min(all.minTime, c.series.minTime), max(all.maxTime, c.series.maxTime)
	}
	return &all, nil
}

// nextRow returns the next row of the series, nil behind the last.
func (m *merger) nextRow() (*row, error) {
	if c := m.current; c != nil {
		if c.at++; c.at < len(c.rows) && (m.bound == nil || compareRows(&c.rows[c.at], m.bound) <= 0) {
			return &c.rows[c.at], nil
		}
	}
	m.current, m.bound = nil, nil
	var lowest *row
	for _, c := range m.active {
		if c.at == len(c.rows) && c.left > 0 {
			if err := m.guard(c, func() error { _, err := c.row(); return err }); err != nil {
				return nil, err
			}
		}
		if c.at == len(c.rows) {
			continue
		}
		r := &c.rows[c.at]
		switch {
		case lowest == nil:
			m.current, lowest = c, r
		case compareRows(r, lowest) < 0:
			m.current, lowest, m.bound = c, r, lowest
		case m.bound == nil || compareRows(r, m.bound) < 0:
			m.bound = r
		}
	}
	return lowest, nil
}

// isBadBlock returns the block that an error is of, nil when it is of none.
func isBadBlock(err error) *block {
	if bad, ok := errors.AsType[*badBlockError](err); ok {
		return bad.block
	}
	return nil
}

// seriesHasOrigin reports whether two series are summed up together by time.
func seriesHasOrigin(a, b *store.Series) bool {
	return a.Service == b.Service && a.Host == b.Host && a.HostID == b.HostID
}
