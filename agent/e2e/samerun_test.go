// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/reporter"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer"
	"github.com/strobe-profiler/strobe/tracer/identity"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// TestOTLPTellsTheSame takes one run of the tracer on every way that there is to a
// collection agent, each to one of its own, and compares what they answer: stacks with
// all that is known of their frames, labels, totals and exemplars. The reference is the
// agent's own protocol.
func TestOTLPTellsTheSame(t *testing.T) {
	skip.UnlessRoot(t)
	begin := time.Now()
	routes := openRoutes(t)
	all := make(fork, len(routes))
	for i, r := range routes {
		all[i] = r.reporter
	}
	profile(t, all)
	executables, samples := madeUp(time.Now())
	for _, e := range executables {
		all.ReportExecutable(e)
	}
	for _, s := range samples {
		all.ReportSample(s)
	}
	var stopped sync.WaitGroup
	for _, r := range routes {
		stopped.Go(r.reporter.Stop)
	}
	stopped.Wait()

	between := interval{begin.Add(-time.Hour), time.Now().Add(time.Second)}
	want := ask(t, routes[0].server.http, between)
	want.holds(t)
	captured, weight := routes[0].reporter.Status().Ledger.Captured, routes[0].server.weight(t.Context(), between)
	t.Logf("%d samples, %d lines of answers", captured, want.lines())
	for _, r := range routes {
		s := r.reporter.Status()
		if l := s.Ledger; l.Stored != captured || l.Captured != captured {
			t.Errorf("%s: ledger %+v, last error %q", r.name, l, s.LastError)
		}
	}
	for _, r := range routes[1:] {
		if r.later { // what was acknowledged is still on its way
			eventually(t, "delivery by "+r.name, func(ctx context.Context) bool { return r.server.weight(ctx, between) >= weight })
		}
		t.Run(r.name, func(t *testing.T) { compare(t, want, ask(t, r.server.http, between)) })
	}
}

// deliverer is what the agent's reporters have in common.
type deliverer interface {
	tracer.Sink
	ReportHostMetadata(metadata map[string]string)
	Status() reporter.Status
	Stop()
}

// fork hands everything to several reporters.
type fork []deliverer

// ReportSample implements tracer.Sink.
func (f fork) ReportSample(s *libpf.Sample) {
	for _, r := range f {
		r.ReportSample(s)
	}
}

// ReportExecutable implements tracer.Sink.
func (f fork) ReportExecutable(e *libpf.Executable) {
	for _, r := range f {
		r.ReportExecutable(e)
	}
}

// route is a way to a collection agent.
type route struct {
	name     string
	reporter deliverer
	server   *server
	later    bool // something between acknowledges what it has not delivered
}

// openRoutes starts a collection agent, a reporter, and what is between them, for each way.
func openRoutes(t *testing.T) []*route {
	t.Helper()
	add := func(name string, start func(grpcAddress, httpAddress string) (deliverer, error)) *route {
		t.Helper()
		grpcAddress, httpAddress := program.FreeAddress(t), program.FreeAddress(t)
		r := &route{name: name, server: startServer(t, t.TempDir(), grpcAddress, httpAddress)}
		var err error
		if r.reporter, err = start(grpcAddress, httpAddress); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.reporter.Stop)
		return r
	}
	otlp := func(protocol, compression, address string) (deliverer, error) {
		o := options()
		o.Protocol, o.Compression = protocol, compression
		return reporter.StartOTLPWithOptions(context.WithoutCancel(t.Context()), config(address), o)
	}
	routes := []*route{
		add("own protocol", func(to, _ string) (deliverer, error) {
			return reporter.StartWithOptions(context.WithoutCancel(t.Context()), config(to), options())
		}),
		add("OTLP over gRPC", func(to, _ string) (deliverer, error) {
			return otlp(reporter.ProtocolGRPC, reporter.CompressionGzip, to)
		}),
		add("OTLP over HTTP", func(_, to string) (deliverer, error) {
			return otlp(reporter.ProtocolHTTP, reporter.CompressionZstd, "http://"+to)
		}),
		add("OTLP through a Collector", func(to, _ string) (deliverer, error) {
			between := program.FreeAddress(t)
			startCollector(t, "otlp", fmt.Sprintf("    protocols: {grpc: {endpoint: %q, max_recv_msg_size_mib: 64}}", between), to)
			return otlp(reporter.ProtocolGRPC, reporter.CompressionGzip, between)
		}),
	}
	routes[len(routes)-1].later = true
	return routes
}

func config(address string) *reporter.Config {
	return &reporter.Config{CollAgentAddr: address, DisableTLS: true, Times: times{}}
}

func options() *reporter.Options {
	return &reporter.Options{HostID: hostID, HostName: hostName, AgentVersion: "v1", StopTimeout: 3 * time.Minute}
}

// times are short, so that one run makes many requests.
type times struct{}

func (times) ReportInterval() time.Duration         { return 300 * time.Millisecond }
func (times) ReportMetricsInterval() time.Duration  { return time.Minute }
func (times) GRPCConnectionTimeout() time.Duration  { return 3 * time.Second }
func (times) GRPCOperationTimeout() time.Duration   { return 15 * time.Second }
func (times) GRPCStartupBackoffTime() time.Duration { return time.Second }
func (times) GRPCAuthErrorDelay() time.Duration     { return time.Second }

// subjectsOfAll are programs that have something of everything: inlined calls, labels of
// goroutines, several threads, the kernel's functions, interpreters. Those that take longest
// to begin are started first, before the others take the CPUs.
var subjectsOfAll = []string{"java17", "node", "py", "go-plain", "c-o2", "c-threads", "c-sysread", "cpp-shapes", "rust-forge"}

// profile profiles this host until there are samples enough of every subject.
func profile(t *testing.T, sink fork) {
	t.Helper()
	resolver, err := identity.New(identity.Options{
		Labels: []libpf.Label{{Key: "suite", Value: "e2e"}}, EnvVars: []string{"STROBE_E2E_RUN"}, CommandLines: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tracer.New(tracer.Config{
		SamplesPerSecond: 199, Identify: resolver.Process, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	host := hostinfo.Host{Name: hostName, ID: hostID}
	for _, r := range sink {
		r.ReportHostMetadata(hostinfo.Resource(hostinfo.Metadata(hostinfo.Options{}, host, "v1")))
	}
	t.Setenv("STROBE_E2E_RUN", "same; run=1,2")
	// Compilers would have to share the CPUs with the subjects, and their samples would be
	// compared in all answers.
	subjects := make([]*tracertest.Ready, len(subjectsOfAll))
	for i, name := range subjectsOfAll {
		subjects[i] = tracertest.Prepare(t, name, 600)
	}
	counted := &counter{sink: sink, counts: map[libpf.PID]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- tr.Run(ctx, counted) }()
	<-tr.Started()
	pids := make([]int, len(subjectsOfAll))
	for i, s := range subjects {
		pids[i] = s.Start(t)
	}
	eventually(t, "samples of all subjects", func(context.Context) bool {
		for _, pid := range pids {
			if counted.of(libpf.PID(pid)) < 60 { //nolint:gosec // a PID
				return false
			}
		}
		return true
	})
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

// counter counts the samples of processes on their way.
type counter struct {
	sink fork

	mu     sync.Mutex
	counts map[libpf.PID]int
}

// ReportExecutable implements tracer.Sink.
func (c *counter) ReportExecutable(e *libpf.Executable) { c.sink.ReportExecutable(e) }

// ReportSample implements tracer.Sink.
func (c *counter) ReportSample(s *libpf.Sample) {
	c.mu.Lock()
	c.counts[s.Process.PID]++
	c.mu.Unlock()
	c.sink.ReportSample(s)
}

func (c *counter) of(pid libpf.PID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[pid]
}

const (
	hostName = "e2e-host"
	hostID   = "5ee1d0"
)
