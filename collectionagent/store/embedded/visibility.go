// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// floors are the times in ms before which data are gone; [math.MinInt64]: none is.
type floors struct{ samples, minutes, hours int64 }

// noFloors keep everything.
var noFloors = floors{math.MinInt64, math.MinInt64, math.MinInt64}

// of returns the floor of what a query can use that the roll-ups up to a width
// answer: one floor of all of these is enough.
func (f floors) of(rollUp time.Duration) int64 {
	v := f.samples
	if rollUp >= store.RollUpMinute {
		v = min(v, f.minutes)
	}
	if rollUp >= store.RollUpHour {
		v = min(v, f.hours)
	}
	return v
}

func (f floors) max(o floors) floors {
	return floors{max(f.samples, o.samples), max(f.minutes, o.minutes), max(f.hours, o.hours)}
}

func (f floors) min(o floors) floors {
	return floors{min(f.samples, o.samples), min(f.minutes, o.minutes), min(f.hours, o.hours)}
}

// floors returns the times before which the data of a type in a project have expired by
// age. Sums expire whole.
func (s *Store) floors(project string, t libpf.SampleType) floors {
	r := &s.cfg.Retention
	if len(r.Rules) == 0 && r.Ages == (store.Ages{}) {
		return noFloors
	}
	return s.floorsOf(r.For(project, t))
}

// floorsOf returns the floors of ages now.
func (s *Store) floorsOf(a store.Ages) floors {
	now := s.now().UnixMilli()
	at := func(age, width time.Duration) int64 {
		if age <= 0 || age == math.MaxInt64 {
			return math.MinInt64
		}
		ms := width.Milliseconds()
		return floorTo(now-age.Milliseconds()+ms-1, ms)
	}
	return floors{at(a.Samples, store.Resolution), at(a.Minutes, store.RollUpMinute), at(a.Hours, store.RollUpHour)}
}

// floorsOfAll returns the floors that all types in all projects share.
func (s *Store) floorsOfAll() floors {
	r := &s.cfg.Retention
	all := s.floors("", 0).min(s.floorsOf(r.Ages))
	for _, rule := range r.Rules {
		all = all.min(s.floors(rule.Project, rule.Type))
	}
	return all
}

// visibility says what queries of a project see.
type visibility struct {
	store   *Store
	project string
	rollUp  time.Duration
	// cached are the times by type, so that one query has one now.
	cached map[libpf.SampleType]int64
}

func (s *Store) visibility(project string, rollUp time.Duration) visibility {
	return visibility{s, project, rollUp, make(map[libpf.SampleType]int64)}
}

// from returns the time in ms before which a type is hidden. It is not safe for
// concurrent use.
func (v *visibility) from(t libpf.SampleType) int64 {
	ms, ok := v.cached[t]
	if !ok {
		ms = v.store.floors(v.project, t).of(v.rollUp)
		v.cached[t] = ms
	}
	return ms
}

// horizon returns the time in ms before which something that a query for a type (0: all)
// needs is gone, because of its age or for want of room.
func (v *visibility) horizon(t libpf.SampleType) int64 {
	horizon := v.from(t)
	if t == 0 {
		for _, rule := range v.store.cfg.Retention.Rules {
			if rule.Project == "" || rule.Project == v.project {
				horizon = max(horizon, v.from(rule.Type))
			}
		}
	}
	v.store.viewMu.RLock()
	defer v.store.viewMu.RUnlock()
	for scope, gone := range v.store.horizons {
		if (scope.project == v.project && (t == 0 || t == scope.typ)) || scope == (seriesScope{}) {
			horizon = max(horizon, gone.of(v.rollUp))
		}
	}
	return horizon
}

// loadHorizons reads up to which times data were removed for want of room.
func loadHorizons(db *pebble.DB) (map[seriesScope]floors, error) {
	all := make(map[seriesScope]floors)
	err := scan(db, []byte{keyHorizon}, func(key, value []byte) error {
		k, v := decoder{b: key[1:]}, decoder{b: value}
		scope := seriesScope{k.string(), libpf.SampleType(k.uvarint())} //nolint:gosec // checked by nobody: an unknown type is asked for by nobody
		f := floors{v.varint(), v.varint(), v.varint()}
		if k.err != nil || v.err != nil {
			return fmt.Errorf("%w: horizon of a project", errCodec)
		}
		all[scope] = f
		return nil
	})
	return all, err
}

// raiseHorizons notes that data are about to be removed for want of room.
func (s *Store) raiseHorizons(raise map[seriesScope]floors) error {
	b := s.db.NewBatch()
	s.viewMu.RLock()
	raised := make(map[seriesScope]floors, len(raise))
	for scope, f := range raise {
		if before, ok := s.horizons[scope]; ok {
			f = f.max(before)
		}
		raised[scope] = f
	}
	s.viewMu.RUnlock()
	for scope, f := range raised {
		key := binary.AppendUvarint(projectKey(keyHorizon, scope.project), uint64(scope.typ))
		value := binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(nil, f.samples), f.minutes), f.hours)
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
	}
	if err := s.commitList(s.working, always, b); err != nil {
		return fmt.Errorf("note what is removed: %w", err)
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	maps.Copy(s.horizons, raised)
	return nil
}
