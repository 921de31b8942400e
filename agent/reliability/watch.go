// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

const watchEvery = 100 * time.Millisecond

// watcher reads an agent's ledger over and over, from its metrics and from its
// status, and checks that it adds up each time and that nothing that was captured,
// stored or dropped is taken back.
type watcher struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu           sync.Mutex
	metrics      int // readings
	status       int
	violation    error
	maxWaiting   uint64
	maxSpooled   uint64
	states       map[string]uint64
	lastOfEither rig.Ledger
}

func watchLedger(ctx context.Context, a *rig.Agent) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{cancel: cancel, states: map[string]uint64{}}
	w.wg.Go(func() { w.poll(ctx, a) })
	return w
}

func (w *watcher) poll(ctx context.Context, a *rig.Agent) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if l, err := a.Ledger(ctx); err == nil {
			w.take(l, &w.metrics)
		}
		if s, err := a.Status(ctx); err == nil {
			w.take(s.Ledger, &w.status)
			w.mu.Lock()
			w.states[s.Delivery]++
			w.mu.Unlock()
		}
	}
}

func (w *watcher) take(l rig.Ledger, readings *int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*readings++
	w.maxWaiting, w.maxSpooled = max(w.maxWaiting, l.Waiting()), max(w.maxSpooled, l.Spooled)
	err := l.Balance()
	if err == nil {
		err = grew(w.lastOfEither, l)
	}
	if err != nil && w.violation == nil {
		w.violation = err
	}
	w.lastOfEither = l
}

// grew returns an error if something of the second ledger is less than it was.
func grew(before, now rig.Ledger) error {
	for _, x := range []struct {
		name      string
		then, now uint64
	}{{"captured", before.Captured, now.Captured}, {"stored", before.Stored, now.Stored}, {"dropped", before.DroppedTotal(), now.DroppedTotal()}} {
		if x.now < x.then {
			return fmt.Errorf("%s went from %d to %d", x.name, x.then, x.now)
		}
	}
	return nil
}

func (w *watcher) stop() {
	w.cancel()
	w.wg.Wait()
}

func (w *watcher) report(table *verdict.Table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := "each time"
	if w.violation != nil {
		found = w.violation.Error()
	}
	table.Check(w.violation == nil && w.metrics > 0 && w.status > 0, "captured = stored + queued + spooled + dropped, and none of them goes back",
		"%s, %d readings of /metrics and %d of /status", found, w.metrics, w.status)
	table.Figure("most samples waiting, of them on disk", "%d, %d", w.maxWaiting, w.maxSpooled)
	table.Figure("readings by state of delivery", "%s", list(w.states))
}
