// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"math"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Times of seals. Clocks of collection agents may differ by less than the
// difference of the two.
const (
	// lateAfter is how long, in ms, after the end of an hour samples in it are late:
	// their inserts say so in the table of touches.
	lateAfter = hourMs
	// sealAfter is how long after its end an hour is sealed.
	sealAfter = 2 * hourMs
)

// touch notes which hours an insert may change though they may have been sealed.
func (s *Store) touch(items []*item, ins insertID) error {
	limit := s.cfg.now().UnixMilli() - lateAfter
	late := items[:0:0]
	for _, i := range items {
		if len(i.samples) > 0 && (i.span.first/hourMs+1)*hourMs < limit {
			late = append(late, i)
		}
	}
	var projects []string
	var hours []int64
	for project, set := range hoursOf(late) {
		for hour := range set {
			if (hour+1)*hourMs < limit {
				projects, hours = append(projects, project), append(hours, hour)
			}
		}
	}
	return step(func(ctx context.Context) error { return s.writeTouches(ctx, projects, hours, ins) })
}

// writeTouches notes that hours of projects change, which breaks their seals.
func (s *Store) writeTouches(ctx context.Context, projects []string, hours []int64, ins insertID) error {
	if len(hours) == 0 {
		return nil
	}
	inserts := make([]uint64, len(hours))
	for i := range inserts {
		inserts[i] = uint64(ins)
	}
	return s.insert(ctx, tableTouches, []Column{{"project", projects}, {"hour", hours}, {"ins", inserts}})
}

// hourOf is an hour of a project.
type hourOf struct {
	project string
	hour    int64 // since the epoch
}

// seals reads the seals and how often hours were touched, of one project or of all
// (nil), for hours in [from, to).
func (s *Store) seals(ctx context.Context, project *string, from, to int64) (seals, touches map[hourOf]uint64, err error) {
	var q statement
	where := func() {
		q.add(" WHERE hour >= ").int(from).add(" AND hour < ").int(to)
		if project != nil {
			q.add(" AND project = ").str(*project)
		}
		q.add(" GROUP BY project, hour")
	}
	q.add("SELECT toUInt8(0), toString(project), hour, max(touches) FROM ", s.layout.table(tableSeals))
	where()
	q.add(" UNION ALL SELECT toUInt8(1), toString(project), hour, uniqExact(ins) FROM ", s.layout.table(tableTouches))
	where()
	seals, touches = make(map[hourOf]uint64), make(map[hourOf]uint64)
	err = s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var what uint8
		var h hourOf
		var n uint64
		err := r.Scan(&what, &h.project, &h.hour, &n)
		if what == 0 {
			seals[h] = n
		} else {
			touches[h] = n
		}
		return err
	})
	return seals, touches, err
}

// horizon returns the time in ms before which samples have expired by age, or
// minutes where that is the width.
func (s *Store) horizon(query *store.Query, table string) int64 {
	ages := s.cfg.Retention.For(query.Project, query.Type)
	age := ages.Samples
	switch table {
	case tableMinutes:
		age = ages.Minutes
	case tableHours:
		age = ages.Hours
	}
	if age <= 0 {
		return math.MinInt64
	}
	return s.cfg.now().Add(-age).UnixMilli()
}

// pieces splits a range of time in ms into what is read from samples and what
// from roll-ups: whole buckets of hours that are sealed, and all that is so old
// that its samples may be gone. table is the coarsest that can answer the query.
func (s *Store) pieces(ctx context.Context, query *store.Query, table string, from, to int64) ([]piece, error) {
	if table == tableSamples {
		return []piece{{tableSamples, from, to}}, nil
	}
	var all pieces
	if old := s.horizon(query, tableSamples); from < old {
		// What is left of the samples of an hour of which some expired is not all.
		end := min(old/hourMs*hourMs, to)
		all.old(table, from, end)
		from = max(from, end)
	}
	first, last := ceilTo(from, minuteMs)/hourMs, to/hourMs+1
	if from < to && to-from >= minuteMs {
		seals, touches, err := s.seals(ctx, &query.Project, first, last)
		if err != nil {
			return nil, err
		}
		var hours []int64
		for h, n := range seals {
			if n == touches[h] {
				hours = append(hours, h.hour)
			}
		}
		slices.Sort(hours)
		for _, hour := range hours {
			a, b := max(hour*hourMs, from), min((hour+1)*hourMs, to)
			if a >= b {
				continue
			}
			all.add(tableSamples, from, a)
			all.sealed(table, a, b)
			from = b
		}
	}
	all.add(tableSamples, from, to)
	return all, nil
}

// pieces are in order of time.
type pieces []piece

// add adds a range, and joins it with the last one where it can.
func (p *pieces) add(table string, from, to int64) {
	if from >= to {
		return
	}
	if n := len(*p); n > 0 && (*p)[n-1].table == table && (*p)[n-1].to == from {
		(*p)[n-1].to = to
		return
	}
	*p = append(*p, piece{table, from, to})
}

// sealed adds a range within one sealed hour.
func (p *pieces) sealed(table string, from, to int64) {
	if from%hourMs == 0 && to-from == hourMs {
		p.add(table, from, to)
		return
	}
	a, b := ceilTo(from, minuteMs), to/minuteMs*minuteMs
	if a >= b {
		p.add(tableSamples, from, to)
		return
	}
	p.add(tableSamples, from, a)
	p.add(tableMinutes, a, b)
	p.add(tableSamples, b, to)
}

// old adds a range whose samples may be gone: a bucket counts if its start lies
// in the range.
func (p *pieces) old(table string, from, to int64) {
	if table == tableMinutes {
		p.add(table, from, to)
		return
	}
	a, b := ceilTo(from, hourMs), to/hourMs*hourMs
	if a >= b {
		p.add(tableMinutes, from, to)
		return
	}
	p.add(tableMinutes, from, a)
	p.add(table, a, b)
	p.add(tableMinutes, b, to)
}

// ceilTo returns the first multiple of width that is not before t, which is not
// negative.
func ceilTo(t, width int64) int64 { return (t + width - 1) / width * width }
