// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// MaxBuckets is the most steps that a timeline can have.
const MaxBuckets = 11_000

// Timeline is how much was used over time.
type Timeline struct {
	Summary
	Step time.Duration
	// From is the start of the first step, To the end of the last. Steps are
	// aligned to the epoch; the first and the last hold only what is in the selection.
	From, To libpf.UnixTimeNs
	// Series are sorted by their sum, the largest first, "(other)" last.
	Series []TimelineSeries
	// Hidden is how many series "(other)" sums up.
	Hidden int
}

// TimelineSeries is the value in each step.
type TimelineSeries struct {
	Name   string
	Values []int64
}

// NiceStep returns the step that people read easily and that cuts a range into
// about 200.
func NiceStep(span time.Duration) time.Duration {
	const wanted = 200
	steps := []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
	for _, s := range steps {
		if span/s <= wanted {
			return s
		}
	}
	day := steps[len(steps)-1]
	return (span/wanted/day + 1) * day
}

// Timeline returns the values of a selection over time, one series per value of
// the label by, or a single one called "all" without it. Only the limit largest
// series are kept apart, the others are summed as "(other)". A range of more than
// [MaxBuckets] steps is [ErrTooLarge]. A step of 0 leaves the choice to the
// engine: one that reads easily and that there are data for.
func (e *Engine) Timeline(ctx context.Context, s *Selection, by string, step time.Duration, limit int) (*Timeline, error) {
	if step > 0 {
		return e.timeline(ctx, s, by, step, limit)
	}
	t, err := e.timeline(ctx, s, by, NiceStep(time.Duration(s.To-s.From)), limit)
	for _, width := range [...]time.Duration{store.RollUpMinute, store.RollUpHour} {
		if err != nil || t.Coverage.Horizon <= s.From {
			break
		}
		// Some is gone, but perhaps not the sums per minute or hour.
		longer := (t.Step + width - 1) / width * width
		if longer == t.Step {
			continue
		}
		var other *Timeline
		if other, err = e.timeline(ctx, s, by, longer, limit); err == nil && other.Coverage.Horizon < t.Coverage.Horizon {
			t = other
		}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// timeline is Timeline with a step.
func (e *Engine) timeline(ctx context.Context, s *Selection, by string, step time.Duration, limit int) (*Timeline, error) {
	t := &Timeline{Step: step, From: store.Bucket(s.From, step), To: store.Bucket(s.To-1, step) + libpf.UnixTimeNs(step)}
	buckets := int64(t.To-t.From) / int64(step)
	if buckets < 1 || buckets > MaxBuckets {
		return nil, fmt.Errorf("%w: not between 1 and %d steps", ErrTooLarge, MaxBuckets)
	}
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	t.Summary = k.summary(s)
	var groupBy []string
	if by != "" {
		groupBy = []string{by}
	}
	q := s.query(groupBy)
	q.Step = step
	series := map[string][]cell{}
	places := map[cellOf]int{} // of the cells of rows that are of one stack only
	rows := 0
	w := newWatch(ctx)
	t.Coverage, err = e.selectKept(ctx, q, k, func(r *store.Row) bool {
		t.add(r)
		name := rootName
		if by != "" {
			name = r.Group[0]
		}
		cells, known := series[name]
		if at, again := places[cellOf{name, r.Bucket}]; again {
			cells[at].value += r.Value
			return !w.ended()
		}
		rows++
		w.take(1, rowSize+int64(len(name))/8)
		if rows > e.maxRows {
			return false
		}
		if !known {
			name = strings.Clone(name)
		}
		series[name] = append(cells, cell{r.Bucket, r.Value})
		if k != nil {
			places[cellOf{name, r.Bucket}] = len(cells)
		}
		return !w.ended()
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("select samples: %w", err)
	case rows > e.maxRows:
		return nil, e.tooLarge("sums", "lengthen the step or narrow the query")
	}
	if w.take(min(len(series), limit+1)*int(buckets), 8+textSize) { // with its text in the answer
		t.build(series, by, limit, buckets)
	}
	return t, ctx.Err()
}

// cellOf says which cell a row belongs to.
type cellOf struct {
	name   string
	bucket libpf.UnixTimeNs
}

// cell is the value of a series in a step.
type cell struct {
	bucket libpf.UnixTimeNs
	value  int64
}

func (t *Timeline) build(cells map[string][]cell, by string, limit int, buckets int64) {
	type total struct {
		name string
		sum  int64
	}
	order := make([]total, 0, len(cells))
	for name, cs := range cells {
		o := total{name: name}
		for _, c := range cs {
			o.sum += c.value
		}
		order = append(order, o)
	}
	slices.SortFunc(order, func(a, b total) int {
		return cmp.Or(cmp.Compare(b.sum, a.sum), strings.Compare(a.name, b.name))
	})
	t.Hidden = max(0, len(order)-limit)
	for i, o := range order {
		switch {
		case i < limit:
			name := o.name
			if by != "" {
				name = LabelText(by, name)
			}
			t.Series = append(t.Series, TimelineSeries{Name: name, Values: make([]int64, buckets)})
		case i == limit:
			t.Series = append(t.Series, TimelineSeries{Name: otherName, Values: make([]int64, buckets)})
		}
		values := t.Series[min(i, limit)].Values
		for _, c := range cells[o.name] {
			if at := int64(c.bucket-t.From) / int64(t.Step); at >= 0 && at < buckets {
				values[at] += c.value
			}
		}
	}
}
