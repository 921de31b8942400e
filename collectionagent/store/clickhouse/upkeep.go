// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

func (s *Store) touch([]*item, insertID) error { return nil }

func (s *Store) maintainLoop(context.Context) {}

func (s *Store) pieces(_ context.Context, _ *store.Query, from, to int64) ([]piece, error) {
	return []piece{{tableSamples, from, to}}, nil
}

// Expire implements [store.Store].
func (s *Store) Expire(ctx context.Context, t libpf.UnixTimeNs) error {
	return s.insert(ctx, tableState, []Column{{"name", []string{stateExpired}}, {"value", []int64{store.CeilMs(t)}}})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, d *store.Deletion) (int64, error) { return 0, nil }

// Stats implements [store.Store].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	return store.Stats{Engine: "clickhouse"}, nil
}
