// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// OverTime hands over the sums of a selection by the values of some labels and by step, which
// are aligned to the epoch, in no order. The same group and step may come more than
// once: its values add up. The group is only valid during the call; what is kept of it is up to the
// caller, who takes its memory from the claim of the context and returns false to end. A range of
// more than [MaxBuckets] steps, or more than the engine's bound of sums, is [ErrTooLarge].
func (e *Engine) OverTime(
	ctx context.Context, s *Selection, groupBy []string, step time.Duration,
	yield func(group []string, start libpf.UnixTimeNs, samples, value int64) bool,
) (*Summary, error) {
	first, last := store.Bucket(s.From, step), store.Bucket(s.To-1, step)
	if steps := int64(last-first)/int64(step) + 1; steps < 1 || steps > MaxBuckets {
		return nil, fmt.Errorf("%w: %d steps of %s are not between 1 and %d; lengthen the step or shorten the time range", ErrTooLarge, steps, step, MaxBuckets)
	}
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	summary := k.summary(s)
	q := s.query(groupBy)
	q.Step = step
	rows := 0
	w := newWatch(ctx)
	summary.Coverage, err = e.selectKept(ctx, q, k, func(r *store.Row) bool {
		if k == nil { // else the store hands over bounded parts
			rows++
		}
		if rows > e.maxRows {
			return false
		}
		summary.add(r)
		return yield(r.Group, r.Bucket, r.Count, r.Value) && !w.ended()
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("select samples: %w", err)
	case rows > e.maxRows:
		return nil, e.tooLarge("sums", "lengthen the step, narrow the query, or group by fewer labels")
	}
	return &summary, ctx.Err()
}

// EachSpan hands over the samples of a selection that belong to spans, in no order. They are only
// valid during the call; for the rest it is as [Engine.OverTime]. They are found among samples
// alone: from what has expired there is none.
func (e *Engine) EachSpan(ctx context.Context, s *Selection, yield func(*store.Sample, *store.Series)) (*Summary, error) {
	k, err := e.kept(ctx, s)
	if err != nil {
		return nil, err
	}
	summary := k.summary(s)
	return &summary, e.samples(ctx, s, k, &summary, func(sample *store.Sample, series *store.Series) {
		if sample.SpanID != [8]byte{} {
			yield(sample, series)
		}
	})
}
