// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// row is what became of an entry. It is kept in the repository, so that kernels can be tried
// one at a time and the table of the document still has all of them.
type row struct {
	entry
	Release     string    `json:"release"`
	Date        time.Time `json:"date"`
	Accelerated bool      `json:"accelerated"`
	// Quick says that only a part was tried.
	Quick  bool          `json:"quick,omitempty"`
	Took   time.Duration `json:"took"`
	Boot   time.Duration `json:"boot"`
	Report report        `json:"report"`
	// Error is of the guest or the harness.
	Error string `json:"error"`
}

func (o *options) rowFile(name string) string { return filepath.Join(o.results, name+".json") }

func (o *options) save(r *row) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.rowFile(r.name), append(b, '\n'), 0o644) //nolint:gosec // no secret
}

// saved returns what is known of all kernels.
func (o *options) saved() []row {
	var out []row
	for _, e := range entries {
		r := row{}
		b, err := os.ReadFile(o.rowFile(e.name)) //nolint:gosec // ours
		if err != nil || json.Unmarshal(b, &r) != nil {
			continue // not tried yet
		}
		r.entry = e
		out = append(out, r)
	}
	return out
}

// problem says what is not as it must be, "" if nothing.
func (r *row) problem() string {
	switch {
	case r.Error != "":
		return r.Error
	case r.cannot != "" && (r.Report.CanRun || r.Report.Refusal == ""):
		return "the agent does not refuse"
	case r.cannot != "" && !strings.Contains(r.Report.Refusal, r.cannot):
		return fmt.Sprintf("the refusal does not say %q: %s", r.cannot, r.Report.Refusal)
	case r.cannot != "":
		return ""
	case !r.Report.CanRun:
		return r.Report.Verdict
	case r.Report.Refusal != "":
		return r.Report.Refusal
	}
	var out []string
	for _, name := range r.subjects() {
		if p := r.Report.Subjects[name]; p != "" {
			out = append(out, name+": "+p)
		}
	}
	if r.Report.Pipe != "" {
		out = append(out, "pipe: "+r.Report.Pipe)
	}
	for _, f := range r.Report.Failed {
		out = append(out, "failed: "+f)
	}
	return strings.Join(out, "\n")
}

func (r *row) subjects() []string {
	var out []string
	for name := range r.Report.Subjects {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// line is for the one who waits.
func (r *row) line() string {
	if p := r.problem(); p != "" {
		return r.name + ": " + p
	}
	return fmt.Sprintf("%s: as expected after %v", r.name, r.Took.Round(time.Second))
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// table is that of docs/kernels.md.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| kernel | booted | verdict of `agent doctor` | sampled by | process hooks | file fault hook | mapping iterator | kprobes | verifier | tests | subjects | to a query |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i := range rows {
		r := &rows[i]
		release := r.Release
		if release == "" {
			release = r.name
		}
		cells := []string{release, r.how()}
		switch {
		case r.Error != "":
			first, _, _ := strings.Cut(r.Error, "\n")
			cells = append(cells, "not tried: "+first)
		case r.cannot != "":
			cells = append(cells, r.Report.Verdict+", and the agent ends with its reason")
			if r.problem() != "" {
				cells[2] = "**" + r.problem() + "**"
			}
		default:
			cells = append(cells, r.worked()...)
		}
		for len(cells) < 12 {
			cells = append(cells, "")
		}
		for k := range cells {
			cells[k] = strings.ReplaceAll(strings.Join(strings.Fields(cells[k]), " "), "|", "\\|")
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// leaves drops the tests that failed only because a test within them did.
func leaves(names []string) []string {
	var out []string
	for _, name := range names {
		if !slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			out = append(out, name)
		}
	}
	return out
}

func (r *row) worked() []string {
	verifier := ""
	if r.Report.Instructions > 0 {
		verifier = fmt.Sprintf("%d instructions, %d ms", r.Report.Instructions, r.Report.VerifierUsec/1000)
	}
	tests := "not run"
	if r.Report.Passed > 0 {
		tests = fmt.Sprintf("%d passed", r.Report.Passed)
		if r.Quick {
			tests = "quick: " + tests
		}
	}
	if bad := leaves(r.Report.Failed); len(bad) > 0 {
		tests += fmt.Sprintf(", **%d failed** (%s)", len(bad), strings.Join(bad, ", "))
	}
	if n := len(r.Report.Skipped); n > 0 {
		tests += fmt.Sprintf(", %d skipped", n)
	}
	good := 0
	var bad []string
	for _, name := range r.subjects() {
		if r.Report.Subjects[name] == "" {
			good++
		} else {
			bad = append(bad, name)
		}
	}
	subjects := fmt.Sprintf("%d of %d", good, len(r.Report.Subjects))
	if len(bad) > 0 {
		subjects += " (not " + strings.Join(bad, ", ") + ")"
	}
	pipe := "yes"
	if r.Report.Pipe != "" {
		pipe = "**no**"
	}
	follows := map[string]string{"kernel": "fork, exec, exit", "proc": "fork, exit; exec from /proc"}[r.Report.Follows]
	if follows == "" {
		follows = r.Report.Follows
	}
	has := r.Report.Has
	return []string{
		r.Report.Verdict, r.Report.Event, follows, yes(has["file fault tracepoint"]), yes(has["iterator over mappings"]), yes(has["kprobe"]),
		verifier, tests, subjects, pipe,
	}
}

const (
	begin = "<!-- begin of the table that make test-kernels writes -->"
	end   = "<!-- end of the table -->"
)

// writeDoc puts the table into a document, between its marks.
func writeDoc(file string, rows []row) error {
	b, err := os.ReadFile(file) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	text, err := withTable(string(b), rows)
	if err != nil {
		return fmt.Errorf("%s %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // a document
}

// withTable returns a document with the table of these rows.
func withTable(doc string, rows []row) (string, error) {
	before, rest, ok := strings.Cut(doc, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", errors.New("has no marks of the table")
	}
	first, last, how := time.Now(), time.Time{}, "emulated by qemu"
	for i := range rows {
		if rows[i].Date.Before(first) {
			first = rows[i].Date
		}
		if rows[i].Date.After(last) {
			last = rows[i].Date
		}
		if rows[i].Accelerated {
			how = "under KVM"
		}
	}
	const day = "2 January 2006"
	when := first.UTC().Format(day)
	if w := last.UTC().Format(day); w != when {
		when += " to " + w
	}
	return fmt.Sprintf("%s%s\nRun on %s, %s.\n\n%s\n%s%s", before, begin, when, how, table(rows), end, after), nil
}
