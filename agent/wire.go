// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/daemon"
	"github.com/strobe-profiler/strobe/agent/internal/status"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/reporter"
)

// This file joins the agent's own view of the reporter to its package.

// reporterAdapter is a daemon.Reporter.
type reporterAdapter struct {
	*reporter.GRPCReporter
	cfg *config.Config
}

// Delivery implements daemon.Reporter.
func (r reporterAdapter) Delivery() status.Delivery {
	s := r.Status()
	state := s.State.String()
	return status.Delivery{
		CollectionAgent: r.cfg.CollectionAgent, Encrypted: !r.cfg.Plaintext(),
		State: state, LastError: s.LastError, LastErrorTime: s.LastErrorTime, LastSuccess: s.LastSuccess,
		Advice:        status.Advise(state, s.LastError, r.cfg.CollectionAgent),
		CapturedTotal: s.Ledger.Captured, RecoveredTotal: s.Ledger.Recovered, StoredTotal: s.Ledger.Stored,
		QueuedSamples: s.Ledger.Queued, SpooledSamples: s.Ledger.Spooled, DroppedTotal: s.Ledger.Dropped,
		BacklogBatches: s.BacklogBatches,
		Spool: status.Spool{
			State: cmp.Or(s.Spool.State, "off"), Dir: r.cfg.Spool(), Bytes: s.Spool.Bytes, MaxBytes: s.Spool.MaxBytes,
			Batches: s.Spool.Batches, Oldest: s.Spool.Oldest,
		},
	}
}

// limitations turns what a host does not allow into what the reporter tells of it.
func limitations(limits func() []sampling.Capability) func() []reporter.Limitation {
	return func() []reporter.Limitation {
		var out []reporter.Limitation
		for _, c := range limits() {
			out = append(out, reporter.Limitation{Name: c.Name, Effect: c.Effect, Fix: c.Fix})
		}
		return out
	}
}

// timers are the reporter's intervals.
type timers struct{ interval time.Duration }

func (t timers) ReportInterval() time.Duration       { return t.interval }
func (timers) ReportMetricsInterval() time.Duration  { return time.Minute }
func (timers) GRPCConnectionTimeout() time.Duration  { return 3 * time.Second }
func (timers) GRPCOperationTimeout() time.Duration   { return 15 * time.Second }
func (timers) GRPCStartupBackoffTime() time.Duration { return 5 * time.Second }
func (timers) GRPCAuthErrorDelay() time.Duration     { return 5 * time.Minute }

// queueShare is the part of the agent's own memory that waiting data may take.
const queueShare = 4

// newReporter starts a reporter that lives until it is stopped: the end of the
// daemon's context must not stop it before the tracer has handed over everything.
func newReporter(cfg *config.Config, tlsConfig *tls.Config, host hostinfo.Host, log *slog.Logger,
	registry prometheus.Registerer, limits func() []sampling.Capability,
) (daemon.Reporter, error) {
	r, err := reporter.StartWithOptions(context.Background(), &reporter.Config{
		CollAgentAddr: cfg.CollectionAgent,
		DisableTLS:    tlsConfig == nil,
		Times:         timers{cfg.ReporterInterval},
	}, &reporter.Options{
		HostID: host.ID, HostName: host.Name,
		TLS:    tlsConfig,
		CAFile: cfg.TLSCA, CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey, // read again when they change
		Logger: log, Registerer: registry,
		Jitter:        cmp.Or(cfg.ReporterJitter, -1), // there, 0 means the default and less means none
		MaxQueueBytes: int(min(64<<20, (cfg.MemoryLimit-cfg.UnwindTableBytes)/queueShare)),
		StopTimeout:   daemon.StopTimeout,
		AgentVersion:  buildInfo().version,
		SpoolDir:      cfg.Spool(),
		SpoolMaxBytes: int64(cfg.SpoolBytes),
		TokenFile:     cfg.TokenFile,
		Limitations:   limitations(limits),
	})
	if err != nil {
		return nil, err
	}
	return reporterAdapter{r, cfg}, nil
}
