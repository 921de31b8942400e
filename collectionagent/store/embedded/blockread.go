// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// block is a block that queries read. Its file and its table of series are
// loaded when a query first needs them, and given back when too many are open.
// A companion is a block of its own, with one file and one table.
type block struct {
	info *blockInfo
	// read opens a file for reading.
	read func(*blockInfo) (blockReader, error)
	// loadTable reads the series table, rawTable its bytes as they are stored.
	loadTable func(number uint64) ([]blockSeries, error)
	rawTable  func(number uint64) ([]byte, error)
	// caught turns a panic into an error; it is deferred.
	caught func(*error)
	// sums are the companions.
	sums []*block
	// kind and width (ms) are those of a companion; kind is "" and width 0 for samples.
	kind  sumsKind
	width int64
	// aside says that the block could not be read when it was to be compacted.
	aside atomic.Bool
	// wasted counts the rows of a flushed head that queries read where sums would have
	// answered.
	wasted atomic.Int64

	mu      sync.Mutex
	refs    int
	content *blockContent
	opened  int64 // what content took when it was open last
	// dead blocks are closed with their last reference.
	dead bool
	used atomic.Int64 // when it was last used, for eviction
}

// errBlockGone is returned when a block was taken off the list since the list was read.
var errBlockGone = errors.New("block is no longer listed")

// finest returns what knows most of the rows of the block: its samples, or the
// finest companion once they have been dropped.
func (b *block) finest() *block {
	best := b
	for _, c := range b.sums {
		switch {
		case b.info.File != "" || c.kind == sumsSeconds:
		case best == b, c.width > 0 && (best.width == 0 || c.width < best.width):
			best = c
		}
	}
	return best
}

// companion returns the companion of a kind, nil when there is none.
func (b *block) companion(kind sumsKind) *block {
	for _, c := range b.sums {
		if c.kind == kind {
			return c
		}
	}
	return nil
}

// parts lists what has a file.
func (b *block) parts() []*block {
	if b.info.File == "" {
		return b.sums
	}
	return append([]*block{b}, b.sums...)
}

// blockContent is an open block.
type blockContent struct {
	file    blockReader
	parquet *parquet.File
	series  []blockSeries
	columns blockColumns
	// bytes is about what all of it takes.
	bytes int64
}

// blockColumns are the indices of the columns that queries read; those of traces
// are -1 where there are none.
type blockColumns struct {
	stack, time, count, value, trace, span int
	// ratio is that of value and count in all rows, if hasRatio says so.
	ratio    int64
	hasRatio bool
}

// Rough sizes of what an open block is made of: the file with its footer, what the
// footer says of a row group with its pages, and an entry of the table.
const (
	openFileBytes     = 32 << 10
	openRowGroupBytes = 8 << 10
	tableEntryBytes   = int64(unsafe.Sizeof(blockSeries{}))
)

// size estimates the memory of an open block.
func (c *blockContent) size() int64 {
	n := int64(openFileBytes + openRowGroupBytes*len(c.parquet.RowGroups()))
	for i := range c.series {
		s := &c.series[i].series
		n += tableEntryBytes + 8*11 + int64(len(s.Project)+len(s.Service)+len(s.HostID)+len(s.Host)+len(s.Namespace)+len(s.Pod)+
			len(s.ContainerID)+len(s.Container)+len(s.Process)+len(s.Executable)+len(s.Comm))
		for _, l := range s.Labels {
			n += 48 + int64(len(l.Key)+len(l.Value))
		}
	}
	return n
}

// acquire opens the block for reading; release must follow. It returns
// errBlockGone when the block was taken off the list. cost is what a question has to
// pay for it: nothing where it was open and nobody read it, since then it is of the part of
// the memory that is for blocks. Who reads it beside others pays all of it, too: those may
// be done first.
func (b *block) acquire(clock int64) (c *blockContent, cost int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return nil, 0, errBlockGone
	}
	idle := b.content != nil && b.refs == 0
	if b.content == nil {
		if b.content, err = b.open(); err != nil {
			b.content = nil
			return nil, 0, err
		}
		b.opened = b.content.bytes
	}
	if !idle {
		cost = b.content.bytes
	}
	b.refs++
	b.used.Store(clock)
	return b.content, cost, nil
}

// acquireFor is acquire for a question, which has paid what is returned. It pays before the
// block is opened, as far as is known, and keeps nothing open while it waits for memory:
// nobody would count that.
func (b *block) acquireFor(claim *memory.Claim, clock int64) (c *blockContent, paid int64, err error) {
	paid = b.price()
	if err := claim.Take(paid); err != nil {
		return nil, 0, err
	}
	for {
		c, cost, err := b.acquire(clock)
		if err != nil {
			claim.Give(paid)
			return nil, 0, err
		}
		if cost <= paid {
			claim.Give(paid - cost)
			return c, cost, nil
		}
		if claim.TryTake(cost - paid) {
			return c, cost, nil
		}
		b.release()
		b.evict()
		if err := claim.Take(cost - paid); err != nil {
			claim.Give(paid)
			return nil, 0, err
		}
		paid = cost
	}
}

// price is what acquire would cost now, or less: of a block that was not open yet only the size
// of its table as it is stored is known.
func (b *block) price() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.content == nil:
		return max(b.opened, b.info.TableBytes)
	case b.refs == 0:
		return 0
	}
	return b.content.bytes
}

// release ends the use of the block.
func (b *block) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refs--
	if b.dead {
		b.closeIdle()
	}
}

// kill closes the block, and its companions, as soon as nobody reads them.
func (b *block) kill() {
	for _, c := range b.sums {
		c.kill()
	}
	if b.info.Remote && !b.mu.TryLock() {
		go b.end() // somebody waits for object storage with the lock, the caller must not
		return
	} else if b.info.Remote {
		b.mu.Unlock()
	}
	b.end()
}

// end makes the block a dead one.
func (b *block) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
	b.closeIdle()
}

// evict closes the block if nobody reads it.
func (b *block) evict() {
	if !b.mu.TryLock() {
		return // somebody is opening it
	}
	defer b.mu.Unlock()
	b.closeIdle()
}

// openBytes returns what the block takes while it is open, 0 when it is not.
func (b *block) openBytes() int64 {
	if !b.mu.TryLock() {
		return 0 // it is just being opened or closed
	}
	defer b.mu.Unlock()
	if b.content == nil {
		return 0
	}
	return b.content.bytes
}

// closeIdle closes the file when there is one that nobody reads. The lock is held.
func (b *block) closeIdle() {
	if b.refs == 0 && b.content != nil {
		_ = b.content.file.Close() // was only read
		b.content = nil
	}
}

// open opens the file and the table. The decoder of the file trusts its footer
// here and there and panics on some that are damaged; that is an error too.
func (b *block) open() (c *blockContent, err error) {
	defer b.caught(&err)
	return b.openUnguarded()
}

func (b *block) openUnguarded() (*blockContent, error) {
	table, err := b.loadTable(b.info.Number)
	if err != nil {
		return nil, err
	}
	f, p, columns, err := b.openFile()
	if err != nil {
		return nil, err
	}
	var rows int64
	for i := range table {
		rows += table[i].rows
	}
	if rows != p.NumRows() {
		_ = f.Close()
		return nil, fmt.Errorf("open block %s: %w: %d rows, its series table has %d", b.info.File, errCodec, p.NumRows(), rows)
	}
	c := &blockContent{file: f, parquet: p, series: table, columns: columns}
	c.bytes = c.size()
	return c, nil
}

// openFile opens the file and checks that it has the columns and row groups that
// a reader relies on.
func (b *block) openFile() (_ blockReader, _ *parquet.File, columns blockColumns, err error) {
	f, err := b.read(b.info)
	if err != nil {
		return nil, nil, columns, fmt.Errorf("open block: %w", err)
	}
	ok := false
	defer func() {
		if !ok { // after a panic too
			_ = f.Close()
		}
	}()
	p, err := openParquet(f, b.info.Bytes)
	if err != nil {
		return nil, nil, columns, fmt.Errorf("open block %s: %w", b.info.File, err)
	}
	for _, column := range []struct {
		name     string
		index    *int
		optional bool
	}{
		{"stack", &columns.stack, false}, {"time", &columns.time, false}, {"count", &columns.count, false}, {"value", &columns.value, false},
		{"trace_id", &columns.trace, true}, {"span_id", &columns.span, true},
	} {
		leaf, found := p.Schema().Lookup(column.name)
		switch {
		case found:
			*column.index = leaf.ColumnIndex
		case column.optional:
			*column.index = -1
		default:
			return nil, nil, columns, fmt.Errorf("open block %s: %w: no column %s", b.info.File, errCodec, column.name)
		}
	}
	if text, found := p.Lookup(ratioKey); found {
		if columns.ratio, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, nil, columns, fmt.Errorf("open block %s: %w: %s: %w", b.info.File, errCodec, ratioKey, err)
		}
		columns.hasRatio = true
	}
	for _, g := range p.RowGroups() {
		if g.NumRows() < 0 || len(g.ColumnChunks()) != len(p.Schema().Columns()) {
			return nil, nil, columns, fmt.Errorf("open block %s: %w: row group does not fit the schema", b.info.File, errCodec)
		}
	}
	ok = true
	return f, p, columns, nil
}

// openParquet opens a file. Its footer is read as a whole, so the size that it
// declares is checked before.
func openParquet(f blockReader, size int64) (*parquet.File, error) {
	if n, err := f.Size(); err != nil {
		return nil, err
	} else if n != size {
		return nil, fmt.Errorf("%w: the file has %d bytes instead of %d", errCodec, n, size)
	}
	var tail [8]byte // length of the footer, magic
	if size < int64(len(tail)) {
		return nil, fmt.Errorf("%w: the file has %d bytes", errCodec, size)
	}
	if _, err := f.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-int64(len(tail)) {
		return nil, fmt.Errorf("%w: footer of %d bytes in a file of %d", errCodec, n, size)
	}
	return parquet.OpenFile(f, size, parquet.SkipBloomFilters(true))
}

// columnReader reads ranges of rows of one column chunk, in ascending order.
type columnReader struct {
	pages *parquet.FilePages
	page  parquet.Page
	// The page holds rows first to end.
	first, end int64
	// dictionary values of an integer column; nil when the page is plain.
	ints []int64
	dict parquet.Dictionary
	buf  []int64
}

// newColumnReader opens a column chunk.
func newColumnReader(chunk parquet.ColumnChunk) (*columnReader, error) {
	pages, ok := chunk.Pages().(*parquet.FilePages)
	if !ok {
		return nil, fmt.Errorf("read block: %w: unexpected kind of column", errCodec)
	}
	return &columnReader{pages: pages}, nil
}

func (r *columnReader) close() {
	if r == nil {
		return
	}
	parquet.Release(r.page)
	_ = r.pages.Close() // was only read
}

// load makes row part of the current page and returns how many rows from it on
// the page holds.
func (r *columnReader) load(row int64) (int64, error) {
	for row >= r.end {
		if r.page != nil {
			parquet.Release(r.page)
			r.page = nil
		}
		if row > r.end {
			if err := r.pages.SeekToRow(row); err != nil {
				return 0, fmt.Errorf("seek in block: %w", err)
			}
			r.end = row
		}
		page, err := r.pages.ReadPage()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("read page of block: %w", err)
		}
		if page.NumRows() <= 0 {
			parquet.Release(page)
			return 0, fmt.Errorf("read page of block: %w: page without rows", errCodec)
		}
		r.page, r.first, r.end = page, r.end, r.end+page.NumRows()
		if d := page.Dictionary(); d != r.dict {
			r.dict, r.ints = d, nil
		}
	}
	return r.end - row, nil
}

// indexes returns the dictionary indexes of rows row to row+n of the loaded page.
func (r *columnReader) indexes(row, n int64) ([]int32, error) {
	data := r.page.Data()
	idx := data.Int32()
	at := row - r.first
	if r.dict == nil || at+n > int64(len(idx)) {
		return nil, fmt.Errorf("read block: %w: column has no dictionary", errCodec)
	}
	return idx[at : at+n], nil
}

// int64s returns the values of rows row to row+n of the loaded page. They are
// valid until the next call.
func (r *columnReader) int64s(row, n int64) ([]int64, error) {
	data := r.page.Data()
	at := row - r.first
	if r.dict == nil {
		values := data.Int64()
		if at+n > int64(len(values)) {
			return nil, fmt.Errorf("read block: %w: page is cut short", errCodec)
		}
		return values[at : at+n], nil
	}
	if r.ints == nil {
		r.ints = make([]int64, r.dict.Len())
		for i := range r.ints {
			r.ints[i] = r.dict.Index(int32(i)).Int64() //nolint:gosec // indexes are int32
		}
	}
	idx, err := r.indexes(row, n)
	if err != nil {
		return nil, err
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]int64, n)
	}
	out := r.buf[:n]
	ints := r.ints
	for i, d := range idx {
		if uint(d) >= uint(len(ints)) { //nolint:gosec // a negative one is larger than any
			return nil, fmt.Errorf("read block: %w: index %d outside of dictionary", errCodec, d)
		}
		out[i] = ints[d]
	}
	return out, nil
}
