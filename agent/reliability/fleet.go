// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/fleet"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

// crowd is many agents on one collection agent.
type crowd struct {
	agents, rate int
	interval     time.Duration
	overload     float64
	capacity     float64
	headMiB      int

	*trial
	fleet   *fleet.Fleet
	server  *rig.Server
	dataDir string
	memory  *memoryWatch
}

func fleetFlags(fs *flag.FlagSet) func(context.Context, *trial) error {
	c := &crowd{}
	fs.IntVar(&c.agents, "agents", 1000, "simulated agents, each with its own connection, host and run")
	fs.IntVar(&c.rate, "rate", 20, "samples per second of each agent")
	fs.DurationVar(&c.interval, "interval", 5*time.Second, "time between two batches of an agent")
	fs.Float64Var(&c.overload, "overload", 0, "afterwards, put on this many times the load that it can take, for a quarter of the duration, and twice as much until some is refused; 0: do not")
	fs.Float64Var(&c.capacity, "capacity", 0, "with -overload: samples/s that the collection agent can take; 0: find out")
	fs.IntVar(&c.headMiB, "head-mib", 0, "-head-max-bytes of the collection agent in MiB; 0: its default")
	return c.run
}

func (c *crowd) run(ctx context.Context, t *trial) error {
	c.trial = t
	p, err := newPipeline(t) // for its addresses
	if err != nil {
		return err
	}
	defer p.close()
	c.dataDir = p.dataDir
	var args []string
	if c.headMiB > 0 {
		args = []string{"-head-max-bytes", fmt.Sprintf("%dMiB", c.headMiB)}
	}
	if c.server, err = rig.StartServer(t.bin, p.dataDir, p.grpcAddress, p.webAddress, args...); err != nil {
		return err
	}
	defer func() { c.server.Kill() }()
	if _, err := c.server.Ready(ctx, patience); err != nil {
		return err
	}
	payload, err := fleet.NewPayload(t.seed, int(float64(c.rate)*c.interval.Seconds()), c.interval)
	if err != nil {
		return err
	}
	c.memory = watchMemory(ctx, c.server.Program)
	defer c.memory.stop()
	began, cpu := time.Now(), c.server.CPU()
	if c.fleet, err = fleet.Start(ctx, p.grpcAddress, c.agents, t.seed, payload); err != nil {
		return err
	}
	defer func() { c.fleet.Stop() }()
	t.table.Note("%d agents send %d samples/s", c.agents, c.agents*c.rate)
	if !pause.For(ctx, t.duration) {
		return ctx.Err()
	}
	t.table.Figure("acknowledged", "%d samples of %d agents in %s, %.0f samples/s; CPU of the collection agent %.0f %% of a core", c.fleet.Acked(), c.agents,
		t.duration, float64(c.fleet.Acked())/time.Since(began).Seconds(), 100*(c.server.CPU()-cpu).Seconds()/time.Since(began).Seconds())
	t.table.Figure("time from send to acknowledgement", "%s", quantiles(c.fleet.TakeLatencies()))
	c.reportMemory("steady load", began.Add(t.duration/3), t.duration)
	if c.overload > 0 {
		if err := c.tooMuch(ctx); err != nil {
			return err
		}
	}
	c.fleet.SetLoad(false)
	drained := time.Now()
	t.table.Check(c.fleet.Drained(ctx, 5*time.Minute), "everything is acknowledged when the load ends", "%d batches wait after %.1f s",
		c.fleet.Waiting(), time.Since(drained).Seconds())
	if c.overload == 0 {
		outcomes, last := c.fleet.Outcomes()
		t.table.Check(onlyPolite(outcomes), "calls that did not end well", "%s%s", list(outcomes), lastError(last))
	}
	return c.account(ctx)
}

const polite = "ResourceExhausted+RetryInfo"

// onlyPolite reports whether refusals said when to come again. A repetition that is
// recognized is none.
func onlyPolite(outcomes map[string]uint64) bool {
	for outcome := range outcomes {
		if outcome != polite && outcome != "duplicate" {
			return false
		}
	}
	return true
}

func lastError(err error) string {
	if err == nil {
		return ""
	}
	return "; last: " + err.Error()
}

// reportMemory judges the memory since a time. In short runs the head of the store
// still fills, so there is nothing to judge.
func (c *crowd) reportMemory(what string, from time.Time, length time.Duration) {
	slope, lowest, highest := c.memory.since(from)
	text := fmt.Sprintf("%.0f to %.0f MiB, slope %+.2f MiB/min", lowest/mib, highest/mib, slope/mib)
	if length < 5*time.Minute {
		c.table.Figure("memory of the collection agent, "+what, "%s", text)
		return
	}
	// What it gains in the whole time must be small next to what it has.
	c.table.Check(slope*length.Minutes() < highest/5, "memory of the collection agent is flat, "+what, "%s", text)
}

// mostOverload is how many times the overload that was asked for is tried at most.
const mostOverload = 32

// tooMuch finds out what the collection agent can take, puts on more, and lets go.
func (c *crowd) tooMuch(ctx context.Context) error {
	base := float64(c.agents * c.rate)
	if c.capacity == 0 {
		if err := c.findCapacity(ctx); err != nil {
			return err
		}
	}
	before, _ := c.fleet.Outcomes()
	length := max(c.duration/4, 5*time.Second)
	var began time.Time
	var after map[string]uint64
	var last error
	// What is refused is not the rate but more than it can take, which a fast machine does not reach
	// with a capacity that was made for a slow one.
	for overload := c.overload; ; overload *= 2 {
		c.fleet.TakeLatencies()
		acked := c.fleet.Acked()
		began = time.Now()
		c.table.Note("%.1f times %.0f samples/s for %s", overload, c.capacity, length)
		c.fleet.SetPace(overload * c.capacity / base)
		c.fleet.SetLoad(true)
		if !pause.For(ctx, length) {
			return ctx.Err()
		}
		taken := float64(c.fleet.Acked()-acked) / time.Since(began).Seconds()
		c.table.Figure("offered and taken under overload", "%.0f and %.0f samples/s; %d batches waited at its end", overload*c.capacity, taken, c.fleet.Waiting())
		if after, last = c.fleet.Outcomes(); after[polite] > before[polite] || overload >= mostOverload*c.overload {
			break
		}
	}
	// The load falls to less than what it can take.
	c.fleet.SetPace(min(1, c.capacity/base/4))
	c.table.Check(after[polite] > before[polite], "overload is refused with ResourceExhausted and RetryInfo", "%d times, %q", after[polite]-before[polite], c.fleet.Asked())
	c.table.Check(onlyPolite(after), "and in no other way", "%s%s", list(after), lastError(last))
	c.table.Figure("time from send to acknowledgement under overload", "%s", quantiles(c.fleet.TakeLatencies()))
	c.reportMemory("overload", began, length)
	recovering := time.Now()
	for c.fleet.Waiting() > int64(2*c.agents) {
		if time.Since(recovering) > 10*time.Minute || !pause.For(ctx, 100*time.Millisecond) {
			break
		}
	}
	c.table.Check(c.fleet.Waiting() <= int64(2*c.agents), "agents recover when the load falls", "backlog gone after %.1f s", time.Since(recovering).Seconds())
	return ctx.Err()
}

// findCapacity doubles the load until no more of it is taken.
func (c *crowd) findCapacity(ctx context.Context) error {
	step := max(c.interval+time.Second, 3*time.Second)
	for pace := 2.0; pace <= 1<<12; pace *= 2 {
		c.fleet.SetPace(pace)
		// The first interval still has the pace before.
		if !pause.For(ctx, step) {
			return ctx.Err()
		}
		began, acked, sent := time.Now(), c.fleet.Acked(), c.fleet.Sent()
		if !pause.For(ctx, step) {
			return ctx.Err()
		}
		seconds := time.Since(began).Seconds()
		taken, offered := float64(c.fleet.Acked()-acked)/seconds, float64(c.fleet.Sent()-sent)/seconds
		c.table.Note("offered %.0f samples/s, taken %.0f", offered, taken)
		enough := taken < 0.8*offered && taken < 1.2*c.capacity
		c.capacity = max(c.capacity, taken)
		if enough {
			break
		}
	}
	c.table.Figure("load that the collection agent can take next to the load generator", "%.0f samples/s, %.0f agents of this kind", c.capacity, c.capacity/float64(c.rate))
	// What waits is taken first.
	c.fleet.SetLoad(false)
	c.fleet.Drained(ctx, 5*time.Minute)
	return ctx.Err()
}

// account compares each agent with what the store holds of it.
func (c *crowd) account(ctx context.Context) error {
	total, err := c.server.Samples(ctx, "")
	if err != nil {
		return err
	}
	if err := checkServer(ctx, c.table, c.server); err != nil {
		return err
	}
	byRun, acked, sent := c.fleet.ByRun(), c.fleet.Acked(), c.fleet.Sent()
	err = c.server.Stop(patience)
	c.table.Check(err == nil, "the collection agent ends cleanly on SIGTERM", "%s", errorText(err))
	ledgers, err := rig.RunLedgers(ctx, c.dataDir)
	if err != nil {
		return err
	}
	different := 0
	for run, stored := range ledgers {
		if byRun[run] != stored {
			different++
		}
	}
	c.table.Check(different == 0 && len(ledgers) == c.agents, "each agent's acknowledged samples = those in the ledger of its run", "%d runs of %d agents, %d differ",
		len(ledgers), c.agents, different)
	verdict.Equal(c.table, "acknowledged", acked, sent, "sent")
	verdict.Equal(c.table, "samples that queries count", total, acked, "acknowledged")
	return nil
}
