// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/golden"
)

func TestProblem(t *testing.T) {
	t.Parallel()
	good := report{CanRun: true, Subjects: map[string]string{"c-o2": ""}}
	for name, c := range map[string]struct {
		row  row
		want string
	}{
		"works":           {row{Report: good}, ""},
		"guest died":      {row{Error: "panic"}, "panic"},
		"doctor says no":  {row{Report: report{Verdict: "cannot profile"}}, "cannot profile"},
		"agent refuses":   {row{Report: report{CanRun: true, Refusal: "no memory"}}, "no memory"},
		"wrong stacks":    {row{Report: report{CanRun: true, Subjects: map[string]string{"c-o2": "never seen"}}}, "c-o2: never seen"},
		"nothing arrives": {row{Report: report{CanRun: true, Pipe: "no answer"}}, "pipe: no answer"},
		"a test fails":    {row{Report: report{CanRun: true, Failed: []string{"tracer.TestX"}}}, "tracer.TestX"},
		"right refusal":   {row{entry: entry{cannot: "5.17"}, Report: report{Refusal: "use Linux 5.17"}}, ""},
		"other refusal":   {row{entry: entry{cannot: "5.17"}, Report: report{Refusal: "no memory"}}, "does not say"},
		"works too well":  {row{entry: entry{cannot: "5.17"}, Report: good}, "does not refuse"},
		"doctor is wrong": {row{entry: entry{cannot: "lockdown"}, Report: report{CanRun: true, Refusal: "lockdown"}}, "does not refuse"},
	} {
		if got := c.row.problem(); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	if got, err := choose("6.12, 5.10"); err != nil || len(got) != 2 || got[0].name != "6.12" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := choose(""); err != nil || len(got) != len(entries) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose("2.4"); err == nil || !strings.Contains(err.Error(), "6.12") {
		t.Errorf("%v: does not say which there are", err)
	}
}

func TestWriteDoc(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []row{{Release: "6.1", Report: report{CanRun: true, Failed: []string{"x.T", "x.T/a|b"}, Passed: 1}}}
	if err := writeDoc(file, rows); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(file)
	got := string(b)
	if !strings.HasPrefix(got, "before\n") || !strings.HasSuffix(got, end+"\nafter\n") || strings.Contains(got, "old") ||
		!strings.Contains(got, `**1 failed** (x.T/a\|b)`) {
		t.Error(got)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeDoc(file, rows); err == nil {
		t.Error("a document without marks was written")
	}
}

// TestTableOfDocument wants docs/kernels.md to say what the results say.
func TestTableOfDocument(t *testing.T) {
	t.Parallel()
	o := options{results: "results"}
	rows := o.saved()
	if len(rows) == 0 {
		t.Fatal("there are no results")
	}
	b, err := os.ReadFile("../../docs/kernels.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := withTable(string(b), rows)
	if err != nil {
		t.Fatal(err)
	}
	if golden.Update() {
		if err := writeDoc("../../docs/kernels.md", rows); err != nil {
			t.Fatal(err)
		}
	} else if want != string(b) {
		t.Errorf("the table of docs/kernels.md is not that of the results:\n%s", table(rows))
	}
}
