// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// migration is a step of the schema from one version to the next. Each of its
// statements can be repeated, so that several collection agents may apply it at the
// same time, and one that comes back after a crash may apply it again. A migration
// that was released is never changed: a new one follows.
type migration struct {
	version    uint32
	name       string
	statements func(*layout) []string
}

// migrations lists all of them in order.
var migrations = []migration{
	{1, "samples, roll-ups, definitions", (*layout).schema},
}

// errNewer is returned when another version of this program made the schema.
var errNewer = errors.New("tables were made by a newer collection agent: update this one")

// migrate brings the schema up to date.
func (s *Store) migrate(ctx context.Context) error {
	exec := func(query string) error {
		if err := s.conn.Exec(ctx, query, s.ddlSettings()); err != nil {
			return fmt.Errorf("make tables in clickhouse: %w", err)
		}
		return nil
	}
	if err := exec(s.layout.createDatabase()); err != nil {
		return err
	}
	if err := exec(s.layout.create(&migrationsTable)); err != nil {
		return err
	}
	var q statement
	var applied uint32
	q.add("SELECT max(version) FROM ", s.layout.table(tableMigrations))
	if err := s.one(ctx, q.String(), &applied); err != nil {
		return err
	}
	latest := migrations[len(migrations)-1].version
	if applied > latest {
		return fmt.Errorf("%w (version %d, known is %d)", errNewer, applied, latest)
	}
	for _, m := range migrations {
		if m.version <= applied {
			continue
		}
		for _, query := range m.statements(&s.layout) {
			if err := exec(query); err != nil {
				return err
			}
		}
		err := s.insert(ctx, tableMigrations, []Column{
			{"version", []uint32{m.version}}, {"name", []string{m.name}},
		})
		if err != nil {
			return fmt.Errorf("record version %d of the tables: %w", m.version, err)
		}
		s.cfg.Logger.Info("tables are made", "version", m.version, "database", s.layout.database)
	}
	if err := s.applyRetention(ctx); err != nil {
		return err
	}
	return s.readEpoch(ctx, exec)
}

// readEpoch reads the epoch, and makes one if there is none yet.
func (s *Store) readEpoch(ctx context.Context, exec func(string) error) error {
	var candidate [16]byte
	_, _ = rand.Read(candidate[:]) // cannot fail
	if err := exec(s.layout.createEpoch(hex.EncodeToString(candidate[:]))); err != nil {
		return err
	}
	var q statement
	q.add("SELECT default_expression FROM system.columns WHERE database = ").str(s.layout.database)
	q.add(" AND table = ").str(tableEpoch).add(" AND name = ").str("epoch")
	var expression string
	if err := s.one(ctx, q.String(), &expression); err != nil {
		return err
	}
	b, err := hex.DecodeString(strings.Trim(expression, "'"))
	if err != nil || len(b) != len(s.epoch) {
		return fmt.Errorf("epoch of the clickhouse database %s cannot be read from its table", s.layout.database)
	}
	copy(s.epoch[:], b)
	return nil
}

// expiry returns the expression of when a row expires, "" for never.
func (s *Store) expiry(at text, age func(store.Ages) int64) text {
	general := age(s.cfg.Retention.Ages)
	// Dates end in 2106; nothing lives longer.
	never := func(q *statement) { q.add("toDateTime('2106-02-07 00:00:00', 'UTC')") }
	after := func(q *statement, seconds int64) {
		if seconds <= 0 {
			never(q)
			return
		}
		q.add(at, " + toIntervalSecond(").int(min(seconds, math.MaxInt32)).add(")")
	}
	var q statement
	var rules int
	for i := range s.cfg.Retention.Rules {
		r := &s.cfg.Retention.Rules[i]
		if r.Project == "" && r.Type == 0 {
			continue // refined below by the general age
		}
		rules++
		if rules == 1 {
			q.add("multiIf(")
		}
		q.add("1")
		if r.Project != "" {
			q.add(" AND project = ").str(r.Project)
		}
		if r.Type != 0 {
			q.add(" AND type = ").uint(uint64(r.Type))
		}
		q.add(", ")
		after(&q, age(s.cfg.Retention.For(r.Project, r.Type)))
		q.add(", ")
	}
	if rules == 0 {
		if general <= 0 {
			return ""
		}
		after(&q, general)
		return q.done()
	}
	after(&q, age(s.cfg.Retention.For("", 0)))
	return q.add(")").done()
}

// applyRetention makes the servers expire data as configured. They are told only
// when that changed: it is work for them.
func (s *Store) applyRetention(ctx context.Context) error {
	if s.layout.legacy || s.cfg.KeepExpiry {
		return nil
	}
	for _, t := range []struct {
		name string
		at   text
		age  func(store.Ages) int64
	}{
		{tableSamples, "toDateTime(ts, 'UTC')", func(a store.Ages) int64 { return int64(a.Samples.Seconds()) }},
		{tableMinutes, "bucket", func(a store.Ages) int64 { return int64(a.Minutes.Seconds()) }},
		{tableHours, "bucket", func(a store.Ages) int64 { return int64(a.Hours.Seconds()) }},
	} {
		want := s.expiry(t.at, t.age)
		have, err := s.setting(ctx, "expiry of "+t.name)
		if err != nil {
			return err
		}
		if string(want) == have {
			continue
		}
		q := s.layout.alter(t.name)
		if want == "" {
			q.add(" REMOVE TTL")
		} else {
			q.add(" MODIFY TTL ", want)
		}
		set := s.ddlSettings()
		set["mutations_sync"] = 0 // old parts follow in the background
		if err := s.conn.Exec(ctx, q.String(), set); err != nil {
			return fmt.Errorf("set the retention of %s in clickhouse: %w", t.name, err)
		}
		if err := s.setSetting(ctx, "expiry of "+t.name, string(want)); err != nil {
			return err
		}
		s.cfg.Logger.Info("retention is set", "table", t.name, "expiry", string(want))
	}
	return nil
}

// setting reads a value that the collection agents share, "" when there is none.
func (s *Store) setting(ctx context.Context, name string) (value string, err error) {
	var q statement
	q.add("SELECT argMax(value, version) FROM ", s.layout.table(tableSettings), " WHERE name = ").str(name)
	err = s.one(ctx, q.String(), &value)
	return value, err
}

// setSetting writes one.
func (s *Store) setSetting(ctx context.Context, name, value string) error {
	return s.insert(ctx, tableSettings, []Column{
		{"name", []string{name}}, {"value", []string{value}}, {"version", []uint64{s.nextVersion()}},
	})
}
