// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Stats implements [store.Store].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	st := store.Stats{Engine: "clickhouse", Bytes: map[string]int64{}}
	v, err := s.readView(ctx)
	if err != nil {
		return st, err
	}
	// Without a condition servers know the answer without reading. So rows that do not
	// count are counted on their own, and may be the oldest or newest for a while.
	var q statement
	oldest, newest := text("toUnixTimestamp64Milli(min(ts))"), text("toUnixTimestamp64Milli(max(ts))")
	if s.layout.legacy {
		oldest, newest = "min(ts)", "max(ts)"
	}
	q.add("SELECT toInt64(count()), ", oldest, ", ", newest, " FROM ", s.layout.table(tableSamples))
	if v.expired > earliest {
		s.layout.at(q.add(" WHERE ts >= "), v.expired)
	}
	var first, last int64
	if err := s.each(ctx, q.String(), s.querySettings(), func(r Rows) error { return r.Scan(&st.Samples, &first, &last) }); err != nil {
		return st, err
	}
	if hidden, all := v.extent(); len(hidden) > 0 {
		var n int64
		q = statement{}
		q.add("SELECT toInt64(count()) FROM ", s.layout.table(tableSamples), " WHERE ts >= ")
		s.layout.at(&q, min(max(all.first, v.expired, earliest), latest)).add(" AND ts <= ")
		s.layout.at(&q, max(min(all.last, latest), earliest)).add(" AND ins IN ")
		join(&q, hidden, func(id insertID) { q.uint(uint64(id)) })
		if err := s.each(ctx, q.String(), s.querySettings(), func(r Rows) error { return r.Scan(&n) }); err != nil {
			return st, err
		}
		st.Samples -= n
	}
	if st.Samples > 0 {
		st.Oldest, st.Newest = fromMs(first), fromMs(last)
	}
	for table, n := range map[string]*int64{
		tableStacks: &st.Stacks, tableSymbols: &st.Symbols, tableExecutables: &st.Executables, tableHosts: &st.Hosts,
	} {
		var q statement
		q.add("SELECT toInt64(count()) FROM ", s.layout.table(table), " FINAL")
		if err := s.each(ctx, q.String(), s.querySettings(), func(r Rows) error { return r.Scan(n) }); err != nil {
			return st, err
		}
	}
	// Of the server that answers; with shards, that is a part of all.
	q = statement{}
	q.add("SELECT table, toInt64(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = ").str(s.layout.database).add(" GROUP BY table")
	err = s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var name string
		var n int64
		if err := r.Scan(&name, &n); err != nil {
			return err
		}
		part := "definitions"
		switch name {
		case s.layout.part(tableSamples):
			part = "samples"
		case s.layout.part(tableMinutes), s.layout.part(tableHours):
			part = "rollups"
		case tableBatches:
			part = "batches"
		}
		st.Bytes[part] += n
		return nil
	})
	return st, err
}
