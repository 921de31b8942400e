// SPDX-License-Identifier: Apache-2.0

// Package doctor prints what a host allows the agent to do, what will be off,
// and how to get it.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/internal/sampling"
)

// Formats of a report.
const (
	Text = "text"
	JSON = "json"
)

// Report is what was found.
type Report struct {
	// CanProfile is the verdict.
	CanProfile   bool                  `json:"can_profile"`
	Verdict      string                `json:"verdict"`
	Version      string                `json:"version"`
	Capabilities []sampling.Capability `json:"capabilities"`
}

// New judges what was found.
func New(version string, capabilities []sampling.Capability) *Report {
	r := &Report{CanProfile: true, Version: version, Capabilities: capabilities}
	var missing []string
	limited := 0
	for i := range capabilities {
		switch c := &capabilities[i]; {
		case c.OK:
		case c.Required:
			missing = append(missing, c.Name)
		case c.Limits():
			limited++
		}
	}
	switch {
	case len(missing) > 0:
		r.CanProfile = false
		r.Verdict = "cannot profile, for want of: " + strings.Join(missing, ", ")
	case limited > 0:
		r.Verdict = fmt.Sprintf("can profile, with %s limited", things(limited))
	default:
		r.Verdict = "can profile, with everything on"
	}
	return r
}

func things(n int) string {
	if n == 1 {
		return "1 thing"
	}
	return fmt.Sprintf("%d things", n)
}

// Write writes the report.
func (r *Report) Write(w io.Writer, format string) error {
	if format == JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// mark says in one word how it stands with something.
func mark(c *sampling.Capability) string {
	switch {
	case c.OK:
		return "ok"
	case c.Required:
		return "MISSING"
	case c.Limits():
		return "limited"
	}
	return "absent"
}

func (r *Report) text() string {
	width := 0
	for i := range r.Capabilities {
		width = max(width, utf8.RuneCountInString(r.Capabilities[i].Name))
	}
	var b strings.Builder
	// First, as people of logs look at the first line.
	fmt.Fprintf(&b, "%s\n\n", r.Verdict)
	for i := range r.Capabilities {
		c := &r.Capabilities[i]
		fmt.Fprintf(&b, "%-7s  %-*s  %s", mark(c), width, c.Name, oneLine(c.Detail))
		trimRight(&b)
		if c.OK {
			continue
		}
		for _, note := range []struct{ label, text string }{{"effect", c.Effect}, {"fix", c.Fix}} {
			if note.text != "" {
				fmt.Fprintf(&b, "%-7s  %-*s  %s: %s", "", width, "", note.label, oneLine(note.text))
				trimRight(&b)
			}
		}
	}
	return b.String()
}

// trimRight ends the line without white space.
func trimRight(b *strings.Builder) {
	line := strings.TrimRight(b.String(), " ")
	b.Reset()
	b.WriteString(line + "\n")
}

// oneLine keeps a text from breaking the table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
