// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"io"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// summed is a store that has its sums ready, so that a benchmark measures what
// the query layer adds to the store's own work.
type summed struct {
	store.Store
	rows []store.Row
}

func (s *summed) Select(ctx context.Context, _ *store.Query, yield func(*store.Row) bool) error {
	for i := range s.rows {
		if !yield(&s.rows[i]) {
			break
		}
	}
	return ctx.Err()
}

// benchEngine returns an engine over 1.6 million samples of 20,000 stacks of
// mean depth 30, with its caches warm.
func benchEngine(b *testing.B, groupBy []string) *Engine {
	b.Helper()
	backing := randomStore(b, 1, dataShape{stacks: 20_000, samples: 1_600_000, series: 50, depth: 30})
	s := &summed{Store: backing}
	q := everything().query(groupBy)
	q.ByStack = true
	err := backing.Select(b.Context(), q, func(r *store.Row) bool {
		s.rows = append(s.rows, store.Row{Group: append([]string(nil), r.Group...), Stack: r.Stack, Count: r.Count, Value: r.Value})
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	e := newTestEngine(b, s, Options{})
	if _, err := e.FlameGraph(b.Context(), everything(), groupBy, 8192); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(s.rows)), "rows")
	b.ReportAllocs()
	b.ResetTimer()
	return e
}

func BenchmarkFlameGraph(b *testing.B) {
	for _, bench := range []struct {
		name     string
		groupBy  []string
		maxNodes int
	}{
		{"nodes=8192", nil, 8192},
		{"nodes=1000000", nil, 1_000_000},
		{"by=service", []string{store.LabelService}, 8192},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e := benchEngine(b, bench.groupBy)
			for b.Loop() {
				if _, err := e.FlameGraph(b.Context(), everything(), bench.groupBy, bench.maxNodes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFlameGraphCold(b *testing.B) {
	e := benchEngine(b, nil)
	for b.Loop() {
		cold := newTestEngine(b, e.store, Options{})
		if _, err := cold.FlameGraph(b.Context(), everything(), nil, 8192); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTop(b *testing.B) {
	e := benchEngine(b, nil)
	for b.Loop() {
		if _, err := e.Top(b.Context(), everything(), TopBySelf, 1000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFolded(b *testing.B) {
	e := benchEngine(b, nil)
	for b.Loop() {
		if err := e.WriteFolded(b.Context(), everything(), nil, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPprof(b *testing.B) {
	e := benchEngine(b, nil)
	for b.Loop() {
		if err := e.WritePprof(b.Context(), everything(), nil, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
