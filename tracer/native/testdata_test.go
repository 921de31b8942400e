// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/golden"
)

// openFile opens the tables of a file.
func openFile(tb testing.TB, path string) (*Tables, *Rules) {
	tb.Helper()
	f, err := pfelf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	rules := NewRules()
	t, err := Open(f, rules)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	return t, rules
}

// formatRule is FormatRule with interned rules spelled out.
func formatRule(rules *Rules, rule uint16) string {
	if i := int(rule &^ ruleIndexed); rule&ruleIndexed != 0 && i >= FirstRule {
		return rules.At(i).String()
	}
	return FormatRule(rule)
}

// dump returns all rows of a file as text.
func dump(tb testing.TB, t *Tables, rules *Rules) string {
	tb.Helper()
	var b strings.Builder
	first, n := t.Pages()
	for page := first; page < first+uint64(n); page++ {
		rows, err := t.Page(page)
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&b, "page %d\n", page)
		for _, r := range rows {
			fmt.Fprintf(&b, "%04x %s\n", r.PCLow, formatRule(rules, r.Rule))
		}
	}
	return b.String()
}

// TestGolden compares the rows of small programs to what they were when
// somebody last looked at them.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.elf")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			tables, rules := openFile(t, path)
			got := dump(t, tables, rules)
			if s := tables.Stats(); s != (Stats{}) {
				t.Errorf("%+v", s)
			}
			golden.Equal(t, strings.TrimSuffix(path, ".elf")+".rows", got)
		})
	}
}
