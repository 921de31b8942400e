// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// openTest opens a store whose limits are so small that everything happens often.
func openTest(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]Config{
		"default": {},
		"small":   {HeadMaxBytes: 700 << 10, SegmentBytes: 8 << 10, MaxOpenBlocks: 2},
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
