// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Kinds of rows in the table of batches.
const (
	kindInsert = iota // one per insert and state
	kindBatch         // one per batch in an insert and state
)

// States of an insert. See doc.go for what may follow on what.
const (
	stateBegun     = iota // its rows may be there in part
	stateCommitted        // its rows are all there and count
	stateDoomed           // somebody is about to drop it
	stateDropped          // it, or this batch of it, never counts, whatever comes later
	stateSettled          // a lone insert whose rows count for good
	stateGone             // its rows are deleted
)

// insertID names an insert: its time in ms, then 22 random bits.
type insertID uint64

// newInsertID returns the name of a new insert.
func (s *Store) newInsertID() insertID {
	var b [8]byte
	randomID(b[:])
	ms := uint64(s.cfg.now().UnixMilli()) //nolint:gosec // after 1970
	return insertID(ms<<22 | binary.LittleEndian.Uint64(b[:])&(1<<22-1))
}

// begun returns when the insert began, in ms. Rows about inserts are sorted by it.
func (id insertID) begun() uint64 { return uint64(id) >> 22 }

// randomID fills b.
func randomID(b []byte) { _, _ = rand.Read(b) } // cannot fail

// records are rows of the table of batches.
type records struct {
	kind, typ, state, alone []uint8
	project, host           []string
	run, owner              []string
	sequence, ins, weight   []uint64
	first, last             []int64
	self                    string
}

// add adds a row.
func (r *records) add(kind uint8, id store.BatchID, ins insertID, state uint8, weight uint64, alone bool, span span) {
	r.kind = append(r.kind, kind)
	r.project, r.host = append(r.project, id.Project), append(r.host, id.HostID)
	r.run, r.owner = append(r.run, string(id.RunID[:])), append(r.owner, r.self)
	r.typ, r.state = append(r.typ, uint8(id.Type)), append(r.state, state)
	r.sequence, r.ins, r.weight = append(r.sequence, id.Sequence), append(r.ins, uint64(ins)), append(r.weight, weight)
	var lone uint8
	if alone {
		lone = 1
	}
	r.alone = append(r.alone, lone)
	r.first, r.last = append(r.first, span.first), append(r.last, span.last)
}

// insert adds the row of an insert.
func (r *records) insert(ins insertID, state uint8, alone bool, span span) {
	r.add(kindInsert, store.BatchID{Sequence: ins.begun()}, ins, state, 0, alone, span)
}

// columns returns the rows.
func (r *records) columns() []Column {
	return []Column{
		{"kind", r.kind}, {"project", r.project}, {"type", r.typ}, {"host", r.host}, {"run", r.run}, {"sequence", r.sequence},
		{"ins", r.ins}, {"state", r.state}, {"weight", r.weight}, {"alone", r.alone}, {"first", r.first}, {"last", r.last},
		{"owner", r.owner},
	}
}

// span is a range of times in ms, both inclusive.
type span struct{ first, last int64 }

// nothing is the span of no samples; joined with another it is that one.
var nothing = span{math.MaxInt64, math.MinInt64}

// include widens the span.
func (s *span) include(ms int64) { s.first, s.last = min(s.first, ms), max(s.last, ms) }

// overlaps reports whether the span has a time in [from, to).
func (s span) overlaps(from, to int64) bool { return s.first < to && s.last >= from }

// record writes rows to the table of batches. They become visible all at once:
// a block is one part, since all of it has the same day.
func (s *Store) record(ctx context.Context, r *records) error {
	if len(r.kind) == 0 {
		return nil
	}
	return s.insert(ctx, tableBatches, r.columns())
}

// newRecords returns an empty set of rows.
func (s *Store) newRecords() *records { return &records{self: string(s.owner[:])} }

// attempt is an insert that a batch was or is a part of.
type attempt struct {
	ins       insertID
	committed bool
	alone     bool
}

// attempts looks up the inserts of batches, but for those that were dropped.
func (s *Store) attempts(ctx context.Context, ids []store.BatchID) (map[store.BatchID][]attempt, error) {
	found := make(map[store.BatchID][]attempt)
	var inserts []insertID
	for ids := range slices.Chunk(ids, lookupChunk) {
		var q statement
		q.add("SELECT project, type, host, run, sequence, ins, max(state), max(alone) FROM ", s.layout.table(tableBatches),
			" WHERE kind = ").uint(kindBatch).add(" AND project IN ")
		q.strs(distinct(ids, func(id store.BatchID) string { return id.Project })).add(" AND host IN ")
		q.strs(distinct(ids, func(id store.BatchID) string { return id.HostID })).add(" AND (project, type, host, run, sequence) IN ")
		join(&q, ids, func(id store.BatchID) {
			q.add("(").str(id.Project).add(", ").uint(uint64(id.Type)).add(", ").str(id.HostID).add(", ").str(string(id.RunID[:]))
			q.add(", ").uint(id.Sequence).add(")")
		})
		q.add(" GROUP BY project, type, host, run, sequence, ins")
		err := s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
			var id store.BatchID
			var run string
			var typ, state, alone uint8
			var ins uint64
			if err := r.Scan(&id.Project, &typ, &id.HostID, &run, &id.Sequence, &ins, &state, &alone); err != nil {
				return err
			}
			if state == stateDropped {
				return nil // left out of an insert that others are in
			}
			id.Type = store.BatchType(typ)
			copy(id.RunID[:], run)
			a := attempt{ins: insertID(ins), committed: state == stateCommitted, alone: alone != 0}
			found[id] = append(found[id], a)
			inserts = append(inserts, a.ins)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	dropped, err := s.dropped(ctx, inserts)
	if err != nil || len(dropped) == 0 {
		return found, err
	}
	for id, list := range found {
		found[id] = slices.DeleteFunc(list, func(a attempt) bool { return dropped[a.ins] })
	}
	return found, nil
}

// lookupChunk is how many keys a look-up has at most.
const lookupChunk = 2000

// distinct returns the different values of f.
func distinct[T any](list []T, f func(T) string) []string {
	seen := make(map[string]struct{})
	var all []string
	for _, v := range list {
		k := f(v)
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			all = append(all, k)
		}
	}
	return all
}

// dropped returns which of some inserts do not count though they say they do.
func (s *Store) dropped(ctx context.Context, list []insertID) (map[insertID]bool, error) {
	found := make(map[insertID]bool)
	slices.Sort(list)
	for list := range slices.Chunk(slices.Compact(list), lookupChunk) {
		var q statement
		q.add("SELECT DISTINCT ins FROM ", s.layout.table(tableBatches), " WHERE kind = ").uint(kindInsert)
		q.add(" AND state = ").uint(stateDropped).add(" AND sequence >= ").uint(list[0].begun())
		q.add(" AND sequence <= ").uint(list[len(list)-1].begun()).add(" AND ins IN ")
		join(&q, list, func(id insertID) { q.uint(uint64(id)) })
		err := s.each(ctx, q.String(), s.readSettings(), func(r Rows) error {
			var ins uint64
			err := r.Scan(&ins)
			found[insertID(ins)] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// applied reports whether one of the inserts counts.
func applied(list []attempt) bool {
	return slices.ContainsFunc(list, func(a attempt) bool { return a.committed })
}

// Applied implements [store.Store].
func (s *Store) Applied(ctx context.Context, id store.BatchID) (bool, error) {
	if id == (store.BatchID{}) {
		return false, ctx.Err()
	}
	found, err := s.attempts(ctx, []store.BatchID{id})
	return applied(found[id]), err
}
