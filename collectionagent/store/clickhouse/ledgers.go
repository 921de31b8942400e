// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// The ledger of a run is a sum over all of its batches, and a large fleet sends
// millions of them a day. So the upkeep sums each day up once no insert that began
// on it can change any more, and what is summed up outlives the batches. A look at
// the ledgers reads the batches of the days that follow, which are two at most.

// stateLedgers names the value in the table of state that says how many days
// since 1970 are summed up. It is written after the sums, and sums of later days do
// not count: a day whose sums were written twice has them once.
const stateLedgers = "ledger days"

const dayMs = 24 * hourMs

// firstOf returns the lowest name of an insert that begins on a day or later.
func firstOf(day int64) insertID { return insertID(uint64(max(day, 0)*dayMs) << 22) }

// ledgerSums writes the query for the sums of the batches, of a project or of all
// (nil), in inserts from the name first to before end.
func (s *Store) ledgerSums(q *statement, project *string, first, end insertID) {
	table := s.layout.table(tableBatches)
	// Clocks may differ by an hour.
	since := max(int64(first.begun()/1000)-3600, 0) //nolint:gosec // a time
	q.add("SELECT toString(project) AS p, toString(host) AS h, run, min(intDiv(ins, ").uint(uint64(firstOf(1)))
	q.add(")) AS day, sequence, any(weight) AS w, toInt64(max(toUInt32(time))) AS t FROM ", table, " WHERE kind = ").uint(kindBatch)
	if project != nil {
		q.add(" AND project = ").str(*project)
	}
	q.add(" AND type = ").uint(uint64(store.BatchSamples)).add(" AND state = ").uint(stateCommitted)
	q.add(" AND ins >= ").uint(uint64(first)).add(" AND ins < ").uint(uint64(end)).add(" AND time >= toDateTime(").int(since)
	q.add(") AND ins NOT IN (SELECT ins FROM ", table, " WHERE kind = ").uint(kindInsert).add(" AND sequence >= ").uint(first.begun())
	q.add(" AND state = ").uint(stateDropped).add(") GROUP BY p, h, run, sequence")
}

// sumLedgers sums up the days whose inserts all count or never will.
func (s *Store) sumLedgers(ctx context.Context) error {
	floor, err := s.state(ctx, stateFloor)
	if err != nil {
		return err
	}
	done, err := s.state(ctx, stateLedgers)
	if err != nil || floor/dayMs <= done {
		return err
	}
	end := floor / dayMs
	var q statement
	q.add("SELECT p, h, run, toUInt16(day), sum(w), max(t) FROM (")
	s.ledgerSums(&q, nil, firstOf(done), firstOf(end))
	q.add(") GROUP BY p, h, run, day")
	var projects, hosts, runs []string
	var days []uint16
	var stored []uint64
	var last []int64
	err = s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var project, host, run string
		var day uint16
		var sum uint64
		var at int64
		if err := r.Scan(&project, &host, &run, &day, &sum, &at); err != nil {
			return err
		}
		projects, hosts, runs, days = append(projects, project), append(hosts, host), append(runs, run), append(days, day)
		stored, last = append(stored, sum), append(last, at)
		return nil
	})
	if err != nil {
		return err
	}
	if len(projects) > 0 {
		err := s.insert(ctx, tableLedgers, []Column{
			{"project", projects}, {"host", hosts}, {"run", runs}, {"day", days}, {"stored", stored}, {"last", last},
		})
		if err != nil {
			return fmt.Errorf("write ledgers: %w", err)
		}
	}
	return s.setState(ctx, stateLedgers, end)
}

// RunLedgers implements [store.Store].
func (s *Store) RunLedgers(ctx context.Context, project string) ([]store.RunLedger, error) {
	done, err := s.state(ctx, stateLedgers)
	if err != nil {
		return nil, err
	}
	var q statement
	q.add("SELECT h, run, sum(w), max(t) FROM (SELECT toString(host) AS h, run, any(stored) AS w, any(last) AS t FROM ", s.layout.table(tableLedgers))
	q.add(" WHERE project = ").str(project).add(" AND day < ").int(done).add(" GROUP BY h, run, day UNION ALL SELECT h, run, w, t FROM (")
	s.ledgerSums(&q, &project, firstOf(done), ^insertID(0))
	q.add(")) GROUP BY h, run")
	var all []store.RunLedger
	err = s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
		var l store.RunLedger
		var run string
		var seconds int64
		if err := r.Scan(&l.HostID, &run, &l.Stored, &seconds); err != nil {
			return err
		}
		copy(l.RunID[:], run)
		l.LastBatch = fromMs(seconds * time.Second.Milliseconds())
		all = append(all, l)
		return nil
	})
	store.SortRunLedgers(all)
	return all, err
}
