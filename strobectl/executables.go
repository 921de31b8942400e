// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
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
)

func executablesCommand() *command {
	return &command{
		name:     "executables",
		operands: "[LABEL=VALUE...]",
		summary:  "List programs and libraries, and how many of their functions have a name.",
		help: `
Total is what ran in a file or was called by it, named the share of its levels with
a name, lines the share of the places seen with a source line. -sort unnamed begins
with the files whose symbols would tell most.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `rows`, 1 to 100000")
			sort := flags.String("sort", "total", "what comes first: the largest `self`, total or unnamed")
			return func(in *call) error {
				by, ok := map[string]string{"self": "self", "total": "value", "unnamed": "unnamed"}[*sort]
				if !ok {
					return misuse("-sort: %q is not known: expected self, total or unnamed", *sort)
				}
				var answer client.Executables
				q, done, err := a.list(in, "executables", url.Values{"sort": {by}}, &answer)
				if done || err != nil {
					return err
				}
				if answer.Total == 0 {
					return q.nothing()
				}
				return q.printExecutables(&answer)
			}
		},
	}
}

// list asks an endpoint that has rows of a selection.
func (a *ask) list(in *call, endpoint string, more url.Values, into any) (q *question, done bool, err error) {
	if err := a.tableOrJSON(); err != nil {
		return nil, false, err
	}
	if q, err = a.question(in); err != nil {
		return nil, false, err
	}
	q.values.Set("limit", strconv.Itoa(a.limit))
	for name := range more {
		q.values.Set(name, more.Get(name))
	}
	done, err = q.get(endpoint, into)
	return q, done, err
}

func (q *question) printExecutables(t *client.Executables) error {
	if err := printSummary(q.out, &t.Summary); err != nil {
		return err
	}
	rows := make([][]render.Cell, len(t.Executables))
	for i := range t.Executables {
		e := &t.Executables[i]
		named := render.Plain(fmt.Sprintf("%.0f%%", 100*e.Symbolized))
		if e.Unnamed > 0 {
			named.Style = heat(e.Unnamed, t.Total)
		}
		kind := e.Kind
		if e.Runtime != "" {
			kind = e.Runtime
		}
		rows[i] = []render.Cell{
			render.Plain(render.Value(t.Unit, e.Self)), {Text: render.Percent(e.Self, t.Total), Style: heat(e.Self, t.Total)},
			render.Plain(render.Value(t.Unit, e.Value)), {Text: render.Percent(e.Value, t.Total), Style: heat(e.Value, t.Total)},
			named, render.Plain(render.Percent(e.LineFrames, e.Frames)), render.Plain(kind),
			{Text: cmp.Or(e.Name, e.Path, "?"), Style: term.Style{Bold: true}}, {Text: cmp.Or(e.BuildID, e.FileID), Style: term.Style{Faint: true}},
		}
	}
	if _, err := fmt.Fprintln(q.out); err != nil {
		return err
	}
	if err := render.Table(q.out, []render.Column{
		{Title: "self", Right: true}, {Right: true}, {Title: "total", Right: true}, {Right: true}, {Title: "named", Right: true}, {Title: "lines", Right: true},
		{Title: "kind"}, {Title: "file", Flex: true}, {Title: "build ID", Flex: true},
	}, rows); err != nil {
		return err
	}
	if t.UnnamedElsewhere > 0 {
		if err := faint(q.out, "%s has code without a name that is in no file, as compilers make it at run time", render.Value(t.Unit, t.UnnamedElsewhere)); err != nil {
			return err
		}
	}
	return q.more(t.Hidden)
}

// more says that a limit cut rows off.
func (q *question) more(hidden int) error {
	if hidden == 0 {
		return nil
	}
	return faint(q.out, "%s more; -limit shows more", render.Count(int64(hidden)))
}

func eventsCommand() *command {
	return &command{
		name:     "events",
		operands: "[LABEL=VALUE...]",
		summary:  "List events of hosts, such as processes killed for want of memory.",
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-1d")
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `events`, 1 to 10000")
			return func(in *call) error {
				if a.typ != "" && a.typ != "event" {
					return misuse("-type: events are samples of the type event")
				}
				a.typ = ""
				var answer client.Events
				q, done, err := a.list(in, "events", nil, &answer)
				if done || err != nil {
					return err
				}
				if len(answer.Events) == 0 {
					q.values.Set("type", "event") // so that the hint is about events
					return q.nothing()
				}
				return q.printEvents(&answer)
			}
		},
	}
}

// told are labels that have a column, or say the same as one that has.
var told = []string{"host", "host_id", "service", "process", "comm", "pid", "tid", "executable", "event.name", "event.title"}

func (q *question) printEvents(t *client.Events) error {
	rows := make([][]render.Cell, len(t.Events))
	for i := range t.Events {
		e := &t.Events[i]
		what := cmp.Or(e.Kind, "event")
		if e.Title != "" && e.Title != e.Kind {
			what += ": " + e.Title
		}
		who := cmp.Or(e.Labels["process"], e.Labels["comm"])
		if pid := e.Labels["pid"]; pid != "" {
			who = strings.TrimSpace(who + " " + pid)
		}
		var rest []string
		for name, value := range e.Labels {
			if !slices.Contains(told, name) {
				rest = append(rest, name+"="+value)
			}
		}
		slices.Sort(rest)
		rows[i] = []render.Cell{
			{Text: time.UnixMilli(e.TimeMs).Local().Format("2006-01-02 15:04:05"), Style: term.Style{Faint: true}},
			render.Plain(render.Count(e.Value)), {Text: what, Style: term.Style{Bold: true}}, render.Plain(cmp.Or(e.Host, e.HostID)),
			render.Plain(e.Labels["service"]), render.Plain(who), {Text: strings.Join(rest, " "), Style: term.Style{Faint: true}},
		}
	}
	if err := render.Table(q.out, []render.Column{
		{Title: "time"}, {Title: "count", Right: true}, {Title: "event", Flex: true}, {Title: "host", Flex: true}, {Title: "service", Flex: true},
		{Title: "process", Flex: true}, {Title: "labels", Flex: true},
	}, rows); err != nil {
		return err
	}
	return q.more(t.Hidden)
}
