// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Put implements [store.Store]. When the context ends, or the disk stops taking
// writes, on the way, the definitions may be stored all the same, and are not to
// be changed by the caller.
func (s *Store) Put(ctx context.Context, d *store.Definitions) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.users.RUnlock()
	if err := s.guard.check(); err != nil {
		s.metrics.rejected.WithLabelValues("read_only").Inc()
		return false, err
	}
	return s.await(ctx, always, func() (bool, error) { return s.put(d) })
}

// put stores definitions and waits for the disk however long it takes.
func (s *Store) put(d *store.Definitions) (bool, error) {
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	duplicate, err := s.putLocked(b, d)
	if err != nil {
		return false, err
	}
	if duplicate {
		s.metrics.duplicates.WithLabelValues("definitions").Inc()
		return true, s.syncDefinitions()
	}
	if err := b.SyncWait(); err != nil {
		return false, fmt.Errorf("sync definitions: %w", err)
	}
	return false, nil
}

// syncDefinitions makes everything durable that was put before: a record behind
// it in Pebble's log is durable only after it.
func (s *Store) syncDefinitions() error {
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync definitions: %w", err)
	}
	return nil
}

// putLocked fills the batch and applies it without waiting for the disk, so
// that many callers share one fsync.
func (s *Store) putLocked(b *pebble.Batch, d *store.Definitions) (duplicate bool, err error) {
	s.defsMu.Lock()
	defer s.defsMu.Unlock()
	if s.defWindows.has(&d.ID) {
		return true, nil
	}
	if s.barred.has(d.Project) {
		s.metrics.rejected.WithLabelValues("deleting").Inc()
		return false, errBarred
	}
	s.garbage.put(func(note func(definition)) { noteAll(d, note) })
	p := defWriter{db: s.db, find: finder{db: s.db}, batch: b, project: d.Project, counts: *s.counts.Load(), fresh: make(map[string][]byte)}
	defer func() { err = errors.Join(err, p.find.close()) }()
	for i := range d.Stacks {
		err = errors.Join(err, p.stack(&d.Stacks[i]))
	}
	for i := range d.Symbols {
		err = errors.Join(err, p.symbol(&d.Symbols[i]))
	}
	for i := range d.Executables {
		err = errors.Join(err, p.executable(&d.Executables[i]))
	}
	for i := range d.Hosts {
		err = errors.Join(err, p.host(&d.Hosts[i]))
	}
	for i := range d.Metrics {
		m := &d.Metrics[i]
		err = errors.Join(err, b.Set(metricKey(d.Project, m), encodeInt(m.Value), nil))
	}
	if err != nil {
		return false, fmt.Errorf("write definitions: %w", err)
	}
	restore := s.defWindows.save(&d.ID)
	forgotten := s.defWindows.add(&d.ID, 0, s.now())
	windows := s.defWindows.takeDirty()
	err = errors.Join(
		writeWindows(b, windows),
		b.Set([]byte(keyCounts), p.counts.encode(), nil),
	)
	if err == nil {
		err = s.db.ApplyNoSyncWait(b, pebble.Sync)
	}
	if err != nil {
		restore(windows) // else a repeat would be taken for stored
		return false, fmt.Errorf("write definitions: %w", err)
	}
	s.metrics.forgotten.Add(float64(forgotten))
	s.counts.Store(&p.counts)
	return false, nil
}

// noteAll calls note with all definitions that are put, and with those that they need.
func noteAll(d *store.Definitions, note func(definition)) {
	for i := range d.Stacks {
		note(stackDefinition(d.Stacks[i].Hash))
		for j := range d.Stacks[i].Frames {
			f := &d.Stacks[i].Frames[j]
			note(frameDefinition(f.ID()))
			note(fileDefinition(f.FileID))
		}
	}
	for i := range d.Symbols {
		note(frameDefinition(d.Symbols[i].Frame))
	}
	for i := range d.Executables {
		note(fileDefinition(d.Executables[i].FileID))
	}
}

// defWriter adds the definitions of one project to a batch.
type defWriter struct {
	db      *pebble.DB
	find    finder
	batch   *pebble.Batch
	project string
	counts  defCounts
	// fresh is what the batch sets so far: it is not in the database yet.
	fresh map[string][]byte
}

// set sets a value, and counts it when its key is in neither the database nor the batch.
func (w *defWriter) set(key, value []byte, known bool, n *int64) error {
	if _, ok := w.fresh[string(key)]; !ok && !known {
		*n++
	}
	w.fresh[string(key)] = value
	return w.batch.Set(key, value, nil)
}

// get returns the value as the batch would leave it.
func (w *defWriter) get(key []byte) ([]byte, error) {
	if v, ok := w.fresh[string(key)]; ok {
		return v, nil
	}
	return get(w.db, key)
}

func (w *defWriter) stack(st *store.Stack) error {
	key := stackKey(w.project, st.Hash)
	known, err := w.find.has(key)
	if err != nil || known {
		return err // a hash stands for the same frames for ever
	}
	return w.set(key, appendFrames(nil, st.Frames), known, &w.counts.stacks)
}

func (w *defWriter) symbol(sym *store.Symbol) error {
	key := symbolKey(w.project, sym.Frame)
	old, err := w.get(key)
	if err != nil {
		return err
	}
	if sym.Fallback && len(old) > 0 && old[0] == 0 {
		return nil
	}
	return w.set(key, appendSymbol(nil, sym), old != nil, &w.counts.symbols)
}

func (w *defWriter) executable(e *libpf.Executable) error {
	key := executableKey(w.project, e.FileID)
	known, err := w.find.has(key)
	if err != nil {
		return err
	}
	v := appendString(appendString(nil, e.FileName), e.BuildID)
	if e.Runtime != "" { // absent in what was stored before there were any
		v = appendString(v, e.Runtime)
	}
	return w.set(key, v, known, &w.counts.executables)
}

// hostRecord is a host as it is stored.
type hostRecord struct {
	Name     string            `json:"name"`
	LastSeen libpf.UnixTimeNs  `json:"last_seen"`
	Metadata map[string]string `json:"metadata"`
}

func (w *defWriter) host(h *store.Host) error {
	key := hostKey(w.project, h.ID)
	old, err := w.get(key)
	if err != nil {
		return err
	}
	merged := *h
	if old != nil {
		before, err := decodeHost(h.ID, old)
		if err != nil {
			return err
		}
		merged = before.Merge(h)
	}
	v, err := json.Marshal(hostRecord{merged.Name, merged.LastSeen, merged.Metadata})
	if err != nil {
		return fmt.Errorf("encode host: %w", err)
	}
	return w.set(key, v, old != nil, &w.counts.hosts)
}
