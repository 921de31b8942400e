// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// pick returns the entries of all that keys name.
func pick[K comparable, V any](all map[K]V, keys []K) map[K]V {
	found := make(map[K]V, len(keys))
	for _, k := range keys {
		if v, ok := all[k]; ok {
			found[k] = v
		}
	}
	return found
}

// project returns the definitions of a project, empty ones when there are none.
// The lock is held.
func (s *Store) project(name string) *definitions {
	if p := s.projects[name]; p != nil {
		return p
	}
	return &definitions{}
}

// Stacks implements [store.Store].
func (s *Store) Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return pick(s.project(project).stacks, hashes), ctx.Err()
}

// Symbols implements [store.Store].
func (s *Store) Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lines := make(map[libpf.FrameID][]libpf.SourceLine, len(frames))
	for id, sym := range pick(s.project(project).symbols, frames) {
		lines[id] = sym.Lines
	}
	return lines, ctx.Err()
}

// Executables implements [store.Store].
func (s *Store) Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return pick(s.project(project).executables, files), ctx.Err()
}

// Hosts implements [store.Store].
func (s *Store) Hosts(ctx context.Context, project string) ([]store.Host, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	hosts := slices.SortedFunc(maps.Values(s.project(project).hosts), func(a, b store.Host) int {
		return strings.Compare(a.ID, b.ID)
	})
	for i := range hosts {
		hosts[i].Metadata = maps.Clone(hosts[i].Metadata)
	}
	return hosts, ctx.Err()
}

// Stats implements [store.Store].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := store.Stats{Engine: "memory", Samples: int64(len(s.rows)), Bytes: map[string]int64{}}
	for i := range s.rows {
		t := s.rows[i].sample.Time
		if i == 0 {
			st.Oldest, st.Newest = t, t
		}
		st.Oldest, st.Newest = min(st.Oldest, t), max(st.Newest, t)
	}
	for _, p := range s.projects {
		st.Stacks += int64(len(p.stacks))
		st.Symbols += int64(len(p.symbols))
		st.Executables += int64(len(p.executables))
		st.Hosts += int64(len(p.hosts))
	}
	return st, ctx.Err()
}
