// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Options are the settings of an [Engine]. The zero value of a field stands for
// its default.
type Options struct {
	// CacheBytes bounds the definitions kept in memory, by and large. Default 128 MiB.
	CacheBytes int64
	// MaxRows bounds how many sums, one per group and stack or bucket, one answer
	// is made of. Default 4,000,000.
	MaxRows int
	// Now is the clock for the age of cached names. Default time.Now.
	Now func() time.Time
}

// Engine answers questions. It is safe for concurrent use.
type Engine struct {
	store    store.Store
	resolver *resolver
	metrics  *metrics
	maxRows  int
}

// NewEngine returns an engine on a store, which it does not close.
func NewEngine(s store.Store, o Options) *Engine {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 128 << 20
	}
	if o.MaxRows <= 0 {
		o.MaxRows = 4_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := newMetrics()
	return &Engine{store: s, resolver: newResolver(s, o.CacheBytes, o.Now, m), metrics: m, maxRows: o.MaxRows}
}

// Collectors returns the engine's metrics, for the caller to register.
func (e *Engine) Collectors() []prometheus.Collector { return []prometheus.Collector{e.metrics.cache} }

// Selection says which samples a question is about.
type Selection struct {
	Project string
	Type    libpf.SampleType
	// From is inclusive, To exclusive.
	From, To libpf.UnixTimeNs
	Matchers []*store.Matcher
	// FoldInterpreters leaves the frames of interpreters' own code out of flame
	// graphs and tables: what they take belongs to their callers, the scripts.
	FoldInterpreters bool
}

func (s *Selection) query(groupBy []string) *store.Query {
	return &store.Query{
		Project: s.Project, Type: s.Type, From: s.From, To: s.To, Matchers: s.Matchers, GroupBy: groupBy,
	}
}

// sum is the sum of the samples of a group that have a stack.
type sum struct {
	group, stack uint32
	count, value int64
}

// sums are all samples of a question, with what is known of their stacks.
type sums struct {
	*resolution
	groups [][]string
	rows   []sum // by group, then stack
	// count and value are the totals.
	count, value int64
	// period is the value of each single observation, 0 when they differ.
	period int64
	// unknownValue is the value of the samples whose stack is not known.
	unknownValue int64
}

// sums asks the store for the sums by group and stack and resolves the stacks.
func (e *Engine) sums(ctx context.Context, s *Selection, groupBy []string) (*sums, error) {
	q := s.query(groupBy)
	q.ByStack = true
	out := &sums{}
	groups := map[string]uint32{}
	stacks := map[libpf.TraceHash]uint32{}
	var hashes []libpf.TraceHash
	var key []byte
	tooLarge, samePeriod := false, true
	_, err := e.store.Select(ctx, q, func(r *store.Row) bool {
		if len(out.rows) == e.maxRows {
			tooLarge = true
			return false
		}
		key = key[:0]
		for _, v := range r.Group {
			key = append(append(key, v...), 0)
		}
		group, ok := groups[string(key)]
		if !ok {
			group = uint32(len(out.groups)) //nolint:gosec // at most maxRows
			groups[string(key)] = group
			out.groups = append(out.groups, cloneStrings(r.Group))
		}
		stack, ok := stacks[r.Stack]
		if !ok {
			stack = uint32(len(hashes)) //nolint:gosec // at most maxRows
			stacks[r.Stack] = stack
			hashes = append(hashes, r.Stack)
		}
		out.rows = append(out.rows, sum{group, stack, r.Count, r.Value})
		out.count += r.Count
		out.value += r.Value
		if len(out.rows) == 1 && r.Count > 0 {
			out.period = r.Value / r.Count
		}
		samePeriod = samePeriod && r.Value == out.period*r.Count
		return true
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("select samples: %w", err)
	case tooLarge:
		return nil, fmt.Errorf("%w: more than %d stacks, which is the limit (-max-query-rows); shorten the time range or narrow the query", ErrTooLarge, e.maxRows)
	}
	if !samePeriod || s.Type != libpf.SampleOnCPU {
		out.period = 0
	}
	out.sort(hashes)
	out.resolution, err = e.resolver.resolve(ctx, s.Project, hashes)
	if err != nil {
		return nil, err
	}
	for _, r := range out.rows {
		if out.unknown[r.stack] {
			out.unknownValue += r.value
		}
	}
	return out, nil
}

// sort puts groups and stacks into the order of their names and hashes, so that
// an answer does not depend on the order the store found them in.
func (s *sums) sort(hashes []libpf.TraceHash) {
	groupRank := rank(s.groups, slices.Compare[[]string])
	stackRank := rank(hashes, func(a, b libpf.TraceHash) int { return a.Compare(b.Hash128) })
	for i := range s.rows {
		r := &s.rows[i]
		r.group, r.stack = groupRank[r.group], stackRank[r.stack]
	}
	countingSort(s.rows, len(hashes), func(r *sum) uint32 { return r.stack })
	countingSort(s.rows, len(s.groups), func(r *sum) uint32 { return r.group })
}

// rank sorts values and returns the new index of each old one.
func rank[T any](values []T, compare func(a, b T) int) []uint32 {
	order := make([]uint32, len(values))
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // at most maxRows
	}
	slices.SortFunc(order, func(a, b uint32) int { return compare(values[a], values[b]) })
	sorted := make([]T, len(values))
	ranks := make([]uint32, len(values))
	for i, old := range order {
		sorted[i] = values[old]
		ranks[old] = uint32(i) //nolint:gosec // at most maxRows
	}
	copy(values, sorted)
	return ranks
}

// cloneStrings copies a row's texts, which are only valid during the call.
func cloneStrings(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = strings.Clone(s)
	}
	return out
}

// LabelText is how the value of a label reads where a name is needed: a value
// that a series does not have reads as "(no pod)".
func LabelText(name, value string) string {
	if value == "" {
		return "(no " + name + ")"
	}
	return value
}
