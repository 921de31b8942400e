// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// bySpan reports whether the query selects by traces or spans, which only the
// rows of a block know.
func bySpan(q *store.Query) bool { return len(q.TraceIDs) > 0 || len(q.SpanIDs) > 0 }

// wantedSpans says of each number that rows of a head refer to spans by whether
// the query asks for it; nil when it asks for all. some is false when it asks for
// none of them.
func (v *headView) wantedSpans(q *store.Query) (wanted []bool, some bool) {
	if !bySpan(q) {
		return nil, true
	}
	wanted = make([]bool, len(v.spans)+1)
	for i := range wanted {
		var s span // 0: none
		if i > 0 {
			s = v.spans[i-1]
		}
		wanted[i] = (len(q.TraceIDs) == 0 || slices.Contains(q.TraceIDs, s.trace)) &&
			(len(q.SpanIDs) == 0 || slices.Contains(q.SpanIDs, s.id))
		some = some || wanted[i]
	}
	return wanted, some
}

// spanFilter tells which rows of a row group carry one of the traces and one of
// the spans that a query asks for.
type spanFilter struct {
	filters []idFilter
	marks   []bool
}

// newSpanFilter opens the columns of a row group that the query asks about. found
// is false when no row can be one that is asked for: the dictionaries say so, of
// which that of rows outside of spans has one entry.
func newSpanFilter(c *blockContent, chunks []parquet.ColumnChunk, q *store.Query) (f *spanFilter, found bool, err error) {
	f = &spanFilter{}
	defer func() {
		if !found {
			f.close()
		}
	}()
	for _, ask := range []struct {
		column string
		ids    map[string]struct{}
	}{{traceColumn, idSet(q.TraceIDs, func(id *[16]byte) []byte { return id[:] })}, {spanColumn, idSet(q.SpanIDs, func(id *[8]byte) []byte { return id[:] })}} {
		if len(ask.ids) == 0 {
			continue
		}
		column, err := c.openColumn(chunks, ask.column)
		if err != nil {
			return f, false, err
		}
		f.filters = append(f.filters, idFilter{column: column, ids: ask.ids})
		last := &f.filters[len(f.filters)-1]
		if _, err := column.load(0); err != nil {
			return f, false, err
		}
		some, err := last.match()
		if err != nil || !some {
			return f, false, err
		}
	}
	return f, true, nil
}

// Names of the columns that say which span a row belongs to.
const (
	traceColumn = "trace_id"
	spanColumn  = "span_id"
)

// openColumn opens a column that few queries read.
func (c *blockContent) openColumn(chunks []parquet.ColumnChunk, name string) (*columnReader, error) {
	leaf, ok := c.parquet.Schema().Lookup(name)
	if !ok || leaf.ColumnIndex >= len(chunks) {
		return nil, fmt.Errorf("read block: %w: no column %s", errCodec, name)
	}
	return newColumnReader(chunks[leaf.ColumnIndex])
}

// idSet returns the bytes of IDs as a set.
func idSet[T any](ids []T, bytes func(*T) []byte) map[string]struct{} {
	set := make(map[string]struct{}, len(ids))
	for i := range ids {
		set[string(bytes(&ids[i]))] = struct{}{}
	}
	return set
}

// close closes the columns. A nil filter has none.
func (f *spanFilter) close() {
	if f == nil {
		return
	}
	for i := range f.filters {
		f.filters[i].column.close()
	}
	f.filters = nil
}

// span shortens n to what the loaded pages hold from row on.
func (f *spanFilter) span(row, n int64) (int64, error) {
	if f == nil {
		return n, nil
	}
	for i := range f.filters {
		have, err := f.filters[i].column.load(row)
		if err != nil {
			return 0, err
		}
		n = min(n, have)
	}
	return n, nil
}

// rows tells of n rows which are asked for. The answer is valid until the next call.
func (f *spanFilter) rows(row, n int64) ([]bool, error) {
	if int64(cap(f.marks)) < n {
		f.marks = make([]bool, n)
	}
	marks := f.marks[:n]
	for i := range marks {
		marks[i] = true
	}
	for i := range f.filters {
		if err := f.filters[i].and(marks, row); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// idFilter is a spanFilter on one column.
type idFilter struct {
	column *columnReader
	ids    map[string]struct{}
	dict   parquet.Dictionary
	wanted []bool // by entry of the dictionary
}

// match looks for the IDs in the dictionary of the loaded page.
func (f *idFilter) match() (some bool, err error) {
	f.dict = f.column.dict
	if f.dict == nil {
		return false, fmt.Errorf("read block: %w: column has no dictionary", errCodec)
	}
	f.wanted = make([]bool, f.dict.Len())
	for i := range f.wanted {
		_, f.wanted[i] = f.ids[string(f.dict.Index(int32(i)).ByteArray())] //nolint:gosec // indexes are int32
		some = some || f.wanted[i]
	}
	return some, nil
}

// and takes the mark off the rows that do not carry one of the IDs.
func (f *idFilter) and(marks []bool, row int64) error {
	if f.dict != f.column.dict {
		if _, err := f.match(); err != nil {
			return err
		}
	}
	indexes, err := f.column.indexes(row, int64(len(marks)))
	if err != nil {
		return err
	}
	for i, d := range indexes {
		if d < 0 || int(d) >= len(f.wanted) {
			return fmt.Errorf("read block: %w: index %d outside of dictionary", errCodec, d)
		}
		marks[i] = marks[i] && f.wanted[d]
	}
	return nil
}
