// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"cmp"
	"context"
	"errors"
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

// heatmapRows is how many rows a heatmap has, which are equally high: Grafana draws them so.
const heatmapRows = 20

// cellSize is about what a cell takes in an answer.
const cellSize = 32

// dot is a profile or a span of a heatmap.
type dot struct {
	line     *line
	start    libpf.UnixTimeNs // of its column
	value    int64
	exemplar func() *types.Exemplar
}

func selectHeatmap(ctx context.Context, q *asked, r *querier.SelectHeatmapRequest) (*querier.SelectHeatmapResponse, error) {
	s, empty, err := q.selection(ctx, r)
	if err != nil {
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
	ofSpans := r.GetQueryType() == querier.HeatmapQueryType_HEATMAP_QUERY_TYPE_SPAN
	exemplars := false
	switch r.GetExemplarType() {
	case types.ExemplarType_EXEMPLAR_TYPE_INDIVIDUAL, types.ExemplarType_EXEMPLAR_TYPE_SPAN:
		exemplars = true
		if ofSpans != (r.GetExemplarType() == types.ExemplarType_EXEMPLAR_TYPE_SPAN) {
			return nil, api.BadParameter("exemplar_type", errors.New("is not of what the heatmap is of, see query_type"))
		}
	}
	g, err := q.grouping(ctx, s, r.GetGroupBy())
	if err != nil || empty {
		return &querier.SelectHeatmapResponse{}, err
	}
	all := &lines{purse: newPurse(ctx), byKey: map[string]*line{}}
	var dots []dot
	if ofSpans {
		dots, err = q.spanDots(ctx, s, g, step, all)
	} else {
		dots, err = q.profileDots(ctx, s, g, step, all)
	}
	if err != nil {
		return nil, err
	}
	columns := map[libpf.UnixTimeNs]struct{}{}
	for i := range dots {
		columns[dots[i].start] = struct{}{}
	}
	if !all.take(int64(min(len(all.byKey), limit)) * int64(len(columns)) * heatmapRows * cellSize) {
		return nil, all.err
	}
	return &querier.SelectHeatmapResponse{Series: q.heatmapOf(g, all, dots, step, limit, exemplars)}, ctx.Err()
}

// profileDots returns the profiles of a selection.
func (q *asked) profileDots(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines) ([]dot, error) {
	var dots []dot
	width := window(s)
	err := q.eachProfile(ctx, s, g, width, func(group, process []string, start libpf.UnixTimeNs, value int64) bool {
		l := all.of(group)
		if l == nil || !all.take(lineSize) {
			return false
		}
		l.total += float64(value)
		of := cloneTexts(process)
		dots = append(dots, dot{
			l, max(store.Bucket(start, step), store.Bucket(s.From, step)), value,
			func() *types.Exemplar { return q.profileExemplar(g, of, start, width, value) },
		})
		return true
	})
	return dots, err
}

// spanDots returns the spans of a selection.
func (q *asked) spanDots(ctx context.Context, s *query.Selection, g *grouping, step time.Duration, all *lines) ([]dot, error) {
	var dots []dot
	err := q.eachSpan(ctx, s, g, step, all, func(l *line, start libpf.UnixTimeNs, one *span) bool {
		l.total += float64(one.value)
		dots = append(dots, dot{l, start, one.value, func() *types.Exemplar { return q.spanExemplar(g, one) }})
		return true
	})
	return dots, err
}

// heatmapOf makes the answer. All series have the same rows, from the least value to the largest.
func (q *asked) heatmapOf(g *grouping, all *lines, dots []dot, step time.Duration, limit int, exemplars bool) []*types.HeatmapSeries {
	if len(dots) == 0 {
		return nil
	}
	least, most := dots[0].value, dots[0].value
	for i := range dots {
		least, most = min(least, dots[i].value), max(most, dots[i].value)
	}
	height := max(float64(most-least), 1) / heatmapRows
	bounds := make([]float64, heatmapRows)
	for i := range bounds {
		bounds[i] = float64(least) + float64(i)*height
	}
	type slotOf struct {
		line  *line
		start libpf.UnixTimeNs
	}
	type slot struct {
		*types.HeatmapSlot
		best [heatmapRows]*dot
	}
	slots := map[slotOf]*slot{}
	byLine := map[*line][]*slot{}
	for i := range dots {
		d := &dots[i]
		at := slotOf{d.line, d.start}
		one := slots[at]
		if one == nil {
			one = &slot{HeatmapSlot: &types.HeatmapSlot{
				Timestamp: milliseconds(d.start + libpf.UnixTimeNs(step)), YMin: bounds, Counts: make([]int32, heatmapRows),
			}}
			slots[at] = one
			byLine[d.line] = append(byLine[d.line], one)
		}
		row := min(int(float64(d.value-least)/height), heatmapRows-1)
		if one.Counts[row] < math.MaxInt32 {
			one.Counts[row]++
		}
		if exemplars && (one.best[row] == nil || d.value > one.best[row].value || d.value == one.best[row].value && largerExemplar(d.exemplar(), one.best[row].exemplar())) {
			one.best[row] = d
		}
	}
	var out []*types.HeatmapSeries
	for _, l := range largest(q, g, all, limit) {
		if len(byLine[l.line]) == 0 {
			continue
		}
		one := &types.HeatmapSeries{Labels: l.pairs}
		for _, s := range byLine[l.line] {
			for _, d := range s.best {
				if d != nil {
					s.Exemplars = append(s.Exemplars, d.exemplar())
				}
			}
			one.Slots = append(one.Slots, s.HeatmapSlot)
		}
		slices.SortFunc(one.GetSlots(), func(a, b *types.HeatmapSlot) int { return cmp.Compare(a.GetTimestamp(), b.GetTimestamp()) })
		out = append(out, one)
	}
	return out
}
