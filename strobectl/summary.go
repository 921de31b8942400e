// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

func samplesOf(n int64) string {
	if n == 1 {
		return "1 sample"
	}
	return render.Count(n) + " samples"
}

func bytesOf(n int) string { return render.Bytes(int64(n)) }

// about says what values are of: "on_cpu 12.3 s (0.41 CPU) in 15 min, 246 samples, 99.9% symbolised".
func about(s *client.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.Type, render.Value(s.Unit, s.Total))
	span := s.ToMs - s.FromMs
	if s.Type == "on_cpu" && span > 0 {
		fmt.Fprintf(&b, " (%.2f CPU)", float64(s.Total)/float64(span)/1e6)
	}
	if s.Snapshot {
		b.WriteString(" (sum of snapshots)")
	}
	if span > 0 {
		fmt.Fprintf(&b, " in %s", render.Span(span))
	}
	fmt.Fprintf(&b, ", %s", samplesOf(s.Samples))
	if s.Symbolized != nil && s.Total > 0 {
		fmt.Fprintf(&b, ", %.1f%% symbolised", *s.Symbolized*100)
	}
	if s.Excluded > 0 {
		fmt.Fprintf(&b, ", %s excluded", render.Value(s.Unit, s.Excluded))
	}
	return b.String()
}

// caveats are what makes an answer less than it looks.
func caveats(s *client.Summary) []string {
	var out []string
	if s.UnknownStacks > 0 && s.Total > 0 {
		out = append(out, render.Percent(s.UnknownStacks, s.Total)+" have a stack that has not arrived (yet)")
	}
	if h := s.Coverage.HorizonMs; h > s.FromMs && s.FromMs > 0 {
		out = append(out, "nothing is left of before "+time.UnixMilli(h).UTC().Format(time.RFC3339))
	}
	if s.Coverage.ResolutionMs >= 60000 {
		out = append(out, "part is from sums per "+render.Span(s.Coverage.ResolutionMs))
	}
	return out
}

// printSummary prints a line about an answer, and what is to be known about it.
func printSummary(o *term.Out, s *client.Summary, more ...string) error {
	lines := []string{o.Paint(term.Style{Bold: true}, term.Clean(about(s)))}
	for _, c := range append(caveats(s), more...) {
		lines = append(lines, o.Paint(term.Style{FG: term.Warn}, "! ")+c)
	}
	_, err := fmt.Fprintln(o, strings.Join(lines, "\n"))
	return err
}

// faint prints a remark below an answer.
func faint(o *term.Out, format string, args ...any) error {
	_, err := fmt.Fprintln(o, o.Paint(term.Style{Faint: true}, fmt.Sprintf(format, args...)))
	return err
}
