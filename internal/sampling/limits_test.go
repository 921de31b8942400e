// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"log/slog"
	"strings"
	"testing"
)

// TestLimits: what profiling needs is no limit of a host that is being profiled.
func TestLimits(t *testing.T) {
	t.Parallel()
	probe := func() []Capability {
		return []Capability{{Name: "events", Required: true, Effect: "no samples"}, {Name: "symbols", Effect: "no names"}, {Name: "BTF", Required: true, OK: true}}
	}
	f := func(started bool, want string, errors int) {
		t.Helper()
		var log strings.Builder
		l := NewLimits(probe, slog.New(slog.NewTextHandler(&log, nil)))
		if started {
			l.Started()
		}
		var names []string
		for _, c := range l.Ask() {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != want || strings.Count(log.String(), "level=ERROR") != errors {
			t.Errorf("started %v: %q, want %q\n%s", started, got, want, log.String())
		}
	}
	f(false, "symbols", 1)
	f(true, "symbols", 0)
}
