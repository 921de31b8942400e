// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// queryPatience is how long a query waits for memory that others hold.
const queryPatience = 5 * time.Second

// memoryPlan divides the memory among what takes it. Flags of single parts stand as they are.
func (c *Config) memoryPlan() (*memory.Plan, error) {
	total := int64(c.Memory)
	if total == 0 {
		total = memory.DefaultTotal()
	}
	fixed := map[memory.Part]memory.Fixed{}
	for part, f := range map[memory.Part]memory.Fixed{
		memory.Head:    {Flag: "-head-max-bytes", Bytes: int64(c.HeadMaxBytes)},
		memory.Ingest:  {Flag: "-ingest-memory", Bytes: int64(c.Limits.IngestMemory)},
		memory.Queries: {Flag: "-query-memory", Bytes: int64(c.Limits.QueryMemory)},
	} {
		if f.Bytes > 0 {
			fixed[part] = f
		}
	}
	floors := map[memory.Part]memory.Fixed{
		memory.Ingest: {Flag: "-max-request-bytes", Bytes: requestsInMemory * int64(c.MaxRequestBytes)},
	}
	p, err := memory.NewPlan(total, fixed, floors)
	if err != nil {
		return nil, fmt.Errorf("-memory: %w", err)
	}
	return p, nil
}

// requestsInMemory is how many of the largest requests there must be room for.
const requestsInMemory = 4

// bytesPerKnownStack is how much memory there is for each stack that ingest remembers as
// stored, which takes 58 bytes at most: of 2 GiB, 6 % for two million stacks.
const bytesPerKnownStack = 1 << 10

// limitRuntime makes the garbage collector keep the process within the plan, unless
// the environment says otherwise.
func limitRuntime(p *memory.Plan, logger *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		logger.Info("GOMEMLIMIT is set, which -memory leaves alone")
		return
	}
	debug.SetMemoryLimit(p.RuntimeLimit())
}
