// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/samplingtest"
)

// values returns the values of a metric by the value of an attribute.
func values(t *testing.T, telemetry *componenttest.Telemetry, name, by string) map[string]float64 {
	t.Helper()
	m, err := telemetry.GetMetric(name)
	if err != nil {
		t.Error(err)
		return nil
	}
	out := map[string]float64{}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			v, _ := p.Attributes.Value(attribute.Key(by))
			out[v.AsString()] = float64(p.Value)
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			v, _ := p.Attributes.Value(attribute.Key(by))
			out[v.AsString()] = p.Value
		}
	default:
		t.Errorf("%s is a %T", name, data)
	}
	return out
}

func TestMeters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testMeters)
}

func testMeters(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	defer telemetry.Shutdown(t.Context()) //nolint:errcheck // a test
	fake := &samplingtest.Fake{Samples: samples(3)}
	o := fakeOptions(fake)
	reasons := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strobe_agent_kernel_events_total", Help: "x"}, []string{"reason"})
	o.newTracer = func(cfg sampling.Config) (sampling.Tracer, error) {
		reasons.WithLabelValues("ring_full").Add(4)
		cfg.Registerer.MustRegister(reasons)
		return fake.New(cfg)
	}
	r := newReceiver(t, o, consumertest.NewErr(consumererror.NewPermanent(errors.New("no"))))
	r.set.TelemetrySettings = telemetry.NewTelemetrySettings()
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * r.cfg.ReporterInterval)
	synctest.Wait()
	reasons.WithLabelValues("later").Inc()
	r.meters.refresh()
	for name, want := range map[string]map[string]float64{
		"strobe_receiver_captured_samples":         {"": 3},
		"strobe_receiver_dropped_samples":          {"rejected": 3},
		"strobe_agent_kernel_events":               {"ring_full": 4, "later": 1},
		"otelcol_receiver_refused_profile_samples": {"": 1},
	} {
		if diff := cmp.Diff(want, values(t, telemetry, name, "reason")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
