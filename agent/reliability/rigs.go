// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
	"github.com/strobe-profiler/strobe/support/program"
)

// patience only ends what hangs: how long something may take is judged where that is said.
const patience = 5 * time.Minute

// pipeline is a subject, an agent and a collection agent. What is between the two
// is up to the scenario.
type pipeline struct {
	*trial
	subject *subject
	agent   *rig.Agent
	server  *rig.Server

	dataDir, spoolDir       string
	grpcAddress, webAddress string
	releases                []func() // of the addresses
	agentSettings           rig.AgentSettings
	serverArgs              []string
}

// newPipeline prepares one and starts nothing.
func newPipeline(t *trial) (*pipeline, error) {
	p := &pipeline{trial: t, dataDir: filepath.Join(t.work, "data"), spoolDir: filepath.Join(t.work, "spool")}
	addresses := make([]string, 3)
	for i := range addresses {
		address, release, err := program.ClaimAddress()
		if err != nil {
			return nil, err
		}
		addresses[i], p.releases = address, append(p.releases, release)
	}
	p.grpcAddress, p.webAddress = addresses[0], addresses[1]
	var err error
	if p.subject, err = newSubject(t.work); err != nil {
		return nil, err
	}
	p.agentSettings = rig.AgentSettings{
		Bin: t.bin, Server: p.grpcAddress, HTTP: addresses[2], Subject: p.subject.path, SpoolDir: p.spoolDir,
	}
	return p, nil
}

func (p *pipeline) startServer(ctx context.Context) (ready time.Duration, err error) {
	if p.server, err = rig.StartServer(p.bin, p.dataDir, p.grpcAddress, p.webAddress, p.serverArgs...); err != nil {
		return 0, err
	}
	return p.server.Ready(ctx, patience)
}

func (p *pipeline) startAgent(ctx context.Context) (ready time.Duration, err error) {
	if p.agent, err = rig.StartAgent(&p.agentSettings); err != nil {
		return 0, err
	}
	return p.agent.Ready(ctx, patience)
}

// start starts everything, the subject last.
func (p *pipeline) start(ctx context.Context, threads int) error {
	if _, err := p.startServer(ctx); err != nil {
		return err
	}
	if _, err := p.startAgent(ctx); err != nil {
		return err
	}
	return p.subject.start(threads)
}

// close kills what still runs.
func (p *pipeline) close() {
	p.subject.stop()
	if p.agent != nil {
		p.agent.Kill()
	}
	if p.server != nil {
		p.server.Kill()
	}
	for _, release := range p.releases {
		release()
	}
}

// stopAll ends everything in order and checks that it ends well.
func (p *pipeline) stopAll() {
	p.subject.stop()
	err := errors.Join(p.agent.Stop(patience), p.server.Stop(patience))
	p.table.Check(err == nil, "agent and collection agent end cleanly on SIGTERM", "%s", errorText(err))
}

func errorText(err error) string {
	if err == nil {
		return "yes"
	}
	return err.Error()
}

// settle ends the subject, waits for delivery of everything and returns the
// agent's last ledger.
func (p *pipeline) settle(ctx context.Context, timeout time.Duration) (rig.Ledger, error) {
	p.subject.stop()
	began := time.Now()
	l, err := p.agent.Drained(ctx, timeout)
	if err != nil {
		return l, err
	}
	p.table.Figure("time until everything was delivered after the load had ended", "%.1f s", time.Since(began).Seconds())
	return l, nil
}

// compare checks the agent's ledger against what is stored. With a reason, samples
// may have been dropped for that.
func (p *pipeline) compare(ctx context.Context, l rig.Ledger, reason string) error {
	stored, err := p.server.Samples(ctx, "")
	if err != nil {
		return fmt.Errorf("count what is stored: %w", err)
	}
	p.table.Check(l.Captured > 0, "samples were taken", "%s", l)
	if dropped := l.DroppedTotal(); dropped > 0 && dropped == l.Dropped[reason] {
		p.table.Check(stored+dropped == l.Captured, "stored in the collection agent + dropped = captured by the agent", "%d + %d (%s) = %d", stored, dropped, reason, l.Captured)
	} else {
		verdict.Equal(p.table, "stored in the collection agent = captured by the agent", stored, l.Captured, "captured")
		verdict.Equal(p.table, "dropped by the agent", dropped, 0, "")
	}
	p.table.Check(l.Balance() == nil, "the agent's last ledger adds up", "%s", l)
	unknown, named, err := p.server.Unknown(ctx)
	if err != nil {
		return err
	}
	p.table.Check(unknown == 0, "samples whose stack the collection agent does not know", "%d; %.1f %% of frames have names", unknown, 100*named)
	page, err := p.server.LedgerPage(ctx)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	var held uint64
	for _, n := range page.Stored {
		held += n
	}
	verdict.Equal(p.table, "samples of the host in /api/v1/ledger", held, stored, "stored")
	p.table.Check(page.Unaccounted == 0 && page.Inconsistent == 0, "/api/v1/ledger accounts for everything", "unaccounted %d, inconsistent %d", page.Unaccounted, page.Inconsistent)
	return checkServer(ctx, p.table, p.server)
}

// checkServer checks the collection agent's own ledger.
func checkServer(ctx context.Context, table *verdict.Table, s *rig.Server) error {
	m, err := s.Metrics(ctx)
	if err != nil {
		return err
	}
	l, ok := m.ServerLedger()
	table.Check(ok && l.Balance() == nil, "the collection agent's ledger of its own time adds up", "received %d = stored %d + duplicate %d + refused %d",
		l.Received, l.Stored, l.Duplicate, l.Refused)
	return nil
}

// quantiles of durations, which it sorts.
func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[min(int(q*float64(len(d))), len(d)-1)] }
	return fmt.Sprintf("p50 %s, p99 %s, max %s of %d", round(at(0.5)), round(at(0.99)), round(d[len(d)-1]), len(d))
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
