// SPDX-License-Identifier: Apache-2.0

package profilemetrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// tables is what a rule came to over an interval.
type tables struct {
	groups []groupTable
	// hidden is how many groups there were beyond those.
	hidden int
}

// groupTable is what a group came to; one without a name is all of the rule.
type groupTable struct {
	name      string
	total     float64
	functions []share
	// rest is the share of all other functions' own value.
	rest float64
}

// share is what a function has of the value of its group, from 0 to 1.
type share struct {
	function, binary string
	self, total      float64
}

// evaluate works on a rule for a range of time.
func (e *Exporter) evaluate(ctx context.Context, r *rule, from, to time.Time) (*tables, error) {
	s := query.Selection{
		Project: r.project, Type: r.kind, Matchers: r.matchers,
		From: libpf.UnixTimeNs(from.UnixNano()), To: libpf.UnixTimeNs(to.UnixNano()),
	}
	if r.by == "" {
		t, err := e.table(ctx, r, &s, "")
		if err != nil {
			return nil, err
		}
		return &tables{groups: []groupTable{t}}, nil
	}
	var groups *query.LabelSets
	err := e.ask(ctx, func(ctx context.Context) (err error) {
		groups, err = e.engine.Series(ctx, &s, []string{r.by}, r.groups)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &tables{hidden: groups.Hidden}
	known := map[string]bool{} // names that are equal once they are cut are one metric
	for i := range groups.Sets {
		value := groups.Sets[i].Values[0]
		if known[text(value)] {
			out.hidden++
			continue
		}
		known[text(value)] = true
		m, err := store.NewMatcher(r.by, store.MatchEqual, value)
		if err != nil {
			return nil, err
		}
		of := s
		of.Matchers = append(slices.Clone(s.Matchers), m)
		t, err := e.table(ctx, r, &of, value)
		if err != nil {
			return nil, err
		}
		out.groups = append(out.groups, t)
	}
	return out, nil
}

// table works on one group.
func (e *Exporter) table(ctx context.Context, r *rule, s *query.Selection, name string) (groupTable, error) {
	out := groupTable{name: text(name)}
	err := e.ask(ctx, func(ctx context.Context) error {
		// All rows, which the engine has anyway: those that a rule names may be the least, and
		// what is left out has a share too.
		top, err := e.engine.TopByName(ctx, s, query.TopBySelf, math.MaxInt)
		if err != nil {
			return err
		}
		out.total = float64(top.Total)
		out.functions, out.rest = shares(top, r)
		return nil
	})
	return out, err
}

// shares picks the functions that a rule exports: those with the largest own value, and
// those that it names. Names that are equal once they are cut are one.
func shares(top *query.Top, r *rule) (out []share, rest float64) {
	if top.Total <= 0 {
		return nil, 0
	}
	of := float64(top.Total)
	at := map[[2]string]int{}
	for i := range top.Rows {
		row := &top.Rows[i]
		self, total := float64(row.Self)/of, float64(row.Total)/of
		key := [2]string{text(row.Name), text(row.Binary)}
		j, known := at[key]
		switch {
		case known:
			out[j].self += self
			out[j].total = min(1, out[j].total+total)
		case i < r.top || slices.Contains(r.functions, row.Name):
			at[key] = len(out)
			out = append(out, share{key[0], key[1], self, total})
		default:
			rest += self
		}
	}
	return out, rest
}

// text makes a text a value of a label: one that Prometheus takes, and that is not megabytes.
func text(s string) string {
	const most = 256
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// ask works on a question with memory of its own.
func (e *Exporter) ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.options.QueryTimeout)
	defer cancel()
	ctx, claim := e.options.Memory.Question(ctx)
	defer claim.Release()
	err := question(ctx)
	if lack := claim.Err(); lack != nil {
		return fmt.Errorf("memory for queries: %w", lack)
	}
	return err
}
