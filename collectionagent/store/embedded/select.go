// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
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
	// coarsest is the width of the coarsest that did, horizon the time in ms before
	// which samples have been dropped that roll-ups cannot stand in for.
	coarsest time.Duration
	horizon  int64
}

// task is a piece of work for one goroutine.
type task func(ctx context.Context, a *aggregator) error

// Select implements [store.Store].
func (s *Store) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	started := time.Now()
	defer func() { s.metrics.selectSeconds.Observe(time.Since(started).Seconds()) }()
	a, sc, err := s.scan(ctx, q, q.GroupOf, q.RollUp())
	if err != nil {
		return store.Coverage{}, err
	}
	a.each(&sc.groups, yield)
	return sc.coverage(), nil
}

// coverage says what was read.
func (sc *scanner) coverage() store.Coverage {
	c := store.Coverage{Resolution: max(store.Resolution, sc.coarsest)}
	if horizon := max(sc.expired, sc.horizon); horizon != math.MinInt64 {
		c.Horizon = nanoseconds(horizon)
	}
	if first, last := max(sc.lowest, sc.from), min(sc.highest, sc.to-1); first <= last {
		c.From, c.To = max(nanoseconds(first), sc.q.From), min(nanoseconds(last+1), sc.q.To)
	}
	return c
}

// Delete implements [store.Store].
func (*Store) Delete(context.Context, *store.Deletion) (int64, error) {
	return 0, errors.ErrUnsupported
}

// Types implements [store.Store].
func (s *Store) Types(ctx context.Context, project string, from, to libpf.UnixTimeNs) ([]store.TypeSum, error) {
	q := &store.Query{Project: project, From: from, To: to}
	name := func(dst []string, series *store.Series) []string { return append(dst, series.Type.String()) }
	a, sc, err := s.scan(ctx, q, name, q.RollUp())
	if err != nil {
		return nil, err
	}
	var types []store.TypeSum
	a.each(&sc.groups, func(row *store.Row) bool {
		t, parseErr := libpf.ParseSampleType(row.Group[0])
		err = errors.Join(err, parseErr)
		types = append(types, store.TypeSum{Type: t, Count: row.Count, Sum: row.Value})
		return true
	})
	slices.SortFunc(types, func(a, b store.TypeSum) int { return cmp.Compare(a.Type, b.Type) })
	return types, err
}

// LabelNames implements [store.Store].
func (s *Store) LabelNames(ctx context.Context, q *store.Query) ([]string, error) {
	// Series with the same set of names make up a group.
	names := func(dst []string, series *store.Series) []string {
		series.EachLabelName(func(name string) { dst = append(dst, name) })
		return dst
	}
	a, sc, err := s.scan(ctx, withoutDetail(q), names, 0)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]struct{})
	var all []string
	a.each(&sc.groups, func(row *store.Row) bool {
		for _, name := range row.Group {
			if _, ok := seen[name]; !ok {
				seen[name] = struct{}{}
				all = append(all, name)
			}
		}
		return true
	})
	slices.Sort(all)
	return all, nil
}

// LabelValues implements [store.Store].
func (s *Store) LabelValues(ctx context.Context, q *store.Query, search store.LabelSearch) (store.LabelValues, error) {
	value := func(dst []string, series *store.Series) []string { return append(dst, series.Label(search.Name)) }
	byLabel := *withoutDetail(q)
	byLabel.GroupBy = []string{search.Name}
	a, sc, err := s.scan(ctx, &byLabel, value, byLabel.RollUp())
	if err != nil {
		return store.LabelValues{}, err
	}
	var values []store.LabelValue
	a.each(&sc.groups, func(row *store.Row) bool {
		if row.Group[0] != "" {
			values = append(values, store.LabelValue{Value: row.Group[0], Count: row.Count, Sum: row.Value})
		}
		return true
	})
	return search.Pick(values), nil
}

// withoutDetail returns the query without buckets and stacks.
func withoutDetail(q *store.Query) *store.Query {
	c := *q
	c.Step, c.ByStack = 0, false
	return &c
}

// scan sums up everything that matches. rollUp is the width of the coarsest
// roll-up that knows what q and groupOf ask for.
func (s *Store) scan(
	ctx context.Context, q *store.Query, groupOf func([]string, *store.Series) []string, rollUp time.Duration,
) (*aggregator, *scanner, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	defer s.users.RUnlock()
	for {
		a, sc, err := s.scanOnce(ctx, q, groupOf, rollUp)
		if !errors.Is(err, errBlockGone) { // else a block was replaced since the list was read
			return a, sc, err
		}
	}
}

// scanOnce is scan of the blocks that are listed now.
func (s *Store) scanOnce(
	ctx context.Context, q *store.Query, groupOf func([]string, *store.Series) []string, rollUp time.Duration,
) (*aggregator, *scanner, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	sc := &scanner{q: q, from: store.CeilMs(q.From), to: store.CeilMs(q.To), groupOf: groupOf, rollUp: rollUp, horizon: math.MinInt64}
	sc.groups.byKey = make(map[string]uint32)
	heads, blocks, expired := s.readView()
	sc.from, sc.expired = max(sc.from, expired), expired

	var tasks []task
	first, last := int64(math.MaxInt64), int64(math.MinInt64) // of what is read
	for _, h := range heads {
		if v := h.snapshot(); v.rows > 0 && v.maxTime >= sc.from && v.minTime < sc.to {
			tasks = append(tasks, sc.headTasks(v)...)
			first, last = min(first, v.minTime), max(last, v.maxTime)
		}
	}
	clock := s.clock.Add(1)
	for _, b := range blocks {
		if b.info.MaxTime < sc.from || b.info.MinTime >= sc.to || !b.mayHave(q) {
			continue
		}
		part := sc.source(b)
		if part == nil {
			sc.horizon = max(sc.horizon, b.info.MaxTime+1)
			continue
		}
		c, err := part.acquire(clock)
		if err != nil && part != b && b.info.File != "" && !errors.Is(err, errBlockGone) {
			s.metrics.blockErrors.Inc() // the samples say the same
			part = b
			c, err = part.acquire(clock)
		}
		if err != nil {
			if !errors.Is(err, errBlockGone) {
				s.metrics.blockErrors.Inc()
			}
			return nil, nil, err
		}
		defer part.release()
		s.metrics.read(part)
		tasks = append(tasks, sc.partTasks(part, c)...)
		first, last = min(first, b.info.MinTime), max(last, b.info.MaxTime)
	}
	s.evictBlocks()
	var buckets buckets
	if q.Step > 0 && len(tasks) > 0 {
		buckets = newBuckets(q.Step, max(first, sc.from), min(last, sc.to-1))
	}
	sc.lowest, sc.highest = first, last
	a, err := s.run(ctx, q, buckets, tasks)
	return a, sc, err
}

// run executes the tasks on as many goroutines as there are processors.
func (s *Store) run(ctx context.Context, q *store.Query, buckets buckets, tasks []task) (*aggregator, error) {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(tasks)))
	aggregators := make([]*aggregator, workers)
	errs := make([]error, workers)
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for w := range workers {
		aggregators[w] = newAggregator(q, buckets)
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(tasks) || failed.Load() {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = s.do(ctx, tasks[n], aggregators[w])
				}
				if err != nil {
					errs[w] = err
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	a := aggregators[0]
	for _, b := range aggregators[1:] {
		a.merge(b)
	}
	return a, ctx.Err()
}

// do runs a task. A panic would end the process, not only the query, since it is
// not on the goroutine of the query.
func (s *Store) do(ctx context.Context, t task, a *aggregator) (err error) {
	defer s.caught(&err)
	return t(ctx, a)
}

// headTasks returns the work on a head: as many pieces as processors.
func (sc *scanner) headTasks(v headView) []task {
	group := make([]uint32, len(v.series)) // by series; none: not asked for
	matched := false
	for i := range v.series {
		group[i] = none
		if sc.q.InScope(&v.series[i]) {
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
				sc.headChunk(v, i, group, stacks, wanted, a)
			}
			return nil
		})
	}
	return tasks
}

// headChunk adds the rows of one chunk, of the spans that are wanted; nil: all.
func (sc *scanner) headChunk(v headView, i int, group, stacks []uint32, wanted []bool, a *aggregator) {
	c := v.chunks[i]
	for at := range min(chunkRows, v.rows-i*chunkRows) {
		t := c.times[at]
		g := group[c.series[at]]
		if t < sc.from || t >= sc.to || g == none || (wanted != nil && !wanted[c.spans[at]]) {
			continue
		}
		local := c.stacks[at]
		if stacks[local] == none {
			stacks[local] = a.stack(v.stacks[local])
		}
		a.add(g, t, stacks[local], c.counts[at], c.values[at])
	}
}

// run of rows of one series in a row group.
type rowRun struct {
	first, end int64 // rows within the row group
	group      uint32
	// whole is set when all rows lie in the time range.
	whole bool
}

// blockTasks returns the work on a file of a block: the series table alone where that is
// enough, else one piece for each row group with rows that match.
func (sc *partScan) blockTasks(c *blockContent) []task {
	rowGroups := c.parquet.RowGroups()
	runs := make([][]rowRun, len(rowGroups))
	var fromTable []func(a *aggregator)
	rowGroup, groupFirst := 0, int64(0)
	for i := range c.series {
		s := &c.series[i]
		if s.maxTime < sc.from || s.minTime >= sc.to || !sc.q.InScope(&s.series) {
			continue
		}
		group := sc.groups.id(&s.series, sc.groupOf)
		whole := s.minTime >= sc.from && s.maxTime < sc.to
		if whole && !sc.q.ByStack && !bySpan(sc.q) && sc.oneBucket(s) {
			fromTable = append(fromTable, func(a *aggregator) { a.add(group, s.minTime, 0, s.count, s.value) })
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
			runs[rowGroup] = append(runs[rowGroup], rowRun{first - groupFirst, upTo - groupFirst, group, whole})
			first = upTo
		}
	}
	var tasks []task
	if len(fromTable) > 0 {
		tasks = append(tasks, func(_ context.Context, a *aggregator) error {
			for _, add := range fromTable {
				add(a)
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

// rowGroup adds the runs of one row group.
func (sc *partScan) rowGroup(ctx context.Context, c *blockContent, rg parquet.RowGroup, runs []rowRun, a *aggregator) (err error) {
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
	if g.values, err = newValueReader(chunks[c.columns.value]); err != nil {
		return err
	}
	for i := range runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.run(ctx, &runs[i]); err != nil {
			return err
		}
	}
	return nil
}
