// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/libpf"
)

// openOn opens a store on a database.
func openOn(t *testing.T, server *clickhousetest.Server, database string, change func(*Config)) *Store {
	t.Helper()
	cfg := Config{DSN: server.DSN(database), LegacyForTests: true, GroupWindow: 1, MaintainEvery: -1, takeover: 300 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// simpleBatch returns a batch of one series.
func simpleBatch(seq uint64, n int) *store.Batch {
	b := &store.Batch{
		ID:     store.BatchID{Project: "default", HostID: "h", RunID: [16]byte{9}, Type: store.BatchSamples, Sequence: seq},
		Series: []store.Series{{Project: "default", Type: libpf.SampleOnCPU, Service: "web", PID: 1, TID: 1}},
	}
	for i := range n {
		b.Samples = append(b.Samples, store.Sample{
			Time: 1_700_000_000_000_000_000 + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(time.Second), Stack: libpf.NewTraceHash(seq, uint64(i%7)), Count: 1, Value: 10,
		})
	}
	return b
}

// total returns the count of all samples.
func total(t *testing.T, s *Store) (n int64, c store.Coverage) {
	t.Helper()
	c, err := s.Select(t.Context(), &store.Query{Project: "default", From: 0, To: 1 << 62}, func(r *store.Row) bool { n += r.Count; return true })
	if err != nil {
		t.Fatal(err)
	}
	return n, c
}

// TestProtocol checks on a real server what the package's documentation promises.
func TestProtocol(t *testing.T) {
	t.Parallel()
	server := clickhousetest.StartLegacy(t)
	for name, f := range map[string]func(*testing.T, *clickhousetest.Server){
		"hostile texts": testHostile, "patterns": testPatterns, "late commit": testLateCommit, "abandoned": testAbandoned, "deadline": testDeadline,
		"ledgers": testLedgers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, server)
		})
	}
}

// testHostile stores and finds texts that would break out of a careless statement.
func testHostile(t *testing.T, server *clickhousetest.Server) {
	s := openOn(t, server, "hostile", nil)
	for i, v := range hostile {
		b := simpleBatch(uint64(i), 2)
		b.ID.Project, b.ID.HostID = v, v
		se := &b.Series[0]
		se.Project, se.Service, se.Host, se.Comm = v, v, v, v
		if v != "" {
			se.Labels = []libpf.Label{{Key: v, Value: v}}
		}
		if _, err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		m := func(n string, op store.MatchOp, val string) *store.Matcher {
			mm, err := store.NewMatcher(n, op, val)
			if err != nil {
				t.Fatal(err)
			}
			return mm
		}
		q := &store.Query{Project: v, From: 0, To: 1 << 62, GroupBy: []string{v, store.LabelComm}, Matchers: []*store.Matcher{
			m(v, store.MatchEqual, v), m(store.LabelService, store.MatchEqual, v), m(store.LabelHost, store.MatchNotEqual, v+"x"),
		}}
		n := 0
		_, err := s.Select(t.Context(), q, func(r *store.Row) bool {
			n++
			if r.Group[0] != v || r.Group[1] != v || r.Count != 2 {
				t.Errorf("%q: %+v", v, r)
			}
			return true
		})
		if err != nil || n != 1 {
			t.Errorf("%q: %d rows, %v", v, n, err)
		}
		if ok, err := s.Applied(t.Context(), b.ID); !ok || err != nil {
			t.Errorf("%q not applied: %v", v, err)
		}
		if l, err := s.RunLedgers(t.Context(), v); err != nil || len(l) != 1 || l[0].HostID != v {
			t.Errorf("%q ledgers %v %v", v, l, err)
		}
	}
}

// testPatterns compares what the server matches with what we match.
func testPatterns(t *testing.T, server *clickhousetest.Server) {
	s := openOn(t, server, "patterns", nil)
	patterns := []string{"a.*b", "(?i)x|yz", `\pL+\b`, "(?s).", ".", "a{0,3}?", "^a$", "(?m)^a$", "[^a-c]", `\x{10FFFF}`, "a|b||c", "(?P<n>a)+", `\Qa.b\E`, ".*", "a\n?", `\d+`, `[[:alpha:]]+`, "", "日.", `\w`, "k", "(?i)k", "(?i)ſ", `\bfoo\b`, `(?U)a+b`, `\C?`, `a\z`, `\Aa`, "x*|y"}
	values := []string{"", "a", "b", "ab", "a\nb", "\n", "x", "X", "YZ", "é", "日本", "a.b", "aaa", "A", "12", "c", "K", "k", "K", "s", "ſ", "foo", "aab", "y", "xx", "\x00", "a\x00b"}
	for _, p := range patterns {
		m, err := store.NewMatcher("l", store.MatchRegexp, p)
		if err != nil {
			continue
		}
		for _, v := range values {
			var q statement
			q.add("SELECT toUInt8(match(x, ").str(anchored(p)).add(")) FROM (SELECT ").str(v).add(" AS x)")
			if alt := alternatives(p); alt != nil {
				q = statement{}
				q.add("SELECT toUInt8(x IN ").strs(alt).add(") FROM (SELECT ").str(v).add(" AS x)")
			}
			var got uint8
			if err := s.one(t.Context(), q.String(), &got); err != nil {
				t.Errorf("%q: %v", p, err)
				break
			}
			if (got != 0) != m.Matches(v) {
				t.Errorf("%q on %q: server %v, we %v (%q)", p, v, got, m.Matches(v), anchored(p))
			}
		}
	}
}

// testLateCommit has one collection agent take over a batch from another that
// commits it after all: it counts once, before and after the loser is removed.
func testLateCommit(t *testing.T, server *clickhousetest.Server) {
	a, b := openOn(t, server, "late", nil), openOn(t, server, "late", nil)
	ins := a.newInsertID()
	it := &item{id: simpleBatch(1, 100).ID, series: simpleBatch(1, 100).Series, samples: simpleBatch(1, 100).Samples, span: span{1_700_000_000_000, 1_700_000_100_000}}
	r := a.newRecords()
	r.add(kindBatch, it.id, ins, stateBegun, 100, false, nothing)
	r.insert(ins, stateBegun, false, it.span)
	if err := a.touch([]*item{it}, ins); err != nil {
		t.Fatal(err)
	}
	if err := a.record(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := a.insertSamples([]*item{it}, ins); err != nil {
		t.Fatal(err)
	}
	if n, _ := total(t, b); n != 0 {
		t.Errorf("%d of an unfinished insert are seen", n)
	}
	dup, err := b.Append(t.Context(), simpleBatch(1, 100))
	if dup || err != nil {
		t.Fatal(dup, err)
	}
	if n, _ := total(t, b); n != 100 {
		t.Errorf("%d", n)
	}
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, c := total(t, b)
	if n != 100 {
		t.Errorf("%d samples after upkeep, coverage %+v", n, c)
	}
	// a commits after all
	commit := a.newRecords()
	commit.add(kindBatch, it.id, ins, stateCommitted, 100, false, nothing)
	commit.insert(ins, stateCommitted, false, it.span)
	if err := a.commit(ins, commit, time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, _ := total(t, a); n != 100 {
		t.Errorf("%d", n)
	}
	l, err := a.RunLedgers(t.Context(), "default")
	if err != nil || len(l) != 1 || l[0].Stored != 100 {
		t.Error(l, err)
	}
	if dup, err := a.Append(t.Context(), simpleBatch(1, 100)); !dup || err != nil {
		t.Error(dup, err)
	}
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, c = total(t, b)
	if n != 100 || c.Resolution != time.Hour {
		t.Error(n, c)
	}
	// two hours later the loser is deleted
	b.cfg.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows uint64
	var q statement
	q.add("SELECT count() FROM ", b.layout.table(tableSamples))
	if err := b.one(t.Context(), q.String(), &rows); err != nil {
		t.Fatal(err)
	}
	v, err := b.readView(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, c := total(t, b); n != 100 || rows != 100 || len(v.hidden) != 0 {
		t.Error(n, c, rows, v)
	}
}

// testAbandoned has an insert given up whose collection agent commits much later.
func testAbandoned(t *testing.T, server *clickhousetest.Server) {
	a := openOn(t, server, "abandoned", nil)
	ins := a.newInsertID()
	it := &item{id: simpleBatch(1, 100).ID, series: simpleBatch(1, 100).Series, samples: simpleBatch(1, 100).Samples, span: span{1_700_000_000_000, 1_700_000_100_000}}
	r := a.newRecords()
	r.add(kindBatch, it.id, ins, stateBegun, 100, false, nothing)
	r.insert(ins, stateBegun, false, it.span)
	if err := errors.Join(a.touch([]*item{it}, ins), a.record(t.Context(), r), a.insertSamples([]*item{it}, ins)); err != nil {
		t.Fatal(err)
	}
	b := openOn(t, server, "abandoned", func(c *Config) { c.now = func() time.Time { return time.Now().Add(90 * time.Minute) } })
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit := a.newRecords()
	commit.add(kindBatch, it.id, ins, stateCommitted, 100, false, nothing)
	commit.insert(ins, stateCommitted, false, it.span)
	if err := a.commit(ins, commit, time.Now().Add(-time.Hour)); err == nil {
		t.Error("late commit acknowledged")
	}
	if n, _ := total(t, b); n != 0 {
		t.Error(n)
	}
	if ok, _ := b.Applied(t.Context(), it.id); ok {
		t.Error("applied")
	}
	if dup, err := b.Append(t.Context(), simpleBatch(1, 100)); dup || err != nil {
		t.Error(dup, err)
	}
	if n, _ := total(t, b); n != 100 {
		t.Error(n)
	}
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, c := total(t, b); n != 100 || c.Resolution != time.Hour {
		t.Error(n, c)
	}
}

// testDeadline checks that the server stops at the deadline of a query.
func testDeadline(t *testing.T, server *clickhousetest.Server) {
	s := openOn(t, server, "deadline", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := s.each(ctx, "SELECT toUInt64(count()) FROM system.numbers WHERE NOT ignore(cityHash64(toString(number)))", s.querySettings(), func(Rows) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
	for {
		var n uint64
		if err := s.one(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64(toString%' AND query NOT LIKE '%processes%'", &n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the server goes on")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// testLedgers sums ledgers up by day: what they say does not change by it, nor when
// the batches are forgotten.
func testLedgers(t *testing.T, server *clickhousetest.Server) {
	s := openOn(t, server, "ledgers", nil)
	var want []store.RunLedger
	for run := range byte(3) {
		for seq := range uint64(4) {
			b := simpleBatch(seq+1, 10*int(run+1))
			b.ID.RunID[0] = run
			if _, err := s.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, store.RunLedger{HostID: "h", RunID: [16]byte{run}, Stored: 40 * uint64(run+1)})
	}
	check := func(when string, want []store.RunLedger) {
		t.Helper()
		got, err := s.RunLedgers(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if age := time.Since(got[i].LastBatch.Time()); age < -time.Minute || age > time.Minute {
				t.Errorf("%s: last batch %v ago", when, age)
			}
			got[i].LastBatch = 0
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	check("at first", want)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := s.state(t.Context(), stateLedgers); err != nil || done > time.Now().UnixMilli()/dayMs {
		t.Errorf("summed up %d days, %v", done, err)
	}
	check("on the same day", want)
	s.cfg.now = func() time.Time { return time.Now().Add(72 * time.Hour) }
	for range 2 {
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("days later", want)
	}
	if done, err := s.state(t.Context(), stateLedgers); err != nil || done <= time.Now().UnixMilli()/dayMs {
		t.Errorf("summed up only %d days, %v", done, err)
	}
	// Sums that a crash left without their state do not count, and are written again.
	tomorrow := uint16(time.Now().Add(96*time.Hour).UnixMilli() / dayMs)
	err := s.insert(t.Context(), tableLedgers, []Column{
		{"project", []string{"default"}}, {"host", []string{"h"}}, {"run", []string{string(make([]byte, 16))}}, {"day", []uint16{tomorrow}},
		{"stored", []uint64{7}}, {"last", []int64{time.Now().Unix()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.mutate(t.Context(), tableBatches, func(q *statement) { q.add(" WHERE kind = ").uint(kindBatch) }); err != nil {
		t.Fatal(err)
	}
	check("without batches", want)
	if _, err := s.Delete(t.Context(), &store.Deletion{Project: "default"}); err != nil {
		t.Fatal(err)
	}
	check("after a deletion", nil)
}
