// SPDX-License-Identifier: Apache-2.0

package embedded

import "time"

// Bounds of a clock that is believed.
const (
	// clockStep is how far a clock is set forward at most without a doubt.
	clockStep = time.Hour
	// clockDoubt is how long nothing is removed by age after that: time synchronisation,
	// or somebody, sets it right meanwhile.
	clockDoubt = time.Hour
)

// clockGuard notices that the clock of the machine was set far forward. What is too old by
// a wrong clock would be gone for good; queries only do not show it.
type clockGuard struct {
	wall    time.Time
	running time.Duration
	until   time.Duration
}

// look takes the time and how long the process has run, by a clock that nobody sets. It
// returns by how much the time was set forward since the last look, 0 when that is
// believed, and whether it is in doubt.
func (g *clockGuard) look(wall time.Time, running time.Duration) (forward time.Duration, doubted bool) {
	wall = wall.Round(0) // without the clock that nobody sets
	if !g.wall.IsZero() {
		forward = wall.Sub(g.wall) - (running - g.running)
	}
	g.wall, g.running = wall, running
	if forward <= clockStep {
		return 0, running < g.until
	}
	g.until = running + clockDoubt
	return forward, true
}
