// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// folded returns a tree as text.
func folded(t testing.TB, of *tree.Tree) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteFolded(&b, of); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestByName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.pb.gz": Pprof, "A.PB.GZ": Pprof, "a.prof": Pprof, "a.folded": Folded, "a.speedscope.json": Speedscope, "a.otlp": OTLP,
		"a.csv": CSV, "a.svg": SVG, "dir.svg/a.html": HTML, "svg": SVG, "a.json": "", "a": "", "": "",
	} {
		if got := ByName(name); got != want {
			t.Errorf("%s: %q instead of %q", name, got, want)
		}
	}
}

func TestSpeedscope(t *testing.T) {
	t.Parallel()
	const frames = `{"shared":{"frames":[{"name":"main"},{"name":"work","file":"w.py","line":3}]},"profiles":[`
	for name, test := range map[string]struct{ in, want, err string }{
		"sampled":        {in: `{"type":"sampled","unit":"milliseconds","samples":[[0,1],[0]],"weights":[2,0.5]}`, want: "main 500000\nmain;work 2000000\n"},
		"no weights":     {in: `{"type":"sampled","unit":"none","samples":[[0,1],[0]]}`, want: "main 1\nmain;work 1\n"},
		"evented":        {in: `{"type":"evented","unit":"none","startValue":1,"events":[{"type":"O","at":1,"frame":0},{"type":"O","at":3,"frame":1},{"type":"C","at":7,"frame":1},{"type":"C","at":8,"frame":0}]}`, want: "main 3\nmain;work 4\n"},
		"no frame":       {in: `{"type":"sampled","unit":"none","samples":[[2]]}`, err: "there is no frame 2"},
		"negative frame": {in: `{"type":"sampled","unit":"none","samples":[[-1]]}`, err: "there is no frame -1"},
		"weights":        {in: `{"type":"sampled","unit":"none","samples":[[0]],"weights":[1,2]}`, err: "1 samples and 2 weights"},
		"negative":       {in: `{"type":"sampled","unit":"none","samples":[[0]],"weights":[-1]}`, err: "no sensible number"},
		"unit":           {in: `{"type":"sampled","unit":"miles","samples":[[0]]}`, err: `the unit "miles" is not known`},
		"mixed":          {in: `{"type":"sampled","unit":"none","samples":[[0]]},{"type":"sampled","unit":"bytes","samples":[[0]]}`, err: "cannot be summed"},
		"closes another": {in: `{"type":"evented","unit":"none","events":[{"type":"O","at":0,"frame":0},{"type":"C","at":0,"frame":1}]}`, err: "nor close the innermost"},
		"back in time":   {in: `{"type":"evented","unit":"none","events":[{"type":"O","at":2,"frame":0},{"type":"C","at":1,"frame":0}]}`, err: "before the one before it"},
		"none":           {in: ``, err: "has no profiles"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Read([]byte(frames+test.in+"]}"), "")
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v instead of %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, folded(t, got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestFoldedMistakes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a;b 1\nc\n":                   "line 2 is no stack and a number",
		"a 1\nb -1\n":                  "line 2",
		"a 9223372036854775807\nb 1\n": "too large to be summed",
		"":                             "the file is empty",
		"\x1f\x8b not gzip":            "decompress",
		"\x00\x01\x02":                 "neither pprof, folded stacks, speedscope nor OTLP",
		`{"resourceProfiles":[]}`:      "no samples",
	} {
		if _, err := Read([]byte(in), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v instead of %q", in, err, want)
		}
	}
}

func TestHalve(t *testing.T) {
	t.Parallel()
	whole, err := Read([]byte("a;b 1\na;c 2\nd 3\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := toPprof(whole).Write(&b); err != nil {
		t.Fatal(err)
	}
	halves, err := Halve(b.Bytes())
	if err != nil || len(halves) != 2 {
		t.Fatal(halves, err)
	}
	sum, samples := int64(0), 0
	for _, h := range halves {
		part, err := Read(h.Data, "")
		if err != nil {
			t.Fatal(err)
		}
		sum, samples = sum+part.Root.Total, samples+h.Samples
	}
	if sum != 6 || samples != 3 {
		t.Errorf("%d of 6 in %d samples", sum, samples)
	}
}

// FuzzRead reads any bytes; what it reads can be written in all formats, and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte("a;b 3\na;c 1\n"))
	f.Add([]byte(`{"shared":{"frames":[{"name":"main"}]},"profiles":[{"type":"sampled","unit":"seconds","samples":[[0]],"weights":[1.5]}]}`))
	f.Add([]byte(`{"shared":{"frames":[{"name":"f"}]},"profiles":[{"type":"evented","unit":"none","events":[{"type":"O","at":0,"frame":0},{"type":"C","at":9e18,"frame":0}]}]}`))
	f.Add([]byte(`{"resourceProfiles":[{}]}`))
	t, err := readFolded([]byte("main;work 5\n"))
	if err != nil {
		f.Fatal(err)
	}
	for _, format := range []string{Pprof, OTLP} {
		var b bytes.Buffer
		if err := WriteProfile(&b, format, toPprof(t), "", render.About{}); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		read, err := Read(data, "")
		if err != nil {
			return
		}
		for _, format := range []string{Folded, Speedscope, CSV, SVG, HTML} {
			var b bytes.Buffer
			if err := WriteTree(&b, format, read, render.About{Title: "<x>"}); err != nil {
				t.Errorf("%s: %v", format, err)
			}
			if (format == SVG || format == HTML) && bytes.ContainsAny(b.Bytes(), "\x1b\x00") {
				t.Errorf("%s holds control characters", format)
			}
		}
	})
}
