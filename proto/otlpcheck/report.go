// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"fmt"
	"strconv"
	"strings"
)

// Finding is a place where a message does not keep a rule.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Path is the field, such as resource_profiles[0].scope_profiles[0].profiles[1].
	// It is empty for the message.
	Path    string `json:"path"`
	Message string `json:"message"`
}

// String returns the finding as one line.
func (f Finding) String() string {
	path := f.Path
	if path == "" {
		path = "message"
	}
	return fmt.Sprintf("%s %s: %s: %s", f.Severity, f.Rule, path, f.Message)
}

// Report is what was found in a message.
type Report struct {
	// Errors and Warnings count all that was found.
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	// Counts are the numbers of findings by rule.
	Counts map[string]int `json:"counts"`
	// Findings are the first of each rule, in the order of the message.
	Findings []Finding `json:"findings"`
	// Resources, Profiles and Samples count what the message holds.
	Resources int `json:"resources"`
	Profiles  int `json:"profiles"`
	Samples   int `json:"samples"`
}

// Err returns nil if nothing was found, else an error with all findings.
func (r *Report) Err() error {
	if r.Errors+r.Warnings == 0 {
		return nil
	}
	lines := make([]string, len(r.Findings))
	for i, f := range r.Findings {
		lines[i] = f.String()
	}
	return fmt.Errorf("errors: %d, warnings: %d\n%s", r.Errors, r.Warnings, strings.Join(lines, "\n"))
}

// step is a part of a path: a field, or an element of one.
type step struct {
	field string
	index int // none: not an element
}

const none = -1

func (s step) append(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, '.')
	}
	b = append(b, s.field...)
	if s.index != none {
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(s.index), 10)
		b = append(b, ']')
	}
	return b
}

// enter goes into a field, leave out of the last.
func (c *checker) enter(field string)     { c.path = append(c.path, step{field, none}) }
func (c *checker) at(field string, i int) { c.path = append(c.path, step{field, i}) }
func (c *checker) leave()                 { c.path = c.path[:len(c.path)-1] }

// find notes a finding in a field of where the checker is; "" is that itself.
func (c *checker) find(r rule, field string, format string, args ...any) {
	c.findAt(r, step{field, none}, format, args...)
}

func (c *checker) findAt(r rule, at step, format string, args ...any) {
	about := &rules[r]
	if about.Severity < c.least {
		return
	}
	if about.Severity == Error {
		c.report.Errors++
	} else {
		c.report.Warnings++
	}
	c.report.Counts[about.Name]++
	if c.report.Counts[about.Name] > c.most {
		return
	}
	var b []byte
	for _, s := range c.path {
		b = s.append(b)
	}
	if at.field != "" {
		b = at.append(b)
	}
	c.report.Findings = append(c.report.Findings, Finding{
		Rule: about.Name, Severity: about.Severity, Path: string(b), Message: fmt.Sprintf(format, args...),
	})
}
