// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"slices"
	"time"
)

// State is how a target is doing.
type State string

// States.
const (
	// Unknown: it was not scraped yet.
	Unknown State = "unknown"
	// Up: the last scrape was stored.
	Up State = "up"
	// Down: the last scrape failed.
	Down State = "down"
)

// Target is what is known of one profile of a target.
type Target struct {
	Job, Instance, Profile string
	// URL is without parameters, which may hold secrets.
	URL    string
	Labels map[string]string
	State  State
	// Last is when the last scrape began, zero: there was none.
	Last     time.Time
	Duration time.Duration
	// Error says why the last scrape failed, or what of it was not stored.
	Error    string
	Next     time.Time
	Interval time.Duration
	// Samples are those that the last scrape had, Bytes its size, decompressed.
	Samples int
	Bytes   int64
}

// Targets returns the targets of a project: those that are down first, then by job,
// instance and profile.
func (s *Scraper) Targets(project string) []Target {
	s.mu.Lock()
	var all []Target
	for _, e := range s.endpoints {
		if e.spec.project == project {
			all = append(all, e.target())
		}
	}
	s.mu.Unlock()
	rank := map[State]int{Down: 0, Unknown: 1, Up: 2}
	slices.SortFunc(all, func(a, b Target) int {
		return cmp.Or(
			cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance),
			cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.URL, b.URL),
		)
	})
	return all
}

// Problems says what of the files is not in force, and what is left out.
func (s *Scraper) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}
