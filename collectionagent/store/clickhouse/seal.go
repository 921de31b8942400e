// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// stateSealed is the name of a value in the table of state: the first hour that
// was not looked at for sealing.
const stateSealed = "sealed"

// maxHoursPerRound bounds how many hours one round of upkeep compares.
const maxHoursPerRound = 5000

// sealHours compares the roll-ups of hours that are over with their samples, makes
// them again where they differ, and seals them. Queries use only sealed ones.
func (s *Store) sealHours(ctx context.Context) error {
	end := (s.cfg.now().UnixMilli() - sealAfter) / hourMs // hours before it
	start, err := s.state(ctx, stateSealed)
	if err != nil {
		return err
	}
	v, err := s.readView(ctx)
	if err != nil {
		return err
	}
	// Hours whose samples began to expire can no longer be compared.
	oldest := ceilTo(max(v.expired, s.horizon(&store.Query{}, tableSamples), 0), hourMs) / hourMs
	candidates := make(map[hourOf]struct{})
	if err := s.hoursWithSamples(ctx, max(start, oldest), end, candidates); err != nil {
		return err
	}
	seals, touches, err := s.seals(ctx, nil, oldest, end)
	if err != nil {
		return err
	}
	for h, n := range touches {
		if sealed, ok := seals[h]; !ok || sealed != n {
			candidates[h] = struct{}{}
		}
	}
	done, skipped := 0, false
	for h := range candidates {
		if sealed, ok := seals[h]; ok && sealed == touches[h] {
			continue
		}
		if done++; done > maxHoursPerRound {
			skipped = true
			break
		}
		ok, err := s.sealHour(ctx, h)
		if err != nil {
			return err
		}
		skipped = skipped || !ok
	}
	if skipped || end <= start {
		return nil
	}
	return s.setState(ctx, stateSealed, end)
}

// hoursWithSamples adds the hours in [from, to) that there are samples of.
func (s *Store) hoursWithSamples(ctx context.Context, from, to int64, found map[hourOf]struct{}) error {
	if from >= to {
		return nil
	}
	var q statement
	q.add("SELECT toString(project) AS p, intDiv(", s.layout.msOf(tableSamples), ", ").int(hourMs).add(") AS h FROM ", s.layout.table(tableSamples))
	s.layout.at(q.add(" WHERE ts >= "), from*hourMs)
	s.layout.at(q.add(" AND ts < "), min(to*hourMs, latest)).add(" GROUP BY p, h")
	return s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var h hourOf
		err := r.Scan(&h.project, &h.hour)
		found[h] = struct{}{}
		return err
	})
}

// sealHour seals an hour if its roll-ups agree with its samples in the end. It
// reports false when it must be tried again later.
func (s *Store) sealHour(ctx context.Context, h hourOf) (bool, error) {
	for try := range 2 {
		// In this order: what comes after the count breaks the seal, what came before
		// is in the view.
		_, touches, err := s.seals(ctx, &h.project, h.hour, h.hour+1)
		if err != nil {
			return false, err
		}
		v, err := s.readView(ctx)
		if err != nil {
			return false, err
		}
		if v.undecided(h.hour*hourMs, (h.hour+1)*hourMs) {
			s.metrics.sealed.WithLabelValues("undecided").Inc()
			return false, nil
		}
		same, err := s.agree(ctx, h, v)
		if err != nil {
			return false, err
		}
		if same {
			s.metrics.sealed.WithLabelValues("ok").Inc()
			return true, s.insert(ctx, tableSeals, []Column{
				{"project", []string{h.project}}, {"hour", []int64{h.hour}}, {"touches", []uint64{touches[h]}},
			})
		}
		if try == 0 {
			s.metrics.sealed.WithLabelValues("made_again").Inc()
			if err := s.rebuild(ctx, h.project, []int64{h.hour}); err != nil {
				return false, err
			}
		}
	}
	s.metrics.sealed.WithLabelValues("differs").Inc()
	return false, nil
}

// undecided reports whether inserts that may still count have rows in a range.
func (v *view) undecided(from, to int64) bool {
	return slices.ContainsFunc(v.hidden, func(h hiddenInsert) bool {
		return !h.committed && !h.dropped && (h.span.first > h.span.last || h.span.overlaps(from, to))
	})
}

// fingerprint is a sum over rows of a hash of what a roll-up groups by, times the
// count and times the value. It is the same for samples and for their sums, and
// for other samples it differs but for one chance in 2^64.
type fingerprint struct{ count, value uint64 }

// fingerprint computes that of a table in an hour.
func (s *Store) fingerprint(ctx context.Context, h hourOf, table string, width int64, v *view) (f fingerprint, err error) {
	from, to := h.hour*hourMs, (h.hour+1)*hourMs
	var key statement
	key.add("cityHash64(type, toString(service), toString(host), toString(host_id), toString(stack), intDiv(", s.layout.msOf(table), ", ").int(width)
	key.add("))")
	var q statement
	q.add("SELECT sum(", key.done(), " * toUInt64(count)), sum(", key.done(), " * toUInt64(value)) FROM ", s.layout.table(table))
	s.layout.scope(&q, table, h.project, nil, from, to, nil)
	if table == tableSamples {
		v.hide(&q, from, to)
	}
	err = s.one(ctx, q.String(), &f.count, &f.value)
	return f, err
}

// agree reports whether the roll-ups of an hour are the sums of its samples.
func (s *Store) agree(ctx context.Context, h hourOf, v *view) (bool, error) {
	for table, width := range map[string]int64{tableMinutes: minuteMs, tableHours: hourMs} {
		want, err := s.fingerprint(ctx, h, tableSamples, width, v)
		if err != nil {
			return false, err
		}
		got, err := s.fingerprint(ctx, h, table, width, v)
		if err != nil || got != want {
			return false, err
		}
	}
	return true, nil
}

// rebuild makes the roll-ups of hours of a project again from the samples. Their
// seals break before and, in case somebody seals while it runs, after it.
func (s *Store) rebuild(ctx context.Context, project string, hours []int64) error {
	if len(hours) == 0 {
		return nil
	}
	projects := make([]string, len(hours))
	for i := range projects {
		projects[i] = project
	}
	if err := s.writeTouches(ctx, projects, hours, s.newInsertID()); err != nil {
		return err
	}
	v, err := s.readView(ctx)
	if err != nil {
		return err
	}
	in := func(q *statement, table string) {
		q.add(" AND intDiv(", s.layout.msOf(table), ", ").int(hourMs).add(") IN ")
		join(q, hours, func(h int64) { q.int(h) })
	}
	from, to := slices.Min(hours)*hourMs, (slices.Max(hours)+1)*hourMs
	for i := range views {
		target, bucket := views[i].target, views[i].current
		if s.layout.legacy {
			bucket = views[i].legacy
		}
		err := s.mutate(ctx, target, func(q *statement) {
			s.layout.scope(q, target, project, nil, from, to, nil)
			in(q, target)
		})
		if err != nil {
			return err
		}
		var q statement
		q.add("INSERT INTO ", s.layout.table(target), " (project, type, service, bucket, host, host_id, stack, count, value) ", rollUpOf(bucket))
		q.add(" FROM ", s.layout.table(tableSamples))
		s.layout.scope(&q, tableSamples, project, nil, max(from, v.expired), min(to, latest+1), nil)
		in(&q, tableSamples)
		v.hide(&q, from, to)
		q.add(" GROUP BY project, type, service, bucket, host, host_id, stack")
		set := s.writeSettings(target)
		set["max_query_size"] = 64 << 20
		if err := s.conn.Exec(ctx, q.String(), set); err != nil {
			return fmt.Errorf("make roll-ups again: %w", err)
		}
	}
	return s.writeTouches(ctx, projects, hours, s.newInsertID())
}

// state reads a number that the collection agents share; it only grows. It is 0
// when there is none.
func (s *Store) state(ctx context.Context, name string) (value int64, err error) {
	var q statement
	q.add("SELECT max(value) FROM ", s.layout.table(tableState), " WHERE name = ").str(name)
	err = s.one(ctx, q.String(), &value)
	return value, err
}

// setState raises one.
func (s *Store) setState(ctx context.Context, name string, value int64) error {
	return s.insert(ctx, tableState, []Column{{"name", []string{name}}, {"value", []int64{min(value, math.MaxInt64)}}})
}
