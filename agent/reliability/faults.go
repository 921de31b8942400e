// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/callproxy"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/lineproxy"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

// faults is agent, bad line, bad server, collection agent.
type faults struct {
	threads int
	share   float64
	// authFlips is how often credentials are rejected. The agent then waits for minutes.
	authFlips int
}

func faultsFlags(fs *flag.FlagSet) func(context.Context, *trial) error {
	f := &faults{}
	fs.IntVar(&f.threads, "threads", 1, "busy threads of the subject; each gives up to 1,000 samples/s")
	fs.Float64Var(&f.share, "share", 0.2, "part of calls that have a fault of their own")
	fs.IntVar(&f.authFlips, "auth-flips", 1, "how often credentials are rejected; the agent then waits some minutes")
	return f.run
}

// longestFault bounds faults that last, so that a run has many of them.
func longestFault(duration time.Duration) time.Duration {
	return min(max(duration/25, 400*time.Millisecond), 20*time.Second)
}

func (f *faults) run(ctx context.Context, t *trial) error {
	p, err := newPipeline(t)
	if err != nil {
		return err
	}
	defer p.close()
	receipts := callproxy.NewReceipts()
	calls, err := callproxy.Listen(p.grpcAddress, receipts.Observe)
	if err != nil {
		return err
	}
	defer calls.Close() //nolint:errcheck // end of the run
	line, err := lineproxy.Listen(calls.Address())
	if err != nil {
		return err
	}
	defer line.Close() //nolint:errcheck // end of the run
	p.agentSettings.Server = line.Address()
	if err := p.start(ctx, f.threads); err != nil {
		return err
	}
	watch := watchLedger(ctx, p.agent)
	defer watch.stop()
	f.storm(ctx, t, line, calls)
	t.table.Note("the faults have ended")
	if err := ctx.Err(); err != nil {
		return err
	}
	captured, err := p.agent.Ledger(ctx)
	if err != nil {
		return err
	}
	t.table.Figure("samples taken under faults", "%d in %s, %.0f per second", captured.Captured, t.duration, float64(captured.Captured)/t.duration.Seconds())
	// Copies that are still on their way must be in the account.
	if err := calls.Settle(patience); err != nil {
		return err
	}
	ledger, err := p.settle(ctx, 2*patience+time.Duration(f.authFlips)*7*time.Minute)
	watch.stop()
	if err != nil {
		t.table.Check(false, "everything is delivered when the faults end", "%v", err)
	}
	countFaults(t.table, line, calls)
	watch.report(t.table)
	if err := p.compare(ctx, ledger, ""); err != nil {
		return err
	}
	checkReceipts(t.table, receipts, ledger)
	if err := f.reportRetries(ctx, p); err != nil {
		return err
	}
	p.stopAll()
	return nil
}

// storm injects faults on both levels for as long as the run lasts.
func (f *faults) storm(ctx context.Context, t *trial, line *lineproxy.Proxy, calls *callproxy.Proxy) {
	ctx, cancel := context.WithTimeout(ctx, t.duration)
	defer cancel()
	longest := longestFault(t.duration)
	plan := &callproxy.Plan{Seed: t.seed, Share: f.share, Pause: 2 * longest, Longest: longest, Overrun: min(longest, 16*time.Second)}
	// Late, because nothing else can go wrong while the agent waits.
	for i := range f.authFlips {
		plan.AuthFlips = append(plan.AuthFlips, t.duration-t.duration*time.Duration(f.authFlips-i)/8)
	}
	var wg sync.WaitGroup
	wg.Go(func() { line.Storm(ctx, t.seed, longest, longest) })
	wg.Go(func() { calls.Storm(ctx, plan) })
	wg.Wait()
}

func countFaults(table *verdict.Table, line *lineproxy.Proxy, calls *callproxy.Proxy) {
	ofLine := line.Counts()
	ofCalls, n := calls.Counts()
	table.Figure("faults of the line", "%s", list(ofLine))
	table.Figure(fmt.Sprintf("faults of %d calls", n), "%s", list(ofCalls))
	var missing []string
	for _, f := range lineproxy.All {
		if ofLine[f] == 0 {
			missing = append(missing, string(f))
		}
	}
	if len(missing) > 0 {
		table.Figure("faults that this run was too short for", "%s", strings.Join(missing, ", "))
	}
}

func list[K ~string](counts map[K]uint64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(out, ", ")
}

// checkReceipts compares what passed the proxy with the agent's ledger: what was
// acknowledged, each batch once, is what the agent holds for stored.
func checkReceipts(table *verdict.Table, receipts *callproxy.Receipts, l rig.Ledger) {
	var acked uint64
	batches := 0
	for _, r := range receipts.Runs() {
		acked += r.Acked
		batches += r.Batches
	}
	verdict.Equal(table, fmt.Sprintf("acknowledged by the collection agent in %d batches, each counted once", batches), acked, l.Stored, "stored, as the agent says")
	verdict.Equal(table, "batches repeated with another content", receipts.Changed(), 0, "")
}

func (f *faults) reportRetries(ctx context.Context, p *pipeline) error {
	m, err := p.agent.Metrics(ctx)
	if err != nil {
		return err
	}
	p.table.Figure("failed attempts of the agent by code", "%s", list(m.By("strobe_agent_reporter_failed_rpcs_total", "code")))
	p.table.Figure("batches that the server had stored before", "%s", list(m.By("strobe_agent_reporter_duplicate_batches_total", "type")))
	_, peak := p.agent.Memory()
	p.table.Figure("highest memory of the agent", "%.0f MiB", float64(peak)/(1<<20))
	return nil
}
