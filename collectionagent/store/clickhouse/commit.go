// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Times of an insert.
const (
	// insertTimeout bounds each statement of an insert.
	insertTimeout = time.Minute
	// commitWithin is how old an insert may be when it is committed without asking
	// whether somebody has given it up. It is far below [giveUpAfter].
	commitWithin = 5 * time.Minute
	// giveUpAfter is the age at which an insert that was not committed is dropped.
	giveUpAfter = time.Hour
)

// errOvertaken is returned for an insert that took so long that it was dropped.
var errOvertaken = errors.New("insert took too long and was given up")

// commitLoop inserts what is queued, one group after the other, until the context
// ends and nothing is left.
func (s *Store) commitLoop(ctx context.Context) {
	var alone sync.WaitGroup
	defer alone.Wait()
	slots := make(chan struct{}, 8)
	var last time.Time
	for {
		select {
		case <-s.queue.arrived:
		case <-ctx.Done():
			for group := s.queue.take(s.cfg.GroupRows); len(group) > 0; group = s.queue.take(s.cfg.GroupRows) {
				s.commitGroup(group, slots, &alone)
			}
			return
		}
		if pause := s.cfg.GroupWindow - time.Since(last); pause > 0 && !last.IsZero() {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
		last = time.Now()
		for group := s.queue.take(s.cfg.GroupRows); len(group) > 0; group = s.queue.take(s.cfg.GroupRows) {
			s.commitGroup(group, slots, &alone)
			if ctx.Err() == nil && len(group) < 64 {
				break // let more come together
			}
		}
		if n, _ := s.queue.waiting(); n > 0 {
			select {
			case s.queue.arrived <- struct{}{}:
			default:
			}
		}
	}
}

// commitGroup inserts items together and tells their callers.
func (s *Store) commitGroup(group []*item, slots chan struct{}, alone *sync.WaitGroup) {
	start := time.Now()
	var duplicates, contended map[*item]bool
	err := whileQuorum(func() (err error) { duplicates, contended, err = s.insertGroup(group); return err })
	if err != nil {
		err = forWriter(err)
		s.metrics.inserts.WithLabelValues("error").Inc()
		s.metrics.rejected.WithLabelValues(reasonOf(err)).Inc()
	} else {
		s.metrics.inserts.WithLabelValues("ok").Inc()
		s.metrics.insertSeconds.Observe(time.Since(start).Seconds())
		s.metrics.groupBatches.Observe(float64(len(group)))
	}
	s.note(err)
	for _, i := range group {
		switch {
		case err == nil && contended[i]:
			alone.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				var duplicate bool
				err := whileQuorum(func() (err error) { duplicate, err = s.insertAlone(i); return err })
				if err != nil {
					err = forWriter(err)
				}
				s.finish(i, duplicate, err)
			})
		default:
			s.finish(i, duplicates[i], err)
		}
	}
}

// finish ends an item and counts it.
func (s *Store) finish(i *item, duplicate bool, err error) {
	switch {
	case err != nil:
	case duplicate:
		s.metrics.duplicates.WithLabelValues(kindOf(i)).Inc()
	default:
		s.metrics.rows.Add(float64(len(i.samples)))
	}
	s.queue.finish(i, duplicate, err)
}

// reasonOf names the cause of a refusal for metrics.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, store.ErrBusy):
		return "busy"
	case errors.Is(err, store.ErrReadOnly):
		return "read_only"
	}
	return "error"
}

// step runs one statement of an insert. Callers that went away do not stop it:
// others share it.
func step(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), insertTimeout)
	defer cancel()
	return f(ctx)
}

// whileQuorum repeats an insert, each time as a new one, for as long as other
// collection agents write to the same tables: a table takes one write with a
// quorum after the other. Agents would repeat it as well, but much later.
func whileQuorum(insert func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), insertTimeout/2)
	defer cancel()
	for {
		err := insert()
		if codeOf(err) != codeQuorumInProgress || !pauseForQuorum(ctx) {
			return err
		}
	}
}

// insertGroup inserts all items that were not stored before. Those that somebody
// else is inserting are returned as contended and are left out.
func (s *Store) insertGroup(group []*item) (duplicates, contended map[*item]bool, err error) {
	ins, begun := s.newInsertID(), time.Now()
	extent := nothing
	var ids []store.BatchID
	rows := false
	begin := s.newRecords()
	for _, i := range group {
		if i.id != (store.BatchID{}) {
			ids = append(ids, i.id)
			if i.defs == nil {
				begin.add(kindBatch, i.id, ins, stateBegun, i.weight, false, nothing)
			}
		}
		if len(i.samples) > 0 {
			rows = true
			extent.include(i.span.first)
			extent.include(i.span.last)
		}
	}
	if len(begin.kind) > 0 || rows {
		begin.insert(ins, stateBegun, false, extent)
	}
	if err := s.touch(group, ins); err != nil {
		return nil, nil, err
	}
	if err := step(func(ctx context.Context) error { return s.record(ctx, begin) }); err != nil {
		return nil, nil, fmt.Errorf("announce an insert: %w", err)
	}
	committing := false
	defer func() {
		if err != nil && !committing {
			s.giveUp(ins)
		}
	}()
	duplicates, contended = make(map[*item]bool), make(map[*item]bool)
	var known map[store.BatchID][]attempt
	if len(ids) > 0 {
		err = step(func(ctx context.Context) (err error) { known, err = s.attempts(ctx, ids); return err })
		if err != nil {
			return nil, nil, fmt.Errorf("look batches up: %w", err)
		}
	}
	var fresh []*item
	commit := s.newRecords()
	for _, i := range group {
		if i.id != (store.BatchID{}) {
			others := othersOf(known[i.id], ins)
			switch {
			case applied(others):
				duplicates[i] = true
			case len(others) > 0 && i.defs == nil:
				contended[i] = true
			}
			if duplicates[i] || contended[i] {
				if i.defs == nil {
					commit.add(kindBatch, i.id, ins, stateDropped, 0, false, nothing)
				}
				continue
			}
			commit.add(kindBatch, i.id, ins, stateCommitted, i.weight, false, nothing)
		}
		fresh = append(fresh, i)
	}
	if len(begin.kind) > 0 {
		commit.insert(ins, stateCommitted, false, extent)
	}
	if err := s.putDefinitions(fresh); err != nil {
		return nil, nil, err
	}
	if err := s.insertSamples(fresh, ins); err != nil {
		return nil, nil, err
	}
	committing = true
	return duplicates, contended, s.commit(ins, commit, begun)
}

// othersOf returns the attempts of other inserts than ins.
func othersOf(list []attempt, ins insertID) []attempt {
	var others []attempt
	for _, a := range list {
		if a.ins != ins {
			others = append(others, a)
		}
	}
	return others
}

// insertSamples writes the rows of samples.
func (s *Store) insertSamples(items []*item, ins insertID) error {
	columns := sampleColumns(items, ins, s.layout.legacy)
	if columns == nil {
		return nil
	}
	if err := step(func(ctx context.Context) error { return s.insert(ctx, tableSamples, columns) }); err != nil {
		return fmt.Errorf("insert samples: %w", err)
	}
	return nil
}

// giveUp drops an insert that this store will never commit. Some of its rows may
// be there; to say at once that they do not count spares readers, repeats of its
// batches and the upkeep the wait. When it fails the upkeep does it after an hour.
func (s *Store) giveUp(ins insertID) {
	drop := s.newRecords()
	drop.insert(ins, stateDropped, false, nothing)
	if err := step(func(ctx context.Context) error { return s.record(ctx, drop) }); err != nil {
		s.cfg.Logger.Debug("dropping an insert", "err", err)
	}
}

// commit makes an insert count.
func (s *Store) commit(ins insertID, commit *records, begun time.Time) error {
	if err := step(func(ctx context.Context) error { return s.record(ctx, commit) }); err != nil {
		return fmt.Errorf("commit an insert: %w", err)
	}
	if time.Since(begun) < commitWithin {
		return nil
	}
	// Whoever drops an insert first announces it and then looks whether it is
	// committed; this looks after committing whether it was announced. So not both
	// can miss the other.
	var doomed bool
	err := step(func(ctx context.Context) (err error) { doomed, err = s.doomed(ctx, ins); return err })
	if err == nil && doomed {
		err = fmt.Errorf("%w: %w", store.ErrBusy, errOvertaken)
	}
	return err
}

// insertAlone inserts a batch that another insert also has. That one may be about
// to be committed, so it gets a little time; when it is not, this batch gets an
// insert of its own, and if both are committed in the end, readers leave this out.
func (s *Store) insertAlone(i *item) (duplicate bool, err error) {
	s.metrics.contended.Inc()
	ids := []store.BatchID{i.id}
	look := func() (done bool, err error) {
		err = step(func(ctx context.Context) error {
			known, err := s.attempts(ctx, ids)
			done = applied(known[i.id])
			return err
		})
		return done, err
	}
	for end := time.Now().Add(s.cfg.takeover); time.Now().Before(end); time.Sleep(s.cfg.takeover / 20) {
		if done, err := look(); done || err != nil {
			return done, err
		}
	}
	ins, begun := s.newInsertID(), time.Now()
	if err := s.touch([]*item{i}, ins); err != nil {
		return false, err
	}
	begin, commit := s.newRecords(), s.newRecords()
	begin.add(kindBatch, i.id, ins, stateBegun, i.weight, true, nothing)
	begin.insert(ins, stateBegun, true, i.span)
	commit.insert(ins, stateCommitted, true, i.span)
	if err := step(func(ctx context.Context) error { return s.record(ctx, begin) }); err != nil {
		return false, fmt.Errorf("announce an insert: %w", err)
	}
	done, err := look()
	if err != nil {
		s.giveUp(ins)
		return false, err
	}
	if done {
		commit.add(kindBatch, i.id, ins, stateDropped, 0, true, nothing)
		return true, s.commit(ins, commit, begun) // of nothing
	}
	if err := s.insertSamples([]*item{i}, ins); err != nil {
		s.giveUp(ins)
		return false, err
	}
	commit.add(kindBatch, i.id, ins, stateCommitted, i.weight, true, nothing)
	return false, s.commit(ins, commit, begun)
}

// doomed reports whether somebody gives an insert up.
func (s *Store) doomed(ctx context.Context, ins insertID) (bool, error) {
	var q statement
	q.add("SELECT count() FROM ", s.layout.table(tableBatches), " WHERE kind = ").uint(kindInsert)
	q.add(" AND sequence = ").uint(ins.begun()).add(" AND ins = ").uint(uint64(ins))
	q.add(" AND state IN ").uints([]uint64{stateDoomed, stateDropped})
	var n uint64
	err := s.one(ctx, q.String(), &n)
	return n > 0, err
}
