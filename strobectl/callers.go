// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/internal/nearest"
	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// functionPattern turns what names a function on the command line into a pattern of
// the server. A name is meant as a whole; *name* is part of one.
func functionPattern(text string) string {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return text
	}
	operator := "="
	head, starts := strings.CutPrefix(text, "*")
	body, ends := strings.CutSuffix(head, "*")
	switch {
	case starts && ends:
		operator, text = "*=", body
	case starts:
		operator, text = "*=", head
	case strings.HasSuffix(text, "*") && len(text) > 1:
		operator, text = "^=", strings.TrimSuffix(text, "*")
	}
	return "{function" + operator + strconv.Quote(text) + "}"
}

// functionCommand is a command about a function.
func functionCommand(c *command, add func(flags *flag.FlagSet) func(q *question, function string) error) *command {
	c.operands = "FUNCTION [LABEL=VALUE...]"
	c.help = strings.TrimSpace(c.help + `

FUNCTION is a name as top shows it, one that it starts with (malloc*), part of one
(*alloc*), or a pattern such as '{function="read",binary*="libc"}'.`)
	c.setup = func(flags *flag.FlagSet) func(*call) error {
		a := &ask{}
		a.connection(flags)
		a.selection(flags, "now-15m")
		a.out(flags, "text or json")
		run := add(flags)
		return func(in *call) error {
			if err := a.tableOrJSON(); err != nil {
				return err
			}
			if len(in.args) == 0 {
				return misuse("expected the name of a function; strobectl top lists those with the most")
			}
			function := in.args[0]
			in.args = in.args[1:]
			q, err := a.question(in)
			if err != nil {
				return err
			}
			q.values.Set("function", functionPattern(function))
			return run(q, function)
		}
	}
	return c
}

func callersCommand() *command {
	return functionCommand(&command{
		name: "callers", summary: "Show who calls a function, and what it calls.",
	}, func(flags *flag.FlagSet) func(*question, string) error {
		show := flags.String("show", "both", "`trees`: callers, callees or both")
		depth := flags.Int("depth", 12, "most `levels` of each tree, 0 for all")
		least := flags.String("min", "1%", "least `share` of the function that a line is printed for")
		return func(q *question, function string) error {
			if !slices.Contains([]string{"both", "callers", "callees"}, *show) {
				return misuse("-show: %q is not known: expected callers, callees or both", *show)
			}
			part, err := share(*least)
			if err != nil {
				return misuse("-min: %v", err)
			}
			var answer client.Sandwich
			if done, err := q.get("sandwich", &answer); done || err != nil {
				return err
			}
			if answer.Function.Value == 0 {
				return q.noFunction(function)
			}
			if err := q.printFunction(&answer.Summary, &answer.Function); err != nil {
				return err
			}
			for _, side := range []struct {
				name, head string
				of         *client.Side
			}{{"callers", "Called by", &answer.Callers}, {"callees", "Calls", &answer.Callees}} {
				if *show != "both" && *show != side.name {
					continue
				}
				t, err := tree.FromSide(&answer, side.of)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(q.out, "\n%s\n", q.out.Paint(term.Style{Bold: true}, side.head)); err != nil {
					return err
				}
				if err := render.CallTree(q.out, t, render.CallTreeOptions{Levels: *depth, Least: part}); err != nil {
					return err
				}
			}
			return nil
		}
	})
}

// printFunction says what a function took.
func (q *question) printFunction(s *client.Summary, m *client.Matched) error {
	if err := printSummary(q.out, s); err != nil {
		return err
	}
	for _, f := range m.Functions[:min(len(m.Functions), 5)] {
		place := strings.Trim(f.File+"  "+f.Binary, " ")
		if err := faint(q.out, "%s  %s", term.Clean(f.Name), term.Clean(place)); err != nil {
			return err
		}
	}
	if more := len(m.Functions) - 5 + m.HiddenFunctions; more > 0 {
		if err := faint(q.out, "and %s", counted(more, "more function")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(q.out, "total %s (%s), self %s (%s)\n", render.Value(s.Unit, m.Value), render.Percent(m.Value, s.Total),
		render.Value(s.Unit, m.Self), render.Percent(m.Self, s.Total))
	return err
}

// noFunction says that a function has no samples, and which others are like it.
func (q *question) noFunction(function string) error {
	q.values.Del("function")
	q.values.Set("limit", "5000")
	var top client.Top
	if _, err := q.client.JSON(q.in.ctx, "top", q.values, &top); err != nil {
		return err
	}
	if top.Total == 0 {
		return q.nothing()
	}
	text := fmt.Sprintf("No samples of %s in this selection.", function)
	var like []string
	var names []string
	for _, r := range top.Rows {
		names = append(names, r.Name)
		if len(like) < 5 && tree.Match(r.Name, strings.ToLower(strings.Trim(function, "*"))) && !slices.Contains(like, r.Name) {
			like = append(like, r.Name)
		}
	}
	if near := nearest.Name(function, names); len(like) == 0 && near != "" {
		like = append(like, near)
	}
	if len(like) > 0 {
		text += " Did you mean " + strings.Join(like, ", ") + "?"
	}
	_, err := fmt.Fprintln(q.in.stderr, term.Clean(text))
	return err
}

func linesCommand() *command {
	return functionCommand(&command{
		name: "lines", summary: "List the source lines of a function, with what each took.",
	}, func(flags *flag.FlagSet) func(*question, string) error {
		limit := flags.Int("limit", 50, "most `lines`, those with the largest totals")
		return func(q *question, function string) error {
			q.values.Set("limit", strconv.Itoa(*limit))
			var answer client.Lines
			if done, err := q.get("lines", &answer); done || err != nil {
				return err
			}
			if answer.Function.Value == 0 {
				return q.noFunction(function)
			}
			if err := q.printFunction(&answer.Summary, &answer.Function); err != nil {
				return err
			}
			slices.SortStableFunc(answer.Lines, func(a, b client.Function) int {
				if a.File != b.File {
					return strings.Compare(a.File, b.File)
				}
				return int(a.Line - b.Line)
			})
			rows := make([][]render.Cell, len(answer.Lines))
			whole := answer.Function.Value
			for i, l := range answer.Lines {
				place := l.File + ":" + strconv.FormatInt(l.Line, 10)
				switch {
				case l.File == "":
					place = l.Name + " (line not known)"
				case l.Line == 0:
					place = l.File + " (line not known)"
				}
				rows[i] = []render.Cell{
					render.Plain(render.Value(answer.Unit, l.Self)), render.Plain(render.Value(answer.Unit, l.Total)),
					{Text: render.Percent(l.Total, whole), Style: heat(l.Total, whole)}, render.Plain(place), {Text: l.Binary, Style: term.Style{Faint: true}},
				}
			}
			if _, err := fmt.Fprintln(q.out); err != nil {
				return err
			}
			return render.Table(q.out, []render.Column{
				{Title: "self", Right: true}, {Title: "total", Right: true}, {Title: "", Right: true}, {Title: "line", Flex: true}, {Title: "binary", Flex: true},
			}, rows)
		}
	})
}
