// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Kinds of windows.
const (
	windowSamples     = 'a'
	windowDefinitions = 'd'
)

// windows holds the batch windows of one kind in memory. The owner's lock guards it.
type windows struct {
	kind  byte
	ttl   time.Duration
	byKey map[string]*window
	// dirty are the keys that changed since they were last written.
	dirty map[string]struct{}
}

// window is that of one run of an agent.
type window struct {
	store.Window
	lastUsed int64 // unix seconds
	// weight of the batches that were added.
	weight uint64
}

// loadWindows reads the windows of a kind.
func loadWindows(db *pebble.DB, kind byte, ttl time.Duration) (*windows, error) {
	w := &windows{kind: kind, ttl: ttl, byKey: make(map[string]*window), dirty: make(map[string]struct{})}
	prefix := []byte{keyWindow, kind}
	err := scan(db, prefix, func(key, value []byte) error {
		lastUsed, n := binary.Varint(value)
		if n <= 0 {
			return fmt.Errorf("%w: batch window without a time", errCodec)
		}
		decoded, rest, err := store.CutWindow(value[n:])
		if err != nil {
			return fmt.Errorf("read batch window: %w", err)
		}
		win := &window{Window: decoded, lastUsed: lastUsed}
		if len(rest) > 0 { // absent in what was stored before there were ledgers
			d := decoder{b: rest}
			if win.weight = d.uvarint(); d.err != nil {
				return fmt.Errorf("read batch window: %w", d.err)
			}
		}
		w.byKey[string(key)] = win
		return nil
	})
	return w, err
}

// has reports whether the batch was added. Batches without identity never were.
func (w *windows) has(id *store.BatchID) bool {
	if *id == (store.BatchID{}) {
		return false
	}
	win := w.byKey[string(windowKey(w.kind, id))]
	return win != nil && win.Has(id.Sequence)
}

// add remembers a batch and returns how many others were given up for it.
func (w *windows) add(id *store.BatchID, weight uint64, now time.Time) (forgotten uint64) {
	if *id == (store.BatchID{}) {
		return 0
	}
	key := string(windowKey(w.kind, id))
	win := w.byKey[key]
	if win == nil {
		win = &window{}
		w.byKey[key] = win
	}
	win.lastUsed = now.Unix()
	win.weight += weight
	w.dirty[key] = struct{}{}
	return win.Add(id.Sequence)
}

// save returns what takes back all that was done since for the window of a batch, and leaves
// updates that were taken and could not be written to the next ones.
func (w *windows) save(id *store.BatchID) (restore func(unwritten []windowUpdate)) {
	key := string(windowKey(w.kind, id))
	var before *window
	if win := w.byKey[key]; win != nil {
		before = &window{Window: win.Clone(), lastUsed: win.lastUsed, weight: win.weight}
	}
	return func(unwritten []windowUpdate) {
		delete(w.byKey, key)
		if before != nil {
			w.byKey[key] = before
		}
		for _, u := range unwritten {
			w.dirty[string(u.key)] = struct{}{}
		}
	}
}

// expire forgets the runs that have not been heard of for the time to live.
func (w *windows) expire(now time.Time) {
	limit := now.Add(-w.ttl).Unix()
	for key, win := range w.byKey {
		if win.lastUsed < limit {
			delete(w.byKey, key)
			w.dirty[key] = struct{}{}
		}
	}
}

// runs returns the ledgers of the runs of a project, in no order.
func (w *windows) runs(project string) ([]store.RunLedger, error) {
	prefix := string(projectKey(w.kind, project)) // behind keyWindow
	type run struct {
		host string
		id   [16]byte
	}
	all := make(map[run]store.RunLedger)
	for key, win := range w.byKey {
		rest, ok := strings.CutPrefix(key[1:], prefix)
		if !ok {
			continue
		}
		d := decoder{b: []byte(rest)}
		r := run{host: d.string()}
		copy(r.id[:], d.bytes(16))
		if d.err != nil {
			return nil, fmt.Errorf("read batch window: %w", d.err)
		}
		l := all[r]
		all[r] = store.RunLedger{
			HostID: r.host, RunID: r.id, Stored: l.Stored + win.weight,
			LastBatch: max(l.LastBatch, libpf.UnixTimeNs(win.lastUsed*int64(time.Second))),
		}
	}
	return slices.Collect(maps.Values(all)), nil
}

// windowUpdate is a change of a window on disk; a nil value deletes it.
type windowUpdate struct{ key, value []byte }

// takeDirty returns what changed since the last call.
func (w *windows) takeDirty() []windowUpdate {
	updates := make([]windowUpdate, 0, len(w.dirty))
	for key := range w.dirty {
		u := windowUpdate{key: []byte(key)}
		if win := w.byKey[key]; win != nil {
			u.value = binary.AppendUvarint(win.AppendBinary(binary.AppendVarint(nil, win.lastUsed)), win.weight)
		}
		updates = append(updates, u)
	}
	clear(w.dirty)
	return updates
}

// writeWindows adds updates to a batch of Pebble.
func writeWindows(b *pebble.Batch, updates []windowUpdate) error {
	for _, u := range updates {
		var err error
		if u.value == nil {
			err = b.Delete(u.key, nil)
		} else {
			err = b.Set(u.key, u.value, nil)
		}
		if err != nil {
			return fmt.Errorf("write batch window: %w", err)
		}
	}
	return nil
}

// forget removes the windows of a project from memory.
func (w *windows) forget(project string) {
	prefix := string(appendString([]byte{keyWindow, w.kind}, project))
	for key := range w.byKey {
		if strings.HasPrefix(key, prefix) {
			delete(w.byKey, key)
		}
	}
	for key := range w.dirty {
		if strings.HasPrefix(key, prefix) {
			delete(w.dirty, key)
		}
	}
}
