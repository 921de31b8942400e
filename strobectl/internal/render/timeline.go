// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// seriesColours are told apart by people who see few colours, too.
var seriesColours = []*term.Colour{
	{R: 86, G: 156, B: 232, Basic: 12}, {R: 236, G: 156, B: 52, Basic: 11}, {R: 62, G: 180, B: 140, Basic: 10},
	{R: 222, G: 98, B: 92, Basic: 9}, {R: 170, G: 132, B: 220, Basic: 13}, {R: 96, G: 200, B: 216, Basic: 14},
	{R: 208, G: 188, B: 80, Basic: 3}, {R: 232, G: 142, B: 184, Basic: 5}, {R: 150, G: 180, B: 96, Basic: 2},
	{R: 128, G: 140, B: 168, Basic: 4}, {R: 150, G: 150, B: 150, Basic: 8},
}

// squeeze sums values into at most so many columns; per is how many values one holds.
func squeeze(values []int64, columns int) (out []int64, per int) {
	per = max(1, (len(values)+columns-1)/columns)
	for i := 0; i < len(values); i += per {
		sum := int64(0)
		for _, v := range values[i:min(i+per, len(values))] {
			sum += v
		}
		out = append(out, sum)
	}
	return out, per
}

// repeat returns each value so many times.
func repeat(values []int64, times int) []int64 {
	out := make([]int64, 0, len(values)*times)
	for _, v := range values {
		for range times {
			out = append(out, v)
		}
	}
	return out
}

// Spark returns values as blocks, the largest of most as a full one.
func Spark(o *term.Out, values []int64, most int64) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	if !o.Unicode {
		blocks = []rune("_.-=+*%#")
	}
	var b strings.Builder
	for _, v := range values {
		if v <= 0 || most <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(blocks[min(int(float64(v)/float64(most)*float64(len(blocks))), len(blocks)-1)])
	}
	return b.String()
}

// chartHeight is in rows, each of which shows two steps of a value.
const chartHeight = 10

// axisWidth is for the numbers left of a chart.
const axisWidth = 10

// Timeline prints values over time: stacked where there are colours, and a line for
// each series.
func Timeline(o *term.Out, t *client.Timeline, location *time.Location) error {
	var b strings.Builder
	columns := o.Width - axisWidth
	rate := func(v int64, per int) string {
		if t.Unit == "nanoseconds" && t.StepMs > 0 {
			return digits(float64(v)/float64(t.StepMs*int64(per))/1e6) + " CPU"
		}
		return Value(t.Unit, v)
	}
	if t.Unit == "nanoseconds" && t.Type != "on_cpu" {
		cpus := rate
		rate = func(v int64, per int) string { return strings.TrimSuffix(cpus(v, per), " CPU") }
	}
	var sums []int64
	series := make([][]int64, len(t.Series))
	per, most := 1, int64(0)
	for i, s := range t.Series {
		series[i], per = squeeze(s.Values, columns)
		if sums == nil {
			sums = make([]int64, len(series[i]))
		}
		for j, v := range series[i] {
			if j < len(sums) {
				sums[j] += v
			}
		}
	}
	for _, v := range sums {
		most = max(most, v)
	}
	// Few steps are drawn wide.
	stretch := 1
	if len(sums) > 0 {
		stretch = min(max(columns/len(sums), 1), 12)
	}
	sums = repeat(sums, stretch)
	for i := range series {
		series[i] = repeat(series[i], stretch)
	}
	if o.Colour != term.NoColour && o.Unicode {
		stacked(o, &b, series, sums, most, func(v int64) string { return rate(v, per) })
	} else {
		b.WriteString(term.PadLeft(rate(most, per), axisWidth-1) + " " + Spark(o, sums, most) + "\n")
	}
	b.WriteString(axis(o, t, len(sums), float64(per)/float64(stretch), location))
	width := 0
	for _, s := range t.Series {
		width = max(width, min(term.Width(term.Clean(s.Name)), 32))
	}
	sparks := min(max(o.Width-width-34, 8), 60)
	b.WriteString("\n")
	for i, s := range t.Series {
		sum := int64(0)
		for _, v := range s.Values {
			sum += v
		}
		values, n := squeeze(s.Values, sparks)
		top := int64(0)
		for _, v := range values {
			top = max(top, v)
		}
		mark := ""
		if o.Colour != term.NoColour && o.Unicode {
			mark = o.Paint(term.Style{FG: seriesColour(i)}, "■") + " "
		}
		name := term.Clean(s.Name)
		if name == "" {
			name = "(no " + term.Clean(t.By) + ")"
		}
		b.WriteString(mark + term.Pad(o.Fit(name, width), width) + term.PadLeft(Percent(sum, t.Total), 8) +
			term.PadLeft(Value(t.Unit, sum), 10) + term.PadLeft(rate(top, n), 10) + " " +
			o.Paint(term.Style{FG: seriesColour(i)}, Spark(o, values, top)) + "\n")
	}
	_, err := io.WriteString(o, strings.ReplaceAll(b.String(), " \n", "\n"))
	return err
}

func seriesColour(i int) *term.Colour { return seriesColours[i%len(seriesColours)] }

// stacked draws series on top of each other, the largest at the bottom. A row of text
// is two rows of the chart: a half block in front of the other half's colour.
func stacked(o *term.Out, b *strings.Builder, series [][]int64, sums []int64, most int64, value func(int64) string) {
	// at returns the series that is at a height of a column, nil above them.
	at := func(column, height int) *term.Colour {
		level := (float64(height) + 0.5) / (2 * chartHeight) * float64(most)
		sum := 0.0
		for i, s := range series {
			if column < len(s) {
				sum += float64(s[column])
			}
			if level < sum {
				return seriesColour(i)
			}
		}
		return nil
	}
	for row := chartHeight - 1; row >= 0; row-- {
		label := ""
		switch row {
		case chartHeight - 1:
			label = value(most)
		case chartHeight / 2:
			label = value(most / 2)
		}
		b.WriteString(o.Paint(term.Style{Faint: true}, term.PadLeft(label, axisWidth-1)) + " ")
		for column := range sums {
			upper, lower := at(column, 2*row+1), at(column, 2*row)
			switch {
			case lower == nil:
				b.WriteByte(' ')
			case upper == nil:
				b.WriteString(o.Paint(term.Style{FG: lower}, "▄"))
			default:
				b.WriteString(o.Paint(term.Style{FG: upper, BG: lower}, "▀"))
			}
		}
		b.WriteByte('\n')
	}
}

// axis prints the times below a chart.
func axis(o *term.Out, t *client.Timeline, columns int, per float64, location *time.Location) string {
	layout := "15:04:05"
	if span := t.ToMs - t.FromMs; span >= 2*24*time.Hour.Milliseconds() {
		layout = "01-02 15:04"
	} else if span >= 2*time.Hour.Milliseconds() {
		layout = "15:04"
	}
	line := ""
	for column := 0; column < columns; column += max(len(layout)+8, columns/6) {
		at := time.UnixMilli(t.FromMs + int64(float64(column)*per*float64(t.StepMs))).In(location).Format(layout)
		if column+len(at)+1 > max(columns, 12) {
			break
		}
		mark := "└"
		if !o.Unicode {
			mark = "|"
		}
		line = term.Pad(line, column) + mark + at
	}
	return strings.Repeat(" ", axisWidth) + o.Paint(term.Style{Faint: true}, line) + "\n"
}
