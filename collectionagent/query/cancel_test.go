// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// countdown is a context that ends when it was looked at often enough.
type countdown struct {
	context.Context //nolint:containedctx // it is one
	left            atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelledQueriesStop ends every kind of question at many points of its way:
// wherever it is, it stops without working on.
func TestCancelledQueriesStop(t *testing.T) {
	t.Parallel()
	s := randomStore(t, 60, dataShape{stacks: 8_000, samples: 20_000, series: 40, depth: 8})
	by := []string{store.LabelComm}
	conditions, err := ParseStackConditions(`{function*="function"}`)
	if err != nil {
		t.Fatal(err)
	}
	some := everything()
	some.Stacks.Conditions = conditions
	work := pattern(t, `{function*="function_2"}`)
	for name, ask := range map[string]func(context.Context, *Engine) error{
		"flame graph": func(ctx context.Context, e *Engine) error {
			_, err := e.FlameGraph(ctx, everything(), by, 10_000)
			return err
		},
		"filtered": func(ctx context.Context, e *Engine) error {
			_, err := e.FlameGraph(ctx, some, nil, 10_000)
			return err
		},
		"top": func(ctx context.Context, e *Engine) error {
			_, err := e.Top(ctx, everything(), TopBySelf, 100)
			return err
		},
		"diff": func(ctx context.Context, e *Engine) error {
			_, err := e.Diff(ctx, everything(), everything(), &DiffOptions{MaxNodes: 10_000, Limit: 100})
			return err
		},
		"sandwich": func(ctx context.Context, e *Engine) error {
			_, err := e.Sandwich(ctx, everything(), work, 10_000)
			return err
		},
		"lines": func(ctx context.Context, e *Engine) error {
			_, err := e.Lines(ctx, everything(), work, 100)
			return err
		},
		"timeline": func(ctx context.Context, e *Engine) error {
			_, err := e.Timeline(ctx, some, store.LabelComm, 10*time.Second, 10)
			return err
		},
		"heatmap": func(ctx context.Context, e *Engine) error {
			_, err := e.HeatmapOfTime(ctx, some, time.Second, 50)
			return err
		},
		"values": func(ctx context.Context, e *Engine) error {
			_, err := e.HeatmapOfValues(ctx, everything(), time.Second)
			return err
		},
		"tracks": func(ctx context.Context, e *Engine) error {
			_, err := e.Tracks(ctx, some, &TracksOptions{By: store.LabelTID, Step: time.Second, Limit: 20, MaxNodes: 10_000})
			return err
		},
		"exemplars": func(ctx context.Context, e *Engine) error {
			_, err := e.Exemplars(ctx, everything(), ExemplarsLargest, 10)
			return err
		},
		"series": func(ctx context.Context, e *Engine) error {
			_, err := e.Series(ctx, some, nil, 10)
			return err
		},
		"folded": func(ctx context.Context, e *Engine) error {
			_, err := e.WriteFolded(ctx, everything(), nil, io.Discard)
			return err
		},
		"pprof": func(ctx context.Context, e *Engine) error {
			_, err := e.WritePprof(ctx, everything(), nil, io.Discard)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const plenty = 1 << 40
			ctx := &countdown{Context: t.Context()}
			ctx.left.Store(plenty)
			if err := ask(ctx, NewEngine(s, Options{})); err != nil {
				t.Fatal(err)
			}
			looks := plenty - ctx.left.Load()
			if looks < 20 { // one for every 1,024 stacks in each of some steps
				t.Errorf("the context was looked at only %d times", looks)
			}
			const points = 6
			for i := range int64(points) {
				ctx := &countdown{Context: t.Context()}
				at := i * (looks - 1) / points
				ctx.left.Store(at)
				// With nothing in its caches, as the first.
				if err := ask(ctx, NewEngine(s, Options{})); !errors.Is(err, context.Canceled) {
					t.Errorf("ended after %d of %d looks: %v", at, looks, err)
				}
				if after := -ctx.left.Load(); after > 12 {
					t.Errorf("ended after %d of %d looks: looked %d times more", at, looks, after)
				}
			}
		})
	}
}
