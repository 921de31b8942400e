// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// TestWindowsWithoutWeight opens a directory whose windows were written before
// they had weights.
func TestWindowsWithoutWeight(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	var w store.Window
	w.Add(1)
	w.Add(2)
	id := testBatch(1, 1).ID
	old := w.AppendBinary(binary.AppendVarint(nil, time.Now().Unix()))
	if err := s.db.Set(windowKey(windowSamples, &id), old, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = openTest(t, Config{Dir: dir})
		if !mustAppend(t, s, testBatch(2, 7)) {
			t.Error("a batch in an old window is taken for new")
		}
		mustAppend(t, s, testBatch(3, 5))
		ledgers, err := s.RunLedgers(t.Context(), "default")
		if err != nil || len(ledgers) != 1 || ledgers[0].Stored != 5 {
			t.Errorf("ledgers: %+v, %v", ledgers, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpiredRuns forgets runs that were not heard of for long.
func TestExpiredRuns(t *testing.T) {
	w := windows{kind: windowSamples, ttl: time.Hour, byKey: map[string]*window{}, dirty: map[string]struct{}{}}
	now := time.Now()
	id := testBatch(1, 1).ID
	w.add(&id, 3, now)
	w.expire(now.Add(30 * time.Minute))
	if runs, err := w.runs("default"); err != nil || len(runs) != 1 || runs[0].Stored != 3 {
		t.Errorf("runs: %+v, %v", runs, err)
	}
	w.expire(now.Add(2 * time.Hour))
	if runs, err := w.runs("default"); err != nil || len(runs) != 0 {
		t.Errorf("runs after their time: %+v, %v", runs, err)
	}
}

// TestSlowDisk keeps a block from being written: when both halves of the memory
// are full writers are refused instead of piling up, and go on afterwards.
func TestSlowDisk(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir(), HeadMaxBytes: 600 << 10, checkEvery: time.Millisecond, maxStall: 10 * time.Millisecond})
	s.listMu.Lock() // the flusher needs it
	accepted := uint64(0)
	for {
		_, err := s.Append(t.Context(), testBatch(accepted+1, 1000))
		if errors.Is(err, store.ErrBusy) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if accepted++; accepted > 1000 {
			t.Fatal("memory is not bounded")
		}
	}
	if applied, err := s.Applied(t.Context(), testBatch(accepted, 1).ID); err != nil || !applied {
		t.Errorf("while busy: applied %v, %v", applied, err)
	}
	s.listMu.Unlock()
	eventually(t, "store takes writes again", func() bool {
		_, err := s.Append(t.Context(), testBatch(accepted+1, 1000))
		return err == nil
	})
	got := stored(t, s)
	for seq := uint64(1); seq <= accepted+1; seq++ {
		if got[seq] != 1000 {
			t.Errorf("batch %d has %d samples", seq, got[seq])
		}
	}
}
