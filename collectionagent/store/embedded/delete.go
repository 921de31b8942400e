// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Delete implements [store.Store]. Blocks with rows of the selection are written
// again without them, one at a time, and those with nothing else are removed. What is
// in memory is written as a block first, so that the log no longer has it. Samples
// that come meanwhile may be left; those of a project that goes as a whole are
// refused meanwhile with [store.ErrBusy].
//
// After an error, or a crash in the middle, part of the selection is gone and the rest
// is there as if nothing had been asked for: repeat the call. Where the samples have
// expired, sums per minute or hour that reach into the selected time go as a whole.
func (s *Store) Delete(ctx context.Context, d *store.Deletion) (removed int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.users.RUnlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.working, cancel)()
	removed, err = s.deleteRows(ctx, d)
	if err = errors.Join(err, s.awaitObjectsGone(ctx)); err != nil {
		return removed, fmt.Errorf("delete; some of the selection may be left: %w", err)
	}
	s.logger.Info("deleted data", "project", d.Project, "whole_project", d.Whole(), "rows", removed)
	return removed, nil
}

// deleteRows is Delete but for objects that wait to be removed.
func (s *Store) deleteRows(ctx context.Context, d *store.Deletion) (removed int64, err error) {
	unlock, err := s.lockUpkeep(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	defer func() { s.metrics.deletedRows.Add(float64(removed)) }()
	if d.Whole() {
		defer s.barred.add(d.Project)()
	}
	if err := s.flushHead(ctx); err != nil {
		return 0, fmt.Errorf("write head: %w", err)
	}
	x := newSelection(d)
	var touched numbers
	_, blocks, _ := s.readView()
	var errs []error
	for _, b := range blocks {
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		n, changed, err := s.deleteFrom(ctx, b, &x)
		removed += n
		if changed {
			touched.add(b.info.Number)
			err = errors.Join(err, s.removeLeft(b))
		}
		if err != nil { // the others may be fine
			errs = append(errs, err)
		}
	}
	if x.kept > 0 {
		s.logger.Warn("sums whose samples have expired stay: they do not know the labels that were asked for", "project", d.Project, "blocks", x.kept)
	}
	if d.Whole() && len(errs) == 0 {
		if err := s.forgetProject(ctx, d.Project); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		if err := s.scrub(ctx, d, &touched); err != nil {
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// removeLeft removes the files of a block that is off the list, if that did not work when
// it was taken off.
func (s *Store) removeLeft(b *block) error {
	var errs []error
	for _, name := range b.info.files() {
		path := filepath.Join(s.blocksDir(), name)
		if _, err := os.Lstat(path); err != nil {
			continue // gone, or in object storage
		}
		if err := s.cfg.files.remove(path); err != nil {
			errs = append(errs, fmt.Errorf("file of a deleted block stays until the next start: %w", err))
		}
	}
	return errors.Join(errs...)
}

// numbers are the numbers of blocks that were changed.
type numbers struct {
	n           int
	first, last uint64
}

func (c *numbers) add(n uint64) {
	if c.n == 0 {
		c.first, c.last = n, n
	}
	c.n++
	c.first, c.last = min(c.first, n), max(c.last, n)
}

// deleteFrom removes the rows of a selection from a block and its companions.
// changed says that files went.
func (s *Store) deleteFrom(ctx context.Context, b *block, x *selection) (removed int64, changed bool, err error) {
	part := b.finest()
	some, all, err := x.findIn(s, part)
	if err != nil {
		return 0, false, fmt.Errorf("read series of block %s: %w", b.info.files()[0], err)
	}
	if !some {
		return 0, false, nil
	}
	_, _, expired := s.readView()
	if all && (part.kind != "" || b.info.MinTime >= expired) { // nothing to read: every row counts
		s.listMu.Lock()
		err = s.swapLocked(ctx, []*block{b}, nil, nil, nil)
		s.listMu.Unlock()
		removed = part.info.Rows
	} else {
		removed = 0
		_, err = s.rewrite(ctx, []*block{b}, b.sameTarget(), func(series *store.Series, ms int64) bool {
			if x.has(series, ms, part.width) {
				removed++
				return false
			}
			return true
		}, nil)
	}
	switch {
	case err == nil:
		return removed, true, nil
	case errors.Is(err, errBlockGone): // it expired meanwhile
		return 0, true, nil
	case isBadBlock(err) != nil:
		return 0, false, fmt.Errorf("block %s cannot be read; restore it from a backup, or delete everything in its time range: %w",
			b.info.files()[0], err)
	}
	return 0, false, err
}

// selection is a deletion in milliseconds.
type selection struct {
	*store.Deletion
	// first and last bound the times, both inclusive.
	first, last int64
	// rollable says that roll-ups know the labels that are asked for.
	rollable bool
	// kept counts blocks of sums in the times and types that are asked for, of which nobody
	// knows whether they have any of the labels.
	kept int
}

func newSelection(d *store.Deletion) selection {
	x := selection{Deletion: d, first: math.MinInt64, last: math.MaxInt64, rollable: true}
	if d.From != 0 {
		x.first = store.CeilMs(d.From)
	}
	if d.To != 0 {
		x.last = store.CeilMs(d.To) - 1
	}
	for _, m := range d.Matchers {
		x.rollable = x.rollable && slices.Contains(store.RollUpLabels, m.Name)
	}
	return x
}

// has reports whether a row is selected. width is that of the times of a companion, of
// which those that reach into the selected range count.
func (x *selection) has(s *store.Series, ms, width int64) bool {
	return ms <= x.last && ms+max(width-1, 0) >= x.first && x.HasSeries(s)
}

// findIn reports whether some or all of the rows of a block are selected, as far
// as its list of series can tell: some may turn out to be none.
func (x *selection) findIn(s *Store, part *block) (some, all bool, err error) {
	i := part.info
	if i.MaxTime < x.first || i.MinTime > x.last || (i.Level > 0 && i.Project != x.Project) {
		return false, false, nil
	}
	if i.Level > 0 && len(x.Types) > 0 && !slices.Contains(x.Types, i.Type) {
		return false, false, nil
	}
	if part.kind != "" && !x.rollable {
		x.kept++
		return false, false, nil
	}
	raw, err := part.rawTable(i.Number)
	if err != nil {
		return false, false, err
	}
	table, err := newTableReader(raw, s.zstdDec)
	if err != nil {
		return false, false, err
	}
	all = true
	for {
		var b blockSeries
		ok, err := table.next(&b)
		if err != nil || !ok {
			return some, some && all, err
		}
		overlaps := b.minTime <= x.last && b.maxTime+max(part.width-1, 0) >= x.first && x.HasSeries(&b.series)
		some = some || overlaps
		all = all && overlaps && (part.width > 0 || b.minTime >= x.first) && b.maxTime <= x.last
		if part.width > 0 {
			all = all && b.minTime+part.width > x.first
		}
		if some && !all {
			return true, false, nil
		}
	}
}
