// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// none marks a series that a query does not ask for, and an entry of a
// dictionary that has no number yet.
const none = math.MaxUint32

// scanner is one query on its way through blocks and heads.
type scanner struct {
	q *store.Query
	// from and to bound the rows in ms, to exclusive.
	from, to int64
	// expired is the time before which nothing is visible.
	expired int64
	// lowest and highest are the times that the heads and the list of blocks promise,
	// both inclusive: what buckets were made for.
	lowest, highest int64
	groupOf         func([]string, *store.Series) []string
	groups          groups
	// rollUp is the width of the coarsest roll-up that may answer.
	rollUp time.Duration
	// seconds says that sums per second may answer.
	seconds bool
	// coarsest is the width of the coarsest that did, horizon the time in ms before
	// which samples have been dropped that roll-ups cannot stand in for.
	coarsest time.Duration
	horizon  int64
	// labels takes the files whose tables of series suffice, nil: none.
	labels *labelScan
	// claim is the memory of the query. free gives it back.
	claim *memory.Claim
	free  func()
	// rowsRead counts the rows that are read, by kind of file.
	rowsRead *prometheus.CounterVec
	// visible says what is hidden because of its age.
	visible visibility
}

// task is a piece of work for one goroutine.
type task func(ctx context.Context, a *aggregator) error

// Select implements [store.Store].
func (s *Store) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	started := time.Now()
	defer func() { s.metrics.selectSeconds.Observe(time.Since(started).Seconds()) }()
	a, sc, err := s.scanLabels(ctx, q, q.GroupOf, q.RollUp(), knowSeconds(q), nil)
	if err != nil {
		return store.Coverage{}, err
	}
	defer sc.free()
	a.each(&sc.groups, yield)
	return sc.coverage(), nil
}

// coverage says what was read.
func (sc *scanner) coverage() store.Coverage {
	c := store.Coverage{Resolution: max(store.Resolution, sc.coarsest)}
	if horizon := max(sc.expired, sc.horizon); horizon > 0 {
		c.Horizon = nanoseconds(horizon)
	}
	if first, last := max(sc.lowest, sc.from), min(sc.highest, sc.to-1); first <= last {
		c.From, c.To = max(nanoseconds(first), sc.q.From), min(nanoseconds(last+1), sc.q.To)
	}
	return c
}

// withoutDetail returns the query without buckets and stacks.
func withoutDetail(q *store.Query) *store.Query {
	c := *q
	c.Step, c.ByStack = 0, false
	return &c
}

// do runs a task. A panic would end the process, not only the query, since it is
// not on the goroutine of the query.
func (s *Store) do(ctx context.Context, t task, a *aggregator) (err error) {
	defer s.caught(&err)
	if err := t(ctx, a); err != nil {
		return err
	}
	return a.err
}

// headTasks returns the work on a head: as many pieces as processors.
func (sc *scanner) headTasks(v headView) []task {
	group := make([]uint32, len(v.series)) // by series; none: not asked for
	from := make([]int64, len(v.series))
	matched := false
	for i := range v.series {
		group[i] = none
		if sc.q.InScope(&v.series[i]) {
			from[i] = max(sc.from, sc.visible.from(v.series[i].Type))
			group[i] = sc.groups.id(&v.series[i], sc.groupOf)
			matched = true
		}
	}
	wanted, some := v.wantedSpans(sc.q)
	if !matched || !some {
		return nil
	}
	per := (len(v.chunks) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	var tasks []task
	for first := 0; first < len(v.chunks); first += per {
		tasks = append(tasks, func(ctx context.Context, a *aggregator) error {
			work := int64(4 * len(v.stacks))
			if err := a.claim.Take(work); err != nil {
				return err
			}
			defer a.claim.Give(work)
			stacks := make([]uint32, len(v.stacks))
			if sc.q.ByStack {
				for i := range stacks {
					stacks[i] = none
				}
			}
			for i := first; i < min(first+per, len(v.chunks)); i++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				if sc.headChunk(&v, i, group, from, stacks, wanted, a); a.err != nil {
					return a.err
				}
			}
			return nil
		})
	}
	return tasks
}

// headChunk adds the rows of one chunk, of the spans that are wanted; nil: all.
func (sc *scanner) headChunk(v *headView, i int, group []uint32, from []int64, stacks []uint32, wanted []bool, a *aggregator) {
	c := v.chunks[i]
	if (i+1)*chunkRows <= v.rows && wanted == nil {
		sums := c.summed()
		switch {
		case sums.maxTime < sc.from || sums.minTime >= sc.to:
			return
		case sums.runs:
			sc.fromRuns(v, c, sums, group, from, stacks, a)
			return
		case sc.fromSums(sums, group, from, a):
			return
		}
	}
	for at := range min(chunkRows, v.rows-i*chunkRows) {
		if wanted == nil || wanted[c.spans[at]] {
			sc.headRow(v, c, at, group, from, stacks, a)
		}
	}
}

// headRow adds a row of a chunk.
func (sc *scanner) headRow(v *headView, c *chunk, at int, group []uint32, from []int64, stacks []uint32, a *aggregator) {
	t := c.times[at]
	g := group[c.series[at]]
	if g == none || t < from[c.series[at]] || t >= sc.to {
		return
	}
	local := c.stacks[at]
	if stacks[local] == none {
		stacks[local] = a.stack(v.stacks[local])
	}
	a.add(g, t, stacks[local], c.counts[at], c.values[at])
}

// run of rows of one series in a row group.
type rowRun struct {
	first, end int64 // rows within the row group
	group      uint32
	// whole is set when all rows lie in the time range.
	whole bool
	from  int64 // ms
}

// tableSum is a series of which the table says all that is asked for.
type tableSum struct {
	group  uint32
	series *blockSeries
}

// blockTasks returns the work on a file of a block: the series table alone where that is
// enough, else one piece for each row group with rows that match.
func (sc *partScan) blockTasks(c *blockContent) []task {
	rowGroups := c.parquet.RowGroups()
	runs := make([][]rowRun, len(rowGroups))
	var fromTable []tableSum
	rowGroup, groupFirst := 0, int64(0)
	for i := range c.series {
		s := &c.series[i]
		from := sc.from
		if sc.mixed {
			from = max(from, sc.visible.from(s.series.Type))
		}
		if s.maxTime < from || s.minTime >= sc.to || !sc.q.InScope(&s.series) {
			continue
		}
		group := sc.groups.id(&s.series, sc.groupOf)
		if group == none {
			return nil // for want of memory, which the caller finds out
		}
		whole := s.minTime >= from && s.maxTime < sc.to
		if whole && !sc.q.ByStack && !bySpan(sc.q) && sc.oneBucket(s) {
			fromTable = append(fromTable, tableSum{group, s})
			continue
		}
		for first, end := s.firstRow, s.firstRow+s.rows; first < end; {
			if rowGroup == len(rowGroups) { // cannot be: the numbers of rows agree
				break
			}
			groupEnd := groupFirst + rowGroups[rowGroup].NumRows()
			if first >= groupEnd {
				groupFirst = groupEnd
				rowGroup++
				continue
			}
			upTo := min(end, groupEnd)
			runs[rowGroup] = append(runs[rowGroup], rowRun{first - groupFirst, upTo - groupFirst, group, whole, from})
			first = upTo
		}
	}
	var tasks []task
	if len(fromTable) > 0 {
		tasks = append(tasks, func(_ context.Context, a *aggregator) error {
			for _, f := range fromTable {
				a.add(f.group, f.series.minTime, 0, f.series.count, f.series.value)
			}
			return nil
		})
	}
	for i, r := range runs {
		if len(r) > 0 {
			tasks = append(tasks, func(ctx context.Context, a *aggregator) error {
				return sc.rowGroup(ctx, c, rowGroups[i], r, a)
			})
		}
	}
	return tasks
}

// rowGroupBytes is about what reading a row group takes: a page of each of five
// columns, packed and unpacked, and the dictionary.
const rowGroupBytes = 1 << 20

// rowGroup adds the runs of one row group.
func (sc *partScan) rowGroup(ctx context.Context, c *blockContent, rg parquet.RowGroup, runs []rowRun, a *aggregator) (err error) {
	if err := a.claim.Take(rowGroupBytes); err != nil {
		return err
	}
	defer a.claim.Give(rowGroupBytes)
	g := groupScan{partScan: sc, a: a}
	defer g.close()
	needTimes := sc.q.Step > 0
	for i := range runs {
		needTimes = needTimes || !runs[i].whole
	}
	chunks := rg.ColumnChunks()
	if bySpan(sc.q) {
		found := false
		if g.filter, found, err = newSpanFilter(c, chunks, sc.q); err != nil || !found {
			return err
		}
	}
	if sc.q.ByStack {
		if g.stacks, err = newColumnReader(chunks[c.columns.stack]); err != nil {
			return err
		}
	}
	if needTimes {
		if g.times, err = newColumnReader(chunks[c.columns.time]); err != nil {
			return err
		}
	}
	if g.counts, err = newValueReader(chunks[c.columns.count]); err != nil {
		return err
	}
	if c.columns.hasRatio {
		g.values = multipleOf(&g.counts, c.columns.ratio)
	} else if g.values, err = newValueReader(chunks[c.columns.value]); err != nil {
		return err
	}
	for i := range runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.run(ctx, &runs[i]); err != nil {
			return err
		}
		sc.rows.Add(float64(runs[i].end - runs[i].first))
	}
	return nil
}
