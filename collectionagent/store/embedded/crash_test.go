// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// crashConfig makes heads and segments so small that a kill hits every step.
func crashConfig(dir string) Config {
	return Config{Dir: dir, HeadMaxBytes: 700 << 10, SegmentBytes: 64 << 10}
}

func TestMain(m *testing.M) {
	storetest.CrashChild(func(dir string) (store.Store, error) { return Open(crashConfig(dir)) })
	code := m.Run()
	if code == 0 && !diskLost {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestCrash(t *testing.T) {
	storetest.Crash(t, 20, func(t *testing.T, dir string) store.Store { return openTest(t, crashConfig(dir)) })
}
