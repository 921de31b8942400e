// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestStop(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.fault = failFirst(1<<30, status.Error(codes.Unavailable, "away"))
	r := startTest(t, s.serve(), func(_ *Config, o *Options) { o.StopTimeout = 200 * time.Millisecond })
	r.ReportSample(sampleOf(nativeTrace(1, 3), 0))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(r.Stop)
	}
	wg.Wait()
	r.ReportSample(sampleOf(nativeTrace(1, 3), 0))
	if l := checkLedger(t, r); l.Dropped[reasonShutdown] != 1 || l.Dropped[reasonClosed] != 1 || l.Queued != 0 {
		t.Errorf("ledger %+v", l)
	}
	if r.Status().State != StateStopped {
		t.Errorf("state %v", r.Status().State)
	}
	if err := r.ReportHostMetadataBlocking(context.Background(), nil, 0, 0); err == nil {
		t.Error("host metadata were sent after Stop")
	}
}

// The end of the context has the effect of Stop: what is queued is delivered first.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	times := fastTimes()
	times.report = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Start(ctx, &Config{CollAgentAddr: s.serve(), DisableTLS: true, Times: times})
	if err != nil {
		t.Fatal(err)
	}
	r.ReportSample(sampleOf(nativeTrace(1, 3), 0))
	cancel()
	eventually(t, "it stops", func() bool { return r.Status().State == StateStopped })
	if s.stored() != 1 {
		t.Error("the sample was lost")
	}
	r.Stop()
}

func TestHostMetadataBlocking(t *testing.T) {
	t.Parallel()
	away := status.Error(codes.Unavailable, "away")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, tc := range map[string]struct {
		ctx      context.Context
		fault    func(string, proto.Message) error
		retries  int
		calls    int
		wantCode codes.Code
	}{
		"at once":          {fault: nil, calls: 1},
		"third attempt":    {fault: failFirst(2, away, "host_metadata"), retries: 2, calls: 3},
		"gives up":         {fault: failFirst(9, away, "host_metadata"), retries: 1, calls: 2, wantCode: codes.Unavailable},
		"default retries":  {fault: failFirst(9, away, "host_metadata"), retries: -1, calls: 4, wantCode: codes.Unavailable},
		"invalid is final": {fault: failFirst(9, status.Error(codes.InvalidArgument, "no"), "host_metadata"), retries: 5, calls: 1, wantCode: codes.InvalidArgument},
		"context ended":    {ctx: ended, retries: 5, wantCode: codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			s.fault = tc.fault
			r := startTest(t, s.serve(), func(c *Config, _ *Options) {
				c.MaxGRPCRetries = 3
				times := fastTimes()
				times.report = time.Minute
				c.Times = times
			})
			ctx := tc.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			err := r.ReportHostMetadataBlocking(ctx, map[string]string{"a": "b"}, tc.retries, time.Millisecond)
			if tc.wantCode == codes.OK != (err == nil) {
				t.Errorf("error %v, want %v", err, tc.wantCode)
			}
			if err != nil && !errors.Is(err, context.Canceled) && status.Code(errors.Unwrap(err)) != tc.wantCode {
				t.Errorf("error %v, want %v", err, tc.wantCode)
			}
			if got := s.countCalls("host_metadata"); got != tc.calls {
				t.Errorf("%d calls, want %d", got, tc.calls)
			}
		})
	}
}

// gather returns the sums of counters and gauges by name.
func gather(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	reg := prometheus.NewPedanticRegistry()
	r := startTest(t, s.serve(), func(_ *Config, o *Options) { o.Registerer = reg })
	r.ReportSample(sampleOf(nativeTrace(1, 3), 0))
	eventually(t, "it is stored", func() bool { return r.Status().Ledger.Stored == 1 })
	got := gather(t, reg)
	for name, want := range map[string]float64{"captured_samples_total": 1, "stored_samples_total": 1, "queued_samples": 0, "connected": 1} {
		if got[metricPrefix+name] != want {
			t.Errorf("%s is %v, want %v", name, got[metricPrefix+name], want)
		}
	}
	if got[metricPrefix+"wire_bytes_total"] == 0 || got[metricPrefix+"acknowledged_batches_total"] == 0 {
		t.Errorf("metrics %v", got)
	}
	r.Stop()
	if left := gather(t, reg); len(left) != 0 {
		t.Errorf("after Stop: %v", left)
	}
}
