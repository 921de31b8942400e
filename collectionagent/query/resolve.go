// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

const (
	// lookupChunk is how many definitions one look-up asks for. It bounds how long
	// the store works without looking at the context.
	lookupChunk = 2048
	// definitionBytes is about what a stack takes as the store hands it over.
	definitionBytes = 4 << 10

	// unknownTTL is how soon a name that is missing is asked for again: an agent
	// that was just started names its frames within a few flushes.
	unknownTTL = 15 * time.Second
	// fallbackTTL is how soon a name is asked for again that is all a symbol table
	// tells, as fallbacks are.
	fallbackTTL = 2 * time.Minute
	// finalTTL is how soon a full name is asked for again; it changes only when
	// somebody uploads better symbols.
	finalTTL = 30 * time.Minute
)

// definitions is the part of a store that names things.
type definitions interface {
	Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error)
	Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error)
	Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error)
}

var _ definitions = store.Store(nil)

// resolver finds and remembers what stacks are made of and what their frames
// are called. It is safe for concurrent use.
type resolver struct {
	store   definitions
	now     func() time.Time
	metrics *metrics
	budget  int64
	memory  atomic.Pointer[remembered]
	order   functionOrder
}

func newResolver(s definitions, budget int64, now func() time.Time, m *metrics) *resolver {
	r := &resolver{store: s, now: now, metrics: m, budget: budget}
	r.memory.Store(newRemembered(budget, now()))
	r.order.most = int(budget / 16 / orderedCost)
	return r
}

// current returns what is remembered for a question that begins.
func (r *resolver) current() *remembered {
	m, now := r.memory.Load(), r.now()
	if m.full(now) {
		next := newRemembered(r.budget, now)
		next.before.Store(m)
		if r.memory.CompareAndSwap(m, next) {
			m.before.Store(nil)
		}
		m = r.memory.Load()
	}
	return m
}

// used returns about how many bytes are remembered.
func (r *resolver) used() int64 {
	m := r.memory.Load()
	return m.used() + m.before.Load().used()
}

// resolution is what is known of the stacks of one query.
type resolution struct {
	// stacks are the frames of each stack, leaf first, as indexes into entries and
	// names, which hold each frame once.
	stacks  [][]uint32
	entries []*frameEntry
	names   []*frameNames
	// unknown says which stacks the store does not know.
	unknown []bool
	// watch is that of the question, nil: none.
	watch *watch
	order *functionOrder
}

// resolve looks stacks up.
func (r *resolver) resolve(ctx context.Context, w *watch, project string, hashes []libpf.TraceHash) (*resolution, error) {
	m := r.current()
	stacks := make([][]uint32, len(hashes))
	var missing []int
	for first := 0; first < len(hashes); first += lookupChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := hashes[first:min(first+lookupChunk, len(hashes))]
		missing = m.find(project, part, stacks[first:], first, missing)
	}
	r.metrics.lookups("stack", len(hashes)-len(missing), len(missing))
	res := &resolution{unknown: make([]bool, len(hashes)), watch: w, order: &r.order}
	// A store finds neighbours faster.
	slices.SortFunc(missing, func(a, b int) int {
		if w.ended() { // any order will do, the sooner the better
			return 0
		}
		return hashes[a].Compare(hashes[b].Hash128)
	})
	for chunk := range slices.Chunk(missing, lookupChunk) {
		// What the store finds is in memory twice until the chunk is done.
		if err := w.hold(lookupChunk*definitionBytes, func() error { return r.loadStacks(ctx, w, m, project, hashes, chunk, stacks) }); err != nil {
			return nil, err
		}
		for _, i := range chunk {
			if stacks[i] == nil {
				stacks[i], res.unknown[i] = unknownStack, true
			}
		}
	}
	m.mu.Lock()
	table := m.table
	m.mu.Unlock()
	res.index(stacks, table)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return res, r.nameFrames(ctx, project, res)
}

// loadStacks fetches the stacks with the given indexes.
func (r *resolver) loadStacks(
	ctx context.Context, w *watch, m *remembered, project string, hashes []libpf.TraceHash, indexes []int, stacks [][]uint32,
) error {
	want := make([]libpf.TraceHash, len(indexes))
	for i, index := range indexes {
		want[i] = hashes[index]
	}
	found, err := r.store.Stacks(ctx, project, want)
	if err != nil {
		return fmt.Errorf("look up stacks: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range indexes {
		frames, ok := found[hashes[i]]
		switch {
		case !ok:
		case len(frames) == 0:
			stacks[i] = m.remember(project, hashes[i], emptyStack)
		default:
			before := m.frameCost
			numbers := m.room(len(frames))
			for j := range frames {
				numbers[j] = m.number(project, &frames[j], nil)
			}
			stacks[i] = m.remember(project, hashes[i], numbers)
			w.take(1, stackCost+stackFrameCost*int64(len(frames))+m.frameCost-before) // the question holds it longer than it is remembered
		}
	}
	return nil
}

// index numbers the frames of the stacks among themselves.
func (res *resolution) index(stacks [][]uint32, table []*frameEntry) {
	total := 0
	for _, s := range stacks {
		total += len(s)
	}
	if !res.watch.take(total, 4) || !res.watch.take(len(stacks), 64) || !res.watch.take(len(table), 4) {
		return
	}
	flat := make([]uint32, 0, total)
	res.stacks = make([][]uint32, len(stacks))
	seen := make([]uint32, len(table)) // 1 + index into entries
	for i, s := range stacks {
		if res.watch.ended() {
			return
		}
		start := len(flat)
		for _, number := range s {
			slot := &seen[number]
			if *slot == 0 {
				res.watch.take(1, 72) // with its name and its place in tables
				res.entries = append(res.entries, table[number])
				*slot = uint32(len(res.entries)) //nolint:gosec // fewer than frames in memory
			}
			flat = append(flat, *slot-1)
		}
		res.stacks[i] = flat[start:len(flat):len(flat)]
	}
}

// nameFrames finds the names of all frames, those that are not known or are out
// of date from the store.
func (r *resolver) nameFrames(ctx context.Context, project string, res *resolution) error {
	now := r.now()
	res.names = make([]*frameNames, len(res.entries))
	var stale []int
	for i, e := range res.entries {
		n := e.names.Load()
		if n == nil || now.After(n.expires) {
			stale = append(stale, i)
			continue
		}
		res.names[i] = n
	}
	r.metrics.lookups("frame", len(res.entries)-len(stale), len(stale))
	for chunk := range slices.Chunk(stale, lookupChunk) {
		if err := r.loadNames(ctx, project, res, chunk, now); err != nil {
			return err
		}
	}
	return nil
}

// loadNames fetches the names of the frames with the given indexes.
func (r *resolver) loadNames(ctx context.Context, project string, res *resolution, indexes []int, now time.Time) error {
	frames := make(map[libpf.FrameID]struct{}, len(indexes))
	files := make(map[libpf.FileID]struct{})
	for _, i := range indexes {
		f := &res.entries[i].frame
		if needsSymbol(f) {
			frames[f.ID()] = struct{}{}
		}
		if !f.FileID.IsZero() {
			files[f.FileID] = struct{}{}
		}
	}
	symbols, err := lookup(ctx, project, frames, r.store.Symbols)
	if err != nil {
		return fmt.Errorf("look up symbols: %w", err)
	}
	executables, err := lookup(ctx, project, files, r.store.Executables)
	if err != nil {
		return fmt.Errorf("look up executables: %w", err)
	}
	for _, i := range indexes {
		e := res.entries[i]
		var lines []libpf.SourceLine
		if needsSymbol(&e.frame) {
			lines = symbols[e.frame.ID()]
		}
		executable, ok := executables[e.frame.FileID]
		if ok {
			executable.FileID = e.frame.FileID
		}
		n := nameFrame(&e.frame, lines, executable)
		n.expires = now.Add(n.lifetime(&e.frame))
		e.names.Store(n)
		res.names[i] = n
	}
	return nil
}

// lookup asks for the keys of a set, if it has any.
func lookup[K comparable, V any](
	ctx context.Context, project string, keys map[K]struct{},
	ask func(context.Context, string, []K) (map[K]V, error),
) (map[K]V, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	list := make([]K, 0, len(keys))
	for k := range keys {
		list = append(list, k)
	}
	return ask(ctx, project, list)
}
