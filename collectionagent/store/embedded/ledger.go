// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Applied implements [store.Store]. A batch of samples that is on its way to the
// disk is not applied yet.
func (s *Store) Applied(ctx context.Context, id store.BatchID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.users.RUnlock()
	if id.Type == store.BatchSamples {
		s.winMu.RLock()
		defer s.winMu.RUnlock()
		if s.winSamples.has(&id) {
			return true, nil
		}
		return false, s.checkReplayed() // it may still be found in the log
	}
	return s.await(ctx, always, func() (bool, error) {
		s.defsMu.Lock()
		applied := s.defWindows.has(&id)
		s.defsMu.Unlock()
		if !applied {
			return false, nil
		}
		return true, s.syncDefinitions() // it may still be on its way to the disk
	})
}

// RunLedgers implements [store.Store]. The weights stand in the windows of
// batches, which are committed together with the samples: in the log until the
// head is written, and in one step with the block from then on.
func (s *Store) RunLedgers(ctx context.Context, project string) ([]store.RunLedger, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	if err := s.checkReplayed(); err != nil { // not all is known yet
		return nil, err
	}
	s.winMu.RLock()
	ledgers, err := s.winSamples.runs(project)
	s.winMu.RUnlock()
	store.SortRunLedgers(ledgers)
	return ledgers, err
}
