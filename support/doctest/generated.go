// SPDX-License-Identifier: Apache-2.0

//go:build unix

package doctest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Generated compares a part of a document with what the code gives, and fails
// the test where they differ; with update it writes the part anew. The part is
// what is between two lines of the document,
//
//	<!-- generated NAME: go test ./package -update -->
//	<!-- end NAME -->
//
// Several test programs may do so at the same time.
func Generated(t testing.TB, file, name, text string, update bool) {
	t.Helper()
	path := filepath.Join(Root(t), file)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test
	if update {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end, err := region(string(src), name)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if text = "\n" + strings.Trim(text, "\n") + "\n\n"; string(src[begin:end]) == text {
		return
	}
	if !update {
		t.Errorf("%s: the part %q is not what the code gives, first in line %d; run the test with -update and read what changed",
			file, name, 1+strings.Count(string(src[:begin]), "\n")+firstDifference(string(src[begin:end]), text))
		return
	}
	// In place, so that the lock is on the file that others open.
	if _, err := f.WriteAt([]byte(string(src[:begin])+text+string(src[end:])), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(begin + len(text) + len(src) - end)); err != nil {
		t.Fatal(err)
	}
}

// region returns where the part with this name begins and ends.
func region(src, name string) (begin, end int, err error) {
	first := regexp.MustCompile(`(?m)^<!-- generated `+regexp.QuoteMeta(name)+`:.*-->\n`).FindAllStringIndex(src, -1)
	last := "<!-- end " + name + " -->"
	if len(first) != 1 || strings.Count(src, last) != 1 || strings.Index(src, last) < first[0][1] {
		return 0, 0, fmt.Errorf("want one line <!-- generated %s: ... --> and one line %s after it", name, last)
	}
	return first[0][1], strings.Index(src, last), nil
}

// firstDifference is the number of the first line that differs, from 0.
func firstDifference(a, b string) int {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return i
		}
	}
	return min(len(x), len(y))
}

// A Flag is a row of a table of flags.
type Flag struct {
	Name, Alias, Argument string // without dashes; Argument is "" for switches
	Env                   string // variable of the environment, "" for none
	Of                    string // commands that have it, "" without that column
	Default, Help, Limits string
}

// FlagTable returns a table of flags, sorted by name. Columns that would be
// empty are left out.
func FlagTable(flags []Flag) string {
	flags = slices.Clone(flags)
	slices.SortStableFunc(flags, func(a, b Flag) int { return strings.Compare(a.Name, b.Name) })
	columns := []struct {
		head string
		cell func(Flag) string
	}{
		{"flag", func(f Flag) string {
			name := "`-" + f.Name
			if f.Alias != "" {
				name = "`-" + f.Alias + "`, " + name
			}
			if f.Argument != "" {
				name += " " + f.Argument
			}
			return name + "`"
		}},
		{"of", func(f Flag) string { return f.Of }},
		{"variable", func(f Flag) string { return code(f.Env) }},
		{"default", func(f Flag) string { return code(f.Default) }},
		{"may be", func(f Flag) string { return f.Limits }},
		{"what", func(f Flag) string { return f.Help }},
	}
	var b strings.Builder
	var rows [][]string
	var head, line []string
	for _, c := range columns {
		if !slices.ContainsFunc(flags, func(f Flag) bool { return c.cell(f) != "" }) {
			continue
		}
		head, line = append(head, c.head), append(line, "---")
		if rows == nil {
			rows = make([][]string, len(flags))
		}
		for i, f := range flags {
			rows[i] = append(rows[i], strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*").Replace(c.cell(f)))
		}
	}
	for _, row := range append([][]string{head, line}, rows...) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// Limits finds out what a setting accepts: it tries values that are far off and
// returns what the first complaint asks for, "" if there is none. The complaint
// is a line "-name: …, must be …", as the programs of this repository write it.
func Limits(name string, try func(value string) error) string {
	complaint := regexp.MustCompile(`(?m)^-` + regexp.QuoteMeta(name) + `: .*must be (?:from )?(.+?)$`)
	for _, value := range []string{"-1", "0", "1", "0.000001", "1ms", "1000000000", "1000000000000000", "2000000h", "nonsense"} {
		if err := try(value); err != nil {
			if m := complaint.FindStringSubmatch(err.Error()); m != nil {
				return m[1]
			}
		}
	}
	return ""
}
