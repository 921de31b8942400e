// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Store keeps everything in slices and maps. It is safe for concurrent use.
type Store struct {
	epoch [16]byte

	mu       sync.RWMutex
	batches  map[store.BatchID]struct{}
	ledgers  map[runKey]store.RunLedger
	rows     []row
	projects map[string]*definitions
	// expired is the time before which nothing is visible.
	expired libpf.UnixTimeNs
}

// runKey is a run of an agent.
type runKey struct {
	project, host string
	run           [16]byte
}

// row is a sample with its series.
type row struct {
	series *store.Series
	sample store.Sample
}

// definitions are those of one project.
type definitions struct {
	stacks      map[libpf.TraceHash][]libpf.Frame
	symbols     map[libpf.FrameID]store.Symbol
	executables map[libpf.FileID]libpf.Executable
	hosts       map[string]store.Host
	metrics     map[metricKey]int64
}

// metricKey says what a value of a metric is of.
type metricKey struct {
	host string
	time libpf.UnixTime32
	id   uint32
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{
		batches:  make(map[store.BatchID]struct{}),
		ledgers:  make(map[runKey]store.RunLedger),
		projects: make(map[string]*definitions),
		expired:  math.MinInt64,
	}
	_, _ = rand.Read(s.epoch[:]) // cannot fail
	return s
}

// Epoch implements [store.Store].
func (s *Store) Epoch() [16]byte { return s.epoch }

// Append implements [store.Store].
func (s *Store) Append(ctx context.Context, b *store.Batch) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := b.Check(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen(b.ID) {
		return true, nil
	}
	if b.ID != (store.BatchID{}) {
		key := runKey{b.ID.Project, b.ID.HostID, b.ID.RunID}
		s.ledgers[key] = store.RunLedger{
			HostID: b.ID.HostID, RunID: b.ID.RunID,
			Stored: s.ledgers[key].Stored + b.Weight(), LastBatch: libpf.UnixTimeNs(time.Now().UnixNano()),
		}
	}
	series := make([]store.Series, len(b.Series))
	for i := range b.Series {
		series[i] = b.Series[i].Clone()
	}
	for _, sample := range b.Samples {
		sample.Time = libpf.UnixTimeNs(store.FloorMs(sample.Time) * int64(store.Resolution))
		if sample.Time >= s.expired {
			s.rows = append(s.rows, row{series: &series[sample.Series], sample: sample})
		}
	}
	return false, nil
}

// Applied implements [store.Store].
func (s *Store) Applied(ctx context.Context, id store.BatchID) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, known := s.batches[id]
	return known, ctx.Err()
}

// RunLedgers implements [store.Store].
func (s *Store) RunLedgers(ctx context.Context, project string) ([]store.RunLedger, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []store.RunLedger
	for key, l := range s.ledgers {
		if key.project == project {
			all = append(all, l)
		}
	}
	store.SortRunLedgers(all)
	return all, ctx.Err()
}

// seen reports whether a batch is known and remembers it. The lock is held.
func (s *Store) seen(id store.BatchID) bool {
	if id == (store.BatchID{}) {
		return false
	}
	_, known := s.batches[id]
	s.batches[id] = struct{}{}
	return known
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, d *store.Definitions) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen(d.ID) {
		return true, nil
	}
	p := s.projects[d.Project]
	if p == nil {
		p = &definitions{
			stacks:      make(map[libpf.TraceHash][]libpf.Frame),
			symbols:     make(map[libpf.FrameID]store.Symbol),
			executables: make(map[libpf.FileID]libpf.Executable),
			hosts:       make(map[string]store.Host),
			metrics:     make(map[metricKey]int64),
		}
		s.projects[d.Project] = p
	}
	for _, st := range d.Stacks {
		frames := slices.Clone(st.Frames)
		for i := range frames {
			frames[i].Lines = nil
		}
		p.stacks[st.Hash] = frames
	}
	for _, sym := range d.Symbols {
		if old, ok := p.symbols[sym.Frame]; ok && sym.Fallback && !old.Fallback {
			continue
		}
		sym.Lines = slices.Clone(sym.Lines)
		p.symbols[sym.Frame] = sym
	}
	for _, e := range d.Executables {
		p.executables[e.FileID] = e
	}
	for _, h := range d.Hosts {
		h.Metadata = maps.Clone(h.Metadata)
		if old, ok := p.hosts[h.ID]; ok {
			h = old.Merge(&h)
		}
		p.hosts[h.ID] = h
	}
	for _, m := range d.Metrics {
		p.metrics[metricKey{m.HostID, m.Time, m.ID}] = m.Value
	}
	return false, nil
}

// each calls f with every visible row that the query asks for.
func (s *Store) each(ctx context.Context, q *store.Query, f func(*row)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	inScope := make(map[*store.Series]bool)
	for i := range s.rows {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r := &s.rows[i]
		if !q.HasSample(&r.sample) {
			continue
		}
		in, known := inScope[r.series]
		if !known {
			in = q.InScope(r.series)
			inScope[r.series] = in
		}
		if in {
			f(r)
		}
	}
	return ctx.Err()
}

// Select implements [store.Store].
func (s *Store) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	type key struct {
		group  string
		bucket libpf.UnixTimeNs
		stack  libpf.TraceHash
	}
	covered := store.Coverage{Resolution: store.Resolution}
	sums := make(map[key]*store.Row)
	// A series has many samples, all of one group.
	type grouped struct {
		labels []string
		text   string
	}
	groups := make(map[*store.Series]grouped)
	err := s.each(ctx, q, func(r *row) {
		group, known := groups[r.series]
		if !known {
			group.labels = q.GroupOf(nil, r.series)
			group.text = fmt.Sprintf("%q", group.labels)
			groups[r.series] = group
		}
		k := key{group: group.text, bucket: store.Bucket(r.sample.Time, q.Step)}
		if q.ByStack {
			k.stack = r.sample.Stack
		}
		sum := sums[k]
		if sum == nil {
			sum = &store.Row{Group: slices.Clone(group.labels), Bucket: k.bucket, Stack: k.stack}
			sums[k] = sum
		}
		sum.Count += r.sample.Count
		sum.Value += r.sample.Value
		if covered.To == 0 || r.sample.Time < covered.From {
			covered.From = r.sample.Time
		}
		covered.To = max(covered.To, r.sample.Time+libpf.UnixTimeNs(store.Resolution))
	})
	if err != nil {
		return store.Coverage{}, err
	}
	covered.From, covered.To = max(covered.From, q.From), min(covered.To, q.To)
	covered.Horizon = s.horizon()
	for _, sum := range sums {
		if !yield(sum) {
			break
		}
	}
	return covered, nil
}

// horizon returns the time before which everything expired, 0 when nothing did.
func (s *Store) horizon() libpf.UnixTimeNs {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(s.expired, 0)
}

// Samples implements [store.Store].
func (s *Store) Samples(ctx context.Context, q *store.Query, yield func(*store.Sample, *store.Series) bool) error {
	var found []*row
	if err := s.each(ctx, q, func(r *row) { found = append(found, r) }); err != nil {
		return err
	}
	for _, r := range found {
		sample := r.sample
		if !yield(&sample, r.series) {
			break
		}
	}
	return nil
}

// LabelNames implements [store.Store].
func (s *Store) LabelNames(ctx context.Context, q *store.Query) ([]string, error) {
	names := make(map[string]struct{})
	err := s.each(ctx, q, func(r *row) {
		r.series.EachLabelName(func(name string) { names[name] = struct{}{} })
	})
	return slices.Sorted(maps.Keys(names)), err
}

// LabelValues implements [store.Store].
func (s *Store) LabelValues(ctx context.Context, q *store.Query, search store.LabelSearch) (store.LabelValues, error) {
	sums := make(map[string]store.LabelValue)
	err := s.each(ctx, q, func(r *row) {
		v := r.series.Label(search.Name)
		if v == "" {
			return
		}
		sum := sums[v]
		sums[v] = store.LabelValue{Value: v, Count: sum.Count + r.sample.Count, Sum: sum.Sum + r.sample.Value}
	})
	return search.Pick(slices.Collect(maps.Values(sums))), err
}

// Types implements [store.Store].
func (s *Store) Types(ctx context.Context, project string, from, to libpf.UnixTimeNs) ([]store.TypeSum, error) {
	sums := make(map[libpf.SampleType]store.TypeSum)
	err := s.each(ctx, &store.Query{Project: project, From: from, To: to}, func(r *row) {
		t := r.series.Type
		sums[t] = store.TypeSum{Type: t, Count: sums[t].Count + r.sample.Count, Sum: sums[t].Sum + r.sample.Value}
	})
	return slices.SortedFunc(maps.Values(sums), func(a, b store.TypeSum) int { return cmp.Compare(a.Type, b.Type) }), err
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, d *store.Deletion) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rows)
	// A new slice: rows that are being handed over stay.
	s.rows = slices.DeleteFunc(slices.Clone(s.rows), func(r row) bool { return d.HasTime(r.sample.Time) && d.HasSeries(r.series) })
	if d.Whole() {
		delete(s.projects, d.Project)
		maps.DeleteFunc(s.batches, func(id store.BatchID, _ struct{}) bool { return id.Project == d.Project })
		maps.DeleteFunc(s.ledgers, func(k runKey, _ store.RunLedger) bool { return k.project == d.Project })
	}
	return int64(before - len(s.rows)), nil
}

// Expire implements [store.Store].
func (s *Store) Expire(ctx context.Context, t libpf.UnixTimeNs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = max(s.expired, t)
	s.rows = slices.DeleteFunc(slices.Clone(s.rows), func(r row) bool { return r.sample.Time < t })
	return ctx.Err()
}

// Close implements [store.Store]. The content stays readable, which tests use.
func (s *Store) Close() error { return nil }
