// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"testing"
	"time"
)

// TestClockGuard sets a clock forward and back.
func TestClockGuard(t *testing.T) {
	var g clockGuard
	wall, running := time.Unix(1_700_000_000, 0), time.Duration(0)
	for i, step := range []struct {
		wait    time.Duration
		set     time.Duration // beside that
		forward time.Duration
		doubted bool
	}{
		{wait: 0},
		{wait: time.Minute},
		{wait: 100 * time.Hour}, // was busy
		{wait: time.Minute, set: 59 * time.Minute},
		{wait: time.Minute, set: -50 * time.Hour},
		{wait: time.Minute, set: 50 * time.Hour, forward: 50 * time.Hour, doubted: true},
		{wait: 59 * time.Minute, doubted: true},
		{wait: time.Second, set: 2 * time.Hour, forward: 2 * time.Hour, doubted: true},
		{wait: 59 * time.Minute, set: -52 * time.Hour, doubted: true},
		{wait: time.Minute},
	} {
		running += step.wait
		wall = wall.Add(step.wait + step.set)
		if forward, doubted := g.look(wall, running); forward != step.forward || doubted != step.doubted {
			t.Errorf("look %d: forward %s, doubted %v", i, forward, doubted)
		}
	}
}
