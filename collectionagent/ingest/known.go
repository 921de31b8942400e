// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeebo/xxh3"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// known remembers which definitions the store has, so that an answer's lists of
// unknown ones do not cost a look-up for each row. Only what the store is known
// to have is remembered: what is missing now may be there in a moment. All
// projects share its room. It is safe for concurrent use.
type known struct {
	store                 store.Store
	stacks, frames, files *idSet
	wholes                *wholes
	lookups               *prometheus.CounterVec // what had to be looked up, by kind

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
		k.stacks.clear()
		k.frames.clear()
		k.files.clear()
		k.wholes.clear()
		k.epoch = now
	}
	return k.epoch
}

// newKnown returns a memory with room for so many stacks, as many frames, an
// eighth as many files, and half as many stacks as a whole.
func newKnown(s store.Store, entries int, lookups *prometheus.CounterVec) *known {
	return &known{store: s, lookups: lookups, stacks: newIDSet(entries), frames: newIDSet(entries), files: newIDSet(entries / 8), wholes: newWholes(entries / 2)}
}

// frameKey returns 16 bytes that stand for a frame.
func frameKey(f libpf.FrameID) (hi, lo uint64) {
	b := f.Bytes()
	h := xxh3.Hash128(b[:])
	return h.Hi, h.Lo
}

func stackKey(h libpf.TraceHash) (hi, lo uint64) { return h.Hi(), h.Lo() }

func fileKey(f libpf.FileID) (hi, lo uint64) { return f.Hi(), f.Lo() }

// learn remembers definitions that were stored after current returned epoch.
func (k *known) learn(d *store.Definitions, epoch uint64) {
	if epoch != k.current() {
		return // they may have been removed since
	}
	stacks, frames, files := k.stacks.owner(d.Project), k.frames.owner(d.Project), k.files.owner(d.Project)
	for i := range d.Stacks {
		k.stacks.add(stacks.of(stackKey(d.Stacks[i].Hash)))
	}
	for i := range d.Symbols {
		k.frames.add(frames.of(frameKey(d.Symbols[i].Frame)))
	}
	for i := range d.Executables {
		k.files.add(files.of(fileKey(d.Executables[i].FileID)))
	}
}

// unknown returns the indices of those ids that neither the set nor the store has.
func unknown[K comparable, V any](
	ctx context.Context, k *known, kind string, set *idSet, project string, ids []K, key func(K) (hi, lo uint64), wanted func(int) bool,
	lookUp func(context.Context, string, []K) (map[K]V, error),
) ([]uint32, error) {
	k.current()
	owner := set.owner(project)
	var missing []uint32
	var ask []K
	for i, id := range ids {
		if !wanted(i) || set.has(owner.of(key(id))) {
			continue
		}
		missing = append(missing, uint32(i)) //nolint:gosec // a table of a request
		ask = append(ask, id)
	}
	if len(ask) == 0 {
		return nil, nil
	}
	k.lookups.WithLabelValues(kind).Add(float64(len(ask)))
	found, err := lookUp(ctx, project, ask)
	if err != nil {
		return nil, err
	}
	still := missing[:0]
	for _, i := range missing {
		if _, ok := found[ids[i]]; ok {
			set.add(owner.of(key(ids[i])))
		} else {
			still = append(still, i)
		}
	}
	return still, nil
}

// unknownStacks returns the indices of the hashes that have no definition.
func (k *known) unknownStacks(ctx context.Context, project string, hashes []libpf.TraceHash) ([]uint32, error) {
	return unknown(ctx, k, "stacks", k.stacks, project, hashes, stackKey, func(int) bool { return true }, k.store.Stacks)
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
	return unknown(ctx, k, "symbols", k.frames, project, ids, frameKey, func(i int) bool { return needsNames(&table[i]) }, k.store.Symbols)
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
	return unknown(ctx, k, "executables", k.files, project, files, fileKey, func(i int) bool { return native[files[i]] }, k.store.Executables)
}
