// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

const (
	// maxSelectors bounds the selectors of a question about names.
	maxSelectors = 16
	// maxValues and maxSets bound answers; the largest are told.
	maxValues = 100_000
	maxSets   = 100_000
	// maxLabels is how many labels series may be told apart by.
	maxLabels = 64
	// nameSize is about what a name takes in an answer, beside its text.
	nameSize = 64
)

func profileTypesOf(ctx context.Context, q *asked, r *querier.ProfileTypesRequest) (*querier.ProfileTypesResponse, error) {
	from, to, err := rangeOrRecent(q, r.GetStart(), r.GetEnd())
	if err != nil {
		return nil, err
	}
	found, err := q.Types(ctx, &query.Selection{Project: q.Project, From: from, To: to})
	if err != nil {
		return nil, err
	}
	out := &querier.ProfileTypesResponse{}
	for _, t := range found {
		if _, ok := profileTypes[t.Type]; ok {
			out.ProfileTypes = append(out.ProfileTypes, profileType(t.Type))
		}
	}
	slices.SortFunc(out.ProfileTypes, func(a, b *types.ProfileType) int { return strings.Compare(a.GetID(), b.GetID()) })
	return out, nil
}

// each asks for every selector and every type of samples that there is and that it is about. Of labels
// without a type Pyroscope tells those of all.
func each(ctx context.Context, q *asked, matchers []string, start, end int64, ask func(*query.Selection) error) error {
	from, to, err := rangeOrRecent(q, start, end)
	if err != nil {
		return err
	}
	if len(matchers) == 0 {
		matchers = []string{""}
	}
	if len(matchers) > maxSelectors {
		return api.BadParameter("matchers", fmt.Errorf("more than %d selectors", maxSelectors))
	}
	known, err := q.Types(ctx, &query.Selection{Project: q.Project, From: from, To: to})
	if err != nil {
		return err
	}
	for i, text := range matchers {
		all, err := query.ParseSelector(text)
		if err != nil {
			return api.BadParameter(fmt.Sprintf("matchers[%d]", i), err)
		}
		rest, has := splitMatchers(all)
		for _, t := range known {
			if _, ok := profileTypes[t.Type]; !ok || !has(t.Type) {
				continue
			}
			s := &query.Selection{Project: q.Project, Type: t.Type, From: from, To: to, Matchers: rest}
			if err := rename(ctx, q.Question, s); err != nil {
				return err
			}
			if err := ask(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func labelNames(ctx context.Context, q *asked, r *types.LabelNamesRequest) (*types.LabelNamesResponse, error) {
	names := map[string]struct{}{}
	err := each(ctx, q, r.GetMatchers(), r.GetStart(), r.GetEnd(), func(s *query.Selection) error {
		labels, err := q.Labels(ctx, s)
		if err != nil || len(labels) == 0 {
			return err
		}
		for _, l := range labels {
			names[outward(l.Name, q.anyName)] = struct{}{}
		}
		for _, l := range typeLabels {
			names[l.name] = struct{}{}
		}
		return nil
	})
	return &types.LabelNamesResponse{Names: slices.Sorted(maps.Keys(names))}, err
}

func labelValues(ctx context.Context, q *asked, r *types.LabelValuesRequest) (*types.LabelValuesResponse, error) {
	if r.GetName() == "" {
		return nil, api.BadParameter("name", errors.New("expected the name of a label"))
	}
	values, claim := map[string]struct{}{}, memory.From(ctx)
	err := each(ctx, q, r.GetMatchers(), r.GetStart(), r.GetEnd(), func(s *query.Selection) error {
		if isTypeLabel(r.GetName()) {
			return q.ofType(ctx, s, r.GetName(), values)
		}
		names, err := inward(ctx, q.Question, s, []string{r.GetName()})
		if err != nil {
			return err
		}
		found, err := q.LabelValues(ctx, s, store.LabelSearch{Name: names[0], Limit: maxValues})
		if err != nil {
			return err
		}
		if err := claim.Take(int64(len(found.Values)) * nameSize); err != nil {
			return err
		}
		for _, v := range found.Values {
			values[v.Value] = struct{}{}
		}
		return nil
	})
	return &types.LabelValuesResponse{Names: slices.Sorted(maps.Keys(values))}, err
}

// ofType adds the value of a label of types, if there are samples of a selection.
func (q *asked) ofType(ctx context.Context, s *query.Selection, name string, values map[string]struct{}) error {
	if len(s.Matchers) > 0 { // else there are, by the list of types
		if labels, err := q.Labels(ctx, s); err != nil || len(labels) == 0 {
			return err
		}
	}
	if v := typeLabel(s.Type, name); v != "" {
		values[v] = struct{}{}
	}
	return nil
}

func series(ctx context.Context, q *asked, r *querier.SeriesRequest) (*querier.SeriesResponse, error) {
	out, seen, claim := &querier.SeriesResponse{}, map[string]struct{}{}, memory.From(ctx)
	wanted := slices.Clone(r.GetLabelNames())
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	if len(wanted) > maxLabels {
		return nil, api.BadParameter("label_names", fmt.Errorf("more than %d labels", maxLabels))
	}
	err := each(ctx, q, r.GetMatchers(), r.GetStart(), r.GetEnd(), func(s *query.Selection) error {
		names, ofType := []string{}, []*types.LabelPair{}
		for _, name := range wanted {
			if !isTypeLabel(name) {
				names = append(names, name)
			} else if v := typeLabel(s.Type, name); v != "" {
				ofType = append(ofType, &types.LabelPair{Name: name, Value: v})
			}
		}
		if len(wanted) == 0 {
			for _, l := range typeLabels {
				if v := typeLabel(s.Type, l.name); v != "" {
					ofType = append(ofType, &types.LabelPair{Name: l.name, Value: v})
				}
			}
		}
		sets, err := q.sets(ctx, s, names, len(wanted) == 0)
		if err != nil {
			return err
		}
		for _, set := range sets.Sets {
			pairs := append(q.pairs(sets.Names, set.Values), ofType...)
			sortPairs(pairs)
			key := keyOf(pairs)
			if _, again := seen[key]; again || len(out.GetLabelsSet()) == maxSets {
				continue
			}
			if err := claim.Take(int64(len(pairs)*2*nameSize + 2*len(key))); err != nil {
				return err
			}
			seen[key] = struct{}{}
			out.LabelsSet = append(out.LabelsSet, &types.Labels{Labels: pairs})
		}
		return nil
	})
	slices.SortFunc(out.GetLabelsSet(), func(a, b *types.Labels) int { return comparePairs(a.GetLabels(), b.GetLabels()) })
	return out, err
}

// sets returns the distinct sets of values of labels of a selection.
func (q *asked) sets(ctx context.Context, s *query.Selection, names []string, all bool) (*query.LabelSets, error) {
	if len(names) > 0 || all {
		labels, err := inward(ctx, q.Question, s, names)
		if err != nil {
			return nil, err
		}
		return q.Series(ctx, s, labels, maxSets)
	}
	// Only labels of the type are wanted.
	out := &query.LabelSets{}
	values := map[string]struct{}{}
	if err := q.ofType(ctx, s, "__profile_type__", values); err != nil || len(values) == 0 {
		return out, err
	}
	out.Sets = []query.LabelSet{{}}
	return out, nil
}

// pairs returns the labels that have a value.
func (q *asked) pairs(names, values []string) []*types.LabelPair {
	var out []*types.LabelPair
	for i, name := range names {
		if values[i] != "" {
			out = append(out, &types.LabelPair{Name: outward(name, q.anyName), Value: values[i]})
		}
	}
	return out
}

func sortPairs(pairs []*types.LabelPair) {
	slices.SortFunc(pairs, comparePair)
}

func comparePair(a, b *types.LabelPair) int {
	if c := strings.Compare(a.GetName(), b.GetName()); c != 0 {
		return c
	}
	return strings.Compare(a.GetValue(), b.GetValue())
}

func comparePairs(a, b []*types.LabelPair) int { return slices.CompareFunc(a, b, comparePair) }

// keyOf returns a text that stands for labels.
func keyOf(pairs []*types.LabelPair) string {
	var key []byte
	for _, p := range pairs {
		key = append(append(append(append(key, p.GetName()...), 0), p.GetValue()...), 0)
	}
	return string(key)
}

func profileStats(ctx context.Context, q *asked, _ *types.GetProfileStatsRequest) (*types.GetProfileStatsResponse, error) {
	all := query.Selection{Project: q.Project, To: libpf.UnixTimeNs(q.Now.UnixNano())}
	found, err := q.Types(ctx, &all)
	if err != nil {
		return nil, err
	}
	out := &types.GetProfileStatsResponse{DataIngested: len(found) > 0}
	for _, t := range found {
		s := all
		s.Type = t.Type
		sum, err := q.Totals(ctx, &s)
		if err != nil {
			return nil, err
		}
		if sum.Coverage.To == 0 {
			continue
		}
		oldest, newest := milliseconds(sum.Coverage.From), milliseconds(sum.Coverage.To)
		if out.GetOldestProfileTime() == 0 || oldest < out.GetOldestProfileTime() {
			out.OldestProfileTime = oldest
		}
		out.NewestProfileTime = max(out.GetNewestProfileTime(), newest)
	}
	return out, nil
}

// analyzeQuery says how much a query would look at, as far as that is cheap to know.
func analyzeQuery(ctx context.Context, q *asked, r *querier.AnalyzeQueryRequest) (*querier.AnalyzeQueryResponse, error) {
	id, selector := splitQuery(r.GetQuery())
	var only libpf.SampleType
	if id != "" {
		var err error
		if only, err = parseType(id); err != nil {
			return nil, api.BadParameter("query", err)
		}
	}
	scope := &querier.QueryScope{ComponentType: "store", ComponentCount: 1}
	impact := &querier.QueryImpact{}
	err := each(ctx, q, []string{selector}, r.GetStart(), r.GetEnd(), func(s *query.Selection) error {
		if only != 0 && s.Type != only {
			return nil
		}
		sets, err := q.Series(ctx, s, []string{store.LabelService, store.LabelHost}, maxSets)
		if err != nil {
			return err
		}
		scope.SampleCount += uint64(max(0, sets.Samples)) //nolint:gosec // not negative
		scope.SeriesCount += uint64(len(sets.Sets) + sets.Hidden)
		return nil
	})
	impact.TotalQueriedSeries = scope.GetSeriesCount()
	return &querier.AnalyzeQueryResponse{QueryScopes: []*querier.QueryScope{scope}, QueryImpact: impact}, err
}
