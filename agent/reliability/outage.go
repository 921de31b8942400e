// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/synth"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/reporter"
	"github.com/strobe-profiler/strobe/support/program"
)

const mib = 1 << 20

// outage is a reporter whose server is away for long. The samples carry times
// spread over the outage; they are only made faster than that.
type outage struct {
	length            time.Duration
	rate              int
	processes, stacks int
	spoolMiB          int
	via               string
}

// Ways to the collection agent.
const (
	viaStrobe   = "strobe"
	viaOTLP     = "otlp"
	viaOTLPHTTP = "otlp-http"
)

func outageFlags(fs *flag.FlagSet) func(context.Context, *trial) error {
	o := &outage{}
	fs.DurationVar(&o.length, "outage", time.Hour, "length of the outage, compressed in time; whole minutes")
	fs.IntVar(&o.rate, "rate", 1000, "samples per second of the outage")
	fs.IntVar(&o.processes, "processes", 300, "processes of the host")
	fs.IntVar(&o.stacks, "stacks", 6000, "distinct stacks of the host")
	fs.IntVar(&o.spoolMiB, "spool-mib", 512, "size of the spool in MiB")
	fs.StringVar(&o.via, "via", viaStrobe, "strobe for the own protocol, otlp for OTLP over gRPC, or otlp-http")
	return o.run
}

// sender is what the reporters have in common.
type sender interface {
	ReportExecutable(e *libpf.Executable)
	ReportSample(s *libpf.Sample)
	Status() reporter.Status
	Stop()
}

// intervals are those of an agent, without the minutes that it waits for a server
// that was away for an hour.
type intervals struct{}

func (intervals) ReportInterval() time.Duration         { return 500 * time.Millisecond }
func (intervals) ReportMetricsInterval() time.Duration  { return time.Minute }
func (intervals) GRPCConnectionTimeout() time.Duration  { return time.Second }
func (intervals) GRPCOperationTimeout() time.Duration   { return 15 * time.Second }
func (intervals) GRPCStartupBackoffTime() time.Duration { return 2 * time.Second }
func (intervals) GRPCAuthErrorDelay() time.Duration     { return time.Minute }

func startReporter(ctx context.Context, via, address, host, spoolDir string, spoolBytes int64) (sender, error) {
	c := &reporter.Config{CollAgentAddr: address, DisableTLS: true, Times: intervals{}}
	options := &reporter.Options{HostID: host, HostName: host, SpoolDir: spoolDir, SpoolMaxBytes: spoolBytes, AgentVersion: "reliability"}
	switch via {
	case viaOTLPHTTP:
		options.Protocol = reporter.ProtocolHTTP
		return reporter.StartOTLPWithOptions(ctx, c, options)
	case viaOTLP:
		return reporter.StartOTLPWithOptions(ctx, c, options)
	default:
		return reporter.StartWithOptions(ctx, c, options)
	}
}

func (o *outage) run(ctx context.Context, t *trial) error {
	if !slices.Contains([]string{viaStrobe, viaOTLP, viaOTLPHTTP}, o.via) {
		return fmt.Errorf("-via is %q, must be %s, %s or %s", o.via, viaStrobe, viaOTLP, viaOTLPHTTP)
	}
	needed, err := o.part(ctx, t, "whole", int64(o.spoolMiB)*mib, o.checkWhole)
	if err != nil {
		return err
	}
	_, err = o.part(ctx, t, "half", max(needed/2, 64<<10), o.checkHalf)
	return err
}

// delivered is what is known of an outage when it is over.
type delivered struct {
	minutes  []uint64 // captured
	stored   []uint64
	ledger   reporter.Ledger
	captured uint64
	summed   uint64
}

// part feeds a reporter that has no server, restarts it, gives it a server, and
// calls check. It returns the size that the spool had.
func (o *outage) part(ctx context.Context, t *trial, name string, spoolBytes int64, check func(*trial, *delivered)) (int64, error) {
	t.table.Note("outage with a spool of %.0f MiB", float64(spoolBytes)/mib)
	grpcAddress, release, err := program.ClaimAddress()
	if err != nil {
		return 0, err
	}
	defer release()
	httpAddress, release, err := program.ClaimAddress()
	if err != nil {
		return 0, err
	}
	defer release()
	address := grpcAddress
	if o.via == viaOTLPHTTP {
		address = httpAddress
	}
	spoolDir := filepath.Join(t.work, "spool-"+name)
	r, err := startReporter(ctx, o.via, address, "outage-"+name, spoolDir, spoolBytes)
	if err != nil {
		return 0, err
	}
	from := time.Now().Add(-o.length).Truncate(time.Minute)
	d := &delivered{}
	began := time.Now()
	if err := o.feed(ctx, r, t.seed, from, d); err != nil {
		r.Stop()
		return 0, err
	}
	// The agent is restarted in the outage: what it had in memory joins the rest.
	before := r.Status().Ledger
	t.table.Check(balance(before) == nil, "ledger at the end of the outage, "+name, "%s", rigLedger(before))
	for _, q := range r.Status().Queues {
		d.summed += q.Summed
	}
	r.Stop()
	stopped := r.Status()
	size := stopped.Spool.Bytes
	t.table.Figure("spool after the outage, "+name, "%.1f MiB of %.1f MiB, %.1f bytes per sample, taken in %.0f s (%.0f times as fast)",
		float64(size)/mib, float64(spoolBytes)/mib, float64(size)/float64(max(stopped.Ledger.Spooled, 1)), time.Since(began).Seconds(),
		o.length.Seconds()/time.Since(began).Seconds())
	t.table.Check(size <= spoolBytes, "spool within its cap, "+name, "%d of %d bytes, state %q", size, spoolBytes, stopped.Spool.State)
	verdict.Equal(t.table, "waiting outside of the spool after Stop, "+name, stopped.Ledger.Queued, 0, "")

	dataDir := filepath.Join(t.work, "data-"+name)
	server, err := rig.StartServer(t.bin, dataDir, grpcAddress, httpAddress)
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	if _, err := server.Ready(ctx, patience); err != nil {
		return 0, err
	}
	restarted := time.Now()
	if r, err = startReporter(ctx, o.via, address, "outage-"+name, spoolDir, spoolBytes); err != nil {
		return 0, err
	}
	defer r.Stop()
	t.table.Figure("start of a reporter on that spool, "+name, "%s", round(time.Since(restarted)))
	verdict.Equal(t.table, "taken over by the restarted agent, "+name, r.Status().Ledger.Recovered, stopped.Ledger.Spooled, "left in the spool")
	if d.ledger, err = emptied(ctx, r, 10*time.Minute); err != nil {
		return 0, err
	}
	t.table.Figure("time of delivery, "+name, "%.1f s, %.0f samples/s", time.Since(restarted).Seconds(),
		float64(d.ledger.Stored)/time.Since(restarted).Seconds())
	// What was lost in the first life is lost for good.
	for reason, n := range stopped.Ledger.Dropped {
		if d.ledger.Dropped == nil {
			d.ledger.Dropped = map[string]uint64{}
		}
		d.ledger.Dropped[reason] += n
	}
	values, err := server.Timeline(ctx, from, from.Add(o.length), time.Minute)
	if err != nil {
		return 0, err
	}
	for _, v := range values {
		d.stored = append(d.stored, uint64(v)/uint64(synth.Period)) //nolint:gosec // sums of what we sent
	}
	unknown, named, err := server.Unknown(ctx)
	if err != nil {
		return 0, err
	}
	t.table.Check(unknown == 0, "samples whose stack the collection agent does not know, "+name, "%d; %.1f %% of frames have names", unknown, 100*named)
	check(t, d)
	return size, nil
}

// feed reports the samples of the outage as fast as the reporter takes them.
func (o *outage) feed(ctx context.Context, r sender, seed uint64, from time.Time, d *delivered) error {
	g := synth.New(seed, o.processes, o.stacks)
	for _, e := range g.Executables() {
		r.ReportExecutable(e)
	}
	d.minutes = make([]uint64, int(o.length/time.Minute))
	period := time.Second / time.Duration(o.rate)
	n := int(o.length / period)
	for i := range n {
		at := from.Add(time.Duration(i) * period).Add(g.Spread(period))
		r.ReportSample(g.Next(at))
		d.minutes[min(int(at.Sub(from)/time.Minute), len(d.minutes)-1)]++
		// An agent would have taken seconds for what took a moment here.
		if i%1024 == 0 {
			if err := room(ctx, r); err != nil {
				return err
			}
		}
	}
	d.captured = uint64(n) //nolint:gosec // positive
	return nil
}

// room waits until the queue of samples has some.
func room(ctx context.Context, r sender) error {
	for {
		q := r.Status().Queues[0]
		if q.Items < q.MaxItems*5/8 && q.Bytes < q.MaxBytes*5/8 {
			return nil
		}
		if !pause.For(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
}

// emptied waits until a reporter has nothing left to deliver.
func emptied(ctx context.Context, r sender, timeout time.Duration) (reporter.Ledger, error) {
	end := time.Now().Add(timeout)
	for {
		s := r.Status()
		if s.Ledger.Queued+s.Ledger.Spooled == 0 && s.BacklogBatches == 0 {
			return s.Ledger, nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return s.Ledger, fmt.Errorf("not delivered after %s: %s, %s", timeout, rigLedger(s.Ledger), s.LastError)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func rigLedger(l reporter.Ledger) rig.Ledger {
	return rig.Ledger{Captured: l.Captured, Recovered: l.Recovered, Stored: l.Stored, Queued: l.Queued, Spooled: l.Spooled, Dropped: l.Dropped}
}

func balance(l reporter.Ledger) error { return rigLedger(l).Balance() }

func total(minutes []uint64) (n uint64) {
	for _, m := range minutes {
		n += m
	}
	return n
}

// checkWhole wants everything, when it was captured.
func (o *outage) checkWhole(t *trial, d *delivered) {
	verdict.Equal(t.table, "delivered after the outage", d.ledger.Stored, d.captured, "captured")
	verdict.Equal(t.table, "dropped", rigLedger(d.ledger).DroppedTotal(), 0, "")
	verdict.Equal(t.table, "samples summed into others for want of room", d.summed, 0, "")
	t.table.Check(slices.Equal(d.minutes, d.stored), fmt.Sprintf("stored in each of %d minutes = captured in it", len(d.minutes)),
		"%d = %d in all", total(d.stored), total(d.minutes))
}

// checkHalf wants the newest, and the loss of the others counted.
func (o *outage) checkHalf(t *trial, d *delivered) {
	dropped := rigLedger(d.ledger).DroppedTotal()
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(d.ledger.Dropped)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, d.ledger.Dropped[reason]))
	}
	t.table.Check(dropped > 0 && total(d.stored)+dropped == d.captured, "stored + dropped = captured, with half of the spool",
		"%d + %d (%s), captured %d", total(d.stored), dropped, strings.Join(reasons, ", "), d.captured)
	verdict.Equal(t.table, "stored in the collection agent", total(d.stored), d.ledger.Stored, "stored, as the agent says")
	t.table.Check(d.ledger.Dropped["spool_evicted"] == dropped, "the only reason of loss is spool_evicted", "%s", strings.Join(reasons, ", "))
	first := slices.IndexFunc(d.stored, func(n uint64) bool { return n > 0 })
	lateLoss := 0
	for i := max(first, 0) + 1; i < len(d.stored); i++ {
		if d.stored[i] != d.minutes[i] {
			lateLoss++
		}
	}
	t.table.Check(first > 0 && lateLoss == 0, "only the oldest samples are lost", "nothing before minute %d of %d, everything after it; %d minutes differ",
		first, len(d.minutes), lateLoss)
	t.table.Figure("part that was kept with half of the spool", "%.1f %%", 100*float64(total(d.stored))/float64(max(d.captured, 1)))
}
