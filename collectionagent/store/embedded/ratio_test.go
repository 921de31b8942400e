// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestRatio looks at blocks that say that their values are multiples of the counts: they
// say so only when it is true, and answers are the same as if they did not.
func TestRatio(t *testing.T) {
	for name, c := range map[string]struct {
		count, value func(i int) int64
		want         bool
		ratio        int64
	}{
		"the same":        {func(i int) int64 { return int64(i % 7) }, func(i int) int64 { return int64(i%7) * 50 }, false, 0}, // the first row has none
		"multiples":       {func(i int) int64 { return 1 + int64(i%7) }, func(i int) int64 { return 50 + int64(i%7)*50 }, true, 50},
		"one is not":      {func(i int) int64 { return 1 + int64(i%7) }, func(i int) int64 { return 50 + int64(i%7)*50 + int64(i/999) }, false, 0},
		"no values":       {func(i int) int64 { return 1 + int64(i%7) }, func(int) int64 { return 0 }, true, 0},
		"counts of one":   {func(int) int64 { return 1 }, func(int) int64 { return 3 }, true, 3},
		"negative":        {func(i int) int64 { return 1 + int64(i%7) }, func(i int) int64 { return -2 - 2*int64(i%7) }, true, -2},
		"not divided out": {func(int) int64 { return 2 }, func(int) int64 { return 3 }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, Config{Dir: t.TempDir(), compaction: compactionConfig{every: never, gain: -1, least: 1}})
			b := testBatch(1, 1000)
			var count, value int64
			for i := range b.Samples {
				b.Samples[i].Count, b.Samples[i].Value = c.count(i), c.value(i)
				b.Samples[i].Stack = libpf.NewTraceHash(1, 1)
				b.Samples[i].Time = mixedStart + libpf.UnixTimeNs(i)*1e9
				count, value = count+c.count(i), value+c.value(i)
			}
			mustAppend(t, s, b)
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, blocks, _ := s.readView()
			for _, block := range blocks {
				content, _, err := block.acquire(1)
				if err != nil {
					t.Fatal(err)
				}
				if got := content.columns; got.hasRatio != c.want || got.ratio != c.ratio {
					t.Errorf("the footer says %v, %d", got.hasRatio, got.ratio)
				}
				block.release()
			}
			for _, step := range []time.Duration{0, 7 * time.Second} {
				q := store.Query{Project: "default", Type: libpf.SampleOnCPU, From: math.MinInt64, To: math.MaxInt64, ByStack: true, Step: step}
				if step > 0 {
					q.From, q.To = mixedStart, mixedStart+3600e9
				}
				var got [2]int64
				_, err := s.Select(t.Context(), &q, func(r *store.Row) bool {
					got[0], got[1] = got[0]+r.Count, got[1]+r.Value
					return true
				})
				if want := [2]int64{count, value}; err != nil || got != want {
					t.Errorf("in steps of %v: count and value %v, expected %v (error %v)", step, got, want, err)
				}
			}
			if v, err := s.Verify(t.Context(), func(f *Finding) { t.Error(*f) }); err != nil || v.Problems > 0 {
				t.Error(err)
			}
		})
	}
}
