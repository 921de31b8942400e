// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/profilemetrics"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// exporting is what -profile-metrics asks for.
type exporting struct {
	exporter *profilemetrics.Exporter // nil: nothing
}

// newProfileMetrics reads the file.
func newProfileMetrics(
	c *Config, db store.Store, plan *memory.Plan, queries *memory.Budget, logger *slog.Logger, registerer prometheus.Registerer,
) (*exporting, error) {
	if c.ProfileMetrics == "" {
		return &exporting{}, nil
	}
	exporter, err := profilemetrics.New(profilemetrics.Options{
		File: c.ProfileMetrics, Store: db, Memory: queries, MaxRows: c.Limits.QueryRows, QueryTimeout: c.Limits.QueryTimeout,
		// A part of what the definitions for people's questions have.
		CacheBytes: plan.Bytes[memory.Definitions] / 8,
		Logger:     logger, Registerer: registerer,
	})
	if err != nil {
		return nil, err
	}
	return &exporting{exporter}, nil
}

// start begins the work, and returns what ends it and waits for its end.
func (e *exporting) start(ctx context.Context) (end func()) {
	if e.exporter == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { e.exporter.Run(ctx) })
	return func() {
		stop()
		running.Wait()
	}
}
