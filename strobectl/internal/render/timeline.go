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

// resample returns so many values, each the mean of what it covers: values are steps of
// equal width, and so are the columns that they become.
func resample(values []int64, columns int) []int64 {
	if len(values) == 0 || columns <= 0 {
		return nil
	}
	out := make([]int64, columns)
	scale := float64(len(values)) / float64(columns)
	for i := range out {
		from, to := float64(i)*scale, float64(i+1)*scale
		sum := 0.0
		for j := int(from); j < len(values) && float64(j) < to; j++ {
			sum += float64(values[j]) * (min(to, float64(j+1)) - max(from, float64(j)))
		}
		out[i] = int64(sum/scale + 0.5)
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
	columns := max(o.Width-axisWidth, 10)
	rate := func(v int64) string {
		if t.Unit != "nanoseconds" || t.StepMs <= 0 {
			return Value(t.Unit, v)
		}
		text := digits(float64(v) / float64(t.StepMs) / 1e6)
		if t.Type == "on_cpu" {
			text += " CPU"
		}
		return text
	}
	sums := make([]int64, columns)
	series := make([][]int64, len(t.Series))
	most := int64(0)
	for i, s := range t.Series {
		series[i] = resample(s.Values, columns)
		for j, v := range series[i] {
			sums[j] += v
		}
	}
	for _, v := range sums {
		most = max(most, v)
	}
	if o.Colour != term.NoColour && o.Unicode {
		stacked(o, &b, t, series, sums, most, rate)
	} else {
		b.WriteString(term.PadLeft(rate(most), axisWidth-1) + " " + Spark(o, sums, most) + "\n")
	}
	b.WriteString(axis(o, t, columns, location))
	width := 0
	for _, s := range t.Series {
		width = max(width, min(term.Width(seriesName(t, s.Name)), 32))
	}
	sparks := min(max(o.Width-width-34, 8), 60)
	b.WriteString("\n")
	for i, s := range t.Series {
		sum := int64(0)
		for _, v := range s.Values {
			sum += v
		}
		top := int64(0)
		for _, v := range s.Values {
			top = max(top, v)
		}
		values := resample(s.Values, sparks)
		high := int64(0)
		for _, v := range values {
			high = max(high, v)
		}
		mark := ""
		if o.Colour != term.NoColour && o.Unicode {
			mark = o.Paint(term.Style{FG: seriesColour(t, i)}, "■") + " "
		}
		name := seriesName(t, s.Name)
		b.WriteString(mark + term.Pad(o.Fit(name, width), width) + term.PadLeft(Percent(sum, t.Total), 8) +
			term.PadLeft(Value(t.Unit, sum), 10) + term.PadLeft(rate(top), 10) + " " +
			o.Paint(term.Style{FG: seriesColour(t, i)}, Spark(o, values, high)) + "\n")
	}
	_, err := io.WriteString(o, strings.ReplaceAll(b.String(), " \n", "\n"))
	return err
}

// seriesColour is the colour of a series: grey for the rest, which is the last.
func seriesColour(t *client.Timeline, i int) *term.Colour {
	if t.Hidden > 0 && i == len(t.Series)-1 {
		return seriesColours[len(seriesColours)-1]
	}
	return seriesColours[i%(len(seriesColours)-1)]
}

// seriesName is how a series is called: samples without the label have a name, too.
func seriesName(t *client.Timeline, name string) string {
	if name == "" {
		return "(no " + term.Clean(t.By) + ")"
	}
	return term.Clean(name)
}

// stacked draws series on top of each other, the largest at the bottom. A row of text
// is two rows of the chart: a half block in front of the other half's colour.
func stacked(o *term.Out, b *strings.Builder, t *client.Timeline, series [][]int64, sums []int64, most int64, value func(int64) string) {
	// at returns the series that is at a height of a column, nil above them.
	at := func(column, height int) *term.Colour {
		level := (float64(height) + 0.5) / (2 * chartHeight) * float64(most)
		sum := 0.0
		for i, s := range series {
			if column < len(s) {
				sum += float64(s[column])
			}
			if level < sum {
				return seriesColour(t, i)
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
		// Neighbours that look the same are written at once.
		style, run := term.Style{}, ""
		for column := range sums {
			upper, lower := at(column, 2*row+1), at(column, 2*row)
			next, block := term.Style{}, " "
			switch {
			case lower == nil:
			case upper == nil:
				next, block = term.Style{FG: lower}, "▄"
			default:
				next, block = term.Style{FG: upper, BG: lower}, "▀"
			}
			if next != style {
				b.WriteString(o.Paint(style, run))
				style, run = next, ""
			}
			run += block
		}
		b.WriteString(o.Paint(style, strings.TrimRight(run, " ")))
		b.WriteByte('\n')
	}
}

// axis prints the times below a chart.
func axis(o *term.Out, t *client.Timeline, columns int, location *time.Location) string {
	layout := "15:04:05"
	if span := t.ToMs - t.FromMs; span >= 2*24*time.Hour.Milliseconds() {
		layout = "01-02 15:04"
	} else if span >= 2*time.Hour.Milliseconds() {
		layout = "15:04"
	}
	line := ""
	for column := 0; column < columns; column += max(len(layout)+8, columns/6) {
		at := time.UnixMilli(t.FromMs + int64(float64(column)/float64(columns)*float64(t.ToMs-t.FromMs))).In(location).Format(layout)
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
