// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStackConditions(t *testing.T) {
	t.Parallel()
	f := Function{Name: "main.work", File: "/src/work.go", Binary: "shop", Kind: "go"}
	for text, want := range map[string][]bool{ // whether each condition's pattern matches f
		"":                            nil,
		" ":                           nil,
		`{function="main.work"}`:      {true},
		`{function="main"}`:           {false},
		`{function!="main"}`:          {true},
		`{function^="main."}`:         {true},
		`{function!^"main."}`:         {false},
		`{function*="in.w"}`:          {true},
		`{function!*"in.w"}`:          {false},
		`{function=~"main[.].*"}`:     {true},
		`{function=~"main"}`:          {false},
		`{function!~"main"}`:          {true},
		`{file^='/src/'}`:             {true},
		"{binary=`shop`}":             {true},
		`{kind="native"}`:             {false},
		`{function*="w",binary="x"}`:  {false},
		`{function*="w", kind="go",}`: {true},
		`{kind="go"}{kind="x"}`:       {true, false},
		`{kind="go"} , !{kind="x"}`:   {true, false},
		"\n{ kind = 'go' }\t":         {true},
	} {
		got, err := ParseStackConditions(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var matched []bool
		for _, c := range got {
			matched = append(matched, c.Pattern.matches(&f))
			if c.Not != (len(matched) == 2 && strings.Contains(text, "!{")) {
				t.Errorf("%q: condition %d is negated: %v", text, len(matched), c.Not)
			}
		}
		if !slices.Equal(matched, want) {
			t.Errorf("%q matches %v instead of %v", text, matched, want)
		}
	}
	many := strings.Repeat(`{kind="x"}`, maxStackConditions+1)
	for text, want := range map[string]struct {
		position int
		message  string
	}{
		"x":                {0, "expected {"},
		"{}":               {1, "expected a condition"},
		"{function}":       {9, "expected =, !="},
		`{name="x"}`:       {1, `unknown field "name"`},
		`{function=x}`:     {10, "a value in quotes"},
		`{function="x"`:    {13, ", or }"},
		`{function="x",}}`: {15, "expected {"},
		`{function=~"a("}`: {11, "missing closing"},
		`{function="x"},`:  {14, "comma behind"},
		many:               {10 * maxStackConditions, "more than 16 conditions"},
		`{kind=~"` + strings.Repeat("a{900}", 40) + `"}`: {7, "too large"},
		"!{":                       {2, "expected a label name"},
		strings.Repeat(" ", 70000): {65536, "longer than"},
	} {
		_, err := ParseStackConditions(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Position != want.position || !strings.Contains(syntax.Message, want.message) {
			t.Errorf("%.40q: %v, want %q at %d", text, err, want.message, want.position)
		}
	}
	for _, text := range []string{`!{kind="x"}`, `{kind="x"}{kind="y"}`, `{kind="x"},`} {
		if _, err := ParseFramePattern(text); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
}

func TestParseCallSite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                               nil,
		"main":                           {"main"},
		" main ; work ":                  {"main", "work"},
		`std::map<int, a>::at;"a;b";'"'`: {"std::map<int, a>::at", "a;b", `"`},
		"handle <request>":               {"handle <request>"},
	} {
		got, err := ParseCallSite(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for text, position := range map[string]int{
		";": 0, "a;": 2, "a;;b": 2, `""`: 0, `"a`: 0, `"a" b`: 4, `"\q"`: 1,
		strings.Repeat("a;", maxCallSite) + "a": 2 * maxCallSite,
	} {
		_, err := ParseCallSite(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Position != position {
			t.Errorf("%.40q: %v, want position %d", text, err, position)
		}
	}
}

func FuzzParseStackConditions(f *testing.F) {
	f.Add(`{function*="malloc"} !{file^="/usr/include/"}`)
	f.Add("{binary=~`lib.*`,kind!=\"go\"},{function!~'a'}")
	f.Fuzz(func(t *testing.T, text string) {
		conditions, err := ParseStackConditions(text)
		var syntax *SyntaxError
		if err != nil && (!errors.As(err, &syntax) || syntax.Position < 0 || syntax.Position > len(text) || conditions != nil) {
			t.Errorf("%q: %v", text, err)
		}
		if pattern, err := ParseFramePattern(text); err == nil && len(pattern) > 0 && len(conditions) != 1 {
			t.Errorf("%q is a pattern of %d conditions", text, len(conditions))
		}
		for _, c := range conditions {
			if len(c.Pattern) == 0 {
				t.Errorf("%q has an empty pattern", text)
			}
			_ = c.Pattern.matches(&Function{Name: text})
		}
	})
}

func FuzzParseCallSite(f *testing.F) {
	f.Add("main;work")
	f.Add(`"a;b" ; c`)
	f.Fuzz(func(t *testing.T, text string) {
		names, err := ParseCallSite(text)
		var syntax *SyntaxError
		if err != nil && (!errors.As(err, &syntax) || syntax.Position < 0 || syntax.Position > len(text) || names != nil) {
			t.Errorf("%q: %v", text, err)
		}
		if slices.Contains(names, "") {
			t.Errorf("%q has a name without a letter", text)
		}
	})
}
