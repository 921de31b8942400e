// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Ages say how long data stay, by the time of the samples. 0 is for ever.
type Ages struct {
	// Samples is the age up to which samples stay, Minutes and Hours that of
	// their sums per minute and per hour.
	Samples, Minutes, Hours time.Duration
}

// Retention says how long an engine keeps data.
type Retention struct {
	Ages
	// Bytes bounds what the engine keeps on disk, 0: no bound. Where it is
	// exceeded the oldest samples go first, then the oldest roll-ups.
	Bytes int64
	// Rules replace the ages for some data; the first that fits counts.
	Rules []RetentionRule
}

// RetentionRule replaces the ages of a project, of a type, or of both. An age of
// 0 leaves that of [Retention] in force.
type RetentionRule struct {
	Project string           // "": every project
	Type    libpf.SampleType // 0: every type
	Ages
}

// For returns the ages of the samples of a type in a project.
func (r *Retention) For(project string, t libpf.SampleType) Ages {
	for _, rule := range r.Rules {
		if (rule.Project == "" || rule.Project == project) && (rule.Type == 0 || rule.Type == t) {
			return Ages{
				Samples: cmp.Or(rule.Samples, r.Samples),
				Minutes: cmp.Or(rule.Minutes, r.Minutes),
				Hours:   cmp.Or(rule.Hours, r.Hours),
			}
		}
	}
	return r.Ages
}

// Deletion says what to delete. The definitions, windows and ledgers of a project
// go when neither types, times nor matchers narrow it.
type Deletion struct {
	Project string
	Types   []libpf.SampleType // none: all
	// From is inclusive, To exclusive; 0: no bound.
	From, To libpf.UnixTimeNs
	Matchers []*Matcher
}

// Whole reports whether the deletion is of everything that the project has.
func (d *Deletion) Whole() bool {
	return len(d.Types) == 0 && d.From == 0 && d.To == 0 && len(d.Matchers) == 0
}

// HasSeries reports whether samples of a series may be in the selection.
func (d *Deletion) HasSeries(s *Series) bool {
	if s.Project != d.Project || (len(d.Types) > 0 && !slices.Contains(d.Types, s.Type)) {
		return false
	}
	for _, m := range d.Matchers {
		if !m.Matches(s.Label(m.Name)) {
			return false
		}
	}
	return true
}

// HasTime reports whether samples of a time are in the selection.
func (d *Deletion) HasTime(t libpf.UnixTimeNs) bool {
	return (d.From == 0 || t >= d.From) && (d.To == 0 || t < d.To)
}
