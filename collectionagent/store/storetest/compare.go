// SPDX-License-Identifier: Apache-2.0

package storetest

import (
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

// rows returns the answer to a query in a fixed order.
func rows(t *testing.T, s store.Store, q *store.Query) []store.Row {
	t.Helper()
	var all []store.Row
	err := s.Select(t.Context(), q, func(r *store.Row) bool {
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
	return all
}

// describe prints a query for the message of a failure.
func describe(q *store.Query) string {
	var matchers []string
	for _, m := range q.Matchers {
		matchers = append(matchers, m.String())
	}
	return fmt.Sprintf("project %q type %v [%v, %v) {%s} by %v step %v stacks %v",
		q.Project, q.Type, q.From, q.To, strings.Join(matchers, ","), q.GroupBy, q.Step, q.ByStack)
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
	diff(t, "select "+describe(q), rows(t, got, q), rows(t, want, q))
	gotNames, err := got.LabelNames(t.Context(), q)
	if err != nil {
		t.Fatalf("label names: %v", err)
	}
	wantNames, _ := want.LabelNames(t.Context(), q)
	diff(t, "label names of "+describe(q), gotNames, wantNames)
	for _, name := range []string{store.LabelService, store.LabelTID, "region"} {
		gotValues, err := got.LabelValues(t.Context(), name, q)
		if err != nil {
			t.Fatalf("label values: %v", err)
		}
		wantValues, _ := want.LabelValues(t.Context(), name, q)
		diff(t, "values of "+name+" of "+describe(q), gotValues, wantValues)
	}
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
