// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// LabelCPU is the label that agents add when they are asked to tell CPUs apart.
const LabelCPU = "cpu"

// Tracks are samples in the order of time: one track for each thread, CPU or other
// value of a label, with what was mostly running in each step.
type Tracks struct {
	Summary
	// Labels are the names of what tracks are told apart by and described with.
	Labels []string
	// Step is the width of a step. From is the start of the first, To the end of the
	// last; they are aligned to the epoch.
	Step     time.Duration
	From, To libpf.UnixTimeNs
	// Period is the value of each single observation, 0 when they differ or the type
	// has none.
	Period int64
	// Frames are the functions that stacks are of; the first is the root's.
	Frames []FlameFrame
	// Stacks is a tree: a parent comes before its children, and the first is the root.
	Stacks []TrackStack
	// Tracks are sorted by their value, the largest first.
	Tracks []Track
	// HiddenTracks is how many more there are, HiddenValue the sum of their values.
	HiddenTracks int
	HiddenValue  int64
	// CutStacks is how many stacks end above their leaf because there are too many nodes.
	CutStacks int
}

// TrackStack is a node of the tree of stacks.
type TrackStack struct{ Frame, Parent uint32 }

// Track is what one thread, CPU or other value did.
type Track struct {
	// Labels are the values of [Tracks.Labels].
	Labels         []string
	Value, Samples int64
	// Cells are the steps with samples, in the order of time.
	Cells []TrackCell
}

// TrackCell is a step of a track.
type TrackCell struct {
	// At is the number of the step, Stack an index into [Tracks.Stacks]: of the function
	// that took most of the step, the stack with the most.
	At, Stack uint32
	// Value is the sum of the step, Part what of it the function took.
	Value, Part int64
}

// TracksOptions say which tracks are wanted.
type TracksOptions struct {
	// By is the label whose values are the tracks. Threads, processes and CPUs of
	// different hosts are different tracks.
	By string
	// Step is the width of a step; Limit times the steps of the range are at most
	// [MaxCells].
	Step time.Duration
	// Limit is the most tracks, MaxNodes the most nodes of the tree of stacks.
	Limit, MaxNodes int
}

// NiceTrackStep returns the step that cuts a range into 1,000 at most and that is at
// least a millisecond, which is how exactly times are stored.
func NiceTrackStep(span time.Duration) time.Duration {
	const most = 1000
	for unit := time.Millisecond; unit < time.Second; unit *= 10 {
		for _, n := range [...]time.Duration{1, 2, 5} {
			if span <= most*n*unit {
				return n * unit
			}
		}
	}
	return NiceStep(span / (most / 200))
}

// trackLabels returns what tracks are told apart by, and what describes them.
func trackLabels(by string) (identity, description []string) {
	switch by {
	case store.LabelTID:
		return []string{store.LabelHostID, store.LabelPID, by}, []string{store.LabelHost, store.LabelService, store.LabelProcess, store.LabelComm}
	case store.LabelPID:
		return []string{store.LabelHostID, by}, []string{store.LabelHost, store.LabelService, store.LabelProcess}
	case LabelCPU:
		return []string{store.LabelHostID, by}, []string{store.LabelHost}
	}
	return []string{by}, nil
}

// Tracks returns samples in the order of time. The largest tracks are looked for
// first; only of those the stacks are read.
func (e *Engine) Tracks(ctx context.Context, s *Selection, o *TracksOptions) (*Tracks, error) {
	t := &Tracks{Step: o.Step, From: store.Bucket(s.From, o.Step), To: store.Bucket(s.To-1, o.Step) + libpf.UnixTimeNs(o.Step)}
	steps := int64(t.To-t.From) / int64(o.Step)
	if steps < 1 || steps > int64(min(MaxBuckets, MaxCells/max(1, o.Limit))) {
		return nil, fmt.Errorf("%w: not between 1 and %d steps, or more than %d cells", ErrTooLarge, MaxBuckets, MaxCells)
	}
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	b := &trackBuilder{Tracks: t, engine: e, watch: newWatch(ctx), steps: int(steps), numbers: map[string]uint32{}}
	if err := b.choose(ctx, s, k, o); err != nil {
		return nil, err
	}
	sums, err := b.collect(ctx, s, k, o)
	if err != nil {
		return nil, err
	}
	functions := newFunctionTable(len(sums.names))
	levels := sums.levels(functions, s.FoldInterpreters, nil)
	t.Summary = sums.summary(s, levels)
	t.Period = sums.period
	if k != nil {
		t.Excluded = k.sums.excluded
	}
	paths := sums.paths(functions, levels) // before there are labels, which are in no path
	b.fill(sums, paths)
	b.grow(functions, paths, o.MaxNodes)
	t.Total, t.Samples = t.HiddenValue, b.hiddenSamples
	for i := range t.Tracks {
		t.Total += t.Tracks[i].Value
		t.Samples += t.Tracks[i].Samples
	}
	return t, ctx.Err()
}

// trackBuilder makes tracks.
type trackBuilder struct {
	*Tracks
	engine        *Engine
	watch         *watch
	steps         int
	identity      int // how many of the labels tell tracks apart
	numbers       map[string]uint32
	hiddenSamples int64
	key           []byte
	// sums are the values of the stacks that cells show, by number.
	sums []int64
}

// keyOf returns what tells a track apart, good until the next call.
func (b *trackBuilder) keyOf(values []string) []byte {
	b.key = b.key[:0]
	for _, v := range values[:b.identity] {
		b.key = append(append(b.key, v...), 0)
	}
	return b.key
}

// found is a track that there is.
type found struct {
	Track
	most int64 // of a row, whose labels describe the track
}

// choose finds the largest tracks.
func (b *trackBuilder) choose(ctx context.Context, s *Selection, k *kept, o *TracksOptions) error {
	identity, description := trackLabels(o.By)
	b.Labels, b.identity = slices.Concat(identity, description), len(identity)
	var all []found
	_, err := b.engine.selectKept(ctx, s.query(b.Labels), k, func(r *store.Row) bool {
		n, known := b.numbers[string(b.keyOf(r.Group))]
		if !known {
			if n = uint32(len(all)); int(n) == b.engine.maxRows { //nolint:gosec // at most maxRows
				return false
			}
			b.watch.take(1, groupSize+2*int64(len(b.key)))
			b.numbers[string(b.key)] = n
			all = append(all, found{Track{Labels: cloneStrings(r.Group)}, r.Value})
		}
		f := &all[n]
		f.Value += r.Value
		f.Samples += r.Count
		// A thread may change its name: that of the most counts, else the first in order.
		if r.Value > f.most || r.Value == f.most && slices.Compare(r.Group, f.Labels) < 0 {
			f.most, f.Labels = r.Value, cloneStrings(r.Group)
		}
		return !b.watch.ended()
	})
	switch {
	case err != nil:
		return fmt.Errorf("select tracks: %w", err)
	case len(all) >= b.engine.maxRows:
		return b.engine.tooLarge("tracks", "shorten the time range or narrow the query")
	}
	slices.SortFunc(all, func(x, y found) int {
		return cmp.Or(cmp.Compare(y.Value, x.Value), slices.Compare(x.Labels, y.Labels))
	})
	clear(b.numbers)
	for i := range all {
		if i < o.Limit {
			b.numbers[string(b.keyOf(all[i].Labels))] = uint32(i) //nolint:gosec // at most the limit
			b.Tracks.Tracks = append(b.Tracks.Tracks, Track{Labels: all[i].Labels})
			continue
		}
		b.HiddenTracks++
		b.HiddenValue += all[i].Value
		b.hiddenSamples += all[i].Samples
	}
	return ctx.Err()
}

// collect reads the steps of the tracks. The group of a row is the number of its cell.
func (b *trackBuilder) collect(ctx context.Context, s *Selection, k *kept, o *TracksOptions) (*sums, error) {
	identity, _ := trackLabels(o.By)
	q := s.query(identity)
	q.Step, q.ByStack = o.Step, true
	c := newCollector(b.engine, b.watch)
	out := &sums{}
	tooLarge, samePeriod := false, true
	var err error
	out.coverage, err = b.engine.selectKept(ctx, q, k, func(r *store.Row) bool {
		track, ok := b.numbers[string(b.keyOf(r.Group))]
		at := int64(r.Bucket-b.From) / int64(b.Step)
		if !ok || at < 0 || at >= int64(b.steps) { // a track that is new since, or hidden
			return !b.watch.ended()
		}
		if len(out.rows) == b.engine.maxRows {
			tooLarge = true
			return false
		}
		b.watch.take(1, rowSize)
		out.rows = append(out.rows, sum{track*uint32(b.steps) + uint32(at), c.stack(r.Stack), r.Count, r.Value}) //nolint:gosec // at most MaxCells
		out.count += r.Count
		out.value += r.Value
		if len(out.rows) == 1 && r.Count > 0 {
			out.period = r.Value / r.Count
		}
		samePeriod = samePeriod && r.Value == out.period*r.Count
		return !b.watch.ended()
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("select samples: %w", err)
	case tooLarge:
		return nil, b.engine.tooLarge("sums", "lengthen the step or narrow the query")
	}
	if !samePeriod || s.Type != libpf.SampleOnCPU {
		out.period = 0
	}
	out.hashes, out.selected = c.hashes, len(c.hashes)
	return out, b.engine.resolve(ctx, b.watch, out, s)
}

// noLeaf stands for the leaf of a stack of which nothing is shown.
const noLeaf = ^uint32(0)

// leaf returns the function that was running.
func (p *paths) leaf(stack uint32) uint32 {
	if path := p.of(stack); len(path) > 0 {
		return path[len(path)-1]
	}
	return noLeaf
}

// fill makes the cells. Their stacks are still those of the sums.
func (b *trackBuilder) fill(s *sums, p *paths) {
	cells := len(b.Tracks.Tracks) * b.steps
	if !b.watch.take(cells, 4) || !b.watch.take(len(s.rows), 24+32) || b.watch.ended() || len(p.rank) < len(s.stacks) {
		return // the question is over
	}
	countingSort(s.rows, cells, func(r *sum) uint32 { return r.group })
	b.sums = make([]int64, len(s.stacks))
	byLeaf := map[uint32]int64{}
	for from := 0; from < len(s.rows) && !b.watch.ended(); {
		to := from + 1
		for to < len(s.rows) && s.rows[to].group == s.rows[from].group {
			to++
		}
		rows := s.rows[from:to]
		from = to
		track := &b.Tracks.Tracks[int(rows[0].group)/b.steps]
		cell := TrackCell{At: rows[0].group % uint32(b.steps)} //nolint:gosec // at most MaxBuckets
		var count int64
		clear(byLeaf)
		for _, r := range rows {
			cell.Value += r.value
			count += r.count
			byLeaf[p.leaf(r.stack)] += r.value
		}
		first := true
		var most int64
		for _, r := range rows {
			part := byLeaf[p.leaf(r.stack)]
			better := cmp.Or(cmp.Compare(part, cell.Part), cmp.Compare(r.value, most), cmp.Compare(p.rank[cell.Stack], p.rank[r.stack]))
			if first || better > 0 {
				first, cell.Part, cell.Stack, most = false, part, r.stack, r.value
			}
		}
		b.sums[cell.Stack] += cell.Value
		track.Value += cell.Value
		track.Samples += count
		track.Cells = append(track.Cells, cell)
	}
}

// grow makes the tree of the stacks that cells show, those with the most first.
func (b *trackBuilder) grow(functions *functionTable, p *paths, maxNodes int) {
	var order []uint32
	for stack, value := range b.sums {
		if value != 0 {
			order = append(order, uint32(stack)) //nolint:gosec // at most maxRows
		}
	}
	slices.SortFunc(order, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(b.sums[y], b.sums[x]), cmp.Compare(p.rank[x], p.rank[y]))
	})
	g := grower{Tracks: b.Tracks, functions: functions, frames: map[uint32]uint32{}, children: map[[2]uint32]uint32{}}
	g.add(0, functions.label(rootName, KindLabel))
	nodes := make([]uint32, len(b.sums))
	for _, stack := range order {
		at := uint32(0)
		for _, f := range p.of(stack) {
			next, ok := g.children[[2]uint32{at, f}]
			if !ok {
				if len(b.Stacks) >= maxNodes || !b.watch.take(1, 120) || b.watch.ended() {
					b.CutStacks++
					break
				}
				next = g.add(at, f)
			}
			at = next
		}
		nodes[stack] = at
	}
	for i := range b.Tracks.Tracks {
		cells := b.Tracks.Tracks[i].Cells
		for j := range cells {
			cells[j].Stack = nodes[cells[j].Stack]
		}
	}
}

// grower makes nodes.
type grower struct {
	*Tracks
	functions *functionTable
	frames    map[uint32]uint32    // by function
	children  map[[2]uint32]uint32 // by parent and function
}

// add makes a node.
func (g *grower) add(parent, function uint32) uint32 {
	frame, ok := g.frames[function]
	if !ok {
		frame = uint32(len(g.Frames)) //nolint:gosec // at most the nodes
		g.frames[function] = frame
		lines := &g.functions.lines[function]
		g.Frames = append(g.Frames, FlameFrame{*g.functions.value(function), lines.best(), g.functions.builds[lines.build]})
	}
	node := uint32(len(g.Stacks)) //nolint:gosec // at most maxNodes
	g.Stacks = append(g.Stacks, TrackStack{frame, parent})
	if node > 0 {
		g.children[[2]uint32{parent, function}] = node
	}
	return node
}
