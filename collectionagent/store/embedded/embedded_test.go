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
	if cfg.compaction == (compactionConfig{}) {
		cfg.compaction.every = never // blocks stay as they were written
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// never is when something happens that a test is to see only when it asks for it. Merging
// looks a sixtieth of its time after a block was written, too.
const never = 1000 * time.Hour

// busy merges blocks all the time, in windows that are small.
var busy = compactionConfig{
	every: pause(3 * time.Millisecond), window: 8 * time.Minute, day: 16 * time.Minute, grace: time.Millisecond, heads: 2, dayRows: 2000, smallRows: 50,
	gain: -1, least: 1,
}

// often returns how often to do something again that each time is a little different.
func often(n int) int {
	if raceEnabled {
		return max(n/3, 1)
	}
	return n
}

// pause returns how long to leave between things that happen all the time.
func pause(d time.Duration) time.Duration {
	if raceEnabled {
		return 6 * d
	}
	return d
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]Config{
		"default": {},
		"small":   {HeadMaxBytes: 700 << 10, SegmentBytes: 8 << 10, MaxOpenBlocks: 2},
		"merging": {
			HeadMaxBytes: 700 << 10, HeadMaxAge: pause(5 * time.Millisecond), SegmentBytes: 8 << 10, MaxOpenBlocks: 5,
			compaction: busy, packDue: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.RunSeeds(t, func(t *testing.T, dir string) store.Store {
				cfg := cfg // tests run at the same time
				cfg.Dir = dir
				return openTest(t, cfg)
			}, uint64(often(3)))
		})
	}
}
