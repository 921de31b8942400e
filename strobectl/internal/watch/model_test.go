// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// data has rows f0, f1 … with shares that fall.
func data(group string, n int, boost string) *Data {
	d := &Data{Group: group}
	d.Summary.Type, d.Summary.Unit = "on_cpu", "nanoseconds"
	for i := range n {
		r := client.Function{Name: fmt.Sprintf("f%d", i), Binary: "app", Self: int64(1e9 * (n - i)), Total: int64(2e9 * (n - i))}
		if r.Name == boost {
			r.Self *= 3
		}
		d.Summary.Total += r.Self
		d.Rows = append(d.Rows, r)
	}
	return d
}

func newModel(n int) *Model {
	m := &Model{Query: Query{Group: "function", Sort: "self"}, Interval: 2 * time.Second, Server: "http://server", Range: "from now-1m"}
	m.Set(data("function", n, ""), time.Unix(0, 0))
	return m
}

func text(m *Model, width, height int) string {
	return strings.Join(m.Lines(&term.Out{Unicode: true}, width, height), "\n")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	m := newModel(100)
	for _, step := range []struct {
		key  term.Key
		want Action
		see  string // on the screen then
	}{
		{"s", Ask, "TOTAL*"},
		{"s", Ask, "SELF*"},
		{term.KeyEnd, Nothing, "100 of 100"},
		{term.KeyHome, Nothing, "1 to 15 of 100"},
		{term.KeyPageDown, Nothing, "f15"},
		{"/", Nothing, "filter: "},
		{"9", Nothing, "filter: 9"},
		{"q", Nothing, "filter: 9q"}, // a letter here
		{term.KeyBackspace, Nothing, "filter: 9"},
		{term.KeyEnter, Nothing, "19 rows"},
		{term.KeyEscape, Nothing, "100"},
		{"p", Nothing, "PAUSED"},
		{"p", Ask, "every 2s"},
		{"+", Nothing, "every 4s"},
		{"-", Nothing, "every 2s"},
		{"?", Nothing, "sort by self or by total"},
		{"z", Nothing, "SELF*"},
		{term.KeyEnter, Nothing, "SELF*"}, // there is nothing closer than a function
		{"h", Ask, "SERVICE"},
		{term.KeyRedraw, Redraw, ""},
		{"r", Ask, ""},
		{term.KeyInterrupt, Quit, ""},
		{"q", Quit, ""},
	} {
		if got := m.Key(step.key, 15); got != step.want {
			t.Errorf("%s: action %d instead of %d", step.key, got, step.want)
		}
		if got := text(m, 100, 20); !strings.Contains(got, step.see) {
			t.Errorf("%s: no %q in\n%s", step.key, step.see, got)
		}
	}
}

func TestCloser(t *testing.T) {
	t.Parallel()
	m := newModel(3)
	m.Key("h", 10)
	m.Set(data("service", 3, ""), time.Unix(1, 0))
	m.Key(term.KeyDown, 10)
	if m.Key(term.KeyEnter, 10) != Ask || m.Group != "function" || len(m.Narrow) != 1 || m.Narrow[0] != (Pair{"service", "f1"}) {
		t.Errorf("%+v", m.Query)
	}
	if m.Key(term.KeyEscape, 10) != Ask || m.Group != "service" || len(m.Narrow) != 0 {
		t.Errorf("%+v", m.Query)
	}
}

// TestCursorFollows keeps the cursor on its row when the order changes, and shows what
// has grown.
func TestCursorFollows(t *testing.T) {
	t.Parallel()
	m := newModel(5)
	m.Key(term.KeyDown, 10)
	next := data("function", 5, "f1")
	next.Rows[0], next.Rows[1] = next.Rows[1], next.Rows[0]
	m.Set(next, time.Unix(2, 0))
	if m.cursor != 0 {
		t.Errorf("the cursor is on row %d", m.cursor)
	}
	if got := text(m, 100, 20); !strings.Contains(got, "+25.5") {
		t.Errorf("no change in\n%s", got)
	}
	m.Err = errors.New("no answer\x1b[2J")
	if got := text(m, 100, 20); !strings.Contains(got, "no answer?[2J") || !strings.Contains(got, "f4") {
		t.Errorf("%s", got)
	}
}

// TestFits never writes more than the screen holds.
func TestFits(t *testing.T) {
	t.Parallel()
	m := newModel(40)
	m.Data.Rows[2].Name = strings.Repeat("std::vector<int>::", 20)
	m.Data.Rows[3].Name = "日本語" + strings.Repeat("関", 100)
	for _, width := range []int{20, 40, 89, 90, 200} {
		for _, height := range []int{1, 5, 24} {
			for i, line := range m.Lines(&term.Out{Unicode: true}, width, height) {
				if i >= height {
					break // is not shown
				}
				if width >= 60 && term.Width(line) > width {
					t.Errorf("%dx%d: %d columns: %q", width, height, term.Width(line), line)
				}
			}
		}
	}
}

// TestWaiting checks that a server that says nothing does not look like one that is well.
func TestWaiting(t *testing.T) {
	t.Parallel()
	m := newModel(3)
	for waiting, want := range map[time.Duration]string{0: "every 2s", time.Second: "every 2s", 9 * time.Second: "NO ANSWER for 9 s"} {
		if m.Waiting = waiting; !strings.Contains(text(m, 100, 10), want) {
			t.Errorf("after %s: %s", waiting, text(m, 100, 10))
		}
	}
}
