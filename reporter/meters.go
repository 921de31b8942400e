// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/status"
)

const metricPrefix = "strobe_agent_reporter_"

// meters counts what happens to batches. Safe for concurrent use.
type meters struct {
	backlogBatches, backlogBytes atomic.Int64
	epochs, rejectedProfiles     atomic.Uint64

	mu     sync.Mutex
	counts map[meterKey]uint64
}

type meterKey struct{ family, kind, detail string }

func newMeters() *meters { return &meters{counts: map[meterKey]uint64{}} }

func (m *meters) add(family, kind, detail string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[meterKey{family, kind, detail}] += uint64(max(n, 0)) //nolint:gosec // not negative
}

func (m *meters) acknowledged(kind string) { m.add("acked", kind, "", 1) }
func (m *meters) duplicate(kind string)    { m.add("duplicates", kind, "", 1) }
func (m *meters) retried(kind string)      { m.add("retries", kind, "", 1) }
func (m *meters) failed(kind string, err error) {
	m.add("failures", kind, codeOf(err), 1)
}

// reported counts reports of status by the code of the answer.
func (m *meters) reported(err error) { m.add("reports", status.Code(err).String(), "", 1) }

// setAside counts batches, or single items that fit no batch, that were given up.
func (m *meters) setAside(kind, reason string, n int) { m.add("aside", kind, reason, n) }

func (m *meters) each(family string, f func(kind, detail string, n uint64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, n := range m.counts {
		if key.family == family {
			f(key.kind, key.detail, n)
		}
	}
}

// promCollector exports a reporter's status and meters. It reads them when scraped.
type promCollector struct {
	pump   *pump
	status func() Status
}

// register registers the collector and returns what takes it back.
func register(reg prometheus.Registerer, p *pump, status func() Status) (func(), error) {
	if reg == nil {
		return func() {}, nil
	}
	c := &promCollector{pump: p, status: status}
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("register reporter metrics: %w", err)
	}
	return func() { reg.Unregister(c) }, nil
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricPrefix+name, help, labels, nil)
}

func spoolDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("strobe_agent_spool_"+name, help, labels, nil)
}

var (
	descSpoolBytes    = spoolDesc("bytes", "Bytes that the spool takes up on disk.")
	descSpoolMax      = spoolDesc("max_bytes", "Cap of the spool.")
	descSpoolSegments = spoolDesc("segments", "Files with batches.")
	descSpoolBatches  = spoolDesc("batches", "Batches that wait on disk.")
	descSpoolEvicted  = spoolDesc("evicted_samples_total", "Samples given up because the spool was full, by weight.")
	descSpoolDefs     = spoolDesc("evicted_definitions_total", "Batches of definitions given up because the spool was full; they travel again with the next sample that needs them.")
	descSpoolCorrupt  = spoolDesc("corrupt_total", "Damaged parts of the spool that were passed over.", "reason")
	descSpoolForeign  = spoolDesc("foreign_bytes", "Bytes that the other protocol left in the directory and that only it can send.")
	descSpoolErrors   = spoolDesc("errors_total", "Failures of the disk under the spool.", "reason")
)

var (
	descCaptured = desc("captured_samples_total", "Samples reported, by weight.")
	descStored   = desc("stored_samples_total", "Samples that the server acknowledged, by weight.")
	descDropped  = desc("dropped_samples_total", "Samples lost, by weight.", "reason")
	descQueued   = desc("queued_samples", "Samples waiting in queues and unacknowledged batches, by weight.")
	descItems    = desc("queue_items", "Items waiting in a queue.", "queue")
	descBytes    = desc("queue_bytes", "Bytes held by a queue.", "queue")
	descOver     = desc("queue_overwritten_total", "What was lost because a queue was full, by weight.", "queue")
	descSummed   = desc("queue_summed_total", "Samples summed into others because the queue was full.", "queue")
	descResent   = desc("resent_definitions_total", "Definitions sent again because the server lacked them.", "queue")
	descLacked   = desc("lacked_definitions_total", "Definitions that the server lacks and the agent does not have any more.", "queue")
	descBatches  = desc("backlog_batches", "Sealed batches that are not acknowledged.")
	descBacklog  = desc("backlog_bytes", "Bytes of sealed batches that are not acknowledged.")
	descAcked    = desc("acknowledged_batches_total", "Batches acknowledged.", "type")
	descDup      = desc("duplicate_batches_total", "Batches that the server had stored before.", "type")
	descRetries  = desc("retried_batches_total", "Further attempts at a batch.", "type")
	descFailures = desc("failed_rpcs_total", "Attempts at a batch that failed.", "type", "code")
	descAside    = desc("set_aside_batches_total", "Batches given up, and single items too large for any.", "type", "reason")
	descRejected = desc("rejected_profiles_total", "Profiles that a backend of OTLP left out of requests that it took otherwise.")
	descEpochs   = desc("epoch_changes_total", "Times that the server lost its memory of definitions.")
	descRPC      = desc("rpc_bytes_total", "Bytes of messages, uncompressed.", "direction")
	descWire     = desc("wire_bytes_total", "Bytes of messages, compressed and framed.", "direction")
	descSpooled  = desc("spooled_samples", "Samples waiting on disk, by weight.")
	descRecover  = desc("recovered_samples_total", "Samples that earlier runs had left on disk, by weight; they count as captured.")
	descReports  = desc("status_reports_total", "Reports of status to the server.", "code")
	descUp       = desc("connected", "1 if the last attempt to deliver succeeded.")
)

// Describe implements prometheus.Collector.
func (c *promCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descCaptured, descStored, descDropped, descQueued, descItems, descBytes, descOver, descSummed, descResent, descLacked,
		descBatches, descBacklog, descAcked, descDup, descRetries, descFailures, descAside, descEpochs, descRejected,
		descRPC, descWire, descUp, descSpooled, descRecover, descReports, descSpoolBytes, descSpoolMax, descSpoolSegments,
		descSpoolBatches, descSpoolEvicted, descSpoolDefs, descSpoolCorrupt, descSpoolErrors, descSpoolForeign,
	} {
		ch <- d
	}
	if c.pump.line.files != nil {
		c.pump.line.files.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *promCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	st := c.status()
	counter(descCaptured, st.Ledger.Captured)
	counter(descStored, st.Ledger.Stored)
	ch <- prometheus.MustNewConstMetric(descQueued, prometheus.GaugeValue, float64(st.Ledger.Queued))
	for reason, n := range st.Ledger.Dropped {
		counter(descDropped, n, reason)
	}
	for _, q := range st.Queues {
		gauge(descItems, q.Items, q.Name)
		gauge(descBytes, q.Bytes, q.Name)
		counter(descOver, q.Overwritten, q.Name)
		counter(descSummed, q.Summed, q.Name)
		counter(descResent, q.Resent, q.Name)
		counter(descLacked, q.Lacked, q.Name)
	}
	gauge(descBatches, st.BacklogBatches)
	gauge(descBacklog, st.BacklogBytes)
	up := 0
	if st.Connected {
		up = 1
	}
	gauge(descUp, up)

	if c.pump.line.files != nil {
		c.pump.line.files.Collect(ch)
	}
	ch <- prometheus.MustNewConstMetric(descSpooled, prometheus.GaugeValue, float64(st.Ledger.Spooled))
	counter(descRecover, st.Ledger.Recovered)
	if c.pump.backlog.disk != nil {
		_, disk := c.pump.backlog.disk.status()
		ch <- prometheus.MustNewConstMetric(descSpoolBytes, prometheus.GaugeValue, float64(disk.Bytes))
		ch <- prometheus.MustNewConstMetric(descSpoolMax, prometheus.GaugeValue, float64(st.Spool.MaxBytes))
		ch <- prometheus.MustNewConstMetric(descSpoolForeign, prometheus.GaugeValue, float64(st.Spool.ForeignBytes))
		gauge(descSpoolSegments, disk.Segments)
		gauge(descSpoolBatches, disk.Batches)
		counter(descSpoolEvicted, disk.EvictedWeight)
		counter(descSpoolDefs, disk.EvictedDefinitions)
		for reason, n := range disk.Corrupt {
			counter(descSpoolCorrupt, n, reason)
		}
		for reason, n := range disk.Errors {
			counter(descSpoolErrors, n, reason)
		}
	}

	m := c.pump.meters
	m.each("reports", func(code, _ string, n uint64) { counter(descReports, n, code) })
	counter(descEpochs, m.epochs.Load())
	counter(descRejected, m.rejectedProfiles.Load())
	m.each("acked", func(kind, _ string, n uint64) { counter(descAcked, n, kind) })
	m.each("duplicates", func(kind, _ string, n uint64) { counter(descDup, n, kind) })
	m.each("retries", func(kind, _ string, n uint64) { counter(descRetries, n, kind) })
	m.each("failures", func(kind, code string, n uint64) { counter(descFailures, n, kind, code) })
	m.each("aside", func(kind, reason string, n uint64) { counter(descAside, n, kind, reason) })

	b := c.pump.line.counts
	for _, x := range []struct {
		desc      *prometheus.Desc
		direction string
		count     *byteCount
	}{{descRPC, "out", &b.rpcOut}, {descRPC, "in", &b.rpcIn}, {descWire, "out", &b.wireOut}, {descWire, "in", &b.wireIn}} {
		counter(x.desc, uint64(x.count.total.Load()), x.direction) //nolint:gosec // counts up from 0
	}
}
