// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/strobe-profiler/strobe/reporter"
)

// meterName names the scope of the metrics.
const meterName = "github.com/strobe-profiler/strobe/collector"

// format names what the receiver reads, in spans of the Collector.
const format = "ebpf"

// meters tell the Collector's own telemetry what the receiver does: what every receiver
// tells, the ledger of the samples, and all that the tracer counts. It is safe for
// concurrent use.
type meters struct {
	*receiverhelper.ObsReport
	meter    metric.Meter
	receiver attribute.KeyValue
	ledger   metric.Registration

	// registry has the metrics of the tracer; nil: none runs.
	registry atomic.Pointer[prometheus.Registry]

	// mu is not for callbacks: they run under a lock of the SDK that registering takes.
	mu sync.Mutex
	// instruments are those of the tracer's metrics that have been seen, by name.
	instruments map[string]metric.Float64Observable
	traced      metric.Registration // nil: none
}

func newMeters(set receiver.Settings, batches *reporter.Batcher) (*meters, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	m := &meters{
		ObsReport: obs, meter: set.MeterProvider.Meter(meterName),
		receiver: attribute.String("receiver", set.ID.String()), instruments: map[string]metric.Float64Observable{},
	}
	m.ledger, err = m.observeLedger(batches.Ledger)
	return m, err
}

// observeLedger exports what became of the samples.
func (m *meters) observeLedger(ledger func() reporter.Ledger) (metric.Registration, error) {
	captured, err := m.meter.Int64ObservableCounter("strobe_receiver_captured_samples",
		metric.WithUnit("{samples}"), metric.WithDescription("Samples taken."))
	delivered, err1 := m.meter.Int64ObservableCounter("strobe_receiver_delivered_samples",
		metric.WithUnit("{samples}"), metric.WithDescription("Samples that the pipeline has taken."))
	dropped, err2 := m.meter.Int64ObservableCounter("strobe_receiver_dropped_samples",
		metric.WithUnit("{samples}"), metric.WithDescription("Samples that were dropped, by reason."))
	queued, err3 := m.meter.Int64ObservableGauge("strobe_receiver_queued_samples",
		metric.WithUnit("{samples}"), metric.WithDescription("Samples that wait for the pipeline."))
	if err := errors.Join(err, err1, err2, err3); err != nil {
		return nil, err
	}
	count := func(n uint64) int64 { return int64(n) } //nolint:gosec // not in centuries
	own := metric.WithAttributes(m.receiver)
	return m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l := ledger()
		o.ObserveInt64(captured, count(l.Captured), own)
		o.ObserveInt64(delivered, count(l.Stored), own)
		o.ObserveInt64(queued, count(l.Queued), own)
		for reason, n := range l.Dropped {
			o.ObserveInt64(dropped, count(n), metric.WithAttributes(m.receiver, attribute.String("reason", reason)))
		}
		return nil
	}, captured, delivered, dropped, queued)
}

// use exports the metrics of another tracer from now on, nil for none.
func (m *meters) use(registry *prometheus.Registry) {
	m.registry.Store(registry)
	m.refresh()
}

func (m *meters) gather() []*dto.MetricFamily {
	registry := m.registry.Load()
	if registry == nil {
		return nil
	}
	// What can be read is worth more than an error about what cannot.
	families, _ := registry.Gather()
	return families
}

// refresh looks for metrics of the tracer that are new: those with labels appear when
// something happens for the first time.
func (m *meters) refresh() {
	families := m.gather()
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.instruments)
	for _, f := range families {
		if m.instruments[f.GetName()] != nil {
			continue
		}
		var made metric.Float64Observable
		var err error
		switch name := strings.TrimSuffix(f.GetName(), "_total"); f.GetType() {
		case dto.MetricType_COUNTER:
			made, err = m.meter.Float64ObservableCounter(name, metric.WithDescription(f.GetHelp()))
		case dto.MetricType_GAUGE:
			made, err = m.meter.Float64ObservableGauge(name, metric.WithDescription(f.GetHelp()))
		default:
			continue // the tracer has no others
		}
		if err == nil {
			m.instruments[f.GetName()] = made
		}
	}
	if len(m.instruments) == before {
		return
	}
	all := make([]metric.Observable, 0, len(m.instruments))
	instruments := make(map[string]metric.Float64Observable, len(m.instruments))
	for name, i := range m.instruments {
		all = append(all, i)
		instruments[name] = i
	}
	if m.traced != nil {
		_ = m.traced.Unregister() // never fails
	}
	m.traced, _ = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.observe(o, instruments)
		return nil
	}, all...) // fails for instruments of another meter only
}

// observe exports the metrics of the tracer.
func (m *meters) observe(o metric.Observer, instruments map[string]metric.Float64Observable) {
	for _, f := range m.gather() {
		instrument := instruments[f.GetName()]
		if instrument == nil {
			continue
		}
		for _, value := range f.GetMetric() {
			attrs := []attribute.KeyValue{m.receiver}
			for _, label := range value.GetLabel() {
				attrs = append(attrs, attribute.String(label.GetName(), label.GetValue()))
			}
			// One of the two is 0.
			o.ObserveFloat64(instrument, value.GetCounter().GetValue()+value.GetGauge().GetValue(), metric.WithAttributes(attrs...))
		}
	}
}

// begin and end enclose the handing on of samples.
func (m *meters) begin(ctx context.Context) context.Context { return m.StartProfilesOp(ctx) }

func (m *meters) end(ctx context.Context, samples int, err error) {
	m.EndProfilesOp(ctx, format, samples, err)
}

// close ends the exporting.
func (m *meters) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.ledger.Unregister() // never fails
	if m.traced != nil {
		_ = m.traced.Unregister()
	}
}
