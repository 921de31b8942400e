// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/support/vm"
)

// row is what became of an entry.
type row struct {
	entry
	kernel      *vm.Kernel
	result      *vm.Result
	accelerated bool
	report      report
	err         error
}

// problem says what is not as it must be, "" if nothing.
func (r *row) problem() string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.result.TimedOut:
		return "its time was over"
	case r.result.Status != 0:
		return fmt.Sprintf("the test ended with status %d", r.result.Status)
	case r.cannot != "" && (r.report.CanRun || r.report.Refusal == ""):
		return "the agent does not refuse"
	case r.cannot != "" && !strings.Contains(r.report.Refusal, r.cannot):
		return fmt.Sprintf("the refusal does not say %q: %s", r.cannot, r.report.Refusal)
	case r.cannot != "":
		return ""
	case !r.report.CanRun:
		return r.report.Verdict
	case r.report.Refusal != "":
		return r.report.Refusal
	}
	var out []string
	for _, name := range r.subjects() {
		if p := r.report.Subjects[name]; p != "" {
			out = append(out, name+": "+p)
		}
	}
	if r.report.Pipe != "" {
		out = append(out, "pipe: "+r.report.Pipe)
	}
	for _, f := range r.report.Failed {
		out = append(out, "failed: "+f)
	}
	return strings.Join(out, "\n")
}

func (r *row) subjects() []string {
	var out []string
	for name := range r.report.Subjects {
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
	return fmt.Sprintf("%s: as expected after %v", r.name, r.result.Run.Round(time.Second))
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
		release := r.name
		if r.kernel != nil {
			release = r.kernel.Release
		}
		cells := []string{release, r.how()}
		switch {
		case r.err != nil:
			first, _, _ := strings.Cut(r.err.Error(), "\n")
			cells = append(cells, "not tried: "+first)
		case r.cannot != "":
			cells = append(cells, r.report.Verdict+", and the agent ends with its reason")
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

func (r *row) worked() []string {
	verifier := ""
	if r.report.Instructions > 0 {
		verifier = fmt.Sprintf("%d instructions, %d ms", r.report.Instructions, r.report.VerifierUsec/1000)
	}
	tests := fmt.Sprintf("%d passed", r.report.Passed)
	if n := len(r.report.Failed); n > 0 {
		tests += fmt.Sprintf(", **%d failed** (%s)", n, strings.Join(r.report.Failed, ", "))
	}
	if n := len(r.report.Skipped); n > 0 {
		tests += fmt.Sprintf(", %d skipped", n)
	}
	good := 0
	var bad []string
	for _, name := range r.subjects() {
		if r.report.Subjects[name] == "" {
			good++
		} else {
			bad = append(bad, name)
		}
	}
	subjects := fmt.Sprintf("%d of %d", good, len(r.report.Subjects))
	if len(bad) > 0 {
		subjects += " (not " + strings.Join(bad, ", ") + ")"
	}
	pipe := "yes"
	if r.report.Pipe != "" {
		pipe = "**no**"
	}
	follows := map[string]string{"kernel": "fork, exec, exit", "proc": "fork, exit; exec from /proc"}[r.report.Follows]
	if follows == "" {
		follows = r.report.Follows
	}
	has := r.report.Has
	return []string{
		r.report.Verdict, r.report.Event, follows, yes(has["file fault tracepoint"]), yes(has["iterator over mappings"]), yes(has["kprobe"]),
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
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New(file + " has no marks of the table")
	}
	how := "emulated by qemu"
	for i := range rows {
		if rows[i].accelerated {
			how = "under KVM"
		}
	}
	text := fmt.Sprintf("%s%s\nRun on %s, %s.\n\n%s\n%s%s", before, begin, time.Now().UTC().Format("2 January 2006"), how, table(rows), end, after)
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // a document
}
