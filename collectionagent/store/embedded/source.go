// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// partScan is a query on its way through one file of a block.
type partScan struct {
	*scanner
	// from and to bound the rows, and lowest and highest are what the list of blocks
	// promises, all in ms. Rows of companions have the time at which their minute or
	// hour starts.
	from, to        int64
	lowest, highest int64
	// mixed says that the file has several types, of which each may be hidden up to
	// another time.
	mixed bool
	// rows counts the rows that are read.
	rows prometheus.Counter
}

// knowSeconds reports whether sums per second know all that a query asks for.
func knowSeconds(q *store.Query) bool {
	whole := *q
	whole.Step = 0
	return !q.ByStack && q.Step%time.Second == 0 && whole.RollUp() > 0
}

// mayHave reports whether the block may have samples of the project and type of a query.
func (b *block) mayHave(q *store.Query) bool {
	return b.info.Level == 0 || (b.info.Project == q.Project && (q.Type == 0 || q.Type == b.info.Type))
}

// source returns what a query reads of a block: the companion with the fewest rows
// that gives the same answer as the samples, else the samples. Times within the
// width of a companion are in no order in the file, so that to read the ragged ends of a
// range from the samples costs as much as to read all of it from there. Where the
// samples have been dropped it is the finest companion; nil when that cannot answer.
func (sc *scanner) source(b *block, from int64) *block {
	whole := from <= b.info.MinTime && sc.to > b.info.MaxTime
	if c := b.companion(sumsTotals); c != nil && whole && sc.rollUp > 0 && sc.q.Step == 0 && sc.onlyService() {
		return c
	}
	fits := func(width int64) bool {
		return (from <= b.info.MinTime || from%width == 0) && (sc.to > b.info.MaxTime || sc.to%width == 0)
	}
	best := b
	var finest *block
	for _, kind := range []sumsKind{sumsHours, sumsMinutes} {
		c := b.companion(kind)
		if c == nil || time.Duration(c.width)*time.Millisecond > sc.rollUp {
			continue
		}
		if finest = c; best == b && fits(c.width) {
			best = c
		}
	}
	if b.info.File == "" {
		if best == b {
			return finest
		}
		return best
	}
	if c := b.companion(sumsSeconds); c != nil && sc.seconds && fits(c.width) && c.info.Rows < best.info.Rows {
		return c
	}
	return best
}

// onlyService reports whether a query that roll-ups can answer asks for no other
// label than the service.
func (sc *scanner) onlyService() bool {
	for _, m := range sc.q.Matchers {
		if m.Name != store.LabelService {
			return false
		}
	}
	for _, name := range sc.q.GroupBy {
		if name != store.LabelService {
			return false
		}
	}
	return true
}

// partTasks returns the work on what source chose.
func (sc *scanner) partTasks(part *block, c *blockContent, from int64) []task {
	p := &partScan{scanner: sc, mixed: part.info.Level == 0, from: from, to: sc.to, lowest: part.info.MinTime, highest: part.info.MaxTime}
	p.rows = sc.rowsRead.WithLabelValues(partName(part.kind))
	switch {
	case part.kind == "":
		return p.blockTasks(c)
	case part.width == 0:
		p.from, p.to = math.MinInt64, math.MaxInt64
		sc.coarsest = store.RollUpHour // what else the answer is exact for
	default:
		// The first row may start before the first sample.
		p.lowest = floorTo(p.lowest, part.width)
		if from <= part.info.MinTime {
			p.from = math.MinInt64
		}
		if part.kind != sumsSeconds { // which are there while samples are, and used where nobody can tell
			sc.coarsest = max(sc.coarsest, time.Duration(part.width)*time.Millisecond)
		}
	}
	return p.blockTasks(c)
}

// oneBucket reports whether all rows of a series lie in the same bucket of the answer.
func (sc *partScan) oneBucket(s *blockSeries) bool {
	return sc.q.Step == 0 || (s.minTime >= sc.lowest && s.maxTime <= sc.highest &&
		store.Bucket(nanoseconds(s.minTime), sc.q.Step) == store.Bucket(nanoseconds(s.maxTime), sc.q.Step))
}

// dropSamples removes the samples of blocks and keeps their sums, per hour and if
// minutes says so per minute; what of these a block does not have is made first. The
// caller holds s.upkeep.
func (s *Store) dropSamples(ctx context.Context, blocks []*block, minutes bool) error {
	var complete []*block
	for _, b := range blocks {
		switch {
		case b.info.File == "":
		case b.companion(sumsHours) != nil && (!minutes || b.companion(sumsMinutes) != nil):
			complete = append(complete, b)
		default:
			to := target{level: max(b.info.Level, 1), onlySums: true, noMinutes: !minutes}
			if b.info.Level == 0 {
				to.width = s.cfg.compaction.window.Milliseconds()
			}
			if _, err := s.rewrite(ctx, []*block{b}, to, nil, nil); err != nil {
				return fmt.Errorf("drop samples: %w", err)
			}
		}
	}
	return s.dropParts(ctx, complete, func(part *block) bool {
		return part.kind == "" || part.kind == sumsSeconds || (part.kind == sumsMinutes && !minutes)
	})
}

// dropParts removes files of blocks, and the whole block where neither samples nor
// sums by time would be left. The caller holds s.upkeep.
func (s *Store) dropParts(ctx context.Context, blocks []*block, gone func(part *block) bool) error {
	if len(blocks) == 0 {
		return nil
	}
	var entries []*newEntry
	for _, b := range blocks {
		info := *b.info
		info.Sums = nil
		left := false
		if info.File != "" && gone(b) {
			info.File, info.Rows, info.Bytes, info.TableBytes, info.Sum = "", 0, 0, 0, nil
		} else if info.File != "" {
			left = true
		}
		for _, c := range b.sums {
			if !gone(c) {
				info.Sums = append(info.Sums, sumsInfo{Kind: c.kind, File: c.info.File, Rows: c.info.Rows, Bytes: c.info.Bytes, Sum: c.info.Sum})
				left = left || c.width > 0
			}
		}
		if left {
			entries = append(entries, &newEntry{info: &info, block: s.newBlock(&info)})
		}
	}
	s.listMu.Lock()
	defer s.listMu.Unlock()
	if err := s.swapLocked(ctx, blocks, entries, nil, nil); err != nil {
		return fmt.Errorf("drop files of blocks: %w", err)
	}
	return nil
}
