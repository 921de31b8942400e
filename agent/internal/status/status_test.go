// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/support/golden"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC)

// reports are what the golden files show, by name.
func reports() map[string]*Report {
	report := func(change func(*Report)) *Report {
		r := &Report{
			State: Ready, Version: "v1.2.3", Host: "web-1", HostID: "6f1c2b9e4d", SamplesPerSecond: 20,
			StartTime: now.Add(-50*time.Hour - 12*time.Minute), UptimeSeconds: 180720,
			Sampling: &sampling.Stats{Samples: 1234567, Lost: 0, Stacks: 45678, Complete: 45600},
			Delivery: &Delivery{
				CollectionAgent: "profiles.example.com:11000", Protocol: ProtocolStrobe, Encrypted: true, State: Connected, LastSuccess: now.Add(-3 * time.Second),
				CapturedTotal: 1234567, StoredTotal: 1234500, QueuedSamples: 67, DroppedTotal: map[string]uint64{"too_old": 0},
				Spool: Spool{State: "on", Dir: "/var/lib/strobe/agent/spool", Bytes: 4096, MaxBytes: 512 << 20},
			},
			Privileges: []string{"CAP_DAC_READ_SEARCH", "CAP_BPF"},
		}
		change(r)
		return r
	}
	refusal := "greet: rpc error: code = Unauthenticated desc = no such token"
	return map[string]*Report{
		"healthy": report(func(*Report) {}),
		"refused": report(func(r *Report) {
			r.Delivery.State, r.Delivery.LastError, r.Delivery.LastErrorTime = "refused", refusal, now.Add(-95*time.Second)
			r.Delivery.LastSuccess = now.Add(-3 * time.Hour)
			r.Delivery.Advice = r.Delivery.Advise()
			r.Delivery.CapturedTotal, r.Delivery.RecoveredTotal, r.Delivery.StoredTotal = 1234567, 4000, 1000000
			r.Delivery.SpooledSamples, r.Delivery.DroppedTotal = 234000, map[string]uint64{"too_old": 420, "spool_full": 80}
			r.Delivery.Spool.Bytes, r.Delivery.Spool.Batches, r.Delivery.Spool.Oldest = 123<<20+300<<10, 2160, now.Add(-170*time.Minute)
			r.Limits = []sampling.Capability{
				{Name: "hardware cycles (PMU)", Detail: "not available", Effect: "the CPU clock is sampled instead", Fix: "expose the PMU to the guest"},
				{Name: "cgroup v2", Effect: "filters by cgroup are off"},
			}
		}),
		"degraded": report(func(r *Report) {
			r.Delivery.State, r.Delivery.LastSuccess, r.Delivery.LastError = "disconnected", time.Time{}, "dial: connection refused\x1b[2J"
			r.Delivery.Encrypted, r.Delivery.CollectionAgent = false, "127.0.0.1:11000"
			r.Delivery.LastErrorTime = now.Add(-time.Second)
			r.Delivery.Advice = r.Delivery.Advise()
			r.Delivery.StoredTotal = 0
			r.Delivery.Spool.State = "write segment: no space left on device"
			r.Privileges = nil
		}),
		"otlp": report(func(r *Report) {
			r.Delivery.CollectionAgent, r.Delivery.Protocol = "https://otlp.example.com/v1development/profiles", ProtocolOTLPHTTP
			r.Delivery.State, r.Delivery.LastError, r.Delivery.LastErrorTime = "refused", "export profiles: 404 Not Found", now.Add(-time.Second)
			r.Delivery.Advice = r.Delivery.Advise()
			r.Delivery.Spool.ForeignBytes = 3 << 20
		}),
		"starting": report(func(r *Report) {
			r.State, r.StartTime, r.Sampling, r.Delivery = Starting, now.Add(-2*time.Second), nil, nil
		}),
		"memory_only": report(func(r *Report) {
			r.Sampling = &sampling.Stats{}
			r.Delivery = &Delivery{CollectionAgent: "127.0.0.1:11000", State: Connected, LastSuccess: now, Spool: Spool{State: "off"}}
			r.Privileges = []string{}
		}),
	}
}

func TestWriteText(t *testing.T) {
	t.Parallel()
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := r.WriteText(&b, now); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, filepath.Join("testdata", name+".txt"), b.String())
			if healthy := strings.Contains(b.String(), "\nhealthy: "); healthy != r.Healthy() {
				t.Errorf("says healthy %v, is %v", healthy, r.Healthy())
			}
		})
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	var want *Report
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _ = want.WriteJSON(w) })
	agent := httptest.NewServer(mux)
	defer agent.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	defer endless.Close()

	var name string
	for name, want = range reports() {
		got, err := Ask(t.Context(), strings.TrimPrefix(agent.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, s := range []*httptest.Server{other, endless} {
		if _, err := Ask(t.Context(), strings.TrimPrefix(s.URL, "http://")); err == nil || !strings.Contains(err.Error(), "is not an agent") {
			t.Errorf("another server: %v", err)
		}
	}
	if _, err := Ask(t.Context(), "127.0.0.1:1"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody: %v", err)
	}
}

func TestAdvise(t *testing.T) {
	t.Parallel()
	const at = "c.example:11000"
	tests := []struct{ state, err, want, protocol string }{
		{Connected, "rpc error: code = Unavailable desc = old story", "", ""},
		{"starting", "", "", ""},
		{"refused", "rpc error: code = Unauthenticated desc = token", "-token-file", ""},
		{"refused", "rpc error: code = PermissionDenied desc = role", "role ingest", ""},
		{"refused", "rpc error: code = Unimplemented desc = unknown service", "update the older", ""},
		{"refused", "something", "log of the collection agent at " + at, ""},
		{"disconnected", "dial tcp 10.0.0.1:11000: connect: connection refused", "nothing listens at " + at, ""},
		{"disconnected", "authentication handshake failed: tls: first record does not look like a TLS handshake", "-disable-tls", ""},
		{"disconnected", "x509: certificate signed by unknown authority", "-tls-ca", ""},
		{"disconnected", "lookup c.example: no such host", "not known on this host", ""},
		{"disconnected", "odd", "runs at " + at, ""},
		{"overloaded", "rpc error: code = ResourceExhausted", "wait until", ""},
		{"refused", "export: 401 Unauthorized", "-otlp-headers-file", ProtocolOTLPHTTP},
		{"refused", "rpc error: code = PermissionDenied desc = role", "the OTLP backend: use others", ProtocolOTLPGRPC},
		{"refused", "rpc error: code = Unimplemented desc = unknown service", "service.profilesSupport", ProtocolOTLPGRPC},
		{"refused", "export: 404 Not Found", "nothing takes profiles (v1development) at " + at, ProtocolOTLPHTTP},
		{"disconnected", "http: server gave HTTP response to HTTPS client", "write http:// in -otlp-endpoint", ProtocolOTLPHTTP},
		{"disconnected", "dial tcp 10.0.0.1:4317: connect: connection refused", "start the OTLP backend, or correct -otlp-endpoint", ProtocolOTLPGRPC},
		{"refused", "the backend is elsewhere; set its address: HTTP 301 Moved Permanently: to https://b.example", "correct -otlp-endpoint: the error", ProtocolOTLPHTTP},
		{"refused", "what answers is no OTLP receiver; check the address: HTTP 200 OK", "what answers at " + at, ProtocolOTLPHTTP},
		{"overloaded", "429 Too Many Requests", "until the OTLP backend has room", ProtocolOTLPHTTP},
	}
	for _, test := range tests {
		d := Delivery{CollectionAgent: at, Protocol: test.protocol, State: test.state, LastError: test.err}
		got := d.Advise()
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s %s, %q: %q, want %q", test.protocol, test.state, test.err, got, test.want)
		}
	}
}
