// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/callproxy"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

// killer ends programs with SIGKILL at random moments under load.
type killer struct {
	times, threads int
	limit          time.Duration
	full           bool
	spoolMiB       int
	walMiB         int

	*pipeline
	random   *rand.Rand
	receipts *callproxy.Receipts
	// last is what the agent said last, lives what each agent that was killed did.
	last  rig.AgentStatus
	lives []life

	agentReady, serverReady []time.Duration
	serverKills, agentKills int
}

// life is one agent from start to SIGKILL.
type life struct {
	captured uint64 // by itself, as far as was seen
	unseen   time.Duration
}

func killFlags(fs *flag.FlagSet) func(context.Context, *trial) error {
	k := &killer{}
	fs.IntVar(&k.times, "n", 50, "how often to kill")
	fs.IntVar(&k.threads, "threads", 1, "busy threads of the subject; each gives up to 1,000 samples/s")
	fs.DurationVar(&k.limit, "limit", 2*time.Second, "longest time from start to ready")
	fs.BoolVar(&k.full, "full", false, "in place of many kills: kill both with a full spool and a full log, once")
	fs.IntVar(&k.spoolMiB, "spool-mib", 512, "with -full: size of the agent's spool in MiB")
	fs.IntVar(&k.walMiB, "head-mib", 256, "with -full: -head-max-bytes of the collection agent in MiB")
	return k.run
}

func (k *killer) run(ctx context.Context, t *trial) (err error) {
	if k.pipeline, err = newPipeline(t); err != nil {
		return err
	}
	defer k.close()
	if k.full {
		return k.restartFull(ctx)
	}
	k.random = rand.New(rand.NewPCG(t.seed, 4)) //nolint:gosec // repeatable on purpose
	k.receipts = callproxy.NewReceipts()
	// The proxy injects nothing. It sees what the collection agent acknowledged, also
	// when nobody is left who could tell.
	calls, err := callproxy.Listen(k.grpcAddress, k.receipts.Observe)
	if err != nil {
		return err
	}
	defer calls.Close() //nolint:errcheck // end of the run
	k.agentSettings.Server = calls.Address()
	if err := k.start(ctx, k.threads); err != nil {
		return err
	}
	for i := range k.times {
		if err := k.once(ctx, i); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
	}
	k.load(ctx, k.between())
	k.reportRestarts()
	ledger, err := k.settle(ctx, 2*patience)
	if err != nil {
		return err
	}
	k.table.Check(ledger.Balance() == nil, "the last agent's ledger adds up", "%s", ledger)
	total, err := k.server.Samples(ctx, "")
	if err != nil {
		return err
	}
	if err := checkServer(ctx, k.table, k.server); err != nil {
		return err
	}
	k.stopAll()
	return k.account(ctx, total, ledger)
}

// between is the time until the next kill.
func (k *killer) between() time.Duration {
	mean := k.duration / time.Duration(k.times)
	return time.Duration(k.random.Int64N(int64(2*mean) + 1))
}

// load lets time pass and keeps what the agent says.
func (k *killer) load(ctx context.Context, d time.Duration) {
	end := time.Now().Add(d)
	for time.Now().Before(end) && ctx.Err() == nil {
		if s, err := k.agent.Status(ctx); err == nil && s.Ledger.Captured > 0 {
			k.last = s
		}
		time.Sleep(min(20*time.Millisecond, max(time.Until(end), 0)))
	}
}

// once waits, kills, starts again and, mostly, waits until all is ready.
func (k *killer) once(ctx context.Context, i int) error {
	k.load(ctx, k.between())
	if err := ctx.Err(); err != nil {
		return err
	}
	agent, server := i%3 != 1, i%3 != 0
	var acked uint64
	if server {
		k.server.Kill()
		k.serverKills++
		acked = k.acked()
	}
	if agent {
		k.agent.Kill()
		k.agentKills++
		if k.last.Ledger.Captured > 0 {
			k.lives = append(k.lives, life{k.last.Ledger.Captured - k.last.Ledger.Recovered, time.Since(k.last.At)})
		} else { // it was killed before it had said anything
			k.lives = append(k.lives, life{unseen: time.Since(k.agent.Began())})
		}
		k.last = rig.AgentStatus{}
	}
	// Every fifth time the next kill comes into the start.
	wait := k.random.IntN(5) > 0
	var wg sync.WaitGroup
	var agentErr, serverErr error
	if server {
		wg.Go(func() {
			serverErr = k.again(ctx, wait, &k.serverReady, k.startServerOnly, func() *rig.Program { return k.server.Program })
		})
	}
	if agent {
		wg.Go(func() {
			agentErr = k.again(ctx, wait, &k.agentReady, k.startAgentOnly, func() *rig.Program { return k.agent.Program })
		})
	}
	wg.Wait()
	if err := errors.Join(serverErr, agentErr); err != nil {
		return err
	}
	if !server || !wait {
		return nil
	}
	stored, err := k.server.Samples(ctx, "")
	if err != nil {
		return err
	}
	if stored < acked {
		k.table.Check(false, fmt.Sprintf("acknowledged samples survive kill %d", i+1), "%d stored, %d acknowledged", stored, acked)
	}
	return nil
}

func (k *killer) startServerOnly() (err error) {
	k.server, err = rig.StartServer(k.bin, k.dataDir, k.grpcAddress, k.webAddress, k.serverArgs...)
	return err
}

func (k *killer) startAgentOnly() (err error) {
	k.agent, err = rig.StartAgent(&k.agentSettings)
	return err
}

func (k *killer) again(ctx context.Context, wait bool, times *[]time.Duration, start func() error, program func() *rig.Program) error {
	if err := start(); err != nil || !wait {
		return err
	}
	took, err := program().Ready(ctx, max(patience, k.limit))
	if err == nil {
		*times = append(*times, took)
	}
	return err
}

func (k *killer) acked() (n uint64) {
	for _, r := range k.receipts.Runs() {
		n += r.Acked
	}
	return n
}

func (k *killer) reportRestarts() {
	k.table.Figure("kills", "%d of the agent, %d of the collection agent, of them both at once %d", k.agentKills, k.serverKills,
		k.agentKills+k.serverKills-k.times)
	k.reportReady("agent", k.agentReady)
	k.reportReady("collection agent", k.serverReady)
}

func (k *killer) reportReady(name string, took []time.Duration) {
	k.table.Check(len(took) > 0 && slices.Max(took) <= k.limit, fmt.Sprintf("start to ready of the %s, at most %s", name, k.limit), "%s", quantiles(took))
}

// account compares, run by run, what the store holds with what passed the proxy.
func (k *killer) account(ctx context.Context, total uint64, last rig.Ledger) error {
	ledgers, err := rig.RunLedgers(ctx, k.dataDir)
	if err != nil {
		return err
	}
	var sum, sent, acked uint64
	var wrong strings.Builder
	receipts := k.receipts.Runs()
	for run, stored := range ledgers {
		r := receipts[run]
		sum += stored
		if stored < r.Acked || stored > r.Sent {
			fmt.Fprintf(&wrong, "; run %.8s: acknowledged %d, stored %d, sent %d", run, r.Acked, stored, r.Sent)
		}
	}
	for run, r := range receipts {
		sent += r.Sent
		acked += r.Acked
		if _, known := ledgers[run]; !known && r.Acked > 0 {
			fmt.Fprintf(&wrong, "; run %.8s is unknown, %d were acknowledged", run, r.Acked)
		}
	}
	k.table.Check(wrong.Len() == 0, "in each run, acknowledged <= stored <= sent, each batch counted once", "%d runs%s", len(ledgers), wrong.String())
	verdict.Equal(k.table, "samples that queries count", total, sum, "in the ledgers of all runs")
	k.table.Check(total >= acked && total <= sent, "acknowledged <= stored <= sent, over all", "%d, %d, %d", acked, total, sent)
	verdict.Equal(k.table, "batches repeated with another content", k.receipts.Changed(), 0, "")

	captured, unseen := last.Captured-last.Recovered, time.Duration(0)
	for _, l := range k.lives {
		captured += l.captured
		unseen += l.unseen
	}
	most := captured + uint64(unseen.Seconds()*1100*float64(k.threads))
	k.table.Check(total <= most, "stored <= captured as last seen + 1,100/s for the time unseen", "%d, %d + %d", total, captured, most-captured)
	lost := int64(captured) - int64(total) //nolint:gosec // far below the limit
	k.table.Figure("seen as captured, not stored: died in the memory of an agent", "%d samples, %.0f per kill of an agent, %.2f %% of all",
		lost, float64(lost)/float64(max(k.agentKills, 1)), 100*float64(lost)/float64(max(captured, 1)))
	return nil
}
