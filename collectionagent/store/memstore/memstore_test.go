// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"sync"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// TestConformance checks the fixed cases of the suite; in the random ones the
// model is compared with itself, which checks the suite.
func TestConformance(t *testing.T) {
	var mu sync.Mutex
	byDir := make(map[string]*memstore.Store) // memory outlives Close
	storetest.Run(t, func(_ *testing.T, dir string) store.Store {
		mu.Lock()
		defer mu.Unlock()
		if byDir[dir] == nil {
			byDir[dir] = memstore.New()
		}
		return byDir[dir]
	})
}
