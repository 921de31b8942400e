// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// target says what a rewrite makes of its rows.
type target struct {
	// level of the new blocks. At level 0 all rows go into one block without
	// companions, else each block has the rows of one project and type.
	level int
	// width of the windows that blocks are cut into, aligned to the epoch, in ms; 0:
	// they are not cut.
	width int64
	// onlySums leaves the samples out and makes all companions, but those per minute
	// where noMinutes says so.
	onlySums, noMinutes bool
}

// sameTarget is the target of a rewrite of a block that is to keep its place.
func (b *block) sameTarget() target { return target{level: b.info.Level} }

// rewritten says what a rewrite did.
type rewritten struct {
	rows, removed     int64 // rows read, and how many of them were not kept
	bytesIn, bytesOut int64
	blocks            []*block // the new ones, as they are on the list
}

// Bounds of a rewrite.
const (
	// maxOpenOutputs is how many blocks are written at the same time; the rows of more
	// windows are read once more.
	maxOpenOutputs = 4
	// maxWindows is into how many windows the rows of a project and type are cut. The
	// rows of further ones go into one block, so that senseless times do not make
	// as many files.
	maxWindows = 64
	// A block is cut at a size where a merge or a query with it still takes little memory.
	maxOutputRows  = 1 << 26
	maxOutputTable = 16 << 20
)

// rewrite merges blocks into new ones that have their rows but those for which
// keep is false (nil: all are kept) and those that have expired, and commits the
// swap of the entries in the list with whatever extra adds to it (may be nil), in
// one synced batch. Only then the old files are removed. Rows of blocks without samples
// are those of the finest companion that is left; all blocks must be alike in that.
//
// The caller holds s.upkeep (see lockUpkeep), so that the blocks stay on the list; when
// an expiry took one off all the same, nothing is changed and the error is errBlockGone.
// An error that isBadBlock knows is of one of the blocks, not of what is written.
func (s *Store) rewrite(
	ctx context.Context, in []*block, to target, keep func(*store.Series, int64) bool, extra func(*pebble.Batch) error,
) (result rewritten, err error) {
	_, _, expired := s.readView()
	w := rewriter{store: s, in: in, to: to, keep: keep, expired: expired}
	defer func() {
		if err != nil {
			w.abandon()
		}
	}()
	for i, b := range in {
		if (b.info.File == "") != (in[0].info.File == "") || (b.info.File == "" && b.finest().kind != in[0].finest().kind) {
			return result, fmt.Errorf("rewrite blocks: %s has other kinds of files than %s", in[i].info.files()[0], in[0].info.files()[0])
		}
		result.bytesIn += b.info.bytes()
	}
	if len(in) == 0 {
		return result, nil
	}
	if err := w.findSeconds(); err != nil {
		return result, err
	}
	for more := true; more; {
		if more, err = w.pass(ctx); err != nil {
			return result, err
		}
	}
	if err := s.cfg.files.syncDir(s.blocksDir()); err != nil {
		return result, err
	}
	result.rows, result.removed = w.rows, w.removed
	for _, p := range w.finished {
		result.bytesOut += p.info.bytes()
		result.blocks = append(result.blocks, p.block)
	}
	s.listMu.Lock()
	defer s.listMu.Unlock()
	err = s.swapLocked(ctx, in, w.finished, extra, nil)
	if errors.Is(err, errUncertain) {
		w.finished = nil // they may be listed; if not, the next start removes them
	}
	return result, err
}

// errUncertain is returned (wrapped) when it is not known whether a change of the
// list of blocks was committed.
var errUncertain = errors.New("outcome of commit is unknown")

// lockUpkeep waits until nobody else rewrites blocks. unlock must be called.
func (s *Store) lockUpkeep(ctx context.Context) (unlock func(), err error) {
	select {
	case s.upkeep <- struct{}{}:
		return func() { <-s.upkeep }, nil
	case <-s.working.Done():
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newEntry is a block whose files are durable and that is not on the list yet.
type newEntry struct {
	info  *blockInfo
	block *block
	// tables are the encoded series tables by kind; those of other parts stay.
	tables map[sumsKind][]byte
}

// swapLocked takes blocks off the list and puts others on it, in one synced batch
// with what extra adds. seen is called with the change of what readers see. Then it
// removes the files that are no longer listed. An entry may replace one of the
// same number. listMu is held.
func (s *Store) swapLocked(ctx context.Context, old []*block, entries []*newEntry, extra func(*pebble.Batch) error, seen func()) error {
	_, listed, _ := s.readView()
	for _, b := range old {
		if !slices.Contains(listed, b) {
			return errBlockGone
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	var err error
	kept := make(map[string]bool) // files and keys
	for _, e := range entries {
		for _, name := range e.info.files() {
			kept[name] = true
		}
		for _, part := range e.block.parts() {
			kept[string(tableKey(e.info.Number, part.kind))] = true
		}
	}
	for _, b := range old {
		err = errors.Join(err, batch.Delete(blockKey(keyBlock, b.info.Number), nil))
	}
	for _, e := range entries {
		entry, encodeErr := e.info.encode()
		err = errors.Join(err, encodeErr, batch.Set(blockKey(keyBlock, e.info.Number), entry, nil))
		for kind, table := range e.tables {
			err = errors.Join(err, batch.Set(tableKey(e.info.Number, kind), table, nil))
		}
	}
	if extra != nil {
		err = errors.Join(err, extra(batch))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("change list of blocks: %w", err), batch.Close())
	}
	if s.cfg.beforeCommit != nil {
		if err := s.cfg.beforeCommit(); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	// The outcome of a commit that is not waited for is unknown, so it is waited for,
	// unless the store is closed and the disk is stuck.
	if err := s.commitList(context.Background(), s.closed.Load, batch); err != nil {
		return fmt.Errorf("change list of blocks: %w: %w", errUncertain, err)
	}
	s.viewMu.Lock()
	s.blocks = slices.DeleteFunc(slices.Clone(s.blocks), func(b *block) bool { return slices.Contains(old, b) })
	for _, e := range entries {
		s.blocks = append(s.blocks, e.block)
	}
	if seen != nil {
		seen()
	}
	s.viewMu.Unlock()
	garbage := s.db.NewBatch()
	for _, b := range old {
		b.kill() // before its files and tables go, see acquire
		for _, part := range b.parts() {
			if key := tableKey(b.info.Number, part.kind); !kept[string(key)] {
				err = errors.Join(err, garbage.Delete(key, nil))
			}
		}
		for _, part := range b.parts() {
			name := part.info.File
			if kept[name] {
				continue
			}
			if b.info.Remote {
				s.remote.removeObject(part)
				continue
			}
			if err := s.cfg.files.remove(filepath.Join(s.blocksDir(), name)); err != nil {
				s.metrics.leftovers.Inc()
				s.logger.Warn("file of an old block stays until the next start", "file", name, "err", err)
			}
		}
	}
	if err == nil {
		_, err = s.await(context.Background(), always, func() (bool, error) {
			return true, errors.Join(garbage.Commit(pebble.NoSync), garbage.Close())
		})
	}
	if err != nil {
		s.logger.Warn("series tables of old blocks stay until the next start", "err", err)
	}
	return nil
}

// removeTables removes series tables of blocks that are no longer listed: a crash
// came between taking them off the list and removing the tables.
func (s *Store) removeTables() (err error) {
	listed := make(map[string]bool)
	for _, b := range s.blocks {
		for _, part := range b.parts() {
			listed[string(tableKey(b.info.Number, part.kind))] = true
		}
	}
	prefix := []byte{keySeries}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("list series tables: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	batch := s.db.NewBatch()
	for it.First(); it.Valid(); it.Next() {
		if !listed[string(it.Key())] {
			err = errors.Join(err, batch.Delete(it.Key(), nil))
		}
	}
	if err = errors.Join(err, it.Error(), batch.Commit(pebble.NoSync), batch.Close()); err != nil {
		return fmt.Errorf("remove series tables: %w", err)
	}
	return nil
}

// rewriter is one rewrite on its way.
type rewriter struct {
	store   *Store
	in      []*block
	to      target
	keep    func(*store.Series, int64) bool
	expired int64

	// done are the windows that earlier passes wrote.
	done map[outputKey]bool
	// windows is how many windows each project and type has so far.
	windows map[seriesScope]int
	// open are the outputs of the project and type that is being read.
	open     map[outputKey]*output
	scope    seriesScope
	finished []*newEntry
	serial   int64 // of the series
	first    bool  // the first pass counts rows

	// seconds says of which projects and types all times are whole seconds.
	seconds map[seriesScope]bool

	rows, removed int64
}

// seriesScope is what one compacted block has samples of.
type seriesScope struct {
	project string
	typ     libpf.SampleType
}

// outputKey is a window of a project and type.
type outputKey struct {
	seriesScope
	window int64 // number of the window
}

// Windows that are none.
const (
	wholeWindow = math.MinInt64     // everything: blocks are not cut
	restWindow  = math.MinInt64 + 1 // what is in none of the first maxWindows
)

// output is a block that is being written.
type output struct {
	number  uint64
	level   int
	scope   seriesScope
	samples *rowFile[blockRow] // nil when there are none
	sums    *sumsWriter        // nil at level 0
	serial  int64              // of the series that was begun last
	rows    int64
	minTime int64
	maxTime int64
}

// pass reads all blocks and writes as many windows as may be open. more says that
// there are rows of others.
func (w *rewriter) pass(ctx context.Context) (more bool, err error) {
	m, err := w.store.newMerger(w.in)
	if err != nil {
		return false, err
	}
	defer m.close()
	if w.done == nil {
		w.first = true
		w.done, w.windows, w.open = make(map[outputKey]bool), make(map[seriesScope]int), make(map[outputKey]*output)
	}
	for {
		s, err := m.nextSeries(ctx)
		if err != nil {
			return false, err
		}
		if s == nil {
			break
		}
		scope := seriesScope{s.series.Project, s.series.Type}
		if w.to.level == 0 {
			scope = seriesScope{}
		}
		if scope != w.scope {
			if err := w.closeOutputs(); err != nil {
				return false, err
			}
			w.scope = scope
		}
		if !w.first && w.isDone(s) {
			continue
		}
		skipped, err := w.series(ctx, m, &s.series)
		if err != nil {
			return false, err
		}
		more = more || skipped
	}
	err = w.closeOutputs()
	w.first = false
	return more, err
}

// findSeconds finds out which samples have times of whole seconds, by the bounds of
// the times of their series.
func (w *rewriter) findSeconds() error {
	w.seconds = make(map[seriesScope]bool)
	for _, b := range w.in {
		raw, err := b.finest().rawTable(b.info.Number)
		if err != nil {
			return err
		}
		table, err := newTableReader(raw, w.store.zstdDec)
		if err != nil {
			return &badBlockError{b, err}
		}
		var s blockSeries
		for {
			ok, err := table.next(&s)
			if err != nil {
				return &badBlockError{b, err}
			}
			if !ok {
				break
			}
			scope := seriesScope{s.series.Project, s.series.Type}
			if w.to.level == 0 {
				scope = seriesScope{}
			}
			before, known := w.seconds[scope]
			w.seconds[scope] = (before || !known) && s.minTime%1000 == 0 && s.maxTime%1000 == 0
		}
	}
	return nil
}

// isDone reports whether earlier passes wrote all rows of a series.
func (w *rewriter) isDone(s *blockSeries) bool {
	first, last := w.window(s.minTime), w.window(s.maxTime)
	return first == last && w.done[outputKey{w.scope, first}]
}

// window returns the number of the window of a time.
func (w *rewriter) window(ms int64) int64 {
	if w.to.width == 0 {
		return wholeWindow
	}
	return floorTo(ms, w.to.width) / w.to.width
}

// series writes the rows of a series. skipped says that some are of windows that
// are not open.
func (w *rewriter) series(ctx context.Context, m *merger, s *store.Series) (skipped bool, err error) {
	w.serial++
	expired := max(w.expired, w.store.floors(s.Project, s.Type).of(store.RollUpHour))
	var out *output
	window := int64(math.MaxInt64)
	for n := 0; ; n++ {
		if n%cursorRows == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		r, err := m.nextRow()
		if err != nil {
			return false, err
		}
		if r == nil {
			return skipped, nil
		}
		if w.first {
			w.rows++
		}
		if r.time < expired || (w.keep != nil && !w.keep(s, r.time)) {
			if w.first {
				w.removed++
			}
			continue
		}
		if at := w.window(r.time); at != window {
			window = at
			if out, err = w.output(at); err != nil {
				return false, err
			}
			if out == nil {
				skipped = skipped || !w.isWritten(at)
			}
		}
		if out == nil {
			continue
		}
		if out.serial != w.serial {
			if out.full() {
				if out, err = w.replace(out); err != nil {
					return false, err
				}
			}
			out.serial = w.serial
			if err := out.begin(s); err != nil {
				return false, err
			}
		}
		if err := out.add(r); err != nil {
			return false, err
		}
	}
}

// isWritten reports whether an earlier pass wrote a window.
func (w *rewriter) isWritten(window int64) bool { return w.done[outputKey{w.scope, window}] }

// output returns the block for the rows of a window, nil when it is not its turn.
func (w *rewriter) output(window int64) (*output, error) {
	key := outputKey{w.scope, window}
	if w.done[key] {
		return nil, nil
	}
	if out := w.open[key]; out != nil {
		return out, nil
	}
	if w.windows[w.scope] >= maxWindows {
		// All rows of windows that have no block of their own are of this pass, as long
		// as no window can get one in a later pass.
		rest := outputKey{w.scope, restWindow}
		if w.done[rest] {
			return nil, nil
		}
		if out := w.open[rest]; out != nil {
			return out, nil
		}
		key = rest
	}
	if len(w.open) >= maxOpenOutputs {
		return nil, nil
	}
	out, err := w.newOutput()
	if err != nil {
		return nil, err
	}
	w.windows[w.scope]++
	w.open[key] = out
	return out, nil
}
