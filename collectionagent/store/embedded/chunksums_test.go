// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestChunkSums asks of a head of several chunks what sums of chunks can answer, and
// what they can answer in part or not at all.
func TestChunkSums(t *testing.T) {
	t.Parallel()
	for name, services := range map[string]int{"few series": 5, "many series": maxChunkSeries * 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			model := memstore.New()
			r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same each time
			start := libpf.UnixTimeNs(1_700_000_000 * int64(time.Second))
			b := &store.Batch{}
			for i := range services {
				b.Series = append(b.Series, store.Series{Project: "p", Type: libpf.SampleOnCPU, Service: fmt.Sprint("s", i), Host: "h"})
			}
			for i := range 3*chunkRows + 100 {
				b.Samples = append(b.Samples, store.Sample{
					Time: start + libpf.UnixTimeNs(i/3)*libpf.UnixTimeNs(time.Millisecond), Series: uint32(r.IntN(services)), //nolint:gosec // small
					Stack: libpf.NewTraceHash(1, r.Uint64N(9)), Count: 1 + r.Int64N(3), Value: r.Int64N(1000),
				})
			}
			for _, x := range []store.Store{s, model} {
				if _, err := x.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			last := start + libpf.UnixTimeNs(chunkRows+100)*libpf.UnixTimeNs(time.Millisecond)
			for range 15 {
				q := &store.Query{Project: "p", Type: libpf.SampleOnCPU, From: start, To: last, GroupBy: []string{store.LabelService}}
				if r.IntN(2) == 0 {
					q.From += libpf.UnixTimeNs(r.Int64N(int64(last - start)))
				}
				if r.IntN(2) == 0 {
					q.To -= libpf.UnixTimeNs(r.Int64N(int64(last - start)))
				}
				q.Step = []time.Duration{0, 0, time.Second, time.Minute}[r.IntN(4)]
				q.ByStack = r.IntN(4) == 0
				want, got := rows(t, model, q), rows(t, s, q)
				if !slices.Equal(want, got) { // which needs a fraction of the time of a diff
					t.Fatalf("%+v (-want +got):\n%s", q, cmp.Diff(want, got))
				}
			}
		})
	}
}

// rows returns the rows of an answer as texts, sorted.
func rows(t *testing.T, s store.Store, q *store.Query) (all []string) {
	t.Helper()
	if q.From >= q.To {
		return nil
	}
	if _, err := s.Select(t.Context(), q, func(r *store.Row) bool {
		all = append(all, fmt.Sprint(r.Group, r.Bucket, r.Stack, r.Count, r.Value))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}
