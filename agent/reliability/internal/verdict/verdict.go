// SPDX-License-Identifier: Apache-2.0

// Package verdict collects what a run found, and prints it as a table.
package verdict

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Table is the result of a run: figures, and claims that held or did not. Lines are
// written as they come and kept for [Table.Write]. It is safe for concurrent use.
type Table struct {
	live  io.Writer
	began time.Time

	mu     sync.Mutex
	rows   []row
	failed int
}

type row struct{ mark, what, found string }

// New returns an empty table that also writes its rows, and notes, to live.
func New(live io.Writer) *Table { return &Table{live: live, began: time.Now()} }

// Check notes a claim. It returns ok.
func (t *Table) Check(ok bool, what, format string, args ...any) bool {
	mark := "ok"
	if !ok {
		mark = "FAIL"
	}
	t.add(row{mark, what, fmt.Sprintf(format, args...)})
	return ok
}

// Equal notes the claim that two numbers are the same. of says what the second is.
func Equal[T comparable](t *Table, what string, got, want T, of string) bool {
	if of == "" {
		return t.Check(got == want, what, "%v, must be %v", got, want)
	}
	if got == want {
		return t.Check(true, what, "%v = %v %s", got, want, of)
	}
	return t.Check(false, what, "%v, %v %s", got, want, of)
}

// Figure notes something measured that claims nothing.
func (t *Table) Figure(what, format string, args ...any) {
	t.add(row{"", what, fmt.Sprintf(format, args...)})
}

// Note tells what goes on. It is not part of the table.
func (t *Table) Note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.live, "%7.1fs  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *Table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
	if r.mark == "FAIL" {
		t.failed++
	}
	_, _ = fmt.Fprintf(t.live, "%7.1fs  %-4s %s: %s\n", time.Since(t.began).Seconds(), r.mark, r.what, r.found)
}

// Failed returns how many claims did not hold.
func (t *Table) Failed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Write writes the table in Markdown.
func (t *Table) Write(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	b.WriteString("| | checked or measured | found |\n| --- | --- | --- |\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.mark, r.what, strings.ReplaceAll(r.found, "|", "\\|"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
