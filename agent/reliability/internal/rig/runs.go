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

// RunLedgers reads what is stored of each run, by weight and by run ID in
// hexadecimal, out of the data folder of a collection agent that has ended.
func RunLedgers(ctx context.Context, dataDir string) (stored map[string]uint64, err error) {
	s, err := embedded.Open(embedded.Config{Dir: dataDir, MinFreeBytes: 1})
	if err != nil {
		return nil, fmt.Errorf("open %s after the end: %w", dataDir, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ledgers, err := s.RunLedgers(ctx, ingest.DefaultProject)
	if err != nil {
		return nil, fmt.Errorf("read ledgers of runs: %w", err)
	}
	stored = map[string]uint64{}
	for _, l := range ledgers {
		stored[hex.EncodeToString(l.RunID[:])] += l.Stored
	}
	return stored, nil
}
