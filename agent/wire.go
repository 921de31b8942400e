// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/daemon"
	"github.com/strobe-profiler/strobe/agent/internal/status"
	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/hostmemory"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/reporter"
)

// This file joins the agent's own view of the reporter to its package.

// agentReporter is what both reporters have of what the agent uses.
type agentReporter interface {
	sampling.Sink
	ReportMetrics(timestamp uint32, ids []uint32, values []int64)
	ReportHostMetadata(metadata map[string]string)
	Status() reporter.Status
	Stop()
}

// reporterAdapter is a daemon.Reporter.
type reporterAdapter struct {
	agentReporter
	*destination
}

// ReportHostMetadata implements daemon.Reporter.
func (r reporterAdapter) ReportHostMetadata(metadata map[string]string) {
	if r.protocol != status.ProtocolStrobe {
		metadata = hostinfo.Resource(metadata)
	}
	r.agentReporter.ReportHostMetadata(metadata)
}

// Delivery implements daemon.Reporter.
func (r reporterAdapter) Delivery() status.Delivery {
	s := r.Status()
	d := status.Delivery{
		CollectionAgent: r.address, Protocol: r.protocol, Encrypted: !r.config.DisableTLS,
		State: s.State.String(), LastError: s.LastError, LastErrorTime: s.LastErrorTime, LastSuccess: s.LastSuccess,
		CapturedTotal: s.Ledger.Captured, RecoveredTotal: s.Ledger.Recovered, StoredTotal: s.Ledger.Stored,
		QueuedSamples: s.Ledger.Queued, SpooledSamples: s.Ledger.Spooled, DroppedTotal: s.Ledger.Dropped,
		BacklogBatches: s.BacklogBatches,
		Spool: status.Spool{
			State: cmp.Or(s.Spool.State, "off"), Dir: r.cfg.Spool(), Bytes: s.Spool.Bytes, MaxBytes: s.Spool.MaxBytes,
			Batches: s.Spool.Batches, Oldest: s.Spool.Oldest, ForeignBytes: s.Spool.ForeignBytes,
		},
	}
	d.Advice = d.Advise()
	return d
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

// destination is where the agent delivers to.
type destination struct {
	cfg      *config.Config
	config   *reporter.Config
	options  *reporter.Options
	protocol string // as in the status
	// describe says who a process is by now.
	describe func(*libpf.Process) *libpf.Process
	address  string // for people
}

// newDestination checks where to deliver to, with all files that it takes.
func newDestination(cfg *config.Config, getenv func(string) string) (*destination, error) {
	if err := cfg.CheckToken(); err != nil {
		return nil, err
	}
	d := &destination{cfg: cfg, protocol: status.ProtocolStrobe, address: cfg.CollectionAgent}
	if cfg.Exporter == config.ExporterOTLP {
		var err error
		if d.config, d.options, err = cfg.OTLP(getenv); err != nil {
			return nil, err
		}
		d.protocol, d.address = status.ProtocolOTLPGRPC, d.config.CollAgentAddr
		if d.options.Protocol == reporter.ProtocolHTTP {
			d.protocol = status.ProtocolOTLPHTTP
		}
		if u, err := url.Parse(d.address); err == nil && u.Host != "" { // what follows the path may be secret
			d.address = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		}
		return d, nil
	}
	tlsConfig, err := cfg.TLS()
	if err != nil {
		return nil, err
	}
	d.config = &reporter.Config{CollAgentAddr: cfg.CollectionAgent, DisableTLS: tlsConfig == nil}
	d.options = &reporter.Options{
		TLS:    tlsConfig,
		CAFile: cfg.TLSCA, CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey, // read again when they change
		TokenFile: cfg.TokenFile,
	}
	return d, nil
}

// newReporter starts a reporter that lives until it is stopped: the end of the
// daemon's context must not stop it before the tracer has handed over everything.
func (d *destination) newReporter(host hostinfo.Host, log *slog.Logger, registry prometheus.Registerer,
	limits func() []sampling.Capability,
) (daemon.Reporter, error) {
	cfg, c, o := d.cfg, *d.config, *d.options
	c.Times = timers{cfg.ReporterInterval}
	o.HostID, o.HostName = host.ID, host.Name
	o.Logger, o.Registerer = log, registry
	o.Jitter = cmp.Or(cfg.ReporterJitter, -1) // there, 0 means the default and less means none
	o.MaxQueueBytes = int(min(64<<20, (cfg.MemoryLimit-cfg.UnwindTableBytes)/queueShare))
	o.DefinitionCacheEntries = hostmemory.Grant{Limit: cfg.MemoryLimit, Tables: cfg.UnwindTableBytes}.Definitions()
	o.StopTimeout = daemon.StopTimeout
	o.AgentVersion = buildinfo.Version()
	o.SpoolDir, o.SpoolMaxBytes = cfg.Spool(), int64(cfg.SpoolBytes)
	o.Limitations = limitations(limits)
	o.Describe = d.describe
	var r agentReporter
	var err error
	if d.protocol == status.ProtocolStrobe {
		r, err = reporter.StartWithOptions(context.Background(), &c, &o)
	} else {
		r, err = reporter.StartOTLPWithOptions(context.Background(), &c, &o)
	}
	if err != nil {
		return nil, err
	}
	return reporterAdapter{r, d}, nil
}
