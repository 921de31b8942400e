// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// located is a sample with its series.
type located struct {
	Sample store.Sample
	Series store.Series
}

// samples returns the samples of a query in a fixed order.
func samples(t *testing.T, s store.Store, q *store.Query) []located {
	t.Helper()
	var all []located
	err := s.Samples(t.Context(), q, func(sample *store.Sample, series *store.Series) bool {
		l := located{*sample, series.Clone()}
		l.Sample.Series = 0
		all = append(all, l)
		return true
	})
	if err != nil {
		t.Fatalf("samples: %v", err)
	}
	slices.SortFunc(all, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.Sample.Time, b.Sample.Time), a.Series.Compare(&b.Series), a.Sample.Stack.Compare(b.Sample.Stack.Hash128),
			cmp.Compare(a.Sample.Count, b.Sample.Count), cmp.Compare(a.Sample.Value, b.Sample.Value),
			bytes.Compare(a.Sample.TraceID[:], b.Sample.TraceID[:]), bytes.Compare(a.Sample.SpanID[:], b.Sample.SpanID[:]))
	})
	return all
}

// rows returns the answer to a query in a fixed order.
func rows(t *testing.T, s store.Store, q *store.Query) ([]store.Row, store.Coverage) {
	t.Helper()
	var all []store.Row
	covered, err := s.Select(t.Context(), q, func(r *store.Row) bool {
		c := *r
		c.Group = slices.Clone(r.Group)
		all = append(all, c)
		return true
	})
	if err != nil {
		t.Fatalf("select: %v", err)
	}
	slices.SortFunc(all, func(a, b store.Row) int {
		return cmp.Or(slices.Compare(a.Group, b.Group), cmp.Compare(a.Bucket, b.Bucket), a.Stack.Compare(b.Stack.Hash128))
	})
	return all, covered
}

// describe prints a query for the message of a failure.
func describe(q *store.Query) string {
	var matchers []string
	for _, m := range q.Matchers {
		matchers = append(matchers, m.String())
	}
	return fmt.Sprintf("project %q type %v [%v, %v) {%s} traces %x spans %x by %v step %v stacks %v",
		q.Project, q.Type, q.From, q.To, strings.Join(matchers, ","), q.TraceIDs, q.SpanIDs, q.GroupBy, q.Step, q.ByStack)
}

// options make a nil and an empty slice equal: stores need not tell them apart.
var options = gocmp.Options{cmpopts.EquateEmpty(), gocmp.Comparer(func(a, b libpf.Hash128) bool { return a == b })}

// diff fails the test when the two are not equal.
func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return // the usual case, and much faster to find out
	}
	if d := gocmp.Diff(want, got, options); d != "" {
		t.Fatalf("%s differs from the model (-model +store):\n%s", what, d)
	}
}

// compareQuery compares all answers that a query has.
func compareQuery(t *testing.T, got, want store.Store, q *store.Query) {
	t.Helper()
	wantRows, exact := rows(t, want, q)
	gotRows, covered := rows(t, got, q)
	diff(t, "select "+describe(q), gotRows, wantRows)
	switch {
	case exact.To == 0:
	case covered.From > exact.From || covered.To < exact.To || covered.From < q.From || covered.To > q.To:
		t.Fatalf("%s: covers [%v, %v), there are samples in [%v, %v)", describe(q), covered.From, covered.To, exact.From, exact.To)
	case covered.Resolution != store.Resolution && covered.Resolution != store.RollUpMinute && covered.Resolution != store.RollUpHour,
		covered.Resolution > max(q.RollUp(), store.Resolution):
		t.Fatalf("%s: resolution %v", describe(q), covered.Resolution)
	}
	diff(t, "samples "+describe(q), samples(t, got, q), samples(t, want, q))
	gotNames, err := got.LabelNames(t.Context(), q)
	if err != nil {
		t.Fatalf("label names: %v", err)
	}
	wantNames, _ := want.LabelNames(t.Context(), q)
	diff(t, "label names of "+describe(q), gotNames, wantNames)
	for _, name := range []string{store.LabelService, store.LabelTID, "region"} {
		gotValues, err := got.LabelValues(t.Context(), q, store.LabelSearch{Name: name})
		if err != nil {
			t.Fatalf("label values: %v", err)
		}
		wantValues, _ := want.LabelValues(t.Context(), q, store.LabelSearch{Name: name})
		diff(t, "values of "+name+" of "+describe(q), gotValues, wantValues)
		search := store.LabelSearch{Name: name, Prefix: "1", Limit: 2}
		gotValues, err = got.LabelValues(t.Context(), q, search)
		if err != nil {
			t.Fatalf("label values: %v", err)
		}
		wantValues, _ = want.LabelValues(t.Context(), q, search)
		diff(t, fmt.Sprintf("values %+v of %s", search, describe(q)), gotValues, wantValues)
	}
	gotTypes, err := got.Types(t.Context(), q.Project, q.From, q.To)
	if err != nil {
		t.Fatalf("types: %v", err)
	}
	wantTypes, _ := want.Types(t.Context(), q.Project, q.From, q.To)
	diff(t, "types of "+describe(q), gotTypes, wantTypes)
}

// compareLedgers compares the ledgers of all runs, but for the times of arrival.
func compareLedgers(t *testing.T, got, want store.Store) {
	t.Helper()
	read := func(s store.Store, project string) []store.RunLedger {
		t.Helper()
		ledgers, err := s.RunLedgers(t.Context(), project)
		if err != nil {
			t.Fatalf("ledgers of runs: %v", err)
		}
		for i := range ledgers {
			if ledgers[i].LastBatch <= 0 {
				t.Errorf("ledger without a time: %+v", ledgers[i])
			}
			ledgers[i].LastBatch = 0
		}
		return ledgers
	}
	for _, project := range []string{"default", "other", "", "never", "h1"} {
		diff(t, "ledgers of runs of project "+project, read(got, project), read(want, project))
	}
}

// compareApplied compares whether a batch was applied.
func compareApplied(t *testing.T, got, want store.Store, id store.BatchID) {
	t.Helper()
	g, err := got.Applied(t.Context(), id)
	if err != nil {
		t.Fatalf("applied: %v", err)
	}
	w, _ := want.Applied(t.Context(), id)
	diff(t, fmt.Sprintf("whether %+v was applied", id), g, w)
}

// compareDefinitions compares everything that can be looked up.
func compareDefinitions(t *testing.T, got, want store.Store, g *generator) {
	t.Helper()
	hashes := []libpf.TraceHash{libpf.NewTraceHash(1, 2)} // is not known
	for _, st := range g.stacks {
		hashes = append(hashes, st.Hash)
	}
	var frames []libpf.FrameID
	var files []libpf.FileID
	for hi := range uint64(3) {
		for lo := range uint64(3) {
			files = append(files, libpf.NewFileID(hi, lo))
			for addr := range libpf.AddressOrLineno(9) {
				frames = append(frames, libpf.NewFrameID(libpf.NewFileID(hi, lo), addr))
			}
		}
	}
	for _, project := range []string{"default", "other", "", "never"} {
		check := func(what string, f func(s store.Store) (any, error)) {
			t.Helper()
			g, err := f(got)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			w, _ := f(want)
			diff(t, what+" of project "+project, g, w)
		}
		check("stacks", func(s store.Store) (any, error) { return s.Stacks(t.Context(), project, hashes) })
		check("symbols", func(s store.Store) (any, error) { return s.Symbols(t.Context(), project, frames) })
		check("executables", func(s store.Store) (any, error) { return s.Executables(t.Context(), project, files) })
		check("hosts", func(s store.Store) (any, error) { return s.Hosts(t.Context(), project) })
	}
	check := func(s store.Store) [4]int64 {
		st, err := s.Stats(t.Context())
		if err != nil {
			t.Fatalf("stats: %v", err)
		}
		return [4]int64{st.Stacks, st.Symbols, st.Executables, st.Hosts}
	}
	diff(t, "numbers of definitions", check(got), check(want))
}
