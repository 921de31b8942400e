// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/status"
	"github.com/strobe-profiler/strobe/internal/hostinfo"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/samplingtest"
	systemdpkg "github.com/strobe-profiler/strobe/internal/systemd"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeReporter remembers what was reported, in order.
type fakeReporter struct {
	mu       sync.Mutex
	events   []string
	metadata map[string]string
	changed  chan struct{}
}

func newFakeReporter() *fakeReporter { return &fakeReporter{changed: make(chan struct{}, 100)} }

func (f *fakeReporter) note(event string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, event)
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fakeReporter) ReportSample(s *libpf.Sample)         { f.note("sample " + s.Comm) }
func (f *fakeReporter) ReportExecutable(e *libpf.Executable) { f.note("executable " + e.FileName) }
func (f *fakeReporter) ReportMetrics(_ uint32, ids []uint32, values []int64) {
	if len(ids) == len(values) {
		f.note("metrics")
	}
}

func (f *fakeReporter) ReportHostMetadata(m map[string]string) {
	f.mu.Lock()
	f.metadata = m
	f.mu.Unlock()
	f.note("host")
}
func (f *fakeReporter) Delivery() status.Delivery {
	return status.Delivery{State: "disconnected", CapturedTotal: 3}
}
func (f *fakeReporter) Stop() { f.note("stop") }

// index returns where an event is, -1 if nowhere.
func (f *fakeReporter) index(event string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, e := range f.events {
		if e == event {
			return i
		}
	}
	return -1
}

// waitFor waits for an event.
func (f *fakeReporter) waitFor(t *testing.T, event string) {
	t.Helper()
	for f.index(event) < 0 {
		select {
		case <-f.changed:
		case <-t.Context().Done():
			t.Fatalf("no %q", event)
		}
	}
}

// running is a daemon that runs.
type running struct {
	t        *testing.T
	base     string
	reporter *fakeReporter
	stop     func() error
	// limits is what the reporter was given to ask.
	limits func() []sampling.Capability
}

func dependencies(t *testing.T, fake *samplingtest.Fake, reporter *fakeReporter) Dependencies {
	t.Helper()
	registry := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "strobe_agent_samples_total"})
	registry.MustRegister(c)
	return Dependencies{
		NewTracer:   fake.New,
		NewReporter: func(hostinfo.Host, func() []sampling.Capability) (Reporter, error) { return reporter, nil },
		Registry:    registry, Logger: slog.New(slog.DiscardHandler), Version: "v1.2.3",
		Host: hostinfo.Options{Name: "testhost", ID: "testid"},
	}
}

// start runs a daemon until stop is called.
func start(t *testing.T, fake *samplingtest.Fake, change func(*config.Config, *Dependencies)) *running {
	t.Helper()
	r := &running{t: t, reporter: newFakeReporter()}
	cfg := config.Default()
	cfg.HTTPAddress = "127.0.0.1:0"
	deps := dependencies(t, fake, r.reporter)
	deps.NewReporter = func(_ hostinfo.Host, limits func() []sampling.Capability) (Reporter, error) {
		r.limits = limits
		return r.reporter, nil
	}
	address := make(chan string, 1)
	deps.ListeningAt = func(a string) { address <- a }
	if change != nil {
		change(&cfg, &deps)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, &cfg, deps) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = r.stop() })
	r.base = "http://" + <-address
	return r
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * time.Minute}

// get returns the answer to a request, with another Host if one is given.
func (r *running) get(path, host string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestRun(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close() //nolint:errcheck // a test
	told := func() string {
		b := make([]byte, 100)
		n, err := systemd.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	fake := &samplingtest.Fake{
		Executables: []*libpf.Executable{{FileName: "app"}},
		Samples:     []*libpf.Sample{samplingtest.Sample(1, "early", "f")},
		Last:        []*libpf.Sample{samplingtest.Sample(1, "late", "f")},
		FinalStats:  sampling.Stats{Samples: 7},
	}
	r := start(t, fake, func(c *config.Config, d *Dependencies) {
		d.Systemd = &systemdpkg.Notifier{Socket: socket}
		c.SamplesPerSecond = 33
		d.Probe = func() []sampling.Capability {
			return []sampling.Capability{{Name: "symbols", Effect: "no names"}, {Name: "BTF", OK: true}}
		}
		// What cannot be given up stops nothing.
		d.Confine = func() ([]string, error) { return []string{"CAP_BPF"}, errors.New("no such luck") }
		c.ExcludePIDs = []libpf.PID{5}
	})
	if got := told(); got != "READY=1" {
		t.Errorf("systemd was told %q", got)
	}
	if code, body := r.get("/-/ready", ""); code != http.StatusOK || body != "ready\n" {
		t.Errorf("ready: %d %q", code, body)
	}
	if code, _ := r.get("/-/healthy", ""); code != http.StatusOK {
		t.Errorf("healthy: %d", code)
	}
	if _, body := r.get("/metrics", ""); !strings.Contains(body, "strobe_agent_samples_total 0") {
		t.Errorf("metrics: %q", body)
	}
	if code, body := r.get("/", ""); code != http.StatusOK || !strings.Contains(body, "/metrics") {
		t.Errorf("index: %d %q", code, body)
	}
	if code, _ := r.get("/nothing", ""); code != http.StatusNotFound {
		t.Errorf("unknown path: %d", code)
	}
	var report status.Report
	_, body := r.get("/status", "")
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	if report.State != status.Ready || report.Version != "v1.2.3" || report.Host != "testhost" || report.Sampling.Samples != 7 ||
		report.SamplesPerSecond != 33 || report.Delivery.State != "disconnected" || report.Healthy() ||
		len(report.Limits) != 1 || report.Limits[0].Name != "symbols" || !slices.Equal(report.Privileges, []string{"CAP_BPF"}) {
		t.Errorf("status: %s", body)
	}
	if limits := r.limits(); len(limits) != 1 {
		t.Errorf("the reporter is told %v of limits", limits)
	}
	if code, _ := r.get("/debug/pprof/cmdline", ""); code != http.StatusOK {
		t.Errorf("pprof: %d", code)
	}
	if code, _ := r.get("/debug/pprof/cmdline", "evil.example:80"); code != http.StatusForbidden {
		t.Errorf("pprof under another name: %d", code)
	}
	r.reporter.waitFor(t, "host")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
	if r.reporter.index("host") != 0 {
		t.Errorf("the host is not described first: %v", r.reporter.events)
	}
	late, metrics, stop := r.reporter.index("sample late"), r.reporter.index("metrics"), r.reporter.index("stop")
	if r.reporter.index("executable app") < 0 || r.reporter.index("sample early") < 0 || late < 0 || metrics < 0 || stop < late || stop < metrics {
		t.Errorf("order %v", r.reporter.events)
	}
	if r.reporter.metadata["host.name"] != "testhost" || r.reporter.metadata["agent.version"] != "v1.2.3" {
		t.Errorf("metadata %v", r.reporter.metadata)
	}
	if fake.Config.SamplesPerSecond != 33 || len(fake.Config.Filter.ExcludePIDs) != 1 || fake.Config.UnwindTableBytes != 64<<20 {
		t.Errorf("config %+v", fake.Config)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("no such luck")
	cfg := config.Default()
	cfg.HTTPAddress = config.HTTPOff
	tests := map[string]struct {
		fake   *samplingtest.Fake
		change func(*Dependencies)
		want   string
		logged string
	}{
		"tracer": {
			&samplingtest.Fake{NewErr: broken},
			func(d *Dependencies) {
				d.Probe = func() []sampling.Capability {
					return []sampling.Capability{
						{Name: "eBPF", Required: true, Fix: "become root"},
						{Name: "PMU", Effect: "nothing: not used", Fix: "buy one"},
						{Name: "symbols", Effect: "no names", Fix: "ask nicely"},
						{Name: "BTF", Required: true, OK: true, Fix: "none"},
					}
				}
			},
			"cannot profile this host: no such luck", "become root",
		},
		"run": {&samplingtest.Fake{RunErr: broken}, func(*Dependencies) {}, "no such luck", ""},
		"reporter": {&samplingtest.Fake{}, func(d *Dependencies) {
			d.NewReporter = func(hostinfo.Host, func() []sampling.Capability) (Reporter, error) { return nil, broken }
		}, "start reporter: no such luck", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			deps := dependencies(t, test.fake, newFakeReporter())
			deps.Logger = slog.New(slog.NewTextHandler(&log, nil))
			test.change(&deps)
			err := Run(t.Context(), &cfg, deps)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if !strings.Contains(log.String(), test.logged) || strings.Contains(log.String(), "become root") != strings.Contains(log.String(), "ask nicely") || strings.Contains(log.String(), "buy one") {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}

// TestAddressInUse shows that the daemon profiles without its page.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // a test
	cfg := config.Default()
	cfg.HTTPAddress = other.Addr().String()
	reporter := newFakeReporter()
	deps := dependencies(t, &samplingtest.Fake{Samples: []*libpf.Sample{samplingtest.Sample(1, "x", "f")}}, reporter)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, &cfg, deps) }()
	reporter.waitFor(t, "sample x")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestReadyBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for _, now := range []string{status.Starting, status.Stopping} {
		s := &state{}
		s.set(now)
		server, err := serveHTTP("127.0.0.1:0", s, &statusPage{state: s, limits: sampling.NewLimits(nil, slog.New(slog.DiscardHandler))}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r := &running{t: t, base: "http://" + server.address()}
		if code, body := r.get("/-/ready", ""); code != http.StatusServiceUnavailable || body != now+"\n" {
			t.Errorf("ready: %d %q", code, body)
		}
		if code, body := r.get("/status", ""); code != http.StatusOK || !strings.Contains(body, now) {
			t.Errorf("status: %d %q", code, body)
		}
		server.stop()
	}
}

func TestNoProfilesOffLoopback(t *testing.T) {
	t.Parallel()
	s := &state{}
	s.set(status.Ready)
	server, err := serveHTTP("0.0.0.0:0", s, &statusPage{state: s, limits: sampling.NewLimits(nil, slog.New(slog.DiscardHandler))}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer server.stop()
	_, port, err := net.SplitHostPort(server.address())
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, base: "http://127.0.0.1:" + port}
	if code, _ := r.get("/debug/pprof/cmdline", ""); code != http.StatusNotFound {
		t.Errorf("pprof off loopback: %d", code)
	}
}

// lateTracer runs on after it was told to stop.
type lateTracer struct {
	sampling.Tracer
	started, release chan struct{}
}

func (l *lateTracer) Started() <-chan struct{} { return l.started }

func (l *lateTracer) Run(context.Context, sampling.Sink) error {
	close(l.started)
	<-l.release
	return nil
}

// TestLateStop: a tracer that does not stop is waited for, told of, and no failure of who
// was asked to end.
func TestLateStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		fake := &lateTracer{started: make(chan struct{}), release: make(chan struct{})}
		defer close(fake.release)
		s := &state{}
		s.set(status.Starting)
		d := &daemon{
			deps: Dependencies{Registry: prometheus.NewRegistry()}, log: log, state: s, page: &statusPage{},
			limits: sampling.NewLimits(nil, log), reporter: newFakeReporter(),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.profile(ctx, fake) }()
		<-fake.started
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began); took != drainTimeout { // the time of the bubble, which is exact
			t.Errorf("it ends after %v", took)
		}
		if !strings.Contains(out.String(), "the tracer did not stop in time") {
			t.Errorf("the log does not say that samples are lost:\n%s", out.String())
		}
	})
}

// TestQuickStop: a tracer that ends as soon as it is told to is an end like any other, of which
// systemd and whoever asks are told. The daemon gets to know of both at the same moment, and which
// of them it takes first is chance: it is asked often.
func TestQuickStop(t *testing.T) {
	t.Parallel()
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			tracer, err := (&samplingtest.Fake{}).New(sampling.Config{})
			if err != nil {
				t.Fatal(err)
			}
			s := &state{}
			s.set(status.Starting)
			ctx, cancel := context.WithCancel(t.Context())
			d := &daemon{
				deps: Dependencies{Registry: prometheus.NewRegistry(), Confine: func() ([]string, error) {
					cancel()
					synctest.Wait() // until the tracer has ended
					return nil, nil
				}},
				log: log, state: s, page: &statusPage{}, limits: sampling.NewLimits(nil, log), reporter: newFakeReporter(),
			}
			if err := d.profile(ctx, tracer); err != nil || s.get() != status.Stopping {
				t.Errorf("it ends as %s with %v", s.get(), err)
			}
		})
	}
}

// TestStopReporter: what became of the samples is told when all of them are settled.
func TestStopReporter(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	f := &fakeReporter{}
	stopReporter(f, slog.New(slog.NewTextHandler(&log, nil)))
	if f.index("stop") < 0 || !strings.Contains(log.String(), "captured=3 stored=0 spooled=0 dropped=0") {
		t.Errorf("logged %s", log.String())
	}
}
