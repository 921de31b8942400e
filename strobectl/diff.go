// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// diffFlags are those of diff alone.
type diffFlags struct {
	baseQuery, baseFrom, baseTo, base string
	normalize                         bool
	sort, failOver                    string
	limit                             float64
}

func diffCommand() *command {
	return &command{
		name:     "diff",
		operands: "[LABEL=VALUE...]",
		summary:  "Compare two selections, or a file with one: what grew most comes first.",
		help: `
Without a base it compares with as long a range right before. The base is another
range (-base-from, -base-to), another selection (-base-query), or a file (-base,
which -file compares with another file). -normalize compares shares, as is best
where the ranges, the load or the number of hosts differ.

-fail-over 5% is for builds: the status is 3 if the share of a function has grown
by more than 5 points, or, without -normalize, what all takes per second by more
than 5 percent.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a, d := &ask{}, &diffFlags{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			a.out(flags, "table, json, or a file that ends in .svg or .html")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `rows`, those that changed most")
			flags.StringVar(&a.file, "file", "", "`file` to compare with -base, instead of asking a server")
			flags.StringVar(&d.base, "base", "", "`file` that is the base")
			flags.StringVar(&d.baseQuery, "base-query", "", "`selector` of the base (default that of the selection)")
			flags.StringVar(&d.baseFrom, "base-from", "", "start of the base, a `time`")
			flags.StringVar(&d.baseTo, "base-to", "", "end of the base, a `time`")
			flags.BoolVar(&d.normalize, "normalize", false, "scale the base to the same total")
			flags.StringVar(&d.sort, "sort", "self", "growth of what: `self` or total")
			flags.StringVar(&d.failOver, "fail-over", "", "most growth before the status is 3, a `share`")
			return func(in *call) error { return runDiff(in, a, d) }
		},
	}
}

// comparison is two profiles, however they were found.
type comparison struct {
	unit        string
	total, base int64
	baseUnit    string
	// span and baseSpan are the lengths of the ranges, 0 if they are not known.
	span, baseSpan int64
	scale          float64
	rows           []client.Function
	hidden         int // rows that the server did not send
	tree           *tree.Tree
}

func runDiff(in *call, a *ask, d *diffFlags) error {
	format, name, err := picture(a.output)
	if err != nil {
		return err
	}
	if d.sort != "self" && d.sort != "total" {
		return misuse("-sort: %q is not known: expected self or total", d.sort)
	}
	if d.failOver != "" {
		if d.limit, err = share(d.failOver); err != nil {
			return misuse("-fail-over: %v", err)
		}
	}
	if a.file != "" && d.base == "" {
		return misuse("-file needs the file to compare with: -base FILE")
	}
	if d.base != "" && (d.baseFrom != "" || d.baseTo != "" || d.baseQuery != "") {
		return misuse("-base is a file: -base-from, -base-to and -base-query are for a server")
	}
	var c *comparison
	out, err := a.terminal(in)
	if err != nil {
		return err
	}
	if d.base != "" {
		c, err = compareFile(in, a, d)
	} else {
		c, err = compareRanges(in, a, d, out)
	}
	if c == nil || err != nil {
		return err
	}
	switch {
	case format != "":
		if c.tree == nil {
			return misuse("-o %s is for two selections of a server; files are compared as a table", a.output)
		}
		err = writeTo(in, name, func(w io.Writer) error {
			return files.WriteTree(w, format, c.tree, render.About{Title: title(a, in), Text: c.text(d)})
		})
	case a.asJSON():
		if d.base != "" {
			err = printJSON(in.stdout, map[string]any{
				"unit": c.unit, "base_unit": c.baseUnit, "total": c.total, "base_total": c.base, "scale": c.scale,
				"rows": most(c.rows, a.limit), "hidden": max(len(c.rows)-a.limit, 0),
			})
		}
	default:
		err = c.print(out, d, a.limit)
	}
	if err != nil || d.failOver == "" {
		return err
	}
	return c.verdict(in, d)
}

// compareRanges asks the server.
func compareRanges(in *call, a *ask, d *diffFlags, out *term.Out) (*comparison, error) {
	q, err := a.question(in)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"base_query": d.baseQuery, "base_from": ago(d.baseFrom), "base_to": ago(d.baseTo), "sort": d.sort, "limit": strconv.Itoa(a.limit),
	} {
		if value != "" {
			q.values.Set(name, value)
		}
	}
	if d.normalize {
		q.values.Set("normalize", "true")
	}
	if d.failOver != "" {
		q.values.Set("limit", strconv.Itoa(max(a.limit, 10000))) // a share may grow where a value does not
	}
	var answer client.Diff
	done, err := q.get("diff", &answer)
	if err != nil {
		return nil, err
	}
	if answer.Total == 0 && !done {
		if answer.Base.Total == 0 {
			return nil, q.nothing()
		}
		if _, err := fmt.Fprintln(in.stderr, q.nothingFound()); err != nil {
			return nil, err
		}
	}
	t, err := tree.FromAnswer(&answer.FlameGraph)
	if err != nil {
		return nil, err
	}
	c := &comparison{
		unit: answer.Unit, baseUnit: answer.Unit, total: answer.Total, base: answer.Base.Total, scale: answer.Scale, rows: answer.Rows, hidden: answer.Hidden.Rows, tree: t,
		span: answer.ToMs - answer.FromMs, baseSpan: answer.Base.ToMs - answer.Base.FromMs,
	}
	if done || a.output != "" && a.output != "table" && a.output != "text" {
		return c, nil
	}
	if err := printSummary(out, &answer.Summary); err != nil {
		return nil, err
	}
	return c, faint(out, "base: %s", about(&answer.Base))
}

// compareFile compares a file with another, or with a selection of the server.
func compareFile(in *call, a *ask, d *diffFlags) (*comparison, error) {
	data, err := readInput(in, d.base)
	if err != nil {
		return nil, err
	}
	base, err := files.Read(data, a.typ)
	if err != nil && a.file == "" && a.typ != "" {
		base, err = files.Read(data, "") // the file has names of its own
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.base, err)
	}
	output := a.output
	a.output = "" // here the answer is not the server's
	now, _, err := a.tree(in, "", true)
	a.output = output
	if now == nil || err != nil {
		return nil, err
	}
	c := &comparison{unit: now.Unit, baseUnit: base.Unit, total: now.Root.Total, base: base.Root.Total, scale: 1}
	if base.Unit != now.Unit {
		// Samples and seconds are compared by what they are of the whole.
		d.normalize = true
	}
	if d.normalize && base.Root.Total != 0 {
		c.scale = float64(now.Root.Total) / float64(base.Root.Total)
	}
	c.rows = joinRows(now.Top(true), base.Top(true), c.scale, d.sort)
	return c, nil
}

// joinRows compares two tables by the names of functions: files know different things
// of the rest.
func joinRows(now, base []client.Function, scale float64, by string) []client.Function {
	index := map[string]*client.Function{}
	var order []*client.Function
	add := func(r client.Function) *client.Function {
		// Folded stacks cannot hold a semicolon.
		name := strings.ReplaceAll(r.Name, ";", ":")
		f := index[name]
		if f == nil {
			f = &client.Function{Name: r.Name, File: r.File, Binary: r.Binary, Kind: r.Kind}
			index[name] = f
			order = append(order, f)
		}
		return f
	}
	for _, r := range now {
		f := add(r)
		f.Self, f.Total = f.Self+r.Self, f.Total+r.Total
	}
	for _, r := range base {
		f := add(r)
		f.BaseSelf, f.BaseTotal = f.BaseSelf+r.Self, f.BaseTotal+r.Total
	}
	rows := make([]client.Function, len(order))
	for i, f := range order {
		value, before := f.Self, f.BaseSelf
		if by == "total" {
			value, before = f.Total, f.BaseTotal
		}
		f.Growth = value - int64(math.Round(float64(before)*scale))
		rows[i] = *f
	}
	slices.SortStableFunc(rows, func(x, y client.Function) int {
		return cmp.Or(cmp.Compare(y.Growth, x.Growth), cmp.Compare(x.Name, y.Name))
	})
	return rows
}

// most keeps the rows that changed most, in their order.
func most(rows []client.Function, n int) []client.Function {
	if n = max(n, 0); len(rows) <= n {
		return rows
	}
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	size := func(i int) int64 { return max(rows[i].Growth, -rows[i].Growth) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	order = order[:n]
	slices.Sort(order)
	out := make([]client.Function, n)
	for i, at := range order {
		out[i] = rows[at]
	}
	return out
}

// of returns what is compared of a function, and its shares in points.
func (c *comparison) of(r *client.Function, by string) (before, now int64, points float64) {
	before, now = r.BaseSelf, r.Self
	if by == "total" {
		before, now = r.BaseTotal, r.Total
	}
	if c.total != 0 {
		points += 100 * float64(now) / float64(c.total)
	}
	if c.base != 0 {
		points -= 100 * float64(before) / float64(c.base)
	}
	return before, now, points
}

// growth is how much more all takes: per second where the ranges are known. It is
// infinite from nothing.
func (c *comparison) growth() float64 {
	now, before := float64(c.total), float64(c.base)
	if c.span > 0 && c.baseSpan > 0 {
		now, before = now/float64(c.span), before/float64(c.baseSpan)
	}
	if before == 0 {
		if now == 0 {
			return 0
		}
		return math.Inf(1)
	}
	return now/before - 1
}

func signed(percent float64, unit string) string {
	if math.IsInf(percent, 1) {
		return "new"
	}
	return fmt.Sprintf("%+.1f%s", percent, unit)
}

// text is a line about all.
func (c *comparison) text(d *diffFlags) string {
	text := fmt.Sprintf("%s, before %s", render.Value(c.unit, c.total), render.Value(c.baseUnit, c.base))
	if c.unit != c.baseUnit {
		return text + " of another unit; compared by share"
	}
	text += ": " + signed(100*c.growth(), "%")
	if c.span > 0 && c.baseSpan > 0 && c.span != c.baseSpan {
		text += " per second"
	}
	if d.normalize {
		text += "; compared by share"
	}
	return text
}

func (c *comparison) print(o *term.Out, d *diffFlags, limit int) error {
	colour := func(grew float64) term.Style {
		switch {
		case grew > 0:
			return term.Style{FG: term.Worse}
		case grew < 0:
			return term.Style{FG: term.Better}
		}
		return term.Style{}
	}
	if _, err := fmt.Fprintf(o, "%s\n\n", o.Paint(colour(c.growth()), c.text(d))); err != nil {
		return err
	}
	shown := most(c.rows, limit)
	rows := make([][]render.Cell, 0, len(shown))
	for i := range shown {
		r := &shown[i]
		before, now, points := c.of(r, d.sort)
		if before == 0 && now == 0 {
			continue
		}
		grew := colour(float64(r.Growth))
		growth := render.Value(c.unit, r.Growth)
		if r.Growth > 0 {
			growth = "+" + growth
		}
		row := []render.Cell{{Text: signed(points, ""), Style: colour(points)}}
		if d.normalize {
			row = append(row, render.Plain(render.Percent(before, c.base)), render.Plain(render.Percent(now, c.total)))
		} else {
			row = append(row, render.Cell{Text: growth, Style: grew}, render.Plain(render.Value(c.unit, before)), render.Plain(render.Value(c.unit, now)))
		}
		rows = append(rows, append(row, render.Cell{Text: r.Name, Style: grew}, render.Cell{Text: r.Binary, Style: term.Style{Faint: true}}))
	}
	columns := []render.Column{{Title: "points", Right: true}}
	if !d.normalize {
		columns = append(columns, render.Column{Title: "growth", Right: true})
	}
	err := render.Table(o, append(columns, render.Column{Title: "before", Right: true}, render.Column{Title: "now", Right: true},
		render.Column{Title: "function, by " + d.sort, Function: true}, render.Column{Title: "binary", Flex: true}), rows)
	if hidden := c.hidden + len(c.rows) - len(shown); err == nil && hidden > 0 {
		err = faint(o, "%s functions changed less; -limit shows more", render.Count(int64(hidden)))
	}
	return err
}

// verdict is what -fail-over says.
func (c *comparison) verdict(in *call, d *diffFlags) error {
	failed := false
	fail := func(format string, args ...any) {
		failed = true
		_, _ = fmt.Fprintf(in.stderr, "over %s: "+format+"\n", append([]any{d.failOver}, args...)...) // the status says it, too
	}
	if g := c.growth(); !d.normalize && g > d.limit {
		fail("everything: %s", signed(100*g, "%"))
	}
	const most = 20
	n := 0
	for i := range c.rows {
		if _, _, points := c.of(&c.rows[i], d.sort); points > 100*d.limit {
			if n++; n <= most {
				fail("%s: %s points", term.Clean(c.rows[i].Name), signed(points, ""))
			}
		}
	}
	if n > most {
		fail("and %d more functions", n-most)
	}
	if failed {
		return statusError(exitGrew)
	}
	return nil
}
