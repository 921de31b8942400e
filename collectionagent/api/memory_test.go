// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// hungry is a store of which two questions want more than half of the memory each, and
// meet when they have a part of that.
type hungry struct {
	store.Store
	part    int64
	calls   atomic.Int32
	meeting sync.WaitGroup
}

func (h *hungry) Select(ctx context.Context, q *store.Query, yield func(*store.Row) bool) (store.Coverage, error) {
	claim := memory.From(ctx)
	if err := claim.Take(h.part); err != nil {
		return store.Coverage{}, err
	}
	if h.calls.Add(1) <= 2 {
		h.meeting.Done()
		h.meeting.Wait()
	}
	if err := claim.Take(h.part); err != nil {
		return store.Coverage{}, err
	}
	return h.Store.Select(ctx, q, yield)
}

// TestQuestionIsRepeatedForMemory has two questions that stand in each other's way. Both
// are answered.
func TestQuestionIsRepeatedForMemory(t *testing.T) {
	t.Parallel()
	h := &hungry{Store: testStore(t), part: 24 << 20}
	h.meeting.Add(2)
	budget := memory.NewBudget("-query-memory", 64<<20, time.Minute)
	registry := prometheus.NewRegistry()
	handler := letIn(New(Config{Store: h, Memory: budget, MaxConcurrent: 2, ProjectConcurrent: 2, Registerer: registry, Now: func() time.Time { return testNow }}))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if w := get(t, handler, "/api/v1/folded"); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	both.Wait()
	if busy, _ := budget.Refused(); busy != 1 || h.calls.Load() != 3 || budget.Used() != 0 {
		t.Errorf("refused %d times, %d runs, %d bytes left", busy, h.calls.Load(), budget.Used())
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "strobe_collectionagent_query_repeats_total" && f.GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("got %v", f)
		}
	}
}
