// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
	"github.com/strobe-profiler/strobe/libpf"
)

// envMerging is set while the child of the crash test is to merge blocks, too.
const envMerging = "EMBEDDED_CRASH_MERGING"

// crashConfig makes heads and segments so small that a kill hits every step.
func crashConfig(dir string) Config {
	cfg := Config{Dir: dir, HeadMaxBytes: 700 << 10, SegmentBytes: 64 << 10}
	if os.Getenv(envMerging)+os.Getenv(envDeleting) != "" {
		cfg.HeadMaxAge, cfg.compaction = 10*time.Millisecond, busy
	}
	if place := os.Getenv(envObjects); place != "" {
		remoteCrash(&cfg, place)
	}
	return cfg
}

// stillConfig is crashConfig for a look at what a crash left: files stay as they are found,
// since neither a head's age or size nor the time has the store write or merge blocks.
func stillConfig(dir string) Config {
	cfg := crashConfig(dir)
	cfg.HeadMaxAge, cfg.HeadMaxBytes = never, 0
	cfg.compaction.every, cfg.objectEvery = never, never
	return cfg
}

func TestMain(m *testing.M) {
	storetest.CrashChild(func(dir string) (store.Store, error) {
		s, err := Open(crashConfig(dir))
		if err == nil && os.Getenv(envMerging) != "" {
			go shed(s)
		}
		if err == nil && os.Getenv(envDeleting) != "" {
			go wipe(s)
		}
		return s, err
	})
	code := m.Run()
	if code == 0 && !diskLost {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// shed stores samples of long ago, drops them and lets them expire, as fast as it can.
func shed(s *Store) {
	ctx := context.Background()
	from := libpf.UnixTimeNs(1_600_000_000e9)
	for seq := uint64(1); ; seq++ {
		b := testBatch(uint64(time.Now().UnixNano()), 50)
		b.ID, b.Series[0].Project = store.BatchID{}, "old"
		for i := range b.Samples {
			b.Samples[i].Time = from + libpf.UnixTimeNs(seq*60e9+uint64(i))
		}
		_, err := s.Append(ctx, b)
		if err == nil {
			err = dropOld(ctx, s)
		}
		if err == nil && rand.IntN(3) == 0 {
			err = s.Expire(ctx, from+libpf.UnixTimeNs(seq*60e9)-600e9)
		}
		if err != nil {
			fmt.Println("shedding:", err) // fails the test
			return
		}
	}
}

// dropOld drops the samples of the merged blocks of the project of old samples.
func dropOld(ctx context.Context, s *Store) error {
	unlock, err := s.lockUpkeep(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var old []*block
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		if b.info.Project == "old" {
			old = append(old, b)
		}
	}
	return s.dropSamples(ctx, old, true)
}

func TestCrash(t *testing.T) {
	storetest.Crash(t, 12, func(t *testing.T, dir string) store.Store { return openTest(t, crashConfig(dir)) })
}

// TestCrashMerging is TestCrash while blocks are merged, dropped and expired all the time.
func TestCrashMerging(t *testing.T) {
	t.Setenv(envMerging, "1")
	storetest.Crash(t, 12, func(t *testing.T, dir string) store.Store {
		s := openTest(t, stillConfig(dir))
		checkFiles(t, s)
		for _, b := range s.blocks {
			want := tableSums(t, b.finest())
			for _, c := range b.sums {
				if got := tableSums(t, c); got != want {
					t.Errorf("%s of block %d sums up to %v instead of %v", c.kind, b.info.Number, got, want)
				}
			}
		}
		return s
	})
}
