// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Where tables come from: values of the label source.
const (
	sourceSymtab    = "symtab"
	sourceDebugFile = "debug_file"
	sourceMiniDebug = "mini_debuginfo"
	sourceDynsym    = "dynsym"
	sourceGo        = "gopclntab"
	sourcePerfMap   = "perf_map"
	sourceNone      = "none"
)

// What goes wrong: values of the label reason.
const (
	reasonOpen           = "open"
	reasonRead           = "read"
	reasonTooLarge       = "too_large"
	reasonDebugFile      = "debug_file"
	reasonMiniDebug      = "mini_debuginfo"
	reasonGo             = "gopclntab"
	reasonNameTruncated  = "name_truncated"
	reasonDemanglePanic  = "demangle_panic"
	reasonPerfMapRead    = "perf_map_read"
	reasonPerfMapRefused = "perf_map_refused"
	reasonPerfMapLine    = "perf_map_line"
	reasonPerfMapTooLong = "perf_map_too_large"
)

// metrics are the counters of a [Symbolizer].
type metrics struct {
	hits, misses, evictions prometheus.Counter
	loaded, errors          *prometheus.CounterVec
}

// newMetrics registers the counters; bytes tells the memory in use.
func newMetrics(cfg *Config, bytes func() float64) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "strobe_agent", Name: name, Help: help}
	}
	m := &metrics{
		hits: prometheus.NewCounter(opts("symbol_cache_hits_total",
			"Addresses whose names were known from before.")),
		misses: prometheus.NewCounter(opts("symbol_cache_misses_total",
			"Addresses that were looked up in a symbol table.")),
		evictions: prometheus.NewCounter(opts("symbol_cache_evictions_total",
			"Symbol tables that were dropped to stay below the limit on memory.")),
		loaded: prometheus.NewCounterVec(opts("symbol_tables_loaded_total",
			"Symbol tables that were read, by where they were found."), []string{"source"}),
		errors: prometheus.NewCounterVec(opts("symbol_errors_total",
			"What was wrong with symbol tables and names, by reason."), []string{"reason"}),
	}
	register(cfg.Registerer, cfg.Logger, m.hits, m.misses, m.evictions, m.loaded, m.errors,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "strobe_agent", Name: "symbol_bytes", Help: "Memory that symbol tables take, in bytes.",
		}, bytes))
	return m
}

// register adds collectors to r, if there is one.
func register(r prometheus.Registerer, log *slog.Logger, collectors ...prometheus.Collector) {
	if r == nil {
		return
	}
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			log.Warn("register metric", "error", err)
		}
	}
}
