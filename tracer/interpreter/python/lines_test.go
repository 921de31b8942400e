// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordedTable is the table of a code object, and the line of each instruction
// as the interpreter itself gives it, 0 for none.
type recordedTable struct {
	Version, Name string
	First, Step   int
	Table         string
	Lines         []int
}

var decoders = map[string]func([]byte, int, int64) int{
	"2.7": oldLnotabLine, "3.6": lnotabLine, "3.9": lnotabLine, "3.10": rangeLine,
	"3.11": locationLine, "3.12": locationLine, "3.13": locationLine,
}

func TestLines(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/lines.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []recordedTable
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		table, err := hex.DecodeString(r.Table)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int, len(r.Lines))
		for i := range got {
			got[i] = decoders[r.Version](table, r.First, int64(i*r.Step))
		}
		if d := cmp.Diff(r.Lines, got); d != "" {
			t.Errorf("%s of %s: %s", r.Name, r.Version, d)
		}
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	two := []byte{4, 1, 4, 1}
	for name, c := range map[string]struct {
		c    code
		at   uint64
		want int
	}{
		"before the first":          {code{first: 7, table: two, decode: rangeLine, scale: 2}, 0xffffffff, 7},
		"units of an instruction":   {code{first: 7, table: two, decode: rangeLine, scale: 2}, 2, 9},
		"bytes":                     {code{first: 7, table: two, decode: lnotabLine, scale: 1}, 4, 8},
		"behind the end":            {code{first: 7, table: two, decode: rangeLine, scale: 2}, 99, 7},
		"far before, of 64 bits":    {code{first: 7, table: two, decode: locationLine, scale: 1}, 1<<64 - 2, 7},
		"in a copy of the bytecode": {code{first: 7, table: two, decode: locationLine, scale: 1}, 1 << 40, 7},
		"no table":                  {code{first: 7, decode: locationLine, scale: 1}, 2, 7},
		// As ast.increment_lineno(tree, -10) and compile make it.
		"a negative line":                {code{first: -9, decode: locationLine, scale: 1}, 2, 0},
		"before the first of a negative": {code{first: -9, table: two, decode: rangeLine, scale: 2}, 0xffffffff, 0},
		"behind a negative one":          {code{first: -1, table: []byte{0, 12}, decode: lnotabLine, scale: 1}, 2, 11},
	} {
		if got := c.c.line(c.at); got != c.want {
			t.Errorf("%s: line %d, want %d", name, got, c.want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte{0xf0, 1, 0x80, 2, 0x81, 0x04}, 1, int64(4))
	f.Add([]byte{255, 127, 255, 128, 1, 1}, 1, int64(400))
	f.Fuzz(func(_ *testing.T, table []byte, first int, at int64) {
		for _, decode := range decoders {
			decode(table, first, at)
		}
	})
}
