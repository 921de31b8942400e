// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf/hostfile"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const (
	namespace = "strobe_agent"
)

// metrics are the tracer's own counters in user space.
type metrics struct {
	samples, incomplete, lostStacks, badRecords, confirmErrors prometheus.Counter
	lostLabels                                                 prometheus.Counter
	tableBytes, unsampledCPUs                                  prometheus.Gauge
	tableLoads, tableEvictions, tableMisses, tableErrors       prometheus.Counter
	directoryFull, idsExhausted, unreadable, procReads         prometheus.Counter
	runtimeErrors, runtimesUnsupported, runtimesAttached       *prometheus.CounterVec
	procLosses                                                 *prometheus.CounterVec
}

func (m *metrics) runtimeError(runtime, reason string) {
	m.runtimeErrors.WithLabelValues(runtime, reason).Inc()
}

func (m *metrics) runtimeUnsupported(runtime, reason string) {
	m.runtimesUnsupported.WithLabelValues(runtime, reason).Inc()
}

func (m *metrics) runtimeAttached(runtime string) { m.runtimesAttached.WithLabelValues(runtime).Inc() }

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	return &metrics{
		runtimeErrors: vec("runtime_errors_total",
			"Frames of interpreters and compiled code that could not be named, and processes that could not be attached.", "runtime", "reason"),
		runtimesUnsupported: vec("runtimes_unsupported_total",
			"Executables that hold a runtime which cannot be unwound.", "runtime", "reason"),
		runtimesAttached: vec("runtimes_attached_total", "Processes whose runtime was found.", "runtime"),
		samples:          counter("samples_total", "Samples handed on."),
		incomplete:       counter("incomplete_stacks_total", "Distinct stacks that were cut short before the root."),
		lostStacks:       counter("lost_stacks_total", "Samples lost because their stack was no longer held."),
		lostLabels:       counter("lost_labels_total", "Samples without the labels that their program had set, because those were no longer held."),
		badRecords:       counter("bad_records_total", "Records of the kernel side that could not be read."),
		confirmErrors:    counter("confirm_errors_total", "Stacks that could not be confirmed to the kernel side."),
		tableBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "unwind_table_bytes", Help: "Kernel memory that rows of unwind tables take.",
		}),
		unsampledCPUs: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "unsampled_cpus",
			Help: "CPUs that came online and cannot be sampled: their samples are missing, and the log says why.",
		}),
		tableLoads:     counter("unwind_table_loads_total", "Pages of unwind tables loaded."),
		tableEvictions: counter("unwind_table_evictions_total", "Pages of unwind tables evicted to keep the budget."),
		tableMisses:    counter("unwind_table_misses_total", "Pages of unwind tables that a stack needed and that were not loaded."),
		tableErrors:    counter("unwind_table_errors_total", "Executables or pages without a usable unwind table."),
		directoryFull:  counter("unwind_directory_full_total", "Executables left to the frame pointer because the page directory was full."),
		idsExhausted:   counter("executable_ids_exhausted_total", "Executables not recorded because all IDs were in use."),
		unreadable:     counter("unreadable_executables_total", "Executables that could not be read."),
		procReads:      counter("process_reads_total", "Times the mappings of a process were read from /proc."),
		procLosses: vec("process_read_losses_total",
			"Times mappings that were read from /proc were left out, by reason: too_many of one process, or table_full of all.", "reason"),
	}
}

func (m *metrics) register(reg prometheus.Registerer, t *Tracer) error {
	var errs []error
	for _, c := range []prometheus.Collector{
		m.samples, m.incomplete, m.lostStacks, m.lostLabels, m.badRecords, m.confirmErrors, m.tableBytes, m.unsampledCPUs, m.tableLoads,
		m.tableEvictions, m.tableMisses, m.tableErrors, m.directoryFull, m.idsExhausted, m.unreadable, m.procReads,
		m.runtimeErrors, m.runtimesUnsupported, m.runtimesAttached, m.procLosses,
		refusalCollector{}, &kernelCollector{k: t.kernel}, &runtimeCollector{k: t.kernel, runtimes: t.runtimes},
	} {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

// refusalCollector exports which files were refused.
type refusalCollector struct{}

var refusedFiles = prometheus.NewDesc(namespace+"_files_refused_total",
	"Files that processes named and that were not opened or not used, by reason.", []string{"reason"}, nil)

// Describe implements prometheus.Collector.
func (refusalCollector) Describe(ch chan<- *prometheus.Desc) { ch <- refusedFiles }

// Collect implements prometheus.Collector.
func (refusalCollector) Collect(ch chan<- prometheus.Metric) {
	hostfile.Refusals(func(reason string, n uint64) {
		ch <- prometheus.MustNewConstMetric(refusedFiles, prometheus.CounterValue, float64(n), reason)
	})
}

// kernelCollector exports the kernel side's counters.
type kernelCollector struct{ k *kernelSide }

var kernelEvents = prometheus.NewDesc(namespace+"_kernel_events_total",
	"Events counted by the kernel side; see support/ebpf/counters.h for each reason.", []string{"reason"}, nil)

// Describe implements prometheus.Collector.
func (c *kernelCollector) Describe(ch chan<- *prometheus.Desc) { ch <- kernelEvents }

// Collect implements prometheus.Collector.
func (c *kernelCollector) Collect(ch chan<- prometheus.Metric) {
	values, err := c.k.counters()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(kernelEvents, err)
		return
	}
	for i, v := range values {
		ch <- prometheus.MustNewConstMetric(kernelEvents, prometheus.CounterValue, float64(v), support.Counters[i].Reason)
	}
}

// Stats is a summary of a run.
type Stats struct {
	// Samples were taken in the kernel after filters; Lost of them did not arrive.
	Samples, Lost uint64
	// Stacks is how many samples had a user stack to unwind, Complete how many of
	// those reached the root.
	Stacks, Complete uint64
	// UserFrames is the number of user frames unwound.
	UserFrames uint64
	// Kernel holds every counter of the kernel side by its reason.
	Kernel map[string]uint64
}

// Stats reads the counters. It may be called while Run runs and before.
func (t *Tracer) Stats() (Stats, error) {
	v, err := t.kernel.counters()
	if err != nil {
		return Stats{}, err
	}
	s := Stats{
		Samples:    v[support.CounterSamplesSentFull] + v[support.CounterSamplesSentCompact] + v[support.CounterDropRingFull],
		Lost:       v[support.CounterDropRingFull],
		Complete:   v[support.CounterStacksComplete],
		UserFrames: v[support.CounterFramesUser],
		Kernel:     make(map[string]uint64, len(v)),
	}
	s.Stacks = s.Complete + v[support.CounterErrRuntime]
	for i := support.CounterErrProcessUnknown; i <= support.CounterErrDepth; i++ {
		s.Stacks += v[i]
	}
	for i, c := range support.Counters {
		s.Kernel[c.Reason] = v[i]
	}
	return s, nil
}

// runtimeCollector exports what the programs of the runtimes count.
type runtimeCollector struct {
	k        *kernelSide
	runtimes *runtimeManager
}

var (
	runtimeFrames = prometheus.NewDesc(namespace+"_runtime_frames_total",
		"Frames of interpreters and compiled code that were unwound.", []string{"runtime"}, nil)
	runtimeUnwindErrors = prometheus.NewDesc(namespace+"_runtime_unwind_errors_total",
		"Places in stacks where frames of a runtime are missing.", []string{"runtime", "reason"}, nil)
)

// Sizes of the tables of the programs; see support/ebpf/types.h.
const maxRuntimeErrors = 16

// Describe implements prometheus.Collector.
func (c *runtimeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- runtimeFrames
	ch <- runtimeUnwindErrors
}

// Collect implements prometheus.Collector.
func (c *runtimeCollector) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.runtimes.runtimes {
		id := uint32(r.ID())
		if c.runtimes.mapsOf(r.ID()) == nil {
			continue
		}
		if n, err := sumPerCPU(c.k.objs.RuntimeFrames, id); err == nil {
			ch <- prometheus.MustNewConstMetric(runtimeFrames, prometheus.CounterValue, float64(n), r.Name())
		}
		for e := support.StrobeRuntimeErrorRTERR_NO_RECORD; e < support.StrobeRuntimeErrorRTERR_COUNT; e++ {
			if n, err := sumPerCPU(c.k.objs.RuntimeErrors, id*maxRuntimeErrors+uint32(e)); err == nil {
				ch <- prometheus.MustNewConstMetric(runtimeUnwindErrors, prometheus.CounterValue, float64(n),
					r.Name(), interpreter.ErrorText(e))
			}
		}
	}
}

func sumPerCPU(m *ebpf.Map, key uint32) (sum uint64, err error) {
	var values []uint64
	if err := m.Lookup(key, &values); err != nil {
		return 0, err
	}
	for _, v := range values {
		sum += v
	}
	return sum, nil
}
