// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"math"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// view says which rows count at a moment. A query reads it first.
type view struct {
	// hidden are the inserts whose rows do not count.
	hidden []hiddenInsert
	// lone are the committed inserts of one batch that nobody has compared with
	// other inserts of it for good.
	lone []insertID
	// expired is the time in ms before which nothing is visible.
	expired int64
}

// hiddenInsert is an insert whose rows do not count.
type hiddenInsert struct {
	ins insertID
	// span is where they lie.
	span span
	// alone and committed hold for the insert of one batch that a larger insert may
	// have as well.
	alone, committed bool
	// dropped holds when nothing can make it count any more.
	dropped bool
}

// Names of values in the table of state.
const (
	// stateFloor is a time in ms: all inserts that began before it either count or
	// have no rows.
	stateFloor = "floor"
	// stateExpired is the time in ms before which all data was removed.
	stateExpired = "expired"
)

// readView reads which rows count now.
func (s *Store) readView(ctx context.Context) (*view, error) {
	v := &view{expired: math.MinInt64}
	batches, state := s.layout.table(tableBatches), s.layout.table(tableState)
	var q statement
	q.add("SELECT toUInt8(0) AS what, ins, max(state = ").uint(stateCommitted).add(") AS committed, max(state = ").uint(stateDropped)
	q.add(") AS dropped, max(alone) AS lone, min(first) AS a, max(last) AS b FROM ", batches, " WHERE kind = ").uint(kindInsert)
	q.add(" AND sequence >= (SELECT toUInt64(max(value)) FROM ", state, " WHERE name = ").str(stateFloor).add(")")
	q.add(" GROUP BY ins HAVING max(state = ").uint(stateGone).add(") = 0 AND (committed = 0 OR dropped = 1 OR (lone = 1 AND max(state = ").uint(stateSettled)
	q.add(") = 0)) UNION ALL SELECT toUInt8(1), toUInt64(count()), toUInt8(0), toUInt8(0), toUInt8(0), max(value), toInt64(0) FROM ", state)
	q.add(" WHERE name = ").str(stateExpired)
	var lone []hiddenInsert
	err := s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var what, committed, dropped, alone uint8
		var ins uint64
		var sp span
		if err := r.Scan(&what, &ins, &committed, &dropped, &alone, &sp.first, &sp.last); err != nil {
			return err
		}
		if what == 1 {
			if ins > 0 {
				v.expired = sp.first
			}
			return nil
		}
		h := hiddenInsert{ins: insertID(ins), span: sp, alone: alone != 0, committed: committed != 0, dropped: dropped != 0}
		if h.alone && h.committed && !h.dropped {
			lone = append(lone, h)
			v.lone = append(v.lone, h.ins)
			return nil
		}
		v.hidden = append(v.hidden, h)
		return nil
	})
	if err != nil || len(lone) == 0 {
		return v, err
	}
	losers, err := s.losers(ctx, lone)
	v.hidden = append(v.hidden, losers...)
	return v, err
}

// losers returns which of some committed lone inserts do not count, because
// another insert with the same batch does.
func (s *Store) losers(ctx context.Context, lone []hiddenInsert) ([]hiddenInsert, error) {
	list := make([]insertID, len(lone))
	for i := range lone {
		list[i] = lone[i].ins
	}
	ids, err := s.batchesOf(ctx, list)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	known, err := s.attempts(ctx, ids)
	if err != nil {
		return nil, err
	}
	lost := make(map[insertID]bool)
	for _, list := range known {
		winner := winnerOf(list)
		for _, a := range list {
			lost[a.ins] = lost[a.ins] || (a.committed && a.ins != winner)
		}
	}
	var all []hiddenInsert
	for _, h := range lone {
		if lost[h.ins] {
			all = append(all, h)
		}
	}
	return all, nil
}

// batchesOf returns the batches of lone inserts.
func (s *Store) batchesOf(ctx context.Context, list []insertID) ([]store.BatchID, error) {
	var q statement
	q.add("SELECT project, type, host, run, sequence FROM ", s.layout.table(tableBatches), " WHERE kind = ").uint(kindBatch)
	q.add(" AND alone = 1 AND state = ").uint(stateCommitted).add(" AND ins IN ")
	join(&q, list, func(id insertID) { q.uint(uint64(id)) })
	var ids []store.BatchID
	err := s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var id store.BatchID
		var typ uint8
		var run string
		if err := r.Scan(&id.Project, &typ, &id.HostID, &run, &id.Sequence); err != nil {
			return err
		}
		id.Type = store.BatchType(typ)
		copy(id.RunID[:], run)
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// winnerOf returns which insert of a batch counts, 0 if none: the one that it
// shares with other batches, of which there can be only one, else the first.
func winnerOf(list []attempt) insertID {
	var winner attempt
	for _, a := range list {
		if !a.committed {
			continue
		}
		if winner.ins == 0 || (winner.alone && !a.alone) || (winner.alone == a.alone && a.ins < winner.ins) {
			winner = a
		}
	}
	return winner.ins
}

// hide writes the condition that rows count, for rows within a span of time.
func (v *view) hide(q *statement, from, to int64) {
	var list []insertID
	for _, h := range v.hidden {
		// The row of an insert that was dropped at once has no span.
		if h.span.first > h.span.last || h.span.overlaps(from, to) {
			list = append(list, h.ins)
		}
	}
	if len(list) > 0 {
		q.add(" AND ins NOT IN ")
		join(q, list, func(id insertID) { q.uint(uint64(id)) })
	}
}

// extent returns the inserts that do not count, and where their rows lie.
func (v *view) extent() ([]insertID, span) {
	all := nothing
	list := make([]insertID, len(v.hidden))
	for i, h := range v.hidden {
		list[i] = h.ins
		if h.span.first > h.span.last { // not known
			h.span = span{earliest, latest}
		}
		all.include(h.span.first)
		all.include(h.span.last)
	}
	return list, all
}

// bounds returns the range of a query in ms, clamped to what can be stored and to
// what did not expire.
func (v *view) bounds(from, to libpf.UnixTimeNs) (int64, int64) {
	return max(store.CeilMs(from), v.expired, earliest), min(store.CeilMs(to), latest+1)
}
