// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// flat is a profile without pointers and IDs.
type flat struct {
	Types              []string
	Default            string
	Comments           []string
	DocURL, Drop, Keep string
	Time, Length       int64
	PeriodType         string
	Period             int64
	Mappings           []string // that samples refer to
	Samples            []string // with everything but their values
	Values             [][]int64
}

// flatten writes a profile flat. The changes that the package documents are made
// where normal is set; what comes back must have them.
func flatten(p *profile.Profile, normal bool) flat {
	text := func(s string) string {
		if normal {
			return strings.ToValidUTF8(s, "\uFFFD")
		}
		return s
	}
	number := func(n int64) int64 {
		if normal {
			return max(n, 0)
		}
		return n
	}
	mapping := func(m *profile.Mapping) string {
		if m == nil {
			return "none"
		}
		c := *m
		c.ID, c.KernelRelocationSymbol, c.File, c.BuildID = 0, "", text(c.File), text(c.BuildID)
		if normal && c.Start >= c.Limit {
			c.Start, c.Limit = 0, 0
		}
		s := fmt.Sprintf("%x-%x %x %q %q %t %t %t %t", c.Start, c.Limit, c.Offset, c.File, c.BuildID,
			c.HasFunctions, c.HasFilenames, c.HasLineNumbers, c.HasInlineFrames)
		if normal && s == `0-0 0 "" "" false false false false` {
			return "none"
		}
		return s
	}
	out := flat{
		Default: text(p.DefaultSampleType), DocURL: text(p.DocURL), Drop: text(p.DropFrames), Keep: text(p.KeepFrames),
		Time: number(p.TimeNanos), Length: number(p.DurationNanos), Period: p.Period,
	}
	if p.PeriodType != nil {
		out.PeriodType = fmt.Sprintf("%q/%q", text(p.PeriodType.Type), text(p.PeriodType.Unit))
	} else {
		out.PeriodType = `""/""`
	}
	for _, t := range p.SampleType {
		out.Types = append(out.Types, text(t.Type)+"/"+text(t.Unit))
	}
	for _, c := range p.Comments {
		out.Comments = append(out.Comments, text(c))
	}
	used := map[string]bool{"none": true}
	known := map[string]int{}
	for _, s := range p.Sample {
		var b strings.Builder
		for _, l := range s.Location {
			fmt.Fprintf(&b, "%x %t in %s", l.Address, l.IsFolded, mapping(l.Mapping))
			used[mapping(l.Mapping)] = true
			for _, line := range l.Line {
				f := line.Function
				if normal && number(line.Line) == 0 && number(line.Column) == 0 && f.Name+f.SystemName+f.Filename == "" && number(f.StartLine) == 0 {
					continue
				}
				fmt.Fprintf(&b, " | %q %q %q %d:%d:%d", text(f.Name), text(f.SystemName), text(f.Filename),
					number(f.StartLine), number(line.Line), number(line.Column))
			}
			b.WriteByte('\n')
		}
		for _, l := range labelsOf(s) {
			for _, t := range l.texts {
				fmt.Fprintf(&b, "%q=%q\n", l.key, text(t))
			}
			for i, n := range l.numbers {
				fmt.Fprintf(&b, "%q=%d %q\n", l.key, n, text(l.units[i]))
			}
		}
		i, ok := known[b.String()]
		if !ok || !normal {
			known[b.String()] = len(out.Samples)
			out.Samples = append(out.Samples, b.String())
			out.Values = append(out.Values, slices.Clone(s.Value))
			continue
		}
		for j, v := range s.Value {
			out.Values[i][j] = addBounded(out.Values[i][j], v)
		}
	}
	for _, m := range p.Mapping {
		if s := mapping(m); used[s] && !slices.Contains(out.Mappings, s) && s != "none" {
			out.Mappings = append(out.Mappings, s)
		}
	}
	return out
}
