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

	// Costs of cache entries in bytes, by and large.
	stackCost      = 128
	stackFrameCost = 16
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
	numbers atomic.Uint64
	stacks  *cache[stackKey, *stackEntry]
	frames  *cache[frameKey, *frameEntry]
	// unknown and empty stand for stacks that have no frames to show.
	unknown, empty *stackEntry
}

func newResolver(s definitions, budget int64, now func() time.Time, m *metrics) *resolver {
	r := &resolver{
		store: s, now: now, metrics: m,
		stacks: newCache[stackKey, *stackEntry](budget / 2),
		frames: newCache[frameKey, *frameEntry](budget / 2),
	}
	r.unknown, r.empty = r.marker("unknown stack"), r.marker("empty stack")
	return r
}

// stackEntry is a stack, leaf first. It is immutable.
type stackEntry struct {
	frames []*frameEntry
	// numbers are those of the frames: walking them does not touch the frames,
	// which are spread over memory.
	numbers []uint64
}

func newStackEntry(frames []*frameEntry) *stackEntry {
	s := &stackEntry{frames: frames, numbers: make([]uint64, len(frames))}
	for i, f := range frames {
		s.numbers[i] = f.number
	}
	return s
}

// marker returns a stack that is only a frame saying why there is no other.
func (r *resolver) marker(text string) *stackEntry {
	return newStackEntry([]*frameEntry{r.newEntry(&libpf.Frame{Type: libpf.AbortFrame, FunctionName: text})})
}

func (r *resolver) newEntry(f *libpf.Frame) *frameEntry {
	e := &frameEntry{number: r.numbers.Add(1), frame: *f}
	e.frame.Lines = nil
	return e
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
	stacks := make([]*stackEntry, len(hashes))
	var missing []int
	for first := 0; first < len(hashes); first += lookupChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.stacks.locked(func() {
			for i, h := range hashes[first:min(first+lookupChunk, len(hashes))] {
				var ok bool
				if stacks[first+i], ok = r.stacks.get(stackKey{project, h}); !ok {
					missing = append(missing, first+i)
				}
			}
		})
	}
	r.metrics.lookups("stack", len(hashes)-len(missing), len(missing))
	res := &resolution{unknown: make([]bool, len(hashes)), watch: w}
	for chunk := range slices.Chunk(missing, lookupChunk) {
		// What the store finds is in memory twice until the chunk is done.
		if err := w.hold(lookupChunk*definitionBytes, func() error { return r.loadStacks(ctx, w, project, hashes, chunk, stacks) }); err != nil {
			return nil, err
		}
		for _, i := range chunk {
			if stacks[i] == nil {
				stacks[i], res.unknown[i] = r.unknown, true
			}
		}
	}
	res.index(stacks, r.numbers.Load())
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return res, r.nameFrames(ctx, project, res)
}

// loadStacks fetches the stacks with the given indexes.
func (r *resolver) loadStacks(
	ctx context.Context, w *watch, project string, hashes []libpf.TraceHash, indexes []int, stacks []*stackEntry,
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
	r.frames.locked(func() {
		for j, i := range indexes {
			frames, ok := found[hashes[i]]
			switch {
			case !ok:
			case len(frames) == 0:
				stacks[i], costs[j] = r.empty, stackCost
			default:
				entries, added := r.internFrames(project, frames)
				stacks[i] = newStackEntry(entries)
				// A stack keeps its frames in memory whether or not their own cache
				// does, so the first stack with a frame pays for it.
				costs[j] = stackCost + stackFrameCost*int64(len(entries)) + added
				w.take(1, costs[j]) // the question holds it longer than the cache may
			}
		}
	})
	r.stacks.locked(func() {
		for j, i := range indexes {
			if s := stacks[i]; s != nil {
				r.stacks.put(stackKey{project, hashes[i]}, s, costs[j])
			}
		}
	})
	return nil
}

// internFrames returns the entries of frames and the cost of those that are new.
// The lock of the frames is held.
func (r *resolver) internFrames(project string, frames []libpf.Frame) (entries []*frameEntry, added int64) {
	entries = make([]*frameEntry, len(frames))
	for i := range frames {
		f := &frames[i]
		key := frameKey{project, f.Type, f.ID(), f.FunctionName, f.SourceFile, f.SourceLine}
		e, ok := r.frames.get(key)
		if !ok {
			e = r.newEntry(f)
			cost := frameCost + int64(len(f.FunctionName)+len(f.SourceFile))
			r.frames.put(key, e, cost)
			added += cost
		}
		entries[i] = e
	}
	return entries, added
}

// index numbers the frames of the stacks. numbered is the highest number of a frame in memory, about.
func (res *resolution) index(stacks []*stackEntry, numbered uint64) {
	total := 0
	for _, s := range stacks {
		total += len(s.frames)
	}
	if !res.watch.take(total, 4) || !res.watch.take(len(stacks), 64) {
		return
	}
	flat := make([]uint32, 0, total)
	res.stacks = make([][]uint32, len(stacks))
	var seen pages
	// Walking an array is twice as fast where it is not much larger than what is walked.
	var array []uint32
	if numbered <= uint64(max(4*total, 1<<14)) { //nolint:gosec // not negative
		array = make([]uint32, numbered+1)
	}
	for i, s := range stacks {
		if res.watch.ended() {
			return
		}
		start := len(flat)
		for j, number := range s.numbers {
			var slot *uint32
			if number < uint64(len(array)) {
				slot = &array[number]
			} else {
				slot = seen.slot(number)
			}
			if *slot == 0 {
				res.watch.take(1, 64) // with its name, its place in tables and a page
				res.entries = append(res.entries, s.frames[j])
				*slot = uint32(len(res.entries)) //nolint:gosec // fewer than frames in memory
			}
			flat = append(flat, *slot-1)
		}
		res.stacks[i] = flat[start:len(flat):len(flat)]
	}
}

// pages is an array of numbers, at first 0, of which only the parts in use are
// in memory. Numbers of frames are given out in turn, so those of one query lie
// close together.
type pages []*[1 << pageBits]uint32

const pageBits = 9

func (p *pages) slot(i uint64) *uint32 {
	page := i >> pageBits
	if page >= uint64(len(*p)) {
		*p = append(*p, make(pages, page+1-uint64(len(*p)))...)
	}
	if (*p)[page] == nil {
		(*p)[page] = new([1 << pageBits]uint32)
	}
	return &(*p)[page][i&(1<<pageBits-1)]
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
