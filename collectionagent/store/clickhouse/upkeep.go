// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// maintainLoop does the upkeep now and then, until the context ends.
func (s *Store) maintainLoop(ctx context.Context) {
	for {
		// Several collection agents must not get into step.
		pause := s.cfg.MaintainEvery/2 + rand.N(s.cfg.MaintainEvery) //nolint:gosec // no secret
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if err := s.Maintain(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("upkeep of the tables in clickhouse did not finish, it is tried again", "err", err)
		}
	}
}

// Maintain does the upkeep now: it drops inserts that crashed collection agents
// left behind and seals roll-ups. It does nothing while another collection agent
// does it.
func (s *Store) Maintain(ctx context.Context) (err error) {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	result := "ok"
	defer func() {
		if err != nil {
			result = "error"
		}
		s.metrics.maintain.WithLabelValues(result).Inc()
	}()
	got, err := s.lease(ctx)
	if err != nil {
		return err
	}
	if !got {
		result = "elsewhere"
		return nil
	}
	if err := s.dropUnfinished(ctx); err != nil {
		return fmt.Errorf("drop unfinished inserts: %w", err)
	}
	if err := s.sealHours(ctx); err != nil {
		return fmt.Errorf("seal roll-ups: %w", err)
	}
	if err := s.sumLedgers(ctx); err != nil {
		return fmt.Errorf("sum ledgers up: %w", err)
	}
	return s.release(ctx)
}

// leaseName is the name of the setting that says who does the upkeep: the owner
// in hexadecimal and until when, in ms.
const leaseName = "upkeep"

// leaseFor is how long a lease lasts without being given back.
const leaseFor = 15 * time.Minute

// lease reports whether this store may do the upkeep. It keeps two from doing the
// same work; nothing breaks when they do.
func (s *Store) lease(ctx context.Context) (bool, error) {
	self := hex.EncodeToString(s.owner[:])
	holder := func() (string, error) {
		v, err := s.setting(ctx, leaseName)
		owner, until, _ := strings.Cut(v, " ")
		if ms, _ := strconv.ParseInt(until, 10, 64); ms < s.cfg.now().UnixMilli() {
			owner = ""
		}
		return owner, err
	}
	who, err := holder()
	if err != nil || (who != "" && who != self) {
		return false, err
	}
	if err := s.setSetting(ctx, leaseName, fmt.Sprintf("%s %d", self, s.cfg.now().Add(leaseFor).UnixMilli())); err != nil {
		return false, err
	}
	who, err = holder()
	return who == self, err
}

// release gives the lease back.
func (s *Store) release(ctx context.Context) error { return s.setSetting(ctx, leaseName, "") }

// dropUnfinished decides the fate of inserts that were begun long ago and deletes
// the rows of those that do not count.
func (s *Store) dropUnfinished(ctx context.Context) error {
	now := s.cfg.now().UnixMilli()
	v, err := s.readView(ctx)
	if err != nil {
		return err
	}
	floor := now - 2*giveUpAfter.Milliseconds()
	keep := func(ins insertID) { floor = min(floor, int64(ins.begun())) } //nolint:gosec // a time
	var gone []insertID
	for _, h := range v.hidden {
		if now-int64(h.ins.begun()) < giveUpAfter.Milliseconds() { //nolint:gosec // a time
			keep(h.ins)
			continue
		}
		drop := h.dropped
		if !drop {
			if drop, err = s.drop(ctx, h); err != nil {
				return err
			}
		}
		if drop {
			gone = append(gone, h.ins)
		}
		keep(h.ins)
	}
	if err := s.settle(ctx, v.lone, now, keep); err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := s.deleteRows(ctx, gone); err != nil {
			return err
		}
	}
	old, err := s.state(ctx, stateFloor)
	if err != nil || floor-old < (10*time.Minute).Milliseconds() {
		return err
	}
	return s.setState(ctx, stateFloor, floor)
}

// drop makes sure that an old insert never counts, unless it turns out to.
func (s *Store) drop(ctx context.Context, h hiddenInsert) (bool, error) {
	if h.committed {
		// A lone insert that lost: the winner counts for good once nothing is pending.
		ids, err := s.batchesOf(ctx, []insertID{h.ins})
		if err != nil {
			return false, err
		}
		known, err := s.attempts(ctx, ids)
		if err != nil || anyPending(known) {
			return false, err
		}
	} else {
		announce := s.newRecords()
		announce.insert(h.ins, stateDoomed, h.alone, nothing)
		if err := s.record(ctx, announce); err != nil {
			return false, err
		}
		// See commit for why one of the two notices the other.
		committed, err := s.committed(ctx, h.ins)
		if err != nil || committed {
			return false, err
		}
	}
	final := s.newRecords()
	final.insert(h.ins, stateDropped, h.alone, nothing)
	return true, s.record(ctx, final)
}

// committed reports whether an insert was committed.
func (s *Store) committed(ctx context.Context, ins insertID) (bool, error) {
	var q statement
	q.add("SELECT count() FROM ", s.layout.table(tableBatches), " WHERE kind = ").uint(kindInsert)
	q.add(" AND sequence = ").uint(ins.begun()).add(" AND ins = ").uint(uint64(ins)).add(" AND state = ").uint(stateCommitted)
	var n uint64
	err := s.one(ctx, q.String(), &n)
	return n > 0, err
}

// anyPending reports whether an insert of one of the batches is not committed.
func anyPending(known map[store.BatchID][]attempt) bool {
	for _, list := range known {
		for _, a := range list {
			if !a.committed {
				return true
			}
		}
	}
	return false
}

// settle makes old lone inserts that won count for good, so that nobody has to
// compare them any more.
func (s *Store) settle(ctx context.Context, lone []insertID, now int64, keep func(insertID)) error {
	final := s.newRecords()
	for _, ins := range lone {
		keep(ins)
		if now-int64(ins.begun()) < giveUpAfter.Milliseconds() { //nolint:gosec // a time
			continue
		}
		ids, err := s.batchesOf(ctx, []insertID{ins})
		if err != nil {
			return err
		}
		known, err := s.attempts(ctx, ids)
		if err != nil {
			return err
		}
		if anyPending(known) {
			continue
		}
		won := true
		for _, list := range known {
			won = won && winnerOf(list) == ins
		}
		if won {
			final.insert(ins, stateSettled, true, nothing)
		}
	}
	return s.record(ctx, final)
}

// deleteRows deletes the rows of inserts that do not count.
func (s *Store) deleteRows(ctx context.Context, list []insertID) error {
	err := s.mutate(ctx, tableSamples, func(q *statement) {
		join(q.add(" WHERE ins IN "), list, func(id insertID) { q.uint(uint64(id)) })
	})
	if err != nil {
		return err
	}
	done := s.newRecords()
	for _, ins := range list {
		done.insert(ins, stateGone, false, nothing)
	}
	s.metrics.dropped.Add(float64(len(list)))
	s.cfg.Logger.Info("rows of unfinished inserts are removed", "inserts", len(list))
	return s.record(ctx, done)
}
