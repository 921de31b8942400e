// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/strobe-profiler/strobe/agent/internal/sampling"
)

// limits are what the host does not allow. The host is asked once, when somebody
// wants to know. It is safe for concurrent use.
type limits struct {
	probe func() []sampling.Capability
	log   *slog.Logger
	once  sync.Once
	found atomic.Pointer[[]sampling.Capability]
}

func newLimits(probe func() []sampling.Capability, log *slog.Logger) *limits {
	return &limits{probe: probe, log: log}
}

// ask returns what is missing or limited. The first time that takes some 100 ms, and
// a line of the log for each.
func (l *limits) ask() []sampling.Capability {
	l.once.Do(func() {
		var found []sampling.Capability
		if l.probe != nil {
			for _, c := range l.probe() {
				if c.Limits() {
					found = append(found, c)
				}
				explain(l.log, c)
			}
		}
		l.found.Store(&found)
	})
	return l.known()
}

// known returns what is missing or limited, nothing if nobody asked so far.
func (l *limits) known() []sampling.Capability {
	if found := l.found.Load(); found != nil {
		return *found
	}
	return nil
}

// explain logs what is missing or limited.
func explain(log *slog.Logger, c sampling.Capability) {
	switch {
	case c.Required && !c.OK:
		log.Error("this host does not allow what profiling needs", "what", c.Name, "found", c.Detail, "fix", c.Fix)
	case c.Limits():
		log.Info("something is limited", "what", c.Name, "effect", c.Effect, "fix", c.Fix)
	}
}
