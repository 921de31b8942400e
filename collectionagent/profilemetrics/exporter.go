// SPDX-License-Identifier: Apache-2.0

package profilemetrics

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Options are what [New] needs. All fields but File and Store may be left zero.
type Options struct {
	// File is the path of the rules.
	File  string
	Store store.Store
	// Memory is what questions take their memory from. nil: they have no bounds.
	Memory *memory.Budget
	// CacheBytes bounds the definitions that are kept in memory. Default 16 MiB.
	CacheBytes int64
	// MaxRows bounds how many sums an answer is made of, as in [query.Options].
	MaxRows int
	// QueryTimeout bounds the work on one question. Default 1 min.
	QueryTimeout time.Duration
	// Logger takes errors. Default: none are logged.
	Logger *slog.Logger
	// Registerer takes the metrics. nil: they are not exported.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Exporter works on rules and exports what they come to. It is safe for concurrent use.
type Exporter struct {
	options Options
	config  *config
	engine  *query.Engine

	failures *prometheus.CounterVec

	mu     sync.Mutex
	latest map[*rule]result // guarded by mu
}

// result is the latest that is known of a rule.
type result struct {
	tables *tables
	// end is when the range ends that it is of.
	end time.Time
	// took is how long the work on it was.
	took time.Duration
}

// New reads the file and registers the metrics. [Exporter.Run] begins the work.
func New(o Options) (*Exporter, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 16 << 20
	}
	if o.QueryTimeout <= 0 {
		o.QueryTimeout = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c, err := read(o.File)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		options: o, config: c, latest: map[*rule]result{},
		engine: query.NewEngine(o.Store, query.Options{CacheBytes: o.CacheBytes, MaxRows: o.MaxRows, Now: o.Now}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strobe_profile_rule_failures_total", Help: "Intervals for which a rule could not be worked on.",
		}, []string{"rule"}),
	}
	for _, r := range c.rules {
		e.failures.WithLabelValues(r.name)
	}
	if o.Registerer != nil {
		for _, m := range []prometheus.Collector{e, e.failures} {
			if err := o.Registerer.Register(m); err != nil {
				return nil, fmt.Errorf("register metrics of profiles: %w", err)
			}
		}
	}
	return e, nil
}

// Run works on all rules once in an interval, until the context ends.
func (e *Exporter) Run(ctx context.Context) {
	for {
		now := e.options.Now()
		// Intervals are aligned, so that those of several servers are the same.
		end := now.Add(-e.config.delay).Truncate(e.config.interval)
		e.Evaluate(ctx, end)
		next := end.Add(e.config.interval + e.config.delay).Sub(e.options.Now())
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(next, time.Second)): // rules that take longer than the interval leave some out
		}
	}
}

// Evaluate works on all rules, for the interval that ends at a time.
func (e *Exporter) Evaluate(ctx context.Context, end time.Time) {
	for _, r := range e.config.rules {
		began := time.Now()
		t, err := e.evaluate(ctx, r, end.Add(-e.config.interval), end)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.failures.WithLabelValues(r.name).Inc()
			e.options.Logger.Warn("metrics of profiles", "rule", r.name, "err", err)
			continue
		}
		e.mu.Lock()
		e.latest[r] = result{t, end, time.Since(began)}
		e.mu.Unlock()
	}
}
