// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/strobectl/internal/client"
)

func TestSelector(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		query string
		args  []string
		want  string
	}{
		{"", nil, ""},
		{`{a="b"}`, nil, `{a="b"}`},
		{`{a="b"`, nil, `{a="b"`}, // the server says what is wrong
		{"", []string{"service=shop"}, `{service="shop"}`},
		{"", []string{`service="shop"`, "comm=~w.*", "host!=a", "pod!~x|y"}, `{service="shop",comm=~"w.*",host!="a",pod!~"x|y"}`},
		{`{a="b",}`, []string{"c=d=e"}, `{a="b",c="d=e"}`},
		{"", []string{`{a="b"}`, "c="}, `{a="b",c=""}`},
		{"", []string{`app.kubernetes.io/name=a"b`}, `{app.kubernetes.io/name="a\"b"}`},
		{"{}", []string{"c=d"}, `{c="d"}`},
	} {
		got, err := selector(test.query, test.args)
		if err != nil || got != test.want {
			t.Errorf("%s %q: %s, %v instead of %s", test.query, test.args, got, err, test.want)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1h": "now-1h", "1h30m": "now-1h30m", "now-5m": "now-5m", "1795255200": "1795255200", "": "", "2026-11-21T10:00:00Z": "2026-11-21T10:00:00Z"} {
		if got := ago(in); got != want {
			t.Errorf("%s: %s instead of %s", in, got, want)
		}
	}
}

func TestFunctionPattern(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"read": `{function="read"}`, "read*": `{function^="read"}`, "*read*": `{function*="read"}`, `a"b`: `{function="a\"b"}`,
		`{binary="x"}`: `{binary="x"}`, "*": `{function*=""}`,
	} {
		if got := functionPattern(in); got != want {
			t.Errorf("%s: %s instead of %s", in, got, want)
		}
	}
}

// FuzzMatchers reads any selector that the server would take.
func FuzzMatchers(f *testing.F) {
	f.Add(`{service="shop",comm=~"w.*",host!="a"}`)
	f.Add("{a=`b`,'c d'=\"e\"}")
	f.Fuzz(func(t *testing.T, text string) {
		found := matchers(text)
		if all, err := query.ParseSelector(text); err == nil && len(found) > len(all) {
			t.Errorf("%q: %d conditions of %d", text, len(found), len(all))
		}
	})
}

// FuzzCaret points into any value.
func FuzzCaret(f *testing.F) {
	f.Add("query", `{a="b"`, 3)
	f.Add("query", "ü日本\n\t", 5)
	f.Fuzz(func(_ *testing.T, name, value string, position int) {
		caret(&client.Error{Status: 400, Parameter: name, Value: value, Position: position})
	})
}

func TestMatchers(t *testing.T) {
	t.Parallel()
	got := matchers(`{service="shop", comm=~'w.*',host!="a",pod!~"b"}`)
	want := []condition{{"service", "=", "shop"}, {"comm", "=~", "w.*"}, {"host", "!=", "a"}, {"pod", "!~", "b"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(condition{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
