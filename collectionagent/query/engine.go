// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
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
func (e *Engine) Collectors() []prometheus.Collector {
	used := e.resolver.used
	return []prometheus.Collector{e.metrics.cache, memory.Used(memory.Definitions, used)}
}

// Selection says which samples a question is about.
type Selection struct {
	Project string
	Type    libpf.SampleType
	// From is inclusive, To exclusive.
	From, To libpf.UnixTimeNs
	Matchers []*store.Matcher
	// TraceIDs and SpanIDs, where there are any, select only the samples that
	// carry one of each.
	TraceIDs [][16]byte
	SpanIDs  [][8]byte
	// Stacks says which stacks count and what of them is shown.
	Stacks StackFilter
	// FoldInterpreters leaves the frames of interpreters' own code out of flame
	// graphs and tables: what they take belongs to their callers, the scripts.
	FoldInterpreters bool
	// Level is what nodes of flame graphs tell apart, those of comparisons too.
	Level Level
}

func (s *Selection) query(groupBy []string) *store.Query {
	q := &store.Query{
		Project: s.Project, Type: s.Type, From: s.From, To: s.To, Matchers: s.Matchers,
		TraceIDs: s.TraceIDs, SpanIDs: s.SpanIDs, GroupBy: groupBy,
	}
	for i, name := range groupBy {
		if known := store.LabelNamed(name); known != name {
			q.GroupBy = slices.Clone(q.GroupBy) // the answer has the names of the question
			q.GroupBy[i] = known
		}
	}
	return q
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
	rows   []sum
	hashes []libpf.TraceHash
	// selected is how many stacks there were before a filter left some out.
	selected int
	// count and value are the totals, excluded the value of what a filter left out.
	count, value, excluded int64
	// period is the value of each single observation, 0 when they differ.
	period int64
	// unknownValue is the value of the samples whose stack is not known.
	unknownValue int64
	coverage     store.Coverage
}

// sums asks the store for the sums by group and stack, resolves the stacks, and
// leaves out what the selection does not ask for of them. They are in no order.
func (e *Engine) sums(ctx context.Context, s *Selection, groupBy []string) (*sums, error) {
	return e.collectSums(ctx, s, groupBy, func(*sums, *watch) {})
}

// sortedSums is sums in the order of their groups and hashes.
func (e *Engine) sortedSums(ctx context.Context, s *Selection, groupBy []string) (*sums, error) {
	return e.collectSums(ctx, s, groupBy, (*sums).sort)
}

func (e *Engine) collectSums(ctx context.Context, s *Selection, groupBy []string, sort func(*sums, *watch)) (*sums, error) {
	w := newWatch(ctx)
	c := newCollector(e, w)
	if len(groupBy) == 0 {
		c.stacks = nil
	}
	out, err := c.collect(ctx, s, groupBy)
	if err != nil {
		return nil, err
	}
	out.hashes, out.selected = c.hashes, len(c.hashes)
	sort(out, w)
	return out, e.resolve(ctx, w, out, s)
}

// resolve looks up the stacks of sums and applies the filter of the selection.
func (e *Engine) resolve(ctx context.Context, w *watch, out *sums, s *Selection) (err error) {
	if out.resolution, err = e.resolver.resolve(ctx, w, s.Project, out.hashes); err != nil {
		return err
	}
	out.filter(s)
	out.countUnknown()
	return ctx.Err()
}

// countUnknown sums up the samples whose stack is not known.
func (s *sums) countUnknown() {
	for _, r := range s.rows {
		if s.unknown[r.stack] {
			s.unknownValue += r.value
		}
	}
}

// Rough sizes of entries with their shares of maps, of arrays that double, and of the
// copies that sorting makes.
const (
	groupSize = 160
	stackSize = 128
	rowSize   = 64
	textSize  = 16 // of a string, without its text
)

// collector numbers the groups and stacks of one or more selections.
type collector struct {
	engine *Engine
	watch  *watch
	groups map[string]uint32
	values [][]string                 // of the groups
	stacks map[libpf.TraceHash]uint32 // nil: each stack comes once
	hashes []libpf.TraceHash
	rows   int
	key    []byte
}

func newCollector(e *Engine, w *watch) *collector {
	return &collector{engine: e, watch: w, groups: map[string]uint32{}, stacks: map[libpf.TraceHash]uint32{}}
}

// group returns the number of a group.
func (c *collector) group(values []string) uint32 {
	c.key = c.key[:0]
	for _, v := range values {
		c.key = append(append(c.key, v...), 0)
	}
	group, ok := c.groups[string(c.key)]
	if !ok {
		c.watch.take(1, groupSize+2*int64(len(c.key)))
		group = uint32(len(c.values)) //nolint:gosec // at most maxRows
		c.groups[string(c.key)] = group
		c.values = append(c.values, cloneStrings(values))
	}
	return group
}

// stack returns the number of a stack.
func (c *collector) stack(hash libpf.TraceHash) uint32 {
	stack, ok := c.stacks[hash]
	if !ok {
		c.watch.take(1, stackSize)
		stack = uint32(len(c.hashes)) //nolint:gosec // at most maxRows
		if c.stacks != nil {
			c.stacks[hash] = stack
		}
		c.hashes = append(c.hashes, hash)
	}
	return stack
}

// collect asks the store for the sums of a selection by group and stack.
func (c *collector) collect(ctx context.Context, s *Selection, groupBy []string) (*sums, error) {
	q := s.query(groupBy)
	q.ByStack = true
	out := &sums{}
	tooLarge, samePeriod := false, true
	var err error
	out.coverage, err = c.engine.store.Select(ctx, q, func(r *store.Row) bool {
		if c.watch.ended() {
			return false
		}
		if c.rows == c.engine.maxRows {
			tooLarge = true
			return false
		}
		c.rows++
		c.watch.take(1, rowSize)
		out.rows = append(out.rows, sum{c.group(r.Group), c.stack(r.Stack), r.Count, r.Value})
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
		return nil, c.engine.tooLarge("stacks", "shorten the time range or narrow the query")
	}
	if !samePeriod || s.Type != libpf.SampleOnCPU {
		out.period = 0
	}
	out.groups = c.values
	return out, ctx.Err()
}

// tooLarge returns the error for a question that matches more than maxRows of something.
func (e *Engine) tooLarge(what, advice string) error {
	return fmt.Errorf("%w: more than %d %s, which is the limit (-max-query-rows); %s", ErrTooLarge, e.maxRows, what, advice)
}

// sort puts groups and stacks into the order of their names and hashes, so that
// an answer does not depend on the order the store found them in.
func (s *sums) sort(w *watch) {
	groupRank := rank(w, s.groups, slices.Compare[[]string])
	stackRank := rankHashes(w, s.hashes)
	s.renumber(groupRank, stackRank)
	countingSort(s.rows, len(s.hashes), func(r *sum) uint32 { return r.stack })
	countingSort(s.rows, len(s.groups), func(r *sum) uint32 { return r.group })
}

// rankHashes is [rank] for stacks.
func rankHashes(w *watch, hashes []libpf.TraceHash) []uint32 {
	type entry struct {
		hash  libpf.TraceHash
		place uint32
	}
	order := make([]entry, len(hashes))
	for i, h := range hashes {
		order[i] = entry{h, uint32(i)} //nolint:gosec // at most maxRows
	}
	slices.SortFunc(order, func(a, b entry) int {
		if w.ended() { // any order will do, the sooner the better
			return 0
		}
		return a.hash.Compare(b.hash.Hash128)
	})
	ranks := make([]uint32, len(hashes))
	for i := range order {
		hashes[i] = order[i].hash
		ranks[order[i].place] = uint32(i) //nolint:gosec // at most maxRows
	}
	return ranks
}

// renumber gives groups and stacks new numbers.
func (s *sums) renumber(groups, stacks []uint32) {
	for i := range s.rows {
		r := &s.rows[i]
		r.group, r.stack = groups[r.group], stacks[r.stack]
	}
}

// rank sorts values and returns the new index of each old one.
func rank[T any](w *watch, values []T, compare func(a, b T) int) []uint32 {
	order := make([]uint32, len(values))
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // at most maxRows
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if w.ended() { // any order will do, the sooner the better
			return 0
		}
		return compare(values[a], values[b])
	})
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
