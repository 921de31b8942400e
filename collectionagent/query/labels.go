// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Label is the name of a label that can be asked for.
type Label struct {
	Name string
	// Builtin says that every store knows the name; it is not one that a program
	// or its environment made up.
	Builtin bool
}

// Labels lists the labels that the samples of a selection have: the built-in
// ones in the order a person looks for them, then the others by name.
func (e *Engine) Labels(ctx context.Context, s *Selection) ([]Label, error) {
	names, err := e.store.LabelNames(ctx, s.query(nil))
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	labels := make([]Label, 0, len(names))
	for _, name := range store.BuiltinLabels {
		if slices.Contains(names, name) {
			labels = append(labels, Label{name, true})
		}
	}
	for _, name := range names {
		if !slices.Contains(store.BuiltinLabels, name) {
			labels = append(labels, Label{name, false})
		}
	}
	return labels, nil
}

// LabelValues lists the values of a label with how much of the selection
// carries them, the largest first.
func (e *Engine) LabelValues(ctx context.Context, s *Selection, search store.LabelSearch) (store.LabelValues, error) {
	search.Name = store.LabelNamed(search.Name)
	if s.Stacks.selects() {
		return e.labelValuesOfStacks(ctx, s, search)
	}
	found, err := e.store.LabelValues(ctx, s.query(nil), search)
	if err != nil {
		return store.LabelValues{}, fmt.Errorf("list values of label %s: %w", search.Name, err)
	}
	return found, nil
}

// labelValuesOfStacks is LabelValues of some stacks only.
func (e *Engine) labelValuesOfStacks(ctx context.Context, s *Selection, search store.LabelSearch) (store.LabelValues, error) {
	sums, err := e.sortedSums(ctx, s, []string{search.Name})
	if err != nil {
		return store.LabelValues{}, err
	}
	var values []store.LabelValue
	for _, g := range sums.byGroup() {
		if value := sums.groups[g.group][0]; value != "" {
			values = append(values, store.LabelValue{Value: value, Count: g.count, Sum: g.value})
		}
	}
	return search.Pick(values), ctx.Err()
}

// byGroup returns the sums of the groups that have any.
func (s *sums) byGroup() []sum {
	var out []sum
	for _, r := range s.rows { // by group
		if n := len(out); n == 0 || out[n-1].group != r.group {
			out = append(out, sum{group: r.group})
		}
		last := &out[len(out)-1]
		last.count += r.count
		last.value += r.value
	}
	return out
}

// LabelSet is a set of values of labels and what the samples that carry it sum
// up to.
type LabelSet struct {
	Values         []string // of [LabelSets.Names]
	Samples, Value int64
}

// LabelSets are the series of a selection, by some labels.
type LabelSets struct {
	Summary
	Names []string
	Sets  []LabelSet // largest value first
	// Hidden is how many more there are.
	Hidden int
}

// Series lists the distinct sets of values that samples of a selection have of
// some labels, without names of all labels that there are: the largest first and
// at most limit.
func (e *Engine) Series(ctx context.Context, s *Selection, names []string, limit int) (*LabelSets, error) {
	if len(names) == 0 {
		labels, err := e.Labels(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, l := range labels {
			names = append(names, l.Name)
		}
	}
	out := &LabelSets{Names: names}
	if s.Stacks.selects() {
		sums, err := e.sortedSums(ctx, s, names)
		if err != nil {
			return nil, err
		}
		out.Summary = sums.summary(s, sums.levels(newFunctionTable(len(sums.names)), false, nil))
		for _, g := range sums.byGroup() {
			out.Sets = append(out.Sets, LabelSet{sums.groups[g.group], g.count, g.value})
		}
	} else if err := e.labelSets(ctx, s, out); err != nil {
		return nil, err
	}
	slices.SortFunc(out.Sets, func(a, b LabelSet) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(b.Samples, a.Samples), slices.Compare(a.Values, b.Values))
	})
	if len(out.Sets) > limit {
		out.Sets, out.Hidden = out.Sets[:limit], len(out.Sets)-limit
	}
	return out, ctx.Err()
}

// labelSets finds the sets without looking at stacks.
func (e *Engine) labelSets(ctx context.Context, s *Selection, out *LabelSets) (err error) {
	out.Summary = s.summary()
	w, tooLarge := newWatch(ctx), false
	out.Coverage, err = e.store.Select(ctx, s.query(out.Names), func(r *store.Row) bool {
		if tooLarge = len(out.Sets) == e.maxRows; tooLarge {
			return false
		}
		out.add(r)
		w.take(1, groupSize+int64(len(r.Group))*2*textSize)
		out.Sets = append(out.Sets, LabelSet{cloneStrings(r.Group), r.Count, r.Value})
		return !w.ended()
	})
	if err != nil {
		return fmt.Errorf("select samples: %w", err)
	}
	if tooLarge {
		return e.tooLarge("series", "shorten the time range, narrow the query, or ask for fewer labels")
	}
	return nil
}

// Types lists the types of samples that a project has in a time range.
func (e *Engine) Types(ctx context.Context, s *Selection) ([]store.TypeSum, error) {
	types, err := e.store.Types(ctx, s.Project, s.From, s.To)
	if err != nil {
		return nil, fmt.Errorf("list types of samples: %w", err)
	}
	return types, nil
}

// Totals says how much a selection is.
func (e *Engine) Totals(ctx context.Context, s *Selection) (*Summary, error) {
	if s.Stacks.selects() {
		sums, err := e.sums(ctx, s, nil)
		if err != nil {
			return nil, err
		}
		summary := sums.summary(s, sums.levels(newFunctionTable(len(sums.names)), false, nil))
		return &summary, ctx.Err()
	}
	summary := s.summary()
	var err error
	if summary.Coverage, err = e.store.Select(ctx, s.query(nil), func(r *store.Row) bool {
		summary.add(r)
		return true
	}); err != nil {
		return nil, fmt.Errorf("select samples: %w", err)
	}
	return &summary, ctx.Err()
}
