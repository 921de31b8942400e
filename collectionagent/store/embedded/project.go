// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// errBarred refuses writes of a project that is being deleted.
var errBarred = fmt.Errorf("%w: the project is being deleted", store.ErrBusy)

// barred are projects that take no writes: nothing may come between the removal of
// their samples and that of their windows, or a repeat of it would be stored twice.
type barred struct {
	some     atomic.Bool // so that others pay nothing
	mu       sync.Mutex
	projects map[string]int
}

// add bars a project until the returned function is called.
func (b *barred) add(project string) (remove func()) {
	change := func(by int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.projects == nil {
			b.projects = make(map[string]int)
		}
		if b.projects[project] += by; b.projects[project] == 0 {
			delete(b.projects, project)
		}
		b.some.Store(len(b.projects) > 0)
	}
	change(1)
	return func() { change(-1) }
}

func (b *barred) has(project string) bool {
	if !b.some.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.projects[project] > 0
}

// refuseBarred answers the requests of projects that are barred and returns the others.
func (s *Store) refuseBarred(group []*request) []*request {
	if !s.barred.some.Load() {
		return group
	}
	left := make([]*request, 0, len(group))
	for _, r := range group {
		refused := s.barred.has(r.batch.ID.Project)
		for i := range r.batch.Series {
			refused = refused || s.barred.has(r.batch.Series[i].Project)
		}
		if !refused {
			left = append(left, r)
			continue
		}
		s.metrics.rejected.WithLabelValues("deleting").Inc()
		answer([]*request{r}, result{err: errBarred})
	}
	return left
}

// Forgotten counts how often definitions were removed: whoever remembers that the
// store has one must ask again when it has changed.
func (s *Store) Forgotten() uint64 { return s.forgotten.Load() }

// forgetProject removes the definitions, windows and ledgers of a project that is
// barred and has no samples.
func (s *Store) forgetProject(ctx context.Context, project string) error {
	s.garbage.running.Lock() // the numbers of keys must stay
	defer s.garbage.running.Unlock()
	// Whoever passed the bar before is done now.
	s.defsMu.Lock()
	s.defsMu.Unlock() //nolint:staticcheck // see above
	var gone defCounts
	for kind, n := range map[byte]*int64{
		keyStack: &gone.stacks, keySymbol: &gone.symbols, keyExecutable: &gone.executables, keyHost: &gone.hosts,
	} {
		err := scan(s.db, projectKey(kind, project), func(_, _ []byte) error {
			*n++
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	_, err := s.await(ctx, always, func() (bool, error) { return true, s.forgetLocked(project, &gone) })
	if err != nil {
		return fmt.Errorf("remove definitions: %w", err)
	}
	return nil
}

// forgetLocked commits the removal and waits for the disk however long it takes.
func (s *Store) forgetLocked(project string, gone *defCounts) error {
	s.defsMu.Lock()
	defer s.defsMu.Unlock()
	b := s.db.NewBatch()
	counts := *s.counts.Load()
	counts.stacks -= gone.stacks
	counts.symbols -= gone.symbols
	counts.executables -= gone.executables
	counts.hosts -= gone.hosts
	err := b.Set([]byte(keyCounts), counts.encode(), nil)
	for _, prefix := range projectPrefixes(project) {
		err = errors.Join(err, b.DeleteRange(prefix, prefixEnd(prefix), nil))
	}
	if err = errors.Join(err, b.Commit(pebble.Sync), b.Close()); err != nil {
		return err
	}
	s.counts.Store(&counts)
	s.defWindows.forget(project)
	s.winMu.Lock()
	s.winSamples.forget(project)
	s.winMu.Unlock()
	s.viewMu.Lock()
	maps.DeleteFunc(s.horizons, func(scope seriesScope, _ floors) bool { return scope.project == project && scope != seriesScope{} })
	s.viewMu.Unlock()
	s.forgotten.Add(1)
	return nil
}

// projectPrefixes returns what the keys of a project start with.
func projectPrefixes(project string) [][]byte {
	var all [][]byte
	for _, kind := range []byte{keyStack, keyPack, keySymbol, keyExecutable, keyHost, keyMetric} {
		all = append(all, projectKey(kind, project))
	}
	all = append(all, projectKey(keyHorizon, project))
	for _, kind := range []byte{windowSamples, windowDefinitions} {
		all = append(all, appendString([]byte{keyWindow, kind}, project))
	}
	return all
}

// maxScrub is how long the removal of files by Pebble is waited for.
const maxScrub = 30 * time.Second

// scrub makes Pebble write its files again without the keys that were deleted.
// It only hides them otherwise, for as long as it likes.
func (s *Store) scrub(ctx context.Context, d *store.Deletion, touched *numbers) error {
	var ranges [][2][]byte
	if touched.n > 0 {
		for _, kind := range []byte{keyBlock, keySeries} {
			ranges = append(ranges, [2][]byte{blockKey(kind, touched.first), blockKey(kind, touched.last+1)})
		}
	}
	if d.Whole() {
		for _, prefix := range projectPrefixes(d.Project) {
			ranges = append(ranges, [2][]byte{prefix, prefixEnd(prefix)})
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	before, err := s.metaFiles()
	if err != nil {
		return err
	}
	_, err = s.await(ctx, always, func() (bool, error) {
		for _, r := range ranges {
			if err := s.db.Compact(ctx, r[0], r[1], false); err != nil {
				return false, err
			}
		}
		return true, s.renewLogs()
	})
	if err == nil {
		err = s.awaitRemoval(ctx, before)
	}
	if err != nil {
		return fmt.Errorf("remove deleted keys from files: %w", err)
	}
	return nil
}

// keyScrub has no meaning: writing it makes Pebble start a new log.
const keyScrub = "z"

// logRounds is one more than how many old logs Pebble keeps for later use.
const logRounds = 5

// renewLogs makes Pebble remove its logs so far.
func (s *Store) renewLogs() error {
	for range logRounds {
		if err := errors.Join(s.db.Set([]byte(keyScrub), nil, pebble.NoSync), s.db.Flush()); err != nil {
			return err
		}
	}
	return nil
}

// metaFiles returns the names of the tables and logs of Pebble.
func (s *Store) metaFiles() (map[string]bool, error) {
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, "meta"))
	if err != nil {
		return nil, fmt.Errorf("list files of definitions: %w", err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".sst" || ext == ".log" {
			names[e.Name()] = true
		}
	}
	return names, nil
}

// awaitRemoval waits until Pebble, which removes files in the background, has removed
// those of before that it does not need any more.
func (s *Store) awaitRemoval(ctx context.Context, before map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, maxScrub)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		left, err := s.metaFiles()
		if err != nil {
			return err
		}
		tables, err := s.db.SSTables()
		if err != nil {
			return fmt.Errorf("list tables of definitions: %w", err)
		}
		for _, level := range tables {
			for i := range level {
				delete(left, fmt.Sprintf("%06d.sst", uint64(level[i].BackingSSTNum)))
			}
		}
		var old []string
		for name := range left {
			if before[name] {
				old = append(old, name)
			}
		}
		if len(old) == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%s in meta: %w", strings.Join(old, ", "), ctx.Err())
		}
	}
}
