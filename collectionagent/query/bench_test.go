// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// summed is a store that has its sums ready, so that a benchmark measures what
// the query layer adds to the store's own work.
type summed struct {
	store.Store
	rows []store.Row
}

func (s *summed) Select(ctx context.Context, _ *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	for i := range s.rows {
		if !yield(&s.rows[i]) {
			break
		}
	}
	return store.Coverage{}, ctx.Err()
}

// benchStore returns a store of 1.6 million samples of 20,000 stacks of mean
// depth 30 in 20 services, of 2,000 functions at 25,000 addresses; stacks share
// their roots.
func benchStore(b *testing.B) *memstore.Store {
	b.Helper()
	const (
		services, functions, stacksPerService, samples = 20, 2000, 1000, 1_600_000
		depth                                          = 30
	)
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a benchmark wants the same numbers each time
	d, batch := &store.Definitions{}, &store.Batch{}
	symbols := map[libpf.FrameID]struct{}{}
	for service := range services {
		file := libpf.NewFileID(7, uint64(service+1))
		d.Executables = append(d.Executables, libpf.Executable{FileID: file, FileName: fmt.Sprintf("service-%d", service)})
		frame := func() libpf.Frame {
			function := int(float64(functions/4) * rng.Float64() * rng.Float64() * rng.Float64())
			if rng.IntN(2) == 0 {
				function += functions / 4 // of the service's own
				function += service * 37
			}
			address := libpf.AddressOrLineno(function<<8 | rng.IntN(3))
			f := libpf.Frame{Type: libpf.NativeFrame, FileID: file, AddressOrLineno: address}
			if _, known := symbols[f.ID()]; !known {
				symbols[f.ID()] = struct{}{}
				d.Symbols = append(d.Symbols, store.Symbol{Frame: f.ID(), Lines: []libpf.SourceLine{{
					Function: fmt.Sprintf("github.com/acme/service/pkg.(*Handler).Process%04d", function),
					File:     fmt.Sprintf("/src/pkg/file%d.go", function%100), Line: 20 + libpf.SourceLineno(address&3), StartLine: 10,
				}}})
			}
			return f
		}
		root := []libpf.Frame{frame(), frame()}
		var own [][]libpf.Frame // root first
		for len(own) < stacksPerService {
			n := max(6, int(depth+rng.NormFloat64()*depth/4))
			stack := root
			if len(own) > 0 && rng.IntN(10) > 0 {
				base := own[rng.IntN(len(own))]
				stack = base[:min(n-1, 2+rng.IntN(len(base)-2))]
			}
			stack = slices.Clone(stack)
			for len(stack) < n {
				stack = append(stack, frame())
			}
			own = append(own, stack)
			frames := slices.Clone(stack)
			slices.Reverse(frames)
			d.Stacks = append(d.Stacks, store.Stack{Hash: libpf.HashTrace(frames), Frames: frames})
		}
		batch.Series = append(batch.Series, store.Series{
			Type: libpf.SampleOnCPU, Service: fmt.Sprintf("service-%d", service), Comm: fmt.Sprintf("worker-%d", service%3),
		})
	}
	for range samples {
		stack := int(float64(len(d.Stacks)) * rng.Float64() * rng.Float64())
		stack = (stack * 7919) % len(d.Stacks)
		batch.Samples = append(batch.Samples, store.Sample{
			Time:   testStart + libpf.UnixTimeNs(rng.Int64N(int64(testEnd-testStart))),
			Series: uint32(stack / stacksPerService), //nolint:gosec // small
			Stack:  d.Stacks[stack].Hash, Count: 1, Value: period,
		})
	}
	s := memstore.New()
	if _, err := s.Put(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	if _, err := s.Append(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return s
}

// benchEngine returns an engine on the sums of that store, with its caches warm.
func benchEngine(b *testing.B, groupBy []string) *Engine {
	b.Helper()
	backing := benchStore(b)
	s := &summed{Store: backing}
	q := everything().query(groupBy)
	q.ByStack = true
	_, err := backing.Select(b.Context(), q, func(r *store.Row) bool {
		s.rows = append(s.rows, store.Row{Group: append([]string(nil), r.Group...), Stack: r.Stack, Count: r.Count, Value: r.Value})
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	e := NewEngine(s, Options{})
	g, err := e.FlameGraph(b.Context(), everything(), groupBy, 8192)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rows, %d nodes", len(s.rows), int64(len(g.Nodes))+g.HiddenNodes)
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
		{"by=comm,service", []string{store.LabelComm, store.LabelService}, 8192},
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
		cold := NewEngine(e.store, Options{})
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
		if _, err := e.WriteFolded(b.Context(), everything(), nil, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPprof(b *testing.B) {
	e := benchEngine(b, nil)
	for b.Loop() {
		if _, err := e.WritePprof(b.Context(), everything(), nil, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFunctions measures what looks for functions by their names.
func BenchmarkFunctions(b *testing.B) {
	conditions, err := ParseStackConditions(`{function*="1"} !{function^="x"}`)
	if err != nil {
		b.Fatal(err)
	}
	some := everything()
	some.Stacks.Conditions = conditions
	one := FramePattern{{Op: FrameContains, Value: "12"}}
	for name, ask := range map[string]func(*Engine) error{
		"diff": func(e *Engine) error {
			_, err := e.Diff(b.Context(), everything(), everything(), &DiffOptions{MaxNodes: 8192, Limit: 1000})
			return err
		},
		"sandwich": func(e *Engine) error {
			_, err := e.Sandwich(b.Context(), everything(), one, 8192)
			return err
		},
		"lines": func(e *Engine) error {
			_, err := e.Lines(b.Context(), everything(), one, 1000)
			return err
		},
		"filtered": func(e *Engine) error {
			_, err := e.FlameGraph(b.Context(), some, nil, 8192)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			e := benchEngine(b, nil)
			for b.Loop() {
				if err := ask(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
