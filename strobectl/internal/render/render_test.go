// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
	"github.com/strobe-profiler/strobe/support/golden"
)

// testTree has wide and narrow frames, names that mean something to markup, and a
// deep stack.
func testTree() *tree.Tree {
	t := tree.New("on_cpu", "nanoseconds")
	frames := func(kind string, names ...string) (out []tree.Frame) {
		for i, name := range names {
			out = append(out, tree.Frame{Name: name, Kind: kind, File: "/src/a.c", Line: int64(i), Binary: "app"})
		}
		return out
	}
	t.Add(frames("native", "main", "std::vector<std::string>::push_back(std::string const&)", "</script><b>&\"'"), 600e6)
	t.Add(frames("go", "main", "deep", "deep", "deep", "deep", "leaf"), 300e6)
	for i := range 50 {
		t.Add(frames("kernel", "main", strings.Repeat("k", i+1)), 2e6)
	}
	return t
}

func out(w io.Writer, width int, colour term.Depth, unicode bool) *term.Out {
	return &term.Out{Writer: w, TTY: true, Colour: colour, Unicode: unicode, Width: width}
}

func TestText(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func(*term.Out) error{
		"icicle":   func(o *term.Out) error { return Icicle(o, testTree(), IcicleOptions{}) },
		"calltree": func(o *term.Out) error { return CallTree(o, testTree(), CallTreeOptions{Least: 0.01}) },
		"timeline": func(o *term.Out) error {
			a := &client.Timeline{StepMs: 60000, FromMs: 1795254900000, ToMs: 1795255200000, By: "service"}
			a.Type, a.Unit, a.Total = "on_cpu", "nanoseconds", 330e9
			for _, s := range []struct {
				name   string
				values []int64
			}{{"shop", []int64{60e9, 30e9, 0, 30e9, 60e9}}, {"", []int64{0, 30e9, 60e9, 30e9, 30e9}}} {
				a.Series = append(a.Series, struct {
					Name   string  `json:"name"`
					Values []int64 `json:"values"`
				}{s.name, s.values})
			}
			return Timeline(o, a, time.UTC)
		},
	} {
		for as, o := range map[string]*term.Out{"wide": out(nil, 100, term.NoColour, true), "ascii": out(nil, 60, term.NoColour, false), "colour": out(nil, 60, term.TrueColour, true)} {
			t.Run(name+" "+as, func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				o := *o
				o.Writer = &b
				if err := draw(&o); err != nil {
					t.Fatal(err)
				}
				golden.Equal(t, filepath.Join("testdata", name+"_"+as+".txt"), b.Bytes())
				if as == "ascii" && bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r > 0x7e }) {
					t.Error("that is not ASCII")
				}
				plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(b.String(), "")
				for line := range strings.Lines(plain) {
					if w := term.Width(strings.TrimRight(line, "\n")); w > o.Width {
						t.Errorf("%d columns: %q", w, line)
					}
				}
			})
		}
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	empty := tree.New("on_cpu", "nanoseconds")
	for _, err := range []error{
		Icicle(out(&b, 80, term.NoColour, true), empty, IcicleOptions{}),
		CallTree(out(&b, 80, term.NoColour, true), empty, CallTreeOptions{}),
		SVG(&b, empty, About{}), HTML(&b, empty, About{}),
		Timeline(out(&b, 80, term.TrueColour, true), &client.Timeline{}, time.UTC),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestPictures are well formed, hold every name as text, and ask nobody for anything.
func TestPictures(t *testing.T) {
	t.Parallel()
	var svg, page bytes.Buffer
	about := About{Title: `{service="<shop>"}`, Text: "a & b"}
	if err := SVG(&svg, testTree(), about); err != nil {
		t.Fatal(err)
	}
	if err := HTML(&page, testTree(), about); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(svg.Bytes()))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"svg": svg.String(), "html": page.String()} {
		outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]|src=|href=|url\(|@import`)
		for _, found := range outside.FindAllString(strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, ""), -1) {
			t.Errorf("%s: %q", name, found)
		}
	}
	if strings.Count(page.String(), "</script>") != 2 {
		t.Error("a name has ended the script")
	}
	if !strings.Contains(page.String(), "{service=&#34;&lt;shop&gt;&#34;}") {
		t.Error("the title is not there")
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		unit string
		v    int64
		want string
	}{
		{"nanoseconds", 0, "0"}, {"nanoseconds", 999, "999 ns"}, {"nanoseconds", 1500, "1.50 µs"}, {"nanoseconds", -2e9, "-2.00 s"},
		{"nanoseconds", 349e9, "349 s"}, {"nanoseconds", 1234e9, "1,234 s"}, {"nanoseconds", 36000e9, "10.0 h"}, {"nanoseconds", 1<<63 - 1, "292 y"}, {"nanoseconds", -1 << 63, "-292 y"},
		{"bytes", 1023, "1023 B"}, {"bytes", 1 << 20, "1.00 MiB"}, {"bytes", -1 << 63, "-8.00 EiB"},
		{"count", 999999, "999,999"}, {"count", 1234567, "1.23 M"}, {"count", -1234, "-1,234"},
	} {
		if got := Value(test.unit, test.v); got != test.want {
			t.Errorf("%d %s: %q instead of %q", test.v, test.unit, got, test.want)
		}
	}
	for part, want := range map[int64]string{0: "0.0%", 1: "<0.1%", 500: "5.0%", 10000: "100.0%"} {
		if got := Percent(part, 10000); got != want {
			t.Errorf("%d: %s", part, got)
		}
	}
}

// TestInconsistent draws trees whose values do not add up, as a file of differences has
// them, or a server that means harm.
func TestInconsistent(t *testing.T) {
	t.Parallel()
	for _, values := range [][3]int64{{5, 1e12, 1e15}, {5, -900, 1 << 62}, {5, 1<<63 - 1, 1<<63 - 1}, {-5, 3, 2}, {5, -3, -1 << 63}, {0, 7, 7}} {
		leaf := &tree.Node{Frame: tree.Frame{Name: "leaf"}, Total: values[2], Self: values[2]}
		mid := &tree.Node{Frame: tree.Frame{Name: "mid"}, Total: values[1], Children: []*tree.Node{leaf, leaf}}
		tr := &tree.Tree{Unit: "nanoseconds", Root: &tree.Node{Total: values[0], Children: []*tree.Node{mid, mid, leaf}}}
		for _, o := range []*term.Out{{Width: 40, Unicode: true}, {Width: 40, Unicode: true, Colour: term.TrueColour}} {
			var b bytes.Buffer
			o.Writer = &b
			err := errors.Join(Icicle(o, tr, IcicleOptions{}), CallTree(o, tr, CallTreeOptions{}), SVG(&b, tr, About{}), HTML(&b, tr, About{}))
			if err != nil || b.Len() > 64<<10 {
				t.Errorf("%d: %d bytes, error %v", values, b.Len(), err)
			}
		}
	}
}
