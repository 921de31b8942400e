// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// RunLedger is what a collection agent has stored of one run of an agent, by weight.
type RunLedger struct {
	HostID, RunID string // the second in hexadecimal
	Stored        uint64
}

// RunLedgers reads the ledgers of all runs out of the data folder of a collection
// agent that has ended.
func RunLedgers(ctx context.Context, dataDir string) (out []RunLedger, err error) {
	s, err := embedded.Open(embedded.Config{Dir: dataDir, MinFreeBytes: 1})
	if err != nil {
		return nil, fmt.Errorf("open %s after the end: %w", dataDir, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ledgers, err := s.RunLedgers(ctx, ingest.DefaultProject)
	if err != nil {
		return nil, fmt.Errorf("read ledgers of runs: %w", err)
	}
	for _, l := range ledgers {
		out = append(out, RunLedger{l.HostID, hex.EncodeToString(l.RunID[:]), l.Stored})
	}
	return out, nil
}
