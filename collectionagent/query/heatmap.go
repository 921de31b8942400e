// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// MaxCells is the most cells that a heatmap can have. It has at most [MaxBuckets]
// columns.
const MaxCells = 1 << 20

// Heatmap is how samples spread over time and one more dimension.
type Heatmap struct {
	Summary
	// Column is the width of a column. The first starts at Start, aligned to the epoch.
	Column  time.Duration
	Start   libpf.UnixTimeNs
	Columns int
	// Rows are the lower bounds of the rows: nanoseconds from the start of the
	// column, or values of single observations.
	Rows []int64
	// Cells are those that are not empty, by column and row.
	Cells []HeatmapCell
}

// HeatmapCell is a cell of a heatmap.
type HeatmapCell struct {
	Column, Row    int
	Samples, Value int64
}

// NiceColumn returns the width of the columns of a heatmap of a range.
func NiceColumn(span time.Duration) time.Duration {
	const day = 24 * time.Hour
	switch {
	case span <= 15*time.Minute:
		return time.Second
	case span <= 12*time.Hour:
		return time.Minute
	case span <= 45*day:
		return time.Hour
	default:
		return day
	}
}

// NiceRows returns into how many rows a column is best cut: 50 for a second, 24 for
// a day, 60 for what is between, and fewer where those would not be whole milliseconds.
func NiceRows(column time.Duration) int {
	rows := 60
	switch {
	case column <= time.Second:
		rows = 50
	case column >= 24*time.Hour:
		rows = 24
	}
	for column.Milliseconds()%int64(rows) != 0 {
		rows--
	}
	return rows
}

// newHeatmap returns a heatmap without cells.
func newHeatmap(s *Selection, column time.Duration, rows int) (*Heatmap, error) {
	h := &Heatmap{Column: column, Start: store.Bucket(s.From, column)}
	columns := int64(store.Bucket(s.To-1, column)-h.Start)/int64(column) + 1
	if columns < 1 || columns > int64(min(MaxBuckets, MaxCells/rows)) {
		return nil, fmt.Errorf("%w: not between 1 and %d columns, or more than %d cells", ErrTooLarge, MaxBuckets, MaxCells)
	}
	h.Columns = int(columns)
	return h, nil
}

// heat are the sums of the cells: by column those of its rows, nil for a column
// without samples.
type heat struct {
	columns [][]sum
	rows    int
}

func (h *heat) add(column int64, row int, count, value int64) {
	if column < 0 || column >= int64(len(h.columns)) {
		return
	}
	if h.columns[column] == nil {
		h.columns[column] = make([]sum, h.rows)
	}
	cell := &h.columns[column][row]
	cell.count += count
	cell.value += value
}

// fill makes the cells.
func (h *Heatmap) fill(from *heat) {
	for column, rows := range from.columns {
		for row, c := range rows {
			if c.count != 0 || c.value != 0 {
				h.Cells = append(h.Cells, HeatmapCell{column, row, c.count, c.value})
			}
		}
	}
}

// HeatmapOfTime returns how samples spread over each column of time, which is cut
// into rows of a whole number of milliseconds. More than [MaxCells] cells are
// [ErrTooLarge].
func (e *Engine) HeatmapOfTime(ctx context.Context, s *Selection, column time.Duration, rows int) (*Heatmap, error) {
	h, err := newHeatmap(s, column, rows)
	if err != nil {
		return nil, err
	}
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	h.Summary = k.summary(s)
	q := s.query(nil)
	q.Step = column / time.Duration(rows)
	for i := range rows {
		h.Rows = append(h.Rows, int64(i)*int64(q.Step))
	}
	w := newWatch(ctx)
	w.take(h.Columns*rows, 16+textSize)
	cells := &heat{make([][]sum, h.Columns), rows}
	h.Coverage, err = e.selectKept(ctx, q, k, func(r *store.Row) bool {
		h.add(r)
		at := int64(r.Bucket-h.Start) / int64(q.Step)
		cells.add(at/int64(rows), int(at%int64(rows)), r.Count, r.Value)
		return !w.ended()
	})
	if err != nil {
		return nil, fmt.Errorf("select samples: %w", err)
	}
	h.fill(cells)
	return h, ctx.Err()
}

// ValueRows is how many rows a heatmap of values has at most: one for those below 1, and one
// for each power of two.
const ValueRows = 64

// HeatmapOfValues returns how the values of single observations spread over time,
// in rows that start at powers of two. It is made from samples alone: from what has
// expired there is none. More than [MaxCells] cells are [ErrTooLarge].
func (e *Engine) HeatmapOfValues(ctx context.Context, s *Selection, column time.Duration) (*Heatmap, error) {
	h, err := newHeatmap(s, column, ValueRows)
	if err != nil {
		return nil, err
	}
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	h.Summary = k.summary(s)
	cells := &heat{make([][]sum, h.Columns), ValueRows}
	lowest, highest := ValueRows, -1
	err = e.samples(ctx, s, k, &h.Summary, func(sample *store.Sample, _ *store.Series) {
		row := 0
		if value := sample.Value / max(1, sample.Count); value > 0 {
			row = bits.Len64(uint64(value)) //nolint:gosec // not negative
		}
		lowest, highest = min(lowest, row), max(highest, row)
		cells.add(int64(sample.Time-h.Start)/int64(column), row, sample.Count, sample.Value)
	})
	if err != nil {
		return nil, err
	}
	for row := lowest; row <= highest; row++ {
		bound := int64(0)
		if row > 0 {
			bound = 1 << (row - 1)
		}
		h.Rows = append(h.Rows, bound)
	}
	h.fill(cells)
	for i := range h.Cells {
		h.Cells[i].Row -= lowest
	}
	return h, ctx.Err()
}

// samples hands over the samples of the stacks that are kept, and adds them up.
func (e *Engine) samples(
	ctx context.Context, s *Selection, k *kept, summary *Summary, yield func(*store.Sample, *store.Series),
) error {
	c := &summary.Coverage
	*c = store.Coverage{Resolution: store.Resolution}
	var err error
	if c.Horizon, err = e.horizon(ctx, s); err != nil {
		return err
	}
	w := newWatch(ctx)
	err = e.store.Samples(ctx, s.query(nil), func(sample *store.Sample, series *store.Series) bool {
		if !k.has(sample.Stack) {
			return !w.ended()
		}
		if c.To == 0 || sample.Time < c.From {
			c.From = sample.Time
		}
		c.To = min(max(c.To, sample.Time+libpf.UnixTimeNs(store.Resolution)), s.To)
		summary.Total += sample.Value
		summary.Samples += sample.Count
		yield(sample, series)
		return !w.ended()
	})
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	return ctx.Err()
}

// horizon returns the time before which there are no samples of a selection any
// more, 0 when there are all.
func (e *Engine) horizon(ctx context.Context, s *Selection) (libpf.UnixTimeNs, error) {
	q := s.query([]string{store.LabelNamespace}) // one that roll-ups do not know, and that has few values
	q.TraceIDs, q.SpanIDs = nil, nil             // to find them is work
	covered, err := e.store.Select(ctx, q, func(*store.Row) bool { return false })
	if err != nil {
		return 0, fmt.Errorf("ask for the oldest samples: %w", err)
	}
	return covered.Horizon, nil
}
