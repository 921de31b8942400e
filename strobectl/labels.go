// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

func labelsCommand() *command {
	return &command{
		name:     "labels",
		operands: "[NAME] [LABEL=VALUE...]",
		summary:  "List labels, or the values of one with what they took.",
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-1h")
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", 50, "most `values`, 1 to 100000")
			prefix := flags.String("prefix", "", "only values that `start` with it")
			return func(in *call) error {
				if err := a.tableOrJSON(); err != nil {
					return err
				}
				name := ""
				if len(in.args) > 0 && !strings.ContainsAny(in.args[0], "={") {
					name, in.args = in.args[0], in.args[1:]
				}
				q, err := a.question(in)
				if err != nil {
					return err
				}
				if name == "" {
					return q.labels()
				}
				q.values.Set("limit", strconv.Itoa(a.limit))
				if *prefix != "" {
					q.values.Set("prefix", *prefix)
				}
				return q.labelValues(name)
			}
		},
	}
}

// labels lists the labels with some of their values.
func (q *question) labels() error {
	q.values.Del("frames") // labels are of samples, whatever their stacks
	q.values.Del("hide")
	var answer client.Labels
	if done, err := q.get("labels", &answer); done || err != nil {
		return err
	}
	if len(answer.Labels) == 0 {
		return q.nothing()
	}
	rows := make([][]render.Cell, len(answer.Labels))
	var wait sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, l := range answer.Labels {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			rows[i] = []render.Cell{{Text: l.Name, Style: term.Style{Bold: true}}, render.Plain(""), render.Plain("")}
			v := url.Values{}
			for name := range q.values {
				v.Set(name, q.values.Get(name))
			}
			const some = 5
			v.Set("limit", strconv.Itoa(some))
			var values client.Values
			if _, err := q.client.JSON(q.in.ctx, "labels/"+url.PathEscape(l.Name)+"/values", v, &values); err != nil {
				return // the list is of names
			}
			var texts []string
			for _, value := range values.Values {
				texts = append(texts, value.Value)
			}
			if values.Hidden > 0 {
				texts = append(texts, "…")
			}
			rows[i][1].Text = render.Count(int64(len(values.Values) + values.Hidden))
			rows[i][2].Text = strings.Join(texts, ", ")
		})
	}
	wait.Wait()
	return render.Table(q.out, []render.Column{{Title: "label"}, {Title: "values", Right: true}, {Title: "those with the most", Flex: true}}, rows)
}

func (q *question) labelValues(name string) error {
	var answer client.Values
	if done, err := q.get("labels/"+url.PathEscape(name)+"/values", &answer); done || err != nil {
		return err
	}
	if len(answer.Values) == 0 {
		query := "{" + name + "=\"?\"}" // so that the name is looked up
		q.values.Set("query", query)
		return q.nothing()
	}
	var types client.Status
	unit := "nanoseconds"
	typ := q.values.Get("type")
	if typ != "" {
		if _, err := q.client.JSON(q.in.ctx, "status", nil, &types); err == nil {
			for _, t := range types.Types {
				if t.Type == typ {
					unit = t.Unit
				}
			}
		}
	}
	sum := int64(0)
	for _, v := range answer.Values {
		sum += v.Sum
	}
	rows := make([][]render.Cell, len(answer.Values))
	for i, v := range answer.Values {
		text := v.Value
		if text == "" {
			text = "(none)"
		}
		share := render.Cell{Text: render.Percent(v.Sum, sum), Style: heat(v.Sum, sum)}
		if answer.Hidden > 0 {
			share = render.Plain("")
		}
		rows[i] = []render.Cell{render.Plain(render.Value(unit, v.Sum)), share, render.Plain(render.Count(v.Samples)), render.Plain(text)}
	}
	if err := render.Table(q.out, []render.Column{
		{Title: "sum", Right: true}, {Title: "", Right: true}, {Title: "samples", Right: true}, {Title: name, Flex: true},
	}, rows); err != nil {
		return err
	}
	if answer.Hidden > 0 {
		return faint(q.out, "%s more; -limit shows more", render.Count(int64(answer.Hidden)))
	}
	return nil
}

func typesCommand() *command {
	return &command{
		name:    "types",
		summary: "List the types of samples that there are.",
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.times(flags, "now-1h")
			a.out(flags, "table or json")
			return func(in *call) error {
				if err := noOperands(in, a); err != nil {
					return err
				}
				q, err := a.questionWith(in, url.Values{"from": {ago(a.from)}, "to": {ago(a.to)}})
				if err != nil {
					return err
				}
				var answer client.Types
				if done, err := q.get("types", &answer); done || err != nil {
					return err
				}
				if len(answer.Types) == 0 {
					return q.nothing()
				}
				rows := make([][]render.Cell, len(answer.Types))
				for i, t := range answer.Types {
					rows[i] = []render.Cell{
						{Text: t.Type, Style: term.Style{Bold: true}}, render.Plain(render.Value(t.Unit, t.Sum)), render.Plain(render.Count(t.Samples)), render.Plain(t.Unit),
					}
				}
				return render.Table(q.out, []render.Column{{Title: "type"}, {Title: "sum", Right: true}, {Title: "samples", Right: true}, {Title: "unit"}}, rows)
			}
		},
	}
}

func noOperands(in *call, a *ask) error {
	if len(in.args) > 0 {
		return misuse("unexpected argument %q", in.args[0])
	}
	if a == nil {
		return nil
	}
	return a.tableOrJSON()
}

// sumOf adds numbers with names: "queue_full 21, too_old 30".
func sumOf(reasons map[string]int64) (sum int64, text string) {
	var parts []string
	for _, name := range sortedKeys(reasons) {
		sum += reasons[name]
		parts = append(parts, fmt.Sprintf("%s %s", term.Clean(name), render.Count(reasons[name])))
	}
	return sum, strings.Join(parts, ", ")
}
