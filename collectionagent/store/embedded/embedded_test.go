// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// openTest opens a store whose limits are so small that everything happens often.
func openTest(t *testing.T, cfg Config) *Store {
	t.Helper()
	cfg.packLeast = cmp.Or(cfg.packLeast, 1)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// busy merges blocks all the time, in windows that are small.
var busy = compactionConfig{
	every: 3 * time.Millisecond, window: 4 * time.Minute, day: 12 * time.Minute, grace: time.Millisecond, heads: 2, dayRows: 2000, smallRows: 50,
	gain: -1, least: 1,
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]Config{
		"default": {},
		"small":   {HeadMaxBytes: 700 << 10, SegmentBytes: 8 << 10, MaxOpenBlocks: 2},
		"merging": {HeadMaxBytes: 700 << 10, HeadMaxAge: 5 * time.Millisecond, SegmentBytes: 8 << 10, MaxOpenBlocks: 5, compaction: busy, packDue: 1},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, dir string) store.Store {
				cfg := cfg // tests run at the same time
				cfg.Dir = dir
				return openTest(t, cfg)
			})
		})
	}
}
