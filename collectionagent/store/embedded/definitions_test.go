// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
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
