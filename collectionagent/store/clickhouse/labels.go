// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"maps"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// LabelNames implements [store.Store].
func (s *Store) LabelNames(ctx context.Context, query *store.Query) ([]string, error) {
	v, err := s.readView(ctx)
	if err != nil {
		return nil, err
	}
	from, to := v.bounds(query.From, query.To)
	if from >= to {
		return nil, nil
	}
	var q statement
	q.add("SELECT ")
	has := make([]uint8, len(store.BuiltinLabels))
	var more []string
	dest := make([]any, 0, len(has)+1)
	for i, name := range store.BuiltinLabels {
		q.add("max(").ident(name)
		if name == store.LabelPID || name == store.LabelTID {
			q.add(" != 0), ")
		} else {
			q.add(" != ''), ")
		}
		dest = append(dest, &has[i])
	}
	if s.layout.legacy {
		q.add("groupUniqArrayArray(arrayFilter((k, v) -> v != '', label_names, label_values))")
	} else {
		q.add("groupUniqArrayArray(arrayFilter((k, v) -> v != '', CAST(mapKeys(labels), 'Array(String)'), mapValues(labels)))")
	}
	q.add(" FROM ", s.layout.table(tableSamples))
	s.layout.scope(&q, tableSamples, query.Project, typesOf(query), from, to, query.Matchers)
	traces(&q, query)
	v.hide(&q, from, to)
	names := make(map[string]struct{})
	err = s.each(ctx, q.String(), s.querySettings(), func(r Rows) error {
		if err := r.Scan(append(dest, &more)...); err != nil {
			return err
		}
		for i, name := range store.BuiltinLabels {
			if has[i] != 0 {
				names[name] = struct{}{}
			}
		}
		for _, name := range more {
			names[name] = struct{}{}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(names)), err
}

// LabelValues implements [store.Store].
func (s *Store) LabelValues(ctx context.Context, query *store.Query, search store.LabelSearch) (store.LabelValues, error) {
	by := *query
	by.GroupBy, by.Step, by.ByStack = []string{search.Name}, 0, false
	p, err := s.plan(ctx, &by)
	if err != nil || len(p.pieces) == 0 {
		return store.LabelValues{}, err
	}
	var from statement
	from.add(" FROM (", p.sums(&by, s.layout.groupOf(by.GroupBy)), ") WHERE g0 != ''")
	if search.Prefix != "" {
		from.add(" AND startsWith(g0, ").str(search.Prefix).add(")")
	}
	var q statement
	q.add("SELECT g0, total, weight", from.done())
	if search.Limit > 0 {
		q.add(" ORDER BY weight DESC, total DESC, g0 LIMIT ").int(int64(search.Limit))
	}
	var values []store.LabelValue
	err = s.each(ctx, q.String(), s.querySettings(), func(r Rows) error {
		var v store.LabelValue
		err := r.Scan(&v.Value, &v.Count, &v.Sum)
		values = append(values, v)
		return err
	})
	if err != nil {
		return store.LabelValues{}, err
	}
	found := search.Pick(values)
	if search.Limit > 0 && len(values) == search.Limit {
		var count statement
		var n uint64
		count.add("SELECT count()", from.done())
		if err := s.one(ctx, count.String(), &n); err != nil {
			return store.LabelValues{}, err
		}
		found.Hidden = max(int(n)-len(found.Values), 0) //nolint:gosec // no server has so many
	}
	return found, nil
}

// Types implements [store.Store].
func (s *Store) Types(ctx context.Context, project string, from, to libpf.UnixTimeNs) ([]store.TypeSum, error) {
	query := &store.Query{Project: project, From: from, To: to}
	p, err := s.plan(ctx, query)
	if err != nil || len(p.pieces) == 0 {
		return nil, err
	}
	var q statement
	q.add("SELECT toUInt8(g0), total, weight FROM (", p.sums(query, []text{"toString(type)"}), ") ORDER BY toUInt8(g0)")
	var all []store.TypeSum
	err = s.each(ctx, q.String(), s.querySettings(), func(r Rows) error {
		var typ uint8
		var sum store.TypeSum
		err := r.Scan(&typ, &sum.Count, &sum.Sum)
		sum.Type = libpf.SampleType(typ)
		all = append(all, sum)
		return err
	})
	return all, err
}
