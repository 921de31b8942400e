// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// maxWaves is how often a query starts anew because a block was replaced while it
// worked on others, before it opens all of them at once.
const maxWaves = 3

// claim returns the memory of a query: that of the question in the context, else one
// of its own. free must be called when the answer is out.
func (s *Store) claim(ctx context.Context) (c *memory.Claim, free func()) {
	if c := memory.From(ctx); c != nil {
		return c, func() {}
	}
	c = s.cfg.QueryMemory.Claim(ctx)
	return c, c.Release
}

// scanLabels sums up everything that matches. rollUp is the width of the coarsest
// roll-up that knows what q and groupOf ask for; with seconds, sums per second may be
// used. Files whose tables of series suffice are left to labels, unless that is nil.
// The scanner's free must be called.
func (s *Store) scanLabels(
	ctx context.Context, q *store.Query, groupOf func([]string, *store.Series) []string, rollUp time.Duration, seconds bool, labels *labelScan,
) (*aggregator, *scanner, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	defer s.users.RUnlock()
	claim, free := s.claim(ctx)
	for attempt := 0; ; attempt++ {
		waves := s.waveBytes()
		if attempt >= maxWaves {
			waves = math.MaxInt64
		}
		sc := &scanner{
			q: q, from: store.CeilMs(q.From), to: store.CeilMs(q.To), groupOf: groupOf, rollUp: rollUp, horizon: math.MinInt64,
			claim: claim, labels: labels, seconds: seconds, rowsRead: s.metrics.rowsRead,
		}
		if labels != nil {
			labels.whole = nil
		}
		a, err := s.scanOnce(ctx, sc, waves)
		if err == nil {
			sc.free = func() {
				a.free()
				sc.groups.free()
				free()
			}
			return a, sc, nil
		}
		sc.groups.free()
		if !errors.Is(err, errBlockGone) { // else a block was replaced since the list was read
			free()
			return nil, nil, err
		}
	}
}

// waveBytes is about how much of blocks, their tables above all, one query has open
// at the same time.
func (s *Store) waveBytes() int64 { return max(1<<20, s.cfg.BlockBytes/4) }

// scanOnce is scan of the blocks that are listed now. It works on heads first and
// then on blocks in waves, so that what is open at once is bounded however long
// the range is.
func (s *Store) scanOnce(ctx context.Context, sc *scanner, waves int64) (a *aggregator, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q := sc.q
	sc.groups.byKey = make(map[string]uint32)
	sc.groups.claim = sc.claim
	heads, blocks, expired := s.readView()
	sc.from, sc.expired = max(sc.from, expired), expired
	sc.visible = s.visibility(q.Project, sc.rollUp)
	sc.horizon = sc.visible.horizon(q.Type)

	first, last := int64(math.MaxInt64), int64(math.MinInt64) // of what is read
	var views []headView
	for _, h := range heads {
		if v := h.snapshot(); v.rows > 0 && v.maxTime >= sc.from && v.minTime < sc.to {
			views = append(views, v)
			first, last = min(first, v.minTime), max(last, v.maxTime)
		}
	}
	var parts []source
	for _, b := range blocks {
		if b.info.MaxTime < sc.from || b.info.MinTime >= sc.to || !b.mayHave(q) {
			continue
		}
		from := sc.from
		if b.info.Level > 0 {
			if from = max(from, sc.visible.from(b.info.Type)); b.info.MaxTime < from {
				continue
			}
		}
		part := sc.source(b, from)
		if part == nil {
			sc.horizon = max(sc.horizon, b.info.MaxTime+1)
			continue
		}
		if src := (source{b, part, from}); !sc.labels.takes(sc, src) {
			parts = append(parts, src)
		}
		first, last = min(first, b.info.MinTime), max(last, b.info.MaxTime)
	}
	var buckets buckets
	if q.Step > 0 && len(views)+len(parts) > 0 {
		buckets = newBuckets(q.Step, max(first, sc.from), min(last, sc.to-1))
	}
	sc.lowest, sc.highest = first, last

	w := &workers{store: s}
	defer func() {
		if err != nil {
			w.free()
		}
	}()
	for range max(1, min(runtime.GOMAXPROCS(0), len(parts)+len(views)*runtime.GOMAXPROCS(0))) {
		w.aggregators = append(w.aggregators, newAggregator(q, buckets, sc.claim))
	}
	var tasks []task
	for _, v := range views {
		tasks = append(tasks, sc.headTasks(v)...)
	}
	if sc.groups.err != nil {
		return nil, sc.groups.err
	}
	clock := s.clock.Add(1)
	for next := 0; ; {
		// The first wave has the heads, too.
		n, err := s.wave(ctx, sc, w, tasks, parts[next:], waves, clock)
		if err != nil {
			return nil, err
		}
		if next += n; next == len(parts) {
			break
		}
		tasks = tasks[:0]
	}
	if sc.labels != nil {
		if err := sc.labels.load(ctx, s, sc); err != nil {
			return nil, err
		}
	}
	return w.merge(ctx)
}

// msDuration returns a number of milliseconds as a duration.
func msDuration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// source is a file that a query reads of a block, from a time in ms on.
type source struct {
	block, part *block
	from        int64
}

// wave opens blocks up to some bytes, at least one if there are any, and works on
// them and on the tasks that are there. It returns how many it opened.
func (s *Store) wave(
	ctx context.Context, sc *scanner, w *workers, tasks []task, parts []source, most int64, clock int64,
) (opened int, err error) {
	var taken, size int64
	defer func() {
		sc.claim.Give(taken)
		if err != nil {
			s.evictBlocks() // nobody counts what was opened any more
		}
	}()
	for ; opened < len(parts) && (opened == 0 || (size < most && opened < s.cfg.MaxOpenBlocks)); opened++ {
		c, part, paid, err := s.acquire(&parts[opened], sc.claim, clock)
		if err != nil {
			return opened, err
		}
		taken += paid
		defer part.release()
		defer readFor(ctx, c.file)()
		size += c.bytes
		s.metrics.read(part)
		tasks = append(tasks, sc.partTasks(part, c, parts[opened].from)...)
		if sc.groups.err != nil {
			return opened, sc.groups.err
		}
	}
	if opened > 0 {
		s.evictBlocks()
	}
	return opened, w.run(ctx, tasks)
}

// acquire opens what is to be read of a block, or its samples where that cannot be read, and
// returns what the question has paid for it.
func (s *Store) acquire(from *source, claim *memory.Claim, clock int64) (c *blockContent, part *block, paid int64, err error) {
	b, part := from.block, from.part
	c, paid, err = part.acquireFor(claim, clock)
	if err != nil && claim.Err() == nil && part != b && b.info.File != "" && !errors.Is(err, errBlockGone) {
		s.metrics.blockErrors.Inc() // the samples say the same
		part = b
		c, paid, err = part.acquireFor(claim, clock)
	}
	if err != nil && claim.Err() == nil && !errors.Is(err, errBlockGone) {
		s.metrics.blockErrors.Inc()
	}
	return c, part, paid, err
}

// workers are the goroutines of one query.
type workers struct {
	store       *Store
	aggregators []*aggregator
}

// run executes the tasks.
func (w *workers) run(ctx context.Context, tasks []task) error {
	errs := make([]error, len(w.aggregators))
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for i, a := range w.aggregators[:min(len(tasks), len(w.aggregators))] {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(tasks) || failed.Load() {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = w.store.do(ctx, tasks[n], a)
				}
				if err != nil {
					errs[i] = err
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	// The goroutines share their memory, and fail for want of it together.
	for _, err := range errs {
		if errors.Is(err, memory.ErrTooLarge) || errors.Is(err, memory.ErrBusy) {
			return err
		}
	}
	if err := errors.Join(errs...); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// free gives the memory of all back.
func (w *workers) free() {
	for _, a := range w.aggregators {
		a.free()
	}
}

// merge returns the sums of all.
func (w *workers) merge(ctx context.Context) (*aggregator, error) {
	a := w.aggregators[0]
	for i, b := range w.aggregators[1:] {
		a.merge(b)
		b.free()
		w.aggregators[i+1] = &aggregator{} // for the garbage collector
	}
	if a.err != nil {
		return nil, a.err
	}
	return a, ctx.Err()
}
