// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/elastic/go-freelru"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// known remembers which definitions the store has, so that an answer's lists of
// unknown ones do not cost a look-up for each row. Only what the store is known
// to have is remembered: what is missing now may be there in a moment. All
// projects share its room, each with its own entries. It is safe for concurrent use.
type known struct {
	store  store.Store
	stacks *cache[libpf.TraceHash]
	frames *cache[libpf.FrameID]
	files  *cache[libpf.FileID]

	mu    sync.Mutex
	epoch uint64 // of the store's Forgotten when what is remembered was true
}

// forgetful is a store that removes definitions, and counts how often.
type forgetful interface{ Forgotten() uint64 }

// current forgets everything when the store has removed definitions since, and
// returns what [known.learn] wants.
func (k *known) current() uint64 {
	f, ok := k.store.(forgetful)
	if !ok {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := f.Forgotten(); now != k.epoch {
		k.stacks.Purge()
		k.frames.Purge()
		k.files.Purge()
		k.epoch = now
	}
	return k.epoch
}

// owned is an ID of a project.
type owned[K comparable] struct {
	project string
	id      K
}

// cache is a bounded set of IDs of all projects.
type cache[K comparable] = freelru.ShardedLRU[owned[K], struct{}]

// newCache returns a set of so many IDs with the given hash.
func newCache[K comparable](entries uint32, hash func(K) uint32) (*cache[K], error) {
	seed := maphash.MakeSeed()
	return freelru.NewSharded[owned[K], struct{}](entries, func(o owned[K]) uint32 {
		return hash(o.id) ^ uint32(maphash.String(seed, o.project)) //nolint:gosec // a hash
	})
}

// newKnown returns a memory with room for so many stacks, twice as many frames
// and an eighth as many files.
func newKnown(s store.Store, entries uint32) (*known, error) {
	k := &known{store: s}
	var err error
	if k.stacks, err = newCache(entries, func(h libpf.TraceHash) uint32 { return h.Hash32() }); err != nil {
		return nil, fmt.Errorf("create cache of stacks: %w", err)
	}
	if k.frames, err = newCache(2*entries, libpf.FrameID.Hash32); err != nil {
		return nil, fmt.Errorf("create cache of frames: %w", err)
	}
	if k.files, err = newCache(max(entries/8, 64), func(f libpf.FileID) uint32 { return f.Hash32() }); err != nil {
		return nil, fmt.Errorf("create cache of files: %w", err)
	}
	return k, nil
}

// learn remembers definitions that were stored after current returned epoch.
func (k *known) learn(d *store.Definitions, epoch uint64) {
	if epoch != k.current() {
		return // they may have been removed since
	}
	for i := range d.Stacks {
		k.stacks.Add(owned[libpf.TraceHash]{d.Project, d.Stacks[i].Hash}, struct{}{})
	}
	for i := range d.Symbols {
		k.frames.Add(owned[libpf.FrameID]{d.Project, d.Symbols[i].Frame}, struct{}{})
	}
	for i := range d.Executables {
		k.files.Add(owned[libpf.FileID]{d.Project, d.Executables[i].FileID}, struct{}{})
	}
}

// unknown returns the indices of those ids that neither the cache nor the store has.
func unknown[K comparable, V any](
	ctx context.Context, k *known, cache *cache[K], project string, ids []K, wanted func(int) bool,
	lookUp func(context.Context, string, []K) (map[K]V, error),
) ([]uint32, error) {
	k.current()
	var missing []uint32
	var ask []K
	for i, id := range ids {
		if !wanted(i) || cache.Contains(owned[K]{project, id}) {
			continue
		}
		missing = append(missing, uint32(i)) //nolint:gosec // a table of a request
		ask = append(ask, id)
	}
	if len(ask) == 0 {
		return nil, nil
	}
	found, err := lookUp(ctx, project, ask)
	if err != nil {
		return nil, err
	}
	still := missing[:0]
	for _, i := range missing {
		if _, ok := found[ids[i]]; ok {
			cache.Add(owned[K]{project, ids[i]}, struct{}{})
		} else {
			still = append(still, i)
		}
	}
	return still, nil
}

// unknownStacks returns the indices of the hashes that have no definition.
func (k *known) unknownStacks(ctx context.Context, project string, hashes []libpf.TraceHash) ([]uint32, error) {
	return unknown(ctx, k, k.stacks, project, hashes, func(int) bool { return true }, k.store.Stacks)
}

// needsNames reports whether the names of a frame come separately.
func needsNames(f *libpf.Frame) bool {
	return (f.Type == libpf.NativeFrame || f.Type == libpf.KernelFrame) && f.FunctionName == "" && !f.FileID.IsZero()
}

// unnamedFrames returns the indices of the native and kernel frames without names.
func (k *known) unnamedFrames(ctx context.Context, project string, table []libpf.Frame) ([]uint32, error) {
	ids := make([]libpf.FrameID, len(table))
	for i := range table {
		ids[i] = table[i].ID()
	}
	return unknown(ctx, k, k.frames, project, ids, func(i int) bool { return needsNames(&table[i]) }, k.store.Symbols)
}

// unknownFiles returns the indices of the files of native and kernel frames
// that are not known as executables.
func (k *known) unknownFiles(ctx context.Context, project string, files []libpf.FileID, table []libpf.Frame) ([]uint32, error) {
	native := make(map[libpf.FileID]bool)
	for i := range table {
		if needsNames(&table[i]) {
			native[table[i].FileID] = true
		}
	}
	return unknown(ctx, k, k.files, project, files, func(i int) bool { return native[files[i]] }, k.store.Executables)
}
