// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"strconv"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

const defaultRows = 25

func topCommand() *command {
	return &command{
		name:     "top",
		operands: "[LABEL=VALUE...]",
		summary:  "List the functions that take the most.",
		help: `
Self is what a function took itself, total what it took with all it called. With
-file it reads a profile from a file (pprof, folded, speedscope, OTLP) instead of
asking a server. -watch shows it anew all the time: see strobectl watch top -help.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			a.out(flags, "table or json")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `rows`, 1 to 100000")
			flags.StringVar(&a.file, "file", "", "`file` to read instead of asking a server")
			sort := flags.String("sort", "self", "what comes first: the largest `self` or total")
			watch := flags.Bool("watch", false, "show it anew all the time")
			return func(in *call) error {
				if err := a.tableOrJSON(); err != nil {
					return err
				}
				if *sort != "self" && *sort != "total" {
					return misuse("-sort: %q is not known: expected self or total", *sort)
				}
				if *watch {
					if a.file != "" {
						return misuse("-watch is for a server, -file for a file")
					}
					return watchTop(in, a, watchOptions{interval: watchInterval, sort: *sort, rows: a.limit})
				}
				if a.file != "" {
					return a.topOfFile(in, *sort)
				}
				q, err := a.question(in)
				if err != nil {
					return err
				}
				q.values.Set("limit", strconv.Itoa(a.limit))
				q.values.Set("sort", *sort)
				var answer client.Top
				if done, err := q.get("top", &answer); done || err != nil {
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
				return printTop(q.out, &answer, *sort)
			}
		},
	}
}

// nothing prints why there is nothing to show. It is an answer, not an error.
func (q *question) nothing() error {
	_, err := fmt.Fprintln(q.in.stderr, q.nothingFound())
	return err
}

// topOfFile is top of a file.
func (a *ask) topOfFile(in *call, sort string) error {
	if len(in.args) > 0 {
		return misuse("%q selects samples of a server; a file is shown as a whole", in.args[0])
	}
	out, err := a.terminal(in)
	if err != nil {
		return err
	}
	data, err := readInput(in, a.file)
	if err != nil {
		return err
	}
	t, err := files.Read(data, a.typ)
	if err != nil {
		return fmt.Errorf("%s: %w", a.file, err)
	}
	answer := topOf(t, a.limit, sort)
	if a.asJSON() {
		return printJSON(in.stdout, map[string]any{
			"type": answer.Type, "unit": answer.Unit, "total": answer.Total, "rows": answer.Rows, "hidden": answer.Hidden,
		})
	}
	if _, err := fmt.Fprintf(out, "%s %s in %s\n\n", term.Clean(t.Type), render.Value(t.Unit, t.Root.Total), a.file); err != nil {
		return err
	}
	return printTop(out, answer, sort)
}

// topOf returns the table of a tree.
func topOf(t *tree.Tree, limit int, sort string) *client.Top {
	rows := t.Top(sort == "self")
	limit = max(limit, 1)
	answer := &client.Top{Rows: rows[:min(len(rows), limit)], Hidden: max(len(rows)-limit, 0)}
	answer.Type, answer.Unit, answer.Total = t.Type, t.Unit, t.Root.Total
	return answer
}

// readInput reads a file, or the standard input for -.
func readInput(in *call, name string) ([]byte, error) { return readFile(in, name, maxFile) }

// maxFile bounds what is read of a file.
const maxFile = 1 << 30

// heat is the style of a share of the whole.
func heat(part, whole int64) term.Style {
	switch share := float64(part) / float64(max(whole, 1)); {
	case share >= 0.1:
		return term.Style{Bold: true, FG: term.Worse}
	case share >= 0.02:
		return term.Style{FG: term.Warn}
	}
	return term.Style{}
}

func printTop(o *term.Out, t *client.Top, sort string) error {
	columns := []render.Column{
		{Title: "self", Right: true}, {Title: "", Right: true}, {Title: "total", Right: true}, {Title: "", Right: true},
	}
	const bar = 10
	bars := o.TTY && o.Width >= 90
	if bars {
		columns = append(columns, render.Column{})
	}
	columns = append(columns, render.Column{Title: "function", Function: true}, render.Column{Title: "binary", Flex: true})
	rows := make([][]render.Cell, len(t.Rows))
	for i, r := range t.Rows {
		by := r.Self
		if sort == "total" {
			by = r.Total
		}
		row := []render.Cell{
			render.Plain(render.Value(t.Unit, r.Self)), {Text: render.Percent(r.Self, t.Total), Style: heat(r.Self, t.Total)},
			render.Plain(render.Value(t.Unit, r.Total)), {Text: render.Percent(r.Total, t.Total), Style: heat(r.Total, t.Total)},
		}
		if bars {
			first := t.Rows[0].Self
			if sort == "total" {
				first = t.Rows[0].Total
			}
			row = append(row, render.Cell{
				Text:  term.Pad(o.Bar(float64(by)/float64(max(first, 1)), bar), bar),
				Style: term.Style{FG: term.Accent},
			})
		}
		rows[i] = append(row, render.Plain(r.Name), render.Cell{Text: r.Binary, Style: term.Style{Faint: true}})
	}
	if err := render.Table(o, columns, rows); err != nil {
		return err
	}
	if t.Hidden > 0 {
		return faint(o, "%s more; -limit %d shows more", render.Count(int64(t.Hidden)), min(4*len(t.Rows), 100000))
	}
	return nil
}
