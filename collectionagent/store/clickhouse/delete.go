// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// mutate deletes rows of a table and waits until it is done. where writes the
// condition, from the word WHERE on.
func (s *Store) mutate(ctx context.Context, table string, where func(*statement)) error {
	q := s.layout.alter(table).add(" DELETE")
	where(q)
	set := s.ddlSettings()
	if set == nil {
		set = Settings{}
	}
	set["max_query_size"] = 64 << 20
	if err := s.conn.Exec(ctx, q.String(), set); err != nil {
		return fmt.Errorf("delete from %s: %w", table, err)
	}
	// Servers that know mutations_sync are done by now; one that went away in the
	// meantime goes on when it is back.
	var pending statement
	pending.add("SELECT count() FROM system.mutations WHERE is_done = 0 AND database = ").str(s.layout.database)
	pending.add(" AND table = ").str(s.layout.part(table))
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var n uint64
		if err := s.one(ctx, pending.String(), &n); err != nil || n == 0 {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Expire implements [store.Store].
func (s *Store) Expire(ctx context.Context, t libpf.UnixTimeNs) error {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	// Hidden first, then removed.
	at := store.CeilMs(t)
	if err := s.setState(ctx, stateExpired, at); err != nil {
		return err
	}
	if at <= earliest {
		return nil
	}
	at = min(at, latest)
	for table, width := range map[string]int64{tableSamples: 1, tableMinutes: minuteMs, tableHours: hourMs} {
		err := s.mutate(ctx, table, func(q *statement) {
			if table == tableSamples {
				s.layout.at(q.add(" WHERE ts < "), at)
			} else {
				s.layout.atBucket(q.add(" WHERE bucket < "), at/width*width)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, d *store.Deletion) (int64, error) {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	v, err := s.readView(ctx)
	if err != nil {
		return 0, err
	}
	from, to := int64(earliest), int64(latest+1)
	if d.From > 0 {
		from = store.CeilMs(d.From)
	}
	if d.To != 0 {
		to = min(store.CeilMs(d.To), to)
	}
	if from >= to {
		return 0, nil
	}
	removed, hours, err := s.selected(ctx, d, v, max(from, v.expired), to)
	if err != nil {
		return 0, err
	}
	err = s.mutate(ctx, tableSamples, func(q *statement) { s.layout.scope(q, tableSamples, d.Project, d.Types, from, to, d.Matchers) })
	if err != nil {
		return 0, err
	}
	rollable := !slices.ContainsFunc(d.Matchers, func(m *store.Matcher) bool { return !slices.Contains(store.RollUpLabels, m.Name) })
	if rollable {
		for table, width := range map[string]int64{tableMinutes: minuteMs, tableHours: hourMs} {
			a, b := ceilTo(from, width), to/width*width
			if to > latest {
				b = latest
			}
			if a >= b {
				continue
			}
			err := s.mutate(ctx, table, func(q *statement) { s.layout.scope(q, table, d.Project, d.Types, a, b, d.Matchers) })
			if err != nil {
				return 0, err
			}
		}
	}
	if d.Whole() {
		return removed, s.deleteProject(ctx, d.Project)
	}
	return removed, s.rebuild(ctx, d.Project, hours)
}

// selected counts the visible samples of a deletion and returns the hours that
// they lie in, but for those whose samples began to expire: their roll-ups hold
// more than samples can tell.
func (s *Store) selected(ctx context.Context, d *store.Deletion, v *view, from, to int64) (n int64, hours []int64, err error) {
	if from >= to {
		return 0, nil, nil
	}
	oldest := int64(math.MinInt64)
	if horizon := s.horizon(&store.Query{Project: d.Project}, tableSamples); horizon > 0 {
		oldest = ceilTo(horizon, hourMs) / hourMs
	}
	var q statement
	q.add("SELECT intDiv(", s.layout.msOf(tableSamples), ", ").int(hourMs).add(") AS h, toInt64(count()) FROM ", s.layout.table(tableSamples))
	s.layout.scope(&q, tableSamples, d.Project, d.Types, from, to, d.Matchers)
	v.hide(&q, from, to)
	q.add(" GROUP BY h")
	err = s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var hour, rows int64
		err := r.Scan(&hour, &rows)
		n += rows
		if hour >= oldest {
			hours = append(hours, hour)
		}
		return err
	})
	return n, hours, err
}

// deleteProject removes what a project has beside samples and their sums.
func (s *Store) deleteProject(ctx context.Context, project string) error {
	for _, table := range []string{
		tableSeals, tableTouches, tableStacks, tableSymbols, tableExecutables, tableHosts, tableMetrics, tableLedgers, tableBatches,
	} {
		err := s.mutate(ctx, table, func(q *statement) {
			q.add(" WHERE project = ").str(project)
			if table == tableBatches {
				q.add(" AND kind = ").uint(kindBatch)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
