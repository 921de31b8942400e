// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits are what the host does not allow. The host is asked once, when somebody
// wants to know. It is safe for concurrent use.
type Limits struct {
	probe func() []Capability
	log   *slog.Logger
	once  sync.Once
	found atomic.Pointer[[]Capability]
	// started: what profiling needs was there.
	started atomic.Bool
}

// NewLimits makes Limits that ask the host by probe, nil for nothing to ask.
func NewLimits(probe func() []Capability, log *slog.Logger) *Limits {
	return &Limits{probe: probe, log: log}
}

// Started says that the host is being profiled. What that takes has been there: if it is
// refused from now on, a privilege was given up that only the start needed.
func (l *Limits) Started() { l.started.Store(true) }

// Ask returns what is missing or limited. The first time that takes some 100 ms, and
// a line of the log for each.
func (l *Limits) Ask() []Capability {
	l.once.Do(func() {
		var found []Capability
		if l.probe != nil {
			all := slices.DeleteFunc(l.probe(), func(c Capability) bool { return c.Required && !c.OK && l.started.Load() })
			for _, c := range all {
				if c.Limits() {
					found = append(found, c)
				}
			}
			// What nothing works without comes first.
			slices.SortStableFunc(all, func(a, b Capability) int { return cmp.Compare(rank(a), rank(b)) })
			for _, c := range all {
				explain(l.log, c)
			}
		}
		l.found.Store(&found)
	})
	return l.Known()
}

// Known returns what is missing or limited, nothing if nobody asked so far.
func (l *Limits) Known() []Capability {
	if found := l.found.Load(); found != nil {
		return *found
	}
	return nil
}

// rank is 0 for what nothing works without.
func rank(c Capability) int {
	if c.Required && !c.OK {
		return 0
	}
	return 1
}

// explain logs what is missing or limited.
func explain(log *slog.Logger, c Capability) {
	switch {
	case c.Required && !c.OK:
		log.Error("this host does not allow what profiling needs", "what", c.Name, "found", c.Detail, "fix", c.Fix)
	case c.Limits():
		log.Info("something is limited", "what", c.Name, "effect", c.Effect, "fix", c.Fix)
	}
}
