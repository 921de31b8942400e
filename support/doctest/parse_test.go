// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"reflect"
	"strings"
	"testing"
)

const sample = "# Title\n\nText with ```code``` in it.\n\n## First *one*\n\n```sh\nA=1\necho $A\n```\n\n```text\n1\n```\n\n" +
	"Words.\n\n```text\nno output\n```\n\n## Second\n\n- in a list:\n\n  ```sh\n  echo a\n    echo b\n  ```\n\nMore.\n\n```text\nnot its output\n```\n" +
	"\n### Third\n\n````yaml\n```\n# no heading\n````\n```sh\ntrue\n```\n    indented\n"

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse("f.md", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{File: "f.md", Line: 8, Section: "First *one*", Lang: "sh", Text: "A=1\necho $A\n", Want: "1\n", HasWant: true},
		{File: "f.md", Line: 13, Section: "First *one*", Lang: "text", Text: "1\n"},
		{File: "f.md", Line: 19, Section: "First *one*", Lang: "text", Text: "no output\n"},
		{File: "f.md", Line: 27, Section: "Second", Lang: "sh", Text: "echo a\n  echo b\n"},
		{File: "f.md", Line: 34, Section: "Second", Lang: "text", Text: "not its output\n"},
		{File: "f.md", Line: 40, Section: "Third", Lang: "yaml", Text: "```\n# no heading\n"},
		{File: "f.md", Line: 44, Section: "Third", Lang: "sh", Text: "true\n"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestParseUnclosed(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.md", []byte("a\n\n```sh\necho\n"))
	if err == nil || !strings.Contains(err.Error(), "f.md:3") {
		t.Errorf("got %v, want an error at f.md:3", err)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	f := func(want, got string, ok bool) {
		t.Helper()
		if Matches(want, got) != ok {
			t.Errorf("Matches(%q, %q) is not %v", want, got, ok)
		}
	}
	f("", "", true)
	f("", "\n", true)
	f("a\n", "a", true)
	f("a", "b", false)
	f("a  b", "a b\n", true)
	f("a …", "a long tail", true)
	f("a …", "b tail", false)
	f("a … z", "a to z", true)
	f("ab…bc", "abc", false)
	f("a…m…z", "a to m to z", true)
	f("a…m…z", "a to z", false)
	f("…\nb", "1\n2\nb", true)
	f("…\nb", "b", true)
	f("…\nb", "b\nc", false)
	f("a\n…", "a", true)
	f("a\n…\nb\n…", "a\nx\nb\nb\ny", true)
	f("a", "a\nb", false)
	f("a\nb", "a", false)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("```sh\n```\n  ```\n x\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		blocks, err := Parse("f.md", src)
		if err != nil && blocks != nil {
			t.Error("blocks and an error")
		}
		lines := strings.Count(string(src), "\n") + 1
		for _, b := range blocks {
			if b.Line < 2 || b.Line > lines {
				t.Errorf("line %d of %d", b.Line, lines)
			}
		}
	})
}
