// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Reasons of retention.
const (
	reasonAge   = "age"
	reasonBytes = "bytes"
)

// retainLoop removes what has expired in the background.
func (s *Store) retainLoop() {
	tick := time.NewTicker(s.cfg.retainEvery)
	defer tick.Stop()
	started := time.Now()
	var clock clockGuard
	for start := true; ; start = false {
		forward, doubted := clock.look(s.now(), time.Since(started))
		if forward > 0 {
			s.logger.Error("the clock of this machine was set far forward; nothing is removed because of its age for now: set it right if it is wrong",
				"forward", forward, "for", clockDoubt)
		}
		if err := s.retainSome(s.working, !doubted); err != nil && s.working.Err() == nil {
			s.metrics.retainErrors.Inc()
			s.logger.Error("removing expired data; it is tried again", "err", err)
		}
		if !start && !doubted && s.guard.check() == nil {
			if err := s.collectGarbage(s.working); err != nil && s.working.Err() == nil && !errors.Is(err, store.ErrReadOnly) {
				s.metrics.retainErrors.Inc()
				s.logger.Error("removing unused definitions; it is tried again", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-s.working.Done():
			return
		}
	}
}

// retain removes what is too old and, oldest first, what is too much.
func (s *Store) retain(ctx context.Context) error { return s.retainSome(ctx, true) }

// retainSome is retain, of what is too old only if byAge says so.
func (s *Store) retainSome(ctx context.Context, byAge bool) error {
	unlock, err := s.lockUpkeep(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if byAge {
		err = s.retainByAge(ctx)
	}
	return errors.Join(err, s.retainByBytes(ctx))
}

// keeps says which parts of a block stay.
type keeps struct{ samples, minutes, hours bool }

// keep returns which parts of a block have not expired as a whole.
func (f floors) keep(b *block) keeps {
	t := b.info.MaxTime
	return keeps{t >= f.samples, t >= f.minutes, t >= f.hours}
}

// retainByAge removes files whose rows have all expired. Those of a flushed head
// have several ages, and go when the oldest is over; before that they are merged.
func (s *Store) retainByAge(ctx context.Context) error {
	r := newRemoval(s, reasonAge)
	defer r.log()
	_, blocks, _ := s.readView()
	all := s.floorsOfAll()
	var errs []error
	for _, b := range blocks {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if b.info.Level == 0 {
			if all.of(store.RollUpHour) > b.info.MaxTime {
				errs = append(errs, r.drop(ctx, b, keeps{}))
			}
			continue
		}
		keep := s.floors(b.info.Project, b.info.Type).keep(b)
		keep.samples = keep.samples && b.info.File != ""
		switch {
		case keep.samples: // its sums come and go with it until then
		case b.info.File != "",
			!keep.minutes && b.companion(sumsMinutes) != nil,
			!keep.hours && (b.companion(sumsHours) != nil || !keep.minutes):
			errs = append(errs, r.drop(ctx, b, keep))
		}
	}
	return errors.Join(errs...)
}

// retainByBytes removes the oldest samples, and when there are none any more the
// oldest sums, while the files take more than they may.
func (s *Store) retainByBytes(ctx context.Context) error {
	// A share of the disk is one of what is on it; a number of bytes is one of everything.
	everywhere := s.cfg.Retention.Bytes > 0
	used, err := s.usedBytes(everywhere)
	if err != nil {
		return err
	}
	limit, err := s.byteBound(used)
	s.byteLimit.Store(limit)
	if err != nil || limit <= 0 || used <= limit {
		return err
	}
	r := newRemoval(s, reasonBytes)
	defer r.log()
	measured := false
	for _, samples := range []bool{true, false} {
		_, blocks, _ := s.readView()
		blocks = slices.DeleteFunc(blocks, func(b *block) bool {
			return (b.info.File != "") != samples || (b.info.Remote && !everywhere)
		})
		slices.SortFunc(blocks, func(a, b *block) int {
			return cmp.Or(cmp.Compare(a.info.MaxTime, b.info.MaxTime), cmp.Compare(a.info.Number, b.info.Number))
		})
		for _, b := range blocks {
			if used-r.bytes <= limit && r.blocks > 0 && !measured {
				// Taking files off the list takes a few bytes, too.
				now, err := s.usedBytes(everywhere)
				if err != nil {
					return err
				}
				used, measured = now+r.bytes, true
			}
			if used-r.bytes <= limit {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			keep := keeps{}
			if samples {
				keep = s.floors(b.info.Project, b.info.Type).keep(b)
				keep.samples = false
				// Sums per minute are left out where they would not be much smaller. To make them
				// now takes as long as merging did, for little room, and merges wait for it.
				keep.minutes = keep.minutes && b.companion(sumsMinutes) != nil
				if b.info.Level == 0 || b.companion(sumsHours) == nil {
					// Sums have to be made first, which takes room.
					if free, err := s.cfg.freeBytes(s.cfg.Dir); err != nil || free < uint64(b.info.bytes()) { //nolint:gosec // not negative
						keep = keeps{}
					}
				}
			}
			if err := r.drop(ctx, b, keep); err != nil {
				return err
			}
		}
	}
	if used-r.bytes > limit {
		s.logger.Warn("the store takes more room than it may, and there is nothing left to remove", "bytes", used-r.bytes, "limit", limit)
	}
	return nil
}

// usedBytes returns the size of everything in the data directory that is ours, and
// of the blocks in object storage too if those are to count.
func (s *Store) usedBytes(everywhere bool) (int64, error) {
	_, blocks, _ := s.readView()
	var n int64
	for _, b := range blocks {
		if everywhere || !b.info.Remote {
			n += b.info.bytes()
		}
	}
	for _, part := range []string{"wal", "meta"} {
		size, err := dirBytes(filepath.Join(s.cfg.Dir, part))
		if err != nil {
			return 0, err
		}
		n += size
	}
	return n, nil
}

// byteBound returns how much the store may use, 0 without a bound. A share of the
// file system is one of what others leave of it, and leaves more free than the
// least that writes need.
func (s *Store) byteBound(used int64) (int64, error) {
	if s.cfg.Retention.Bytes > 0 || s.cfg.RetentionShare <= 0 {
		return s.cfg.Retention.Bytes, nil
	}
	free, err := s.cfg.freeBytes(s.cfg.Dir)
	if err != nil {
		return 0, fmt.Errorf("free disk space: %w", err)
	}
	room := float64(used) + float64(free)
	bound := min(s.cfg.RetentionShare*room, room-1.5*float64(max(s.cfg.MinFreeBytes, 0)))
	return max(int64(bound), 1), nil
}

// removal is a round of retention.
type removal struct {
	s      *Store
	reason string

	rows, bytes int64
	blocks      int
}

func newRemoval(s *Store, reason string) *removal { return &removal{s: s, reason: reason} }

// drop removes the parts of a block that are not kept. Sums that are kept and not there
// are made of the samples first.
func (r *removal) drop(ctx context.Context, b *block, keep keeps) error {
	s := r.s
	if r.reason == reasonBytes {
		if err := s.raiseHorizons(map[seriesScope]floors{{b.info.Project, b.info.Type}: b.gone(keep)}); err != nil {
			return err
		}
	}
	_, before, _ := s.readView()
	var err error
	switch {
	case keep == (keeps{}):
		err = s.dropBlock(ctx, b)
	case b.info.File != "":
		if err = s.dropSamples(ctx, []*block{b}, keep.minutes); isBadBlock(err) != nil {
			s.metrics.blockErrors.Inc()
			s.logger.Error("block cannot be read; it is removed with its sums, since its samples are to go", "file", b.info.File, "err", err)
			err = s.dropBlock(ctx, b)
		}
	default:
		err = s.dropParts(ctx, []*block{b}, func(part *block) bool {
			return (part.kind == sumsMinutes && !keep.minutes) || (part.kind == sumsHours && !keep.hours)
		})
	}
	if errors.Is(err, errBlockGone) { // it expired meanwhile
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", b.info.files()[0], err)
	}
	freed := b.info.bytes()
	_, after, _ := s.readView()
	for _, made := range after {
		if made.info.Level > 0 && !slices.Contains(before, made) { // whatever else is new comes from a head
			freed -= made.info.bytes()
		}
	}
	r.blocks++
	r.rows += b.info.Rows
	r.bytes += freed
	s.metrics.retainedRows.WithLabelValues(r.reason).Add(float64(b.info.Rows))
	s.metrics.retainedBytes.WithLabelValues(r.reason).Add(float64(max(freed, 0)))
	return nil
}

// dropBlock removes a block with all its companions.
func (s *Store) dropBlock(ctx context.Context, b *block) error {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	return s.swapLocked(ctx, []*block{b}, nil, nil, nil)
}

// gone returns up to which times the parts of a block hold data that are not kept.
func (b *block) gone(keep keeps) floors {
	f, end := noFloors, b.info.MaxTime+1
	if b.info.File != "" && !keep.samples {
		f.samples = end
	}
	if !keep.minutes {
		f.minutes = end
	}
	if !keep.hours {
		f.hours = end
	}
	return f
}

// log says what a round has done, when it was anything.
func (r *removal) log() {
	if r.blocks > 0 {
		r.s.logger.Info("removed expired data", "reason", r.reason, "blocks", r.blocks, "samples", r.rows, "bytes", r.bytes)
	}
}
