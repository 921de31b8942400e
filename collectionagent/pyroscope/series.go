// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

const (
	// maxSeries bounds the series of an answer: the largest are told.
	maxSeries = 1000
	maxStep   = 366 * 24 * time.Hour
	// Rough sizes of what is kept of a question, with its share of maps and of the answer.
	lineSize  = 512
	pointSize = 200
)

// stepOf reads the width of steps.
func stepOf(s *query.Selection, seconds float64) (time.Duration, error) {
	if !(seconds >= 0.001) || seconds > maxStep.Seconds() { // no number is not either
		return 0, api.BadParameter("step", errors.New("expected seconds, from 0.001 to 366 days"))
	}
	step := time.Duration(math.Round(seconds*1000)) * time.Millisecond
	if int64(s.To-s.From)/int64(step) >= query.MaxBuckets-1 {
		return 0, api.BadParameter("step", fmt.Errorf("makes more than %d steps of the range: expected at least %s", query.MaxBuckets-2, query.NiceStep(time.Duration(s.To-s.From))))
	}
	return step, nil
}

// seriesLimit reads how many series are wanted.
func seriesLimit(limit *int64) (int, error) {
	switch {
	case limit == nil || *limit == 0:
		return maxSeries, nil
	case *limit < 0 || *limit > maxSeries:
		return 0, api.BadParameter("limit", fmt.Errorf("expected a whole number up to %d, 0 for all up to that", maxSeries))
	}
	return int(*limit), nil
}

// line is a series that an answer is made of.
type line struct {
	group  []string
	total  float64
	points map[libpf.UnixTimeNs]*point
}

// point is a step of a line.
type point struct {
	value    float64
	profiles int64 // that the value is the sum of, where their average is wanted
	exemplar *types.Exemplar
}

// lines are the series of an answer, by their group.
type lines struct {
	*purse
	byKey map[string]*line
	key   []byte
}

// of returns the line of a group, nil when there is no memory.
func (l *lines) of(group []string) *line {
	l.key = l.key[:0]
	for _, v := range group {
		l.key = append(append(l.key, v...), 0)
	}
	one := l.byKey[string(l.key)]
	if one == nil {
		if !l.take(lineSize + 4*int64(len(l.key))) {
			return nil
		}
		one = &line{group: cloneTexts(group), points: map[libpf.UnixTimeNs]*point{}}
		l.byKey[string(l.key)] = one
	}
	return one
}

// at returns a point of a group, nil when there is no memory.
func (l *lines) at(group []string, start libpf.UnixTimeNs) (*line, *point) {
	one := l.of(group)
	if one == nil {
		return nil, nil
	}
	p := one.points[start]
	if p == nil {
		if !l.take(pointSize) {
			return nil, nil
		}
		p = &point{}
		one.points[start] = p
	}
	return one, p
}

func selectSeries(ctx context.Context, q *asked, r *querier.SelectSeriesRequest) (*querier.SelectSeriesResponse, error) {
	s, empty, err := q.selection(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := callSite(s, r.GetStackTraceSelector()); err != nil {
		return nil, err
	}
	step, err := stepOf(s, r.GetStep())
	if err != nil {
		return nil, err
	}
	limit, err := seriesLimit(r.Limit)
	if err != nil {
		return nil, err
	}
	g, err := q.grouping(ctx, s, r.GetGroupBy())
	if err != nil || empty {
		return &querier.SelectSeriesResponse{}, err
	}
	all := &lines{purse: newPurse(ctx), byKey: map[string]*line{}}
	if r.GetAggregation() == types.TimeSeriesAggregationType_TIME_SERIES_AGGREGATION_TYPE_AVERAGE {
		err = q.averages(ctx, s, g, step, all)
	} else {
		_, err = q.OverTime(ctx, s, g.labels, step, func(group []string, start libpf.UnixTimeNs, _, value int64) bool {
			l, p := all.at(group, start)
			if p == nil {
				return false
			}
			l.total += float64(value)
			p.value += float64(value)
			return true
		})
	}
	if err != nil {
		return nil, err
	}
	switch r.GetExemplarType() {
	case types.ExemplarType_EXEMPLAR_TYPE_INDIVIDUAL:
		err = q.profileExemplars(ctx, s, g, step, all)
	case types.ExemplarType_EXEMPLAR_TYPE_SPAN:
		err = q.spanExemplars(ctx, s, g, step, all)
	}
	if err != nil {
		return nil, err
	}
	return &querier.SelectSeriesResponse{Series: q.seriesOf(g, all, step, limit)}, nil
}

// averages finds what the profiles of each step are on average.
func (q *asked) averages(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines) error {
	width := windows[0]
	if int64(s.To-s.From)/int64(width) >= query.MaxBuckets-1 {
		return api.BadParameter("aggregation", fmt.Errorf("averages are those of profiles of %s, of which there may be %d: shorten the time range", width, query.MaxBuckets-2))
	}
	return q.eachProfile(ctx, s, g, width, func(group, _ []string, start libpf.UnixTimeNs, value int64) bool {
		// The first profile may begin before the range.
		l, p := all.at(group, max(store.Bucket(start, step), store.Bucket(s.From, step)))
		if p == nil {
			return false
		}
		l.total += float64(value)
		p.profiles++
		p.value += float64(value)
		return true
	})
}

// profileKey is a profile while it is added up.
type profileKey struct {
	key   string
	start libpf.UnixTimeNs
}

// eachProfile hands over what each process used in each window, with its group. The texts are only valid during
// the call.
func (q *asked) eachProfile(
	ctx context.Context, s *query.Selection, g *grouping, width time.Duration,
	yield func(group, process []string, start libpf.UnixTimeNs, value int64) bool,
) error {
	labels, split := grouped(g)
	if !s.Stacks.IsZero() {
		return q.eachProfileOfStacks(ctx, s, labels, split, width, yield)
	}
	_, err := q.OverTime(ctx, s, labels, width, func(values []string, start libpf.UnixTimeNs, _, value int64) bool {
		group, process := split(values)
		return yield(group, process, start, value)
	})
	return err
}

// eachProfileOfStacks is eachProfile where the sums of a profile come in parts.
func (q *asked) eachProfileOfStacks(
	ctx context.Context, s *query.Selection, labels []string, split func([]string) (group, process []string), width time.Duration,
	yield func(group, process []string, start libpf.UnixTimeNs, value int64) bool,
) error {
	type sum struct {
		values []string
		value  int64
	}
	sums, of, key := map[profileKey]*sum{}, newPurse(ctx), []byte{}
	_, err := q.OverTime(ctx, s, labels, width, func(values []string, start libpf.UnixTimeNs, _, value int64) bool {
		key = key[:0]
		for _, v := range values {
			key = append(append(key, v...), 0)
		}
		one := sums[profileKey{string(key), start}]
		if one == nil {
			if !of.take(pointSize + 4*int64(len(key)) + 16*int64(len(values))) {
				return false
			}
			one = &sum{values: cloneTexts(values)}
			sums[profileKey{string(key), start}] = one
		}
		one.value += value
		return true
	})
	if err != nil {
		return err
	}
	for k, one := range sums {
		group, process := split(one.values)
		if !yield(group, process, k.start, one.value) {
			break
		}
	}
	return ctx.Err()
}

// profileExemplars finds the largest profile of each point.
func (q *asked) profileExemplars(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines) error {
	width := window(s, step)
	return q.eachProfile(ctx, s, g, width, func(group, process []string, start libpf.UnixTimeNs, value int64) bool {
		l := all.of(group)
		if l == nil {
			return false
		}
		p := l.points[max(store.Bucket(start, step), store.Bucket(s.From, step))]
		if p == nil || p.exemplar != nil && p.exemplar.GetValue() >= value {
			return true
		}
		p.exemplar = q.profileExemplar(g, process, start, width, value)
		return all.take(lineSize)
	})
}

// profileExemplar describes a profile.
func (q *asked) profileExemplar(g *grouping, process []string, start libpf.UnixTimeNs, width time.Duration, value int64) *types.Exemplar {
	return &types.Exemplar{
		Timestamp: milliseconds(start), ProfileId: profileID(start, width, process), Value: value, Labels: q.processLabels(g, process),
	}
}

// span is what is known of a span in a step.
type span struct {
	sample store.Sample
	series store.Series
	value  int64
}

// spanKey is a span in a group and a step.
type spanKey struct {
	line  *line
	start libpf.UnixTimeNs
	trace [16]byte
	span  [8]byte
}

// eachSpan hands over what each span used in each step.
func (q *asked) eachSpan(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines, yield func(*line, libpf.UnixTimeNs, *span) bool) error {
	found := map[spanKey]*span{}
	group := make([]string, len(g.labels))
	_, err := q.EachSpan(ctx, s, func(sample *store.Sample, series *store.Series) {
		for i, name := range g.labels {
			group[i] = series.Label(name)
		}
		l := all.of(group)
		if l == nil {
			return
		}
		k := spanKey{l, store.Bucket(sample.Time, step), sample.TraceID, sample.SpanID}
		one := found[k]
		if one == nil {
			if !all.take(2 * lineSize) {
				return
			}
			one = &span{sample: *sample, series: series.Clone()}
			found[k] = one
		}
		one.value += sample.Value
		one.sample.Time = min(one.sample.Time, sample.Time)
	})
	if err = cmp.Or(all.err, err); err != nil {
		return err
	}
	for k, one := range found {
		if !yield(k.line, k.start, one) {
			break
		}
	}
	return ctx.Err()
}

// exemplar describes a span.
func (q *asked) spanExemplar(g *grouping, one *span) *types.Exemplar {
	process := make([]string, len(identity))
	for i, name := range identity {
		process[i] = one.series.Label(name)
	}
	e := &types.Exemplar{
		Timestamp: milliseconds(one.sample.Time), SpanId: hex.EncodeToString(one.sample.SpanID[:]), Value: one.value, Labels: q.processLabels(g, process),
	}
	if one.sample.TraceID != [16]byte{} {
		e.TraceId = hex.EncodeToString(one.sample.TraceID[:])
	}
	return e
}

// spanExemplars finds the largest span of each point.
func (q *asked) spanExemplars(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines) error {
	return q.eachSpan(ctx, s, g, step, all, func(l *line, start libpf.UnixTimeNs, one *span) bool {
		p := l.points[start]
		if p == nil {
			return true
		}
		e := q.spanExemplar(g, one)
		if p.exemplar == nil || largerExemplar(e, p.exemplar) {
			p.exemplar = e
		}
		return true
	})
}

// largerExemplar reports whether an exemplar goes before another. Of equal ones it is the same each time.
func largerExemplar(a, b *types.Exemplar) bool {
	return cmp.Or(cmp.Compare(a.GetValue(), b.GetValue()), cmp.Compare(b.GetTimestamp(), a.GetTimestamp()),
		cmp.Compare(b.GetSpanId(), a.GetSpanId()), cmp.Compare(b.GetProfileId(), a.GetProfileId())) > 0
}

// seriesOf makes the answer: the series with the largest totals, in the order of their labels. A point
// stands at the end of its step, and there are none for steps without samples.
func (q *asked) seriesOf(g *grouping, all *lines, step time.Duration, limit int) []*types.Series {
	var out []*types.Series
	for _, l := range largest(q, g, all, limit) {
		one := &types.Series{Labels: l.pairs, Points: make([]*types.Point, 0, len(l.points))}
		for start, p := range l.points {
			to := &types.Point{Value: p.value / float64(max(1, p.profiles)), Timestamp: milliseconds(start + libpf.UnixTimeNs(step))}
			if p.exemplar != nil {
				to.Exemplars = []*types.Exemplar{p.exemplar}
			}
			one.Points = append(one.Points, to)
		}
		slices.SortFunc(one.GetPoints(), func(a, b *types.Point) int { return cmp.Compare(a.GetTimestamp(), b.GetTimestamp()) })
		out = append(out, one)
	}
	return out
}

// labelled is a line with its labels.
type labelled struct {
	*line
	pairs []*types.LabelPair
}

// largest returns the lines with the largest totals, in the order of their labels. Only those get labels, which
// take more than all else that is kept of a line.
func largest(q *asked, g *grouping, all *lines, limit int) []labelled {
	lines := slices.Collect(maps.Values(all.byKey))
	if len(lines) > limit {
		slices.SortFunc(lines, func(a, b *line) int { return cmp.Or(cmp.Compare(b.total, a.total), slices.Compare(a.group, b.group)) })
		lines = lines[:limit]
	}
	out := make([]labelled, len(lines))
	for i, l := range lines {
		out[i] = labelled{l, q.pairsOf(g, l.group)}
	}
	slices.SortFunc(out, func(a, b labelled) int { return comparePairs(a.pairs, b.pairs) })
	return out
}

// cloneTexts copies texts that are only valid during a call.
func cloneTexts(in []string) []string {
	out := make([]string, len(in))
	for i, t := range in {
		out[i] = string([]byte(t))
	}
	return out
}
