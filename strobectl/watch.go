// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
	"github.com/strobe-profiler/strobe/strobectl/internal/watch"
)

const watchInterval = 2 * time.Second

func watchCommands() *command {
	return &command{
		name: "watch", summary: "Watch what happens now.",
		commands: []*command{{
			name:     "top",
			operands: "[LABEL=VALUE...]",
			summary:  "Show the functions that take the most now, over all hosts.",
			help: `
Keys: q quits, s sorts by self or total, h goes through functions, services, hosts,
processes and threads, Enter looks into a row, Esc goes back, / filters, p pauses,
? lists all. Where the output is no terminal a table is printed for each answer.`,
			setup: func(flags *flag.FlagSet) func(*call) error {
				a := &ask{}
				a.connection(flags)
				a.selection(flags, "now-1m")
				o := watchOptions{rows: defaultRows}
				flags.DurationVar(&o.interval, "interval", watchInterval, "`time` between two questions, 500ms or more")
				flags.IntVar(&o.count, "count", 0, "print so many `times`, and end; 0 is until Ctrl-C")
				flags.StringVar(&o.group, "by", "function", "what rows are of: function, service, host, process or comm")
				flags.StringVar(&o.sort, "sort", "self", "what comes first: the largest `self` or total")
				flags.IntVar(&o.rows, "limit", defaultRows, "most `rows` where the output is no terminal")
				return func(in *call) error { return watchTop(in, a, o) }
			},
		}},
	}
}

type watchOptions struct {
	interval    time.Duration
	count, rows int
	group, sort string
}

// watchTop shows what takes the most until it is ended.
func watchTop(in *call, a *ask, o watchOptions) (err error) {
	if o.group == "" {
		o.group = watch.Groups[0]
	}
	switch {
	case o.sort != "self" && o.sort != "total":
		return misuse("-sort: %q is not known: expected self or total", o.sort)
	case !slices.Contains(watch.Groups, o.group):
		return misuse("-by: %q is not known: expected one of %s", o.group, strings.Join(watch.Groups, ", "))
	case o.interval < 500*time.Millisecond:
		return misuse("-interval: %s is too short: expected 500ms or more", o.interval)
	case a.output == "json":
		return misuse("-o: what is watched is printed as a table; ask strobectl top -o json again and again instead")
	}
	q, err := a.question(in)
	if err != nil {
		return err
	}
	if a.from == "now-15m" { // that of top
		q.values.Set("from", "now-1m")
	}
	m := &watch.Model{
		Query:  watch.Query{Group: o.group, Sort: o.sort},
		Server: q.client.Server(), Range: "from " + q.values.Get("from"), Interval: o.interval,
	}
	if to := q.values.Get("to"); to != "now" {
		m.Range += " to " + to
	}
	var screen *term.Screen
	if o.count == 0 {
		if screen, err = term.OpenScreen(in.stdin, q.out); err != nil && !errors.Is(err, term.ErrNoTerminal) {
			return err
		}
	}
	if screen == nil {
		return q.watchPlain(m, o)
	}
	defer screen.Close() // also when something panics, before it is printed
	err = watch.Run(in.ctx, m, screen, q.out, q.watched)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watched asks a question of a watch.
func (q *question) watched(ctx context.Context, w watch.Query) (*watch.Data, error) {
	v := url.Values{}
	for name := range q.values {
		v.Set(name, q.values.Get(name))
	}
	if len(w.Narrow) > 0 {
		var args []string
		if query := v.Get("query"); query != "" {
			args = append(args, query)
		}
		for _, p := range w.Narrow {
			args = append(args, "{"+p.Name+"="+strconv.Quote(p.Value)+"}")
		}
		query, err := selector("", args)
		if err != nil {
			return nil, err
		}
		v.Set("query", query)
	}
	d := &watch.Data{Group: w.Group, Selector: v.Get("query")}
	const most = "500"
	if w.Group == "function" {
		v.Set("limit", most)
		v.Set("sort", w.Sort)
		var answer client.Top
		if _, err := q.client.JSON(ctx, "top", v, &answer); err != nil {
			return nil, err
		}
		tree.SortTop(answer.Rows, w.Sort == "self")
		d.Summary, d.Rows = answer.Summary, answer.Rows
		return d, nil
	}
	if _, err := q.client.JSON(ctx, "totals", v, &d.Summary); err != nil {
		return nil, err
	}
	v.Set("limit", most)
	var answer client.Values
	if _, err := q.client.JSON(ctx, "labels/"+w.Group+"/values", v, &answer); err != nil {
		return nil, err
	}
	for _, value := range answer.Values {
		d.Rows = append(d.Rows, client.Function{Name: value.Value, Self: value.Sum, Total: value.Sum})
	}
	return d, nil
}

// watchPlain prints a table for each answer.
func (q *question) watchPlain(m *watch.Model, o watchOptions) error {
	for n := 1; ; n++ {
		d, err := q.watched(q.in.ctx, m.Query)
		if q.in.ctx.Err() != nil {
			return nil // as in the wait below
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(q.out, "%s  ", time.Now().Format("15:04:05")); err != nil {
			return err
		}
		if err := printSummary(q.out, &d.Summary); err != nil {
			return err
		}
		if d.Group == "function" {
			t := client.Top{Summary: d.Summary, Rows: d.Rows[:min(len(d.Rows), max(o.rows, 1))]}
			err = printTop(q.out, &t, m.Sort)
		} else {
			rows := make([][]render.Cell, min(len(d.Rows), max(o.rows, 1)))
			for i := range rows {
				r := &d.Rows[i]
				rows[i] = []render.Cell{render.Plain(render.Value(d.Summary.Unit, r.Self)), render.Plain(render.Percent(r.Self, d.Summary.Total)), render.Plain(r.Name)}
			}
			err = render.Table(q.out, []render.Column{{Title: "sum", Right: true}, {Right: true}, {Title: d.Group, Flex: true}}, rows)
		}
		if err != nil || n == o.count {
			return err
		}
		if _, err := fmt.Fprintln(q.out); err != nil {
			return err
		}
		select {
		case <-q.in.ctx.Done():
			return nil
		case <-time.After(o.interval):
		}
	}
}
