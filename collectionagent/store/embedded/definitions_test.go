// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// TestPutThatFails puts definitions that cannot be written, twice: the second time they
// must not be taken for stored.
func TestPutThatFails(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := openTest(t, cfg)
	d := defined(1)
	d.ID = store.BatchID{Project: "default", HostID: "h", Type: store.BatchStacks, Sequence: 1}
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := offline(cfg.Dir, nil) // which writes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.closeOffline(); err != nil {
			t.Error(err)
		}
	}()
	m, err := readMeta(s.db)
	if err != nil {
		t.Fatal(err)
	}
	s.counts.Store(&m.counts)
	if s.defWindows, err = loadWindows(s.db, windowDefinitions, time.Hour); err != nil {
		t.Fatal(err)
	}
	if known, err := s.put(d); err == nil && !known {
		t.Error("what was stored is not a repeat")
	}
	for _, run := range []byte{0, 7} { // of a run that is known, and of a new one
		d.ID.Sequence, d.ID.RunID[0] = 2, run
		for range 2 {
			if duplicate, err := s.put(d); duplicate || !errors.Is(err, pebble.ErrReadOnly) {
				t.Errorf("run %d: duplicate %v, error %v", run, duplicate, err)
			}
		}
	}
	if len(s.defWindows.dirty) != 2 {
		t.Errorf("%d windows are to be written, 2 changed", len(s.defWindows.dirty))
	}
}

// TestFinder looks for keys in a database whose keys are in its last level: for those
// that are new it reads no block.
func TestFinder(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir()})
	key := func(n int) []byte { return fmt.Appendf(nil, "finder %d", n) }
	const keys = 2000
	set := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if err := s.db.Set(key(n), []byte("value"), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(0, keys)
	if err := s.db.Delete(key(7), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context(), key(0), []byte("finder a"), false); err != nil {
		t.Fatal(err)
	}
	f := finder{db: s.db}
	defer func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}()
	before := s.db.Metrics().Filter.Hits
	for n := range 2 * keys {
		found, err := f.has(key(n))
		if err != nil || found != (n < keys && n != 7) {
			t.Fatalf("key %d: %v, %v", n, found, err)
		}
	}
	// A filter is wrong about one key in a hundred.
	if hits := s.db.Metrics().Filter.Hits - before; hits < keys*9/10 {
		t.Errorf("filters answered for %d of %d new keys", hits, keys)
	}
	set(keys, keys+1)
	again := finder{db: s.db}
	if found, err := again.has(key(keys)); err != nil || !found {
		t.Errorf("a key that was set just now: %v, %v", found, err)
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
}
