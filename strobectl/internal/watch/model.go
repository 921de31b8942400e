// SPDX-License-Identifier: Apache-2.0

// Package watch is a table of what takes the most now, as top(1) is of processes.
package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// Groups are what rows may be of: functions, or the values of a label.
var Groups = []string{"function", "service", "host", "process", "comm"}

// Data is what is shown.
type Data struct {
	Summary client.Summary
	// Rows are of functions, or of the values of a label, which have no total.
	Rows []client.Function
	// Group says of what, one of Groups.
	Group string
	// Selector is what was asked about.
	Selector string
}

// Query is what to ask for.
type Query struct {
	Group, Sort string
	// Narrow are labels and values that rows were chosen of.
	Narrow []Pair
}

// Pair is a label and its value.
type Pair struct{ Name, Value string }

// Model is what is on the screen, and what keys do to it. It does no I/O.
type Model struct {
	Query
	// Server and Range are shown in the head, Interval is the time between two questions.
	Server, Range string
	Interval      time.Duration

	Paused bool
	Data   *Data
	// Err is why the last question has no answer; the rows are those of the one before.
	Err error
	// Updated is when Data came, Waiting how long the next answer has not, 0 for none.
	Updated time.Time
	Waiting time.Duration

	Filter    string
	filtering bool
	help      bool
	cursor    int
	offset    int
	selected  string // name of the row under the cursor
	before    map[string]float64
	shares    map[string]float64
}

// Set takes new data.
func (m *Model) Set(d *Data, at time.Time) {
	m.before, m.shares = m.shares, map[string]float64{}
	if m.Data == nil || m.Data.Group != d.Group || m.Data.Selector != d.Selector {
		m.before = nil
	}
	if d.Summary.Total > 0 {
		for _, r := range d.Rows {
			m.shares[id(&r)] = float64(m.value(&r)) / float64(d.Summary.Total)
		}
	}
	m.Data, m.Updated, m.Err = d, at, nil
	m.follow()
}

func id(r *client.Function) string { return r.Name + "\x00" + r.Binary + "\x00" + r.File }

// value is what rows are sorted by.
func (m *Model) value(r *client.Function) int64 {
	if m.Sort == "total" && m.Group == "function" {
		return r.Total
	}
	return r.Self
}

// rows are those that the filter leaves.
func (m *Model) rows() []client.Function {
	if m.Data == nil {
		return nil
	}
	if m.Filter == "" {
		return m.Data.Rows
	}
	var out []client.Function
	for _, r := range m.Data.Rows {
		if tree.Match(r.Name, m.Filter) || tree.Match(r.Binary, m.Filter) {
			out = append(out, r)
		}
	}
	return out
}

// follow keeps the cursor on the row that it was on.
func (m *Model) follow() {
	rows := m.rows()
	if m.cursor > 0 {
		if i := slices.IndexFunc(rows, func(r client.Function) bool { return id(&r) == m.selected }); i >= 0 {
			m.cursor = i
		}
	}
	m.move(0)
}

// move moves the cursor by so many rows.
func (m *Model) move(by int) {
	rows := m.rows()
	m.cursor = max(min(m.cursor+by, len(rows)-1), 0)
	m.selected = ""
	if m.cursor < len(rows) {
		m.selected = id(&rows[m.cursor])
	}
}

// Action is what a key asks for beyond the screen.
type Action int

// The actions.
const (
	Nothing Action = iota
	Quit
	Ask    // a new question at once
	Redraw // the whole screen
	Suspend
)

// Key does what a key means. page is how many rows are shown.
func (m *Model) Key(key term.Key, page int) Action {
	if key == term.KeyInterrupt {
		return Quit
	}
	if key == term.KeySuspend {
		return Suspend
	}
	if m.filtering {
		return m.filterKey(key)
	}
	if m.help {
		m.help = false
		if key != "q" {
			return Nothing
		}
	}
	switch key {
	case "q":
		return Quit
	case "?":
		m.help = true
	case "s":
		if m.Sort == "self" {
			m.Sort = "total"
		} else {
			m.Sort = "self"
		}
		m.cursor = 0
		return Ask
	case "h", term.KeyTab:
		i := slices.Index(Groups, m.Group)
		m.Group = Groups[(i+1)%len(Groups)]
		m.cursor, m.Filter = 0, ""
		return Ask
	case "p", " ":
		m.Paused = !m.Paused
		if !m.Paused {
			return Ask
		}
	case "/":
		m.filtering = true
	case term.KeyEnter:
		return m.enter()
	case term.KeyBackspace, term.KeyEscape:
		if m.Filter != "" {
			m.Filter = ""
			m.follow()
		} else if n := len(m.Narrow); n > 0 {
			m.Group, m.Narrow, m.cursor = m.Narrow[n-1].Name, m.Narrow[:n-1], 0
			return Ask
		}
	case "+", "=":
		m.Interval = min(m.Interval*2, time.Minute)
	case "-":
		m.Interval = max(m.Interval/2, time.Second/2)
	case term.KeyRedraw:
		return Redraw
	case "r":
		return Ask
	case term.KeyUp, "k":
		m.move(-1)
	case term.KeyDown, "j":
		m.move(1)
	case term.KeyPageUp:
		m.move(-page)
	case term.KeyPageDown:
		m.move(page)
	case term.KeyHome, "g":
		m.move(-1 << 30)
	case term.KeyEnd, "G":
		m.move(1 << 30)
	}
	return Nothing
}

// enter looks closer at the row under the cursor: the functions of a service.
func (m *Model) enter() Action {
	rows := m.rows()
	if m.Group == "function" || m.cursor >= len(rows) || m.Data.Group != m.Group {
		return Nothing
	}
	m.Narrow = append(slices.Clone(m.Narrow), Pair{m.Group, rows[m.cursor].Name})
	m.Group, m.cursor, m.Filter = "function", 0, ""
	return Ask
}

func (m *Model) filterKey(key term.Key) Action {
	switch key {
	case term.KeyEnter:
		m.filtering = false
	case term.KeyEscape:
		m.filtering, m.Filter = false, ""
	case term.KeyKill:
		m.Filter = ""
	case term.KeyBackspace:
		if m.Filter == "" {
			m.filtering = false
		} else {
			_, n := utf8.DecodeLastRuneInString(m.Filter)
			m.Filter = m.Filter[:len(m.Filter)-n]
		}
	default:
		if utf8.RuneCountInString(string(key)) == 1 && len(m.Filter) < 200 {
			m.Filter += string(key)
		}
	}
	m.cursor = 0
	m.follow()
	return Nothing
}

const (
	headLines = 4
	footLines = 1
)

// Page returns how many rows a screen of a height has.
func Page(height int) int { return max(height-headLines-footLines, 1) }

var helpText = []string{
	"q          quit",
	"s          sort by self or by total",
	"h, Tab     rows of functions, services, hosts, processes, threads",
	"Enter      look closer: the functions of the row",
	"Esc        back; or no filter",
	"p, Space   pause and go on",
	"/          filter by a part of the name",
	"arrows     move; PgUp, PgDn, Home, End, too",
	"+, -       less often, more often",
	"r          ask now; Ctrl-L draws anew, Ctrl-Z suspends",
}

// patience is how long an answer may take without a word.
const patience = 3 * time.Second

// Lines returns the screen.
func (m *Model) Lines(o *term.Out, width, height int) []string {
	width = max(width, 20)
	bold, dim := term.Style{Bold: true}, term.Style{Faint: true}
	cut := func(s string) string { return o.Fit(s, width) }
	var lines []string
	state := fmt.Sprintf("every %s", m.Interval)
	if m.Paused {
		state = "PAUSED, p goes on"
	}
	if m.Waiting > max(m.Interval, patience) {
		state = fmt.Sprintf("NO ANSWER for %d s", int(m.Waiting.Seconds()))
	}
	head := "strobectl watch top, " + m.Range
	if !m.Updated.IsZero() {
		head += ", " + m.Updated.Format("15:04:05")
	}
	head = o.Fit(head+", "+state, width)
	server := o.Fit(m.Server, max(width-term.Width(head)-2, 0))
	space := strings.Repeat(" ", max(width-term.Width(head)-term.Width(server), 0))
	lines = append(lines, o.Paint(bold, head)+space+o.Paint(dim, server))
	switch {
	case m.Err != nil:
		lines = append(lines, o.Paint(term.Style{FG: term.Worse, Bold: true}, cut(term.Clean(m.Err.Error()))))
	case m.Data == nil:
		lines = append(lines, o.Paint(dim, "asking…"))
	default:
		lines = append(lines, cut(about(m.Data)))
	}
	switch {
	case m.filtering:
		lines = append(lines, o.Paint(term.Style{FG: term.Accent, Bold: true}, cut("filter: "+term.Clean(m.Filter)+"▏")))
	case m.Filter != "":
		lines = append(lines, o.Paint(term.Style{FG: term.Accent}, cut(fmt.Sprintf("filter: %s (%d rows; Esc ends it)", term.Clean(m.Filter), len(m.rows())))))
	default:
		lines = append(lines, "")
	}
	if m.help {
		return append(append(lines, helpText...), "", o.Paint(dim, "any key goes back"))
	}
	page := Page(height)
	rows := m.rows()
	if m.cursor < m.offset {
		m.offset = m.cursor
	}
	if m.cursor >= m.offset+page {
		m.offset = m.cursor - page + 1
	}
	m.offset = max(min(m.offset, len(rows)-page), 0)
	lines = append(lines, m.tableHead(o, width))
	for i := m.offset; i < min(m.offset+page, len(rows)); i++ {
		lines = append(lines, m.row(o, &rows[i], i == m.cursor, width))
	}
	for len(lines) < height-footLines {
		lines = append(lines, "")
	}
	foot := "q quit  s sort  h group  Enter closer  / filter  p pause  ? help"
	if len(rows) > page {
		foot += fmt.Sprintf("   %d to %d of %d", m.offset+1, min(m.offset+page, len(rows)), len(rows))
	}
	return append(lines, o.Paint(dim, cut(foot)))
}

// about is the line on what is shown.
func about(d *Data) string {
	s := &d.Summary
	text := fmt.Sprintf("%s %s", s.Type, render.Value(s.Unit, s.Total))
	if span := s.ToMs - s.FromMs; s.Type == "on_cpu" && span > 0 {
		text += fmt.Sprintf(", %.2f CPUs", float64(s.Total)/float64(span)/1e6)
	}
	text += fmt.Sprintf(", %s samples, by %s", render.Count(s.Samples), d.Group)
	if d.Selector != "" {
		text += ", " + d.Selector
	}
	return term.Clean(text)
}

// The widths of columns.
const (
	valueWidth = 9
	shareWidth = 8
	trendWidth = 8
)

// binaryWidth is that of the column of binaries, 0 where there is no room for it.
func binaryWidth(width int) int {
	if width < 90 {
		return 0
	}
	return 22
}

func (m *Model) tableHead(o *term.Out, width int) string {
	mark := func(name, sort string) string {
		if m.Sort == sort || m.Group != "function" {
			return name + "*"
		}
		return name
	}
	text := term.PadLeft(mark("SELF", "self"), valueWidth+shareWidth)
	name := "FUNCTION"
	if m.Group == "function" {
		text += term.PadLeft(mark("TOTAL", "total"), valueWidth+shareWidth)
	} else {
		text, name = term.PadLeft("SUM", valueWidth+shareWidth), strings.ToUpper(m.Group)
	}
	text += term.PadLeft("CHANGE", trendWidth) + "  " + name
	if n := binaryWidth(width); n > 0 && m.Group == "function" {
		text = term.Pad(text, width-n) + "BINARY"
	}
	text = o.Fit(text, width)
	if o.Colour == term.NoColour {
		return text
	}
	return o.Paint(term.Style{Reverse: true}, term.Pad(text, width))
}

func (m *Model) row(o *term.Out, r *client.Function, cursor bool, width int) string {
	s := &m.Data.Summary
	left := term.PadLeft(render.Value(s.Unit, r.Self), valueWidth) + term.PadLeft(render.Percent(r.Self, s.Total), shareWidth)
	if m.Data.Group == "function" {
		left += term.PadLeft(render.Value(s.Unit, r.Total), valueWidth) + term.PadLeft(render.Percent(r.Total, s.Total), shareWidth)
	}
	trend, style := "", term.Style{}
	if was, ok := m.before[id(r)]; ok || m.before != nil {
		change := 100 * (m.shares[id(r)] - was)
		switch {
		case change >= 0.1:
			trend, style.FG = fmt.Sprintf("%+.1f", change), term.Worse
		case change <= -0.1:
			trend, style.FG = fmt.Sprintf("%+.1f", change), term.Better
		}
	}
	trend = term.PadLeft(trend, trendWidth)
	name := term.Clean(r.Name)
	if name == "" {
		name = "(none)"
	}
	binary := binaryWidth(width)
	if m.Data.Group != "function" {
		binary = 0
	}
	room := max(width-term.Width(left)-trendWidth-2-binary, 4)
	name = o.FitName(name, max(room-min(binary, 2), 4))
	behind := ""
	if binary > 0 {
		behind = o.Fit(term.Clean(r.Binary), binary)
	}
	share := float64(m.value(r)) / float64(max(s.Total, 1))
	if cursor {
		text := term.Pad(left+trend+"  "+term.Pad(name, room)+behind, width)
		if o.Colour == term.NoColour {
			return ">" + strings.TrimPrefix(strings.TrimRight(text, " "), " ")
		}
		return o.Paint(term.Style{Bold: true, FG: &term.Colour{R: 255, G: 255, B: 255, Basic: 15}, BG: &term.Colour{R: 20, G: 90, B: 120, Basic: 4}}, text)
	}
	return left + o.Paint(style, trend) + "  " + o.Paint(term.Style{Bold: share >= 0.1}, term.Pad(name, room)) + o.Paint(term.Style{Faint: true}, behind)
}
