// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/strobe-profiler/strobe/libpf"
)

type runLedger struct {
	HostID    string
	RunID     [16]byte
	Stored    uint64
	LastBatch libpf.UnixTimeNs
}

// runLedgers is a stand-in until stores have it.
func (s *server) runLedgers(ctx context.Context, project string) ([]runLedger, error) {
	if r, ok := s.config.Store.(interface {
		RunLedgers(context.Context, string) ([]runLedger, error)
	}); ok {
		return r.RunLedgers(ctx, project)
	}
	return nil, nil
}
