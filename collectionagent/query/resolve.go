// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
	"sync"
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

	// Costs of cache entries in bytes, by and large.
	stackCost      = 128
	stackFrameCost = 4
	frameCost      = 512
)

// definitions is the part of a store that names things.
type definitions interface {
	Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error)
	Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error)
	Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error)
}

var _ definitions = store.Store(nil)

type stackKey struct {
	project string
	hash    libpf.TraceHash
}

// resolver finds and remembers what stacks are made of and what their frames
// are called. It is safe for concurrent use.
type resolver struct {
	store   definitions
	now     func() time.Time
	metrics *metrics
	budget  int64
	memory  atomic.Pointer[remembered]
}

// remembered is what a resolver knows. Stacks refer to frames by number, so frames
// stay until they are too many. Then another one begins, which takes over what is
// asked for again of the one before. A question sticks to the one it began with.
type remembered struct {
	before atomic.Pointer[remembered]
	stacks *cache[stackKey, *stackEntry]

	mu     sync.Mutex
	frames map[frameKey]uint32
	table  []*frameEntry // by number; only grows
	cost   int64         // of the frames
}

// Stacks that have no frames to show are only a frame that says why. They have
// the first numbers.
var (
	unknownStack = &stackEntry{numbers: []uint32{0}}
	emptyStack   = &stackEntry{numbers: []uint32{1}}
)

func newResolver(s definitions, budget int64, now func() time.Time, m *metrics) *resolver {
	r := &resolver{store: s, now: now, metrics: m, budget: budget}
	r.memory.Store(newRemembered(budget))
	return r
}

func newRemembered(budget int64) *remembered {
	m := &remembered{stacks: newCache[stackKey, *stackEntry](3 * budget / 8), frames: make(map[frameKey]uint32)}
	for _, text := range []string{"unknown stack", "empty stack"} {
		m.add(&libpf.Frame{Type: libpf.AbortFrame, FunctionName: text})
	}
	return m
}

// current returns what is remembered for a question that begins.
func (r *resolver) current() *remembered {
	m := r.memory.Load()
	m.mu.Lock()
	full := m.cost > r.budget/8
	m.mu.Unlock()
	if full {
		next := newRemembered(r.budget)
		next.before.Store(m)
		if r.memory.CompareAndSwap(m, next) {
			m.before.Store(nil)
		}
		m = r.memory.Load()
	}
	return m
}

// takeOver looks up the stacks with the given indexes in what was remembered before,
// and returns those that were not there.
func (m *remembered) takeOver(project string, hashes []libpf.TraceHash, indexes []int, stacks []*stackEntry) (missing []int) {
	b := m.before.Load()
	if b == nil {
		return indexes
	}
	found := make([]*stackEntry, len(indexes))
	b.stacks.locked(func() {
		for j, i := range indexes {
			found[j], _ = b.stacks.get(stackKey{project, hashes[i]})
		}
	})
	b.mu.Lock()
	table := b.table
	b.mu.Unlock()
	m.mu.Lock()
	for j, i := range indexes {
		switch s := found[j]; s {
		case nil:
			missing = append(missing, i)
		case emptyStack:
			stacks[i] = s
		default:
			stacks[i] = &stackEntry{numbers: make([]uint32, len(s.numbers))}
			for k, number := range s.numbers {
				stacks[i].numbers[k] = m.number(project, &table[number].frame, table[number].names.Load())
			}
		}
	}
	m.mu.Unlock()
	m.stacks.locked(func() {
		for _, i := range indexes {
			if s := stacks[i]; s != nil {
				m.stacks.put(stackKey{project, hashes[i]}, s, stackCost+stackFrameCost*int64(len(s.numbers)))
			}
		}
	})
	return missing
}

// used returns about how many bytes are remembered.
func (r *resolver) used() int64 {
	m := r.memory.Load()
	return m.used(r.budget/8) + m.before.Load().used(r.budget/8)
}

func (m *remembered) used(frames int64) int64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	frames = min(frames, m.cost)
	m.mu.Unlock()
	return m.stacks.cost() + frames
}

// stackEntry is a stack as numbers of frames, leaf first. It is immutable.
type stackEntry struct{ numbers []uint32 }

// add gives a frame a number. The lock is held, or nobody else knows m.
func (m *remembered) add(f *libpf.Frame) (number uint32) {
	e := &frameEntry{frame: *f}
	e.frame.Lines = nil
	m.table = append(m.table, e)
	return uint32(len(m.table) - 1) //nolint:gosec // their cost is bounded far below
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
}

// resolve looks stacks up.
func (r *resolver) resolve(ctx context.Context, w *watch, project string, hashes []libpf.TraceHash) (*resolution, error) {
	m := r.current()
	stacks := make([]*stackEntry, len(hashes))
	var missing []int
	for first := 0; first < len(hashes); first += lookupChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m.stacks.locked(func() {
			for i, h := range hashes[first:min(first+lookupChunk, len(hashes))] {
				var ok bool
				if stacks[first+i], ok = m.stacks.get(stackKey{project, h}); !ok {
					missing = append(missing, first+i)
				}
			}
		})
	}
	if len(missing) > 0 {
		missing = m.takeOver(project, hashes, missing, stacks)
	}
	r.metrics.lookups("stack", len(hashes)-len(missing), len(missing))
	res := &resolution{unknown: make([]bool, len(hashes)), watch: w}
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
	ctx context.Context, w *watch, m *remembered, project string, hashes []libpf.TraceHash, indexes []int, stacks []*stackEntry,
) error {
	want := make([]libpf.TraceHash, len(indexes))
	for i, index := range indexes {
		want[i] = hashes[index]
	}
	found, err := r.store.Stacks(ctx, project, want)
	if err != nil {
		return fmt.Errorf("look up stacks: %w", err)
	}
	costs := make([]int64, len(indexes))
	m.mu.Lock()
	for j, i := range indexes {
		frames, ok := found[hashes[i]]
		switch {
		case !ok:
		case len(frames) == 0:
			stacks[i], costs[j] = emptyStack, stackCost
		default:
			before := m.cost
			stacks[i] = m.intern(project, frames)
			costs[j] = stackCost + stackFrameCost*int64(len(frames))
			w.take(1, costs[j]+m.cost-before) // the question holds it longer than the cache may
		}
	}
	m.mu.Unlock()
	m.stacks.locked(func() {
		for j, i := range indexes {
			if s := stacks[i]; s != nil {
				m.stacks.put(stackKey{project, hashes[i]}, s, costs[j])
			}
		}
	})
	return nil
}

// intern returns a stack of frames. The lock is held.
func (m *remembered) intern(project string, frames []libpf.Frame) *stackEntry {
	s := &stackEntry{numbers: make([]uint32, len(frames))}
	for i := range frames {
		s.numbers[i] = m.number(project, &frames[i], nil)
	}
	return s
}

// number returns the number of a frame, with what names are known of it. The lock is held.
func (m *remembered) number(project string, f *libpf.Frame, names *frameNames) uint32 {
	key := frameKey{project, f.Type, f.ID(), f.FunctionName, f.SourceFile, f.SourceLine}
	n, ok := m.frames[key]
	if !ok {
		n = m.add(f)
		m.frames[key] = n
		m.table[n].names.Store(names)
		m.cost += frameCost + int64(len(f.FunctionName)+len(f.SourceFile))
	}
	return n
}

// index numbers the frames of the stacks among themselves.
func (res *resolution) index(stacks []*stackEntry, table []*frameEntry) {
	total := 0
	for _, s := range stacks {
		total += len(s.numbers)
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
		for _, number := range s.numbers {
			slot := &seen[number]
			if *slot == 0 {
				res.watch.take(1, 64) // with its name and its place in tables
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
