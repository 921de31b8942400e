// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Labels that say what an event is, where the sender set them.
const (
	// LabelEventName is the kind of an event, as OpenTelemetry names it.
	LabelEventName = "event.name"
	// LabelEventTitle is what a person reads first of it.
	LabelEventTitle = "event.title"
)

// Events are the newest events of a selection.
type Events struct {
	Summary
	// Rows are the newest first.
	Rows []Event
	// Hidden is how many more samples of events there are.
	Hidden int64
}

// Event is what happened at one time in one place.
type Event struct {
	store.Sample
	Origin store.Series
	// Leaf is the innermost function of the stack, in what is shown of it; without a
	// name when there is no stack, or none that is known.
	Leaf Function
	// HasStack says that the stack is known and has frames.
	HasStack bool
}

// Kind returns what kind of event it is: what the sender calls it, else the
// function that it happened in, "" when neither is known.
func (e *Event) Kind() string { return cmp.Or(e.Origin.Label(LabelEventName), e.Leaf.Name) }

// Title returns what to tell a person of it: the sender's words, else the
// function that it happened in.
func (e *Event) Title() string { return cmp.Or(e.Origin.Label(LabelEventTitle), e.Leaf.Name) }

// eventSize is about what an event takes that is kept, beside its texts.
const eventSize = 640

// Events returns at most limit events of a selection, the newest. They are found
// among samples alone: from what has expired there is none.
func (e *Engine) Events(ctx context.Context, s *Selection, limit int) (*Events, error) {
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	out := &Events{Summary: k.summary(s)}
	w := newWatch(ctx)
	latest := &newest{limit: limit, watch: w}
	found := int64(0)
	err = e.samples(ctx, s, k, &out.Summary, func(sample *store.Sample, series *store.Series) {
		found++
		latest.offer(sample, series)
	})
	if err != nil {
		return nil, err
	}
	rows := latest.rows()
	out.Hidden = found - int64(len(rows))
	if err := e.nameLeaves(ctx, s, rows); err != nil {
		return nil, err
	}
	out.Rows = make([]Event, len(rows))
	for i, r := range rows {
		out.Rows[i] = Event{Sample: r.Sample, Origin: r.Origin, Leaf: r.Leaf, HasStack: r.Leaf.Kind != "" && r.Leaf.Kind != KindError}
		if !out.Rows[i].HasStack {
			out.Rows[i].Leaf = Function{}
		}
	}
	return out, ctx.Err()
}

// compareEvents puts the newest first. Of those of one moment the order does not
// depend on that in which they were found.
func compareEvents(a, b *Exemplar) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), a.Origin.Compare(&b.Origin), a.Stack.Compare(b.Stack.Hash128), cmp.Compare(b.Value, a.Value),
		cmp.Compare(b.Count, a.Count), bytes.Compare(a.TraceID[:], b.TraceID[:]), bytes.Compare(a.SpanID[:], b.SpanID[:]))
}

// newest keeps the newest samples.
type newest struct {
	limit int
	watch *watch
	kept  []Exemplar
	full  bool // what is older than the last of kept does not count
}

func (n *newest) offer(sample *store.Sample, series *store.Series) {
	if n.full && sample.Time < n.kept[n.limit-1].Time {
		return
	}
	if len(n.kept) == cap(n.kept) || n.kept == nil {
		n.watch.take(max(16, len(n.kept)), eventSize)
	}
	n.kept = append(n.kept, Exemplar{Sample: *sample, Origin: series.Clone()})
	if len(n.kept) >= 2*n.limit+16 {
		n.rows()
	}
}

func (n *newest) rows() []Exemplar {
	slices.SortFunc(n.kept, func(a, b Exemplar) int { return compareEvents(&a, &b) })
	if len(n.kept) >= n.limit {
		clear(n.kept[n.limit:]) // their texts
		n.kept, n.full = n.kept[:n.limit], true
	}
	return n.kept
}
