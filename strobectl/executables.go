// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"flag"
	"fmt"
	"strconv"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

func executablesCommand() *command {
	return &command{
		name:     "executables",
		operands: "[LABEL=VALUE...]",
		summary:  "List programs and libraries, and whether their functions have names.",
		help: `
Unnamed is what was taken while code without a name was on the stack: so much gains
from symbols. Named counts the places in a file that were seen and have a name.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `rows`, 1 to 100000")
			sort := flags.String("sort", "unnamed", "what comes first: the largest `unnamed`, value or self")
			return func(in *call) error {
				if err := a.tableOrJSON(); err != nil {
					return err
				}
				if *sort != "unnamed" && *sort != "value" && *sort != "self" {
					return misuse("-sort: %q is not known: expected unnamed, value or self", *sort)
				}
				q, err := a.question(in)
				if err != nil {
					return err
				}
				q.values.Set("limit", strconv.Itoa(a.limit))
				q.values.Set("sort", *sort)
				var answer client.Executables
				if done, err := q.get("executables", &answer); done || err != nil {
					return err
				}
				if answer.Total == 0 {
					return q.nothing()
				}
				if err := printSummary(q.out, &answer.Summary); err != nil {
					return err
				}
				if _, err := fmt.Fprintln(q.out); err != nil {
					return err
				}
				return printExecutables(q.out, &answer)
			}
		},
	}
}

func printExecutables(o *term.Out, t *client.Executables) error {
	rows := make([][]render.Cell, len(t.Executables))
	for i, e := range t.Executables {
		unnamed := render.Plain("")
		if e.Unnamed > 0 {
			unnamed = render.Cell{Text: render.Value(t.Unit, e.Unnamed), Style: term.Style{FG: term.Worse}}
		}
		rows[i] = []render.Cell{
			unnamed, render.Plain(fmt.Sprintf("%d of %d", e.NamedFrames, e.Frames)),
			render.Plain(render.Value(t.Unit, e.Self)), render.Plain(render.Value(t.Unit, e.Value)),
			render.Plain(cmp.Or(e.Runtime, e.Kind)), render.Plain(e.BuildID),
			{Text: cmp.Or(e.Name, e.Path, e.FileID), Style: term.Style{Bold: true}},
		}
	}
	if err := render.Table(o, []render.Column{
		{Title: "unnamed", Right: true}, {Title: "named", Right: true}, {Title: "self", Right: true}, {Title: "on stack", Right: true},
		{Title: "kind"}, {Title: "build ID", Flex: true}, {Title: "file", Flex: true},
	}, rows); err != nil {
		return err
	}
	if t.UnnamedElsewhere > 0 {
		if err := faint(o, "%s has code without a name that is in no file", render.Value(t.Unit, t.UnnamedElsewhere)); err != nil {
			return err
		}
	}
	if t.Hidden > 0 {
		return faint(o, "%s more; -limit shows more", render.Count(int64(t.Hidden)))
	}
	return nil
}
