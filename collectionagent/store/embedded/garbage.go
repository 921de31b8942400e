// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/libpf"
)

// Stacks that no sample and no sum refers to, and symbols and executables that no stack
// refers to, are garbage. A round of collection marks what is in use and remembers the
// rest; what the next round, a day later at least, finds unused again, and what nobody
// has put or used in between, is removed. So a definition may come long before its
// samples. Agents take for known what the server acknowledged: when a sample comes whose
// stack was removed, ingest finds that it is unknown and asks for it.
//
// All sets are filters of fixed size that may take something for an element that is
// none: then it stays. After a restart the first round only remembers.
type garbage struct {
	mu sync.RWMutex // see garbage.use and sweep.remove
	// touched is what was put or used since the last round began, nil before the first.
	touched *filter

	// The rest belongs to the goroutine that collects.
	running sync.Mutex
	last    time.Time // when the last round began
	unused  *filter   // what it found unused
}

// filterBits is the bits for each element: one of 300 is taken for one that is none.
const (
	filterBits   = 12
	filterProbes = 6
	maxFilter    = 64 << 20 // bytes
)

// filter is a Bloom filter of definitions. Adding is not safe for concurrent use.
type filter struct {
	mu    sync.Mutex
	words []uint64
}

func newFilter(elements int64) *filter {
	return &filter{words: make([]uint64, min(max(elements*filterBits/64, 1<<10), maxFilter/8))}
}

// probes calls f with the bits of a definition until it returns false.
func (f *filter) probes(d definition, each func(word int, bit uint64) bool) {
	h := mix(d.a + uint64(d.kind)*0x9e3779b97f4a7c15)
	step := mix(d.b^h) | 1
	for range filterProbes {
		if !each(int((h>>6)%uint64(len(f.words))), 1<<(h&63)) { //nolint:gosec // less than a length
			return
		}
		h += step
	}
}

// mix spreads the bits of a number: agents choose hashes, and numbers of lines are small.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (f *filter) add(d definition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes(d, func(word int, bit uint64) bool { f.words[word] |= bit; return true })
}

func (f *filter) has(d definition) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := true
	f.probes(d, func(word int, bit uint64) bool { found = f.words[word]&bit != 0; return found })
	return found
}

// definition identifies one, whatever project it is of.
type definition struct {
	kind byte // of its key
	a, b uint64
}

func stackDefinition(h libpf.TraceHash) definition { return definition{keyStack, h.Hi(), h.Lo()} }

func frameDefinition(id libpf.FrameID) definition {
	return definition{keySymbol, id.FileID.Hi() + uint64(id.AddressOrLineno)*0x94d049bb133111eb, id.FileID.Lo()}
}

func fileDefinition(id libpf.FileID) definition { return definition{keyExecutable, id.Hi(), id.Lo()} }

// use notes that the stacks of a head are used; add is what makes the head show them.
func (g *garbage) use(add func(note func(libpf.TraceHash))) {
	g.mu.RLock() // a round begins before all of it, or after all of it
	defer g.mu.RUnlock()
	touched := g.touched
	add(func(h libpf.TraceHash) {
		if touched != nil {
			touched.add(stackDefinition(h))
		}
	})
}

// put notes that definitions are put. The caller holds defsMu.
func (g *garbage) put(each func(note func(definition))) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if touched := g.touched; touched != nil {
		each(touched.add)
	}
}

// sweep is one round.
type sweep struct {
	s *Store
	// used is what samples, sums and stacks refer to. before and between are what the
	// last round found unused and what was touched since, nil in the first round.
	used, unused    *filter
	before, between *filter
	// touched is what is touched during this round.
	touched *filter
	gone    [][]byte // keys to remove with the next chunk
	removed map[byte]int
}

// sweepChunk is how many keys are removed at once, while nobody puts or appends.
const sweepChunk = 2048

// collectGarbage does a round when the last one is long enough ago.
func (s *Store) collectGarbage(ctx context.Context) error {
	if !s.startup.ended() { // the log may use what nothing else does
		return nil
	}
	g := &s.garbage
	g.running.Lock()
	defer g.running.Unlock()
	now := s.now()
	if !g.last.IsZero() && now.Sub(g.last) < s.cfg.garbageGrace {
		return nil
	}
	c := s.counts.Load()
	elements := (c.stacks+c.symbols+c.executables)*5/4 + 1<<16
	w := sweep{
		s: s, used: newFilter(elements), unused: newFilter(elements), touched: newFilter(elements), before: g.unused,
		removed: make(map[byte]int),
	}
	g.mu.Lock()
	w.between, g.touched = g.touched, w.touched
	g.mu.Unlock()
	err := w.round(ctx)
	for kind, n := range w.removed {
		s.metrics.garbage.WithLabelValues(map[byte]string{keyStack: "stacks", keySymbol: "symbols", keyExecutable: "executables", keyMetric: "metrics"}[kind]).Add(float64(n))
	}
	if bad := isBadBlock(err); bad != nil {
		s.metrics.blockErrors.Inc()
		s.logger.Error("unused definitions stay: it is not known which of them a block needs that cannot be read; restore it from a backup or delete its time range",
			"files", bad.info.files(), "err", err)
	}
	if err != nil { // what it remembers is not all
		g.mu.Lock()
		g.touched = nil
		g.mu.Unlock()
		g.last, g.unused = now, nil
		if isBadBlock(err) != nil {
			return nil
		}
		return fmt.Errorf("collect unused definitions: %w", err)
	}
	g.last, g.unused = now, w.unused
	if len(w.removed) > 0 {
		s.logger.Info("removed unused definitions", "stacks", w.removed[keyStack], "symbols", w.removed[keySymbol],
			"executables", w.removed[keyExecutable], "metrics", w.removed[keyMetric])
	}
	return nil
}

// round marks and sweeps.
func (w *sweep) round(ctx context.Context) error {
	for {
		err := w.markStacks(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errBlockGone) { // else there is another one in its place
			return err
		}
	}
	// Stacks first: those that stay say which symbols and executables do.
	for _, kind := range []byte{keyStack, keySymbol, keyExecutable, keyMetric} {
		err := scan(w.s.db, []byte{kind}, func(key, value []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return w.look(kind, key, value)
		})
		if err := errors.Join(err, w.remove()); err != nil {
			return err
		}
	}
	return nil
}

// markStacks marks the stacks of all samples and sums.
func (w *sweep) markStacks(ctx context.Context) error {
	heads, blocks, _ := w.s.readView()
	for _, h := range heads {
		for _, stack := range h.snapshot().stacks {
			w.used.add(stackDefinition(stack))
		}
	}
	for _, b := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := b.finest() // all parts have the same stacks but sums per second, which have none
		for _, p := range b.parts() {
			if p.kind != sumsSeconds && p.info.Rows < part.info.Rows {
				part = p
			}
		}
		if err := w.markPart(part); errors.Is(err, errBlockGone) {
			return err
		} else if err != nil {
			return &badBlockError{b, err}
		}
	}
	w.s.evictBlocks()
	return nil
}

// markPart marks the stacks in the dictionaries of a file.
func (w *sweep) markPart(part *block) (err error) {
	defer w.s.caught(&err)
	c, err := part.acquire(w.s.clock.Add(1))
	if err != nil {
		return err
	}
	defer part.release()
	for _, group := range c.parquet.RowGroups() {
		if group.NumRows() == 0 {
			continue
		}
		column, err := newColumnReader(group.ColumnChunks()[c.columns.stack])
		if err != nil {
			return err
		}
		if _, err = column.load(0); err == nil && column.dict == nil {
			err = fmt.Errorf("read block: %w: column has no dictionary", errCodec)
		}
		for i := 0; err == nil && i < column.dict.Len(); i++ {
			var h libpf.TraceHash
			if h, err = libpf.TraceHashFromBytes(column.dict.Index(int32(i)).ByteArray()); err == nil { //nolint:gosec // indexes are int32
				w.used.add(stackDefinition(h))
			}
		}
		column.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// look decides about one definition.
func (w *sweep) look(kind byte, key, value []byte) error {
	if kind == keyMetric {
		d := decoder{b: key[1:]}
		floor := w.s.floors(d.string(), 0).hours
		if len(d.b) >= 4 && int64(binary.BigEndian.Uint32(d.b[len(d.b)-4:]))*1000 < floor {
			return w.take(key)
		}
		return nil
	}
	def, ok := definitionOf(key)
	if !ok {
		return fmt.Errorf("%w: key of a definition", errCodec)
	}
	if !w.used.has(def) {
		w.unused.add(def)
		if w.before != nil && w.before.has(def) && !w.between.has(def) {
			return w.take(key)
		}
	}
	if kind != keyStack {
		return nil
	}
	frames, err := decodeFrames(value)
	if err != nil {
		return err
	}
	for i := range frames {
		w.used.add(frameDefinition(frames[i].ID()))
		w.used.add(fileDefinition(frames[i].FileID))
	}
	return nil
}

// take notes a key to remove.
func (w *sweep) take(key []byte) error {
	w.gone = append(w.gone, append([]byte(nil), key...))
	if len(w.gone) < sweepChunk {
		return nil
	}
	return w.remove()
}

// remove removes the keys that were taken, but those that were touched since. Nobody
// puts or appends meanwhile: who does later finds that they are not there.
func (w *sweep) remove() error {
	s := w.s
	if err := s.guard.check(); err != nil { // nobody must wait for the disk below
		return err
	}
	s.defsMu.Lock()
	defer s.defsMu.Unlock()
	s.garbage.mu.Lock()
	defer s.garbage.mu.Unlock()
	b := s.db.NewBatch()
	counts := *s.counts.Load()
	n := make(map[byte]int)
	for _, key := range w.gone {
		if def, ok := definitionOf(key); ok && w.touched.has(def) {
			continue
		}
		n[key[0]]++
		if err := b.Delete(key, nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	w.gone = w.gone[:0]
	if len(n) == 0 {
		return b.Close()
	}
	counts.stacks -= int64(n[keyStack])
	counts.symbols -= int64(n[keySymbol])
	counts.executables -= int64(n[keyExecutable])
	// Not synced: after a crash they may be there again.
	if err := errors.Join(b.Set([]byte(keyCounts), counts.encode(), nil), b.Commit(pebble.NoSync), b.Close()); err != nil {
		return fmt.Errorf("remove definitions: %w", err)
	}
	s.counts.Store(&counts)
	s.forgotten.Add(1)
	for kind, removed := range n {
		w.removed[kind] += removed
	}
	return nil
}

// definitionOf returns what a key defines; ok is false for keys of something else.
func definitionOf(key []byte) (def definition, ok bool) {
	d := decoder{b: key[1:]}
	_ = d.string()
	hash := d.hash()
	switch key[0] {
	case keyStack:
		def = stackDefinition(libpf.TraceHash{Hash128: hash})
	case keyExecutable:
		def = fileDefinition(libpf.FileID{Hash128: hash})
	case keySymbol:
		if raw := d.bytes(8); d.err == nil {
			def = frameDefinition(libpf.NewFrameID(libpf.FileID{Hash128: hash}, libpf.AddressOrLineno(binary.BigEndian.Uint64(raw))))
		}
	default:
		return def, false
	}
	return def, d.err == nil
}
