// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// pressure knows how many requests are refused for each that is served, and
// derives from it how long to ask clients to wait. Twice the load that the
// server can take makes one refusal for each answer and so a wait twice the
// shortest; the waits are spread at random, so that clients that were refused
// together do not come back together.
type pressure struct {
	now func() time.Time

	mu              sync.Mutex
	at              time.Time
	served, refused float64 // decaying counts
}

// Bounds of the wait, and how fast the past is forgotten.
const (
	shortestWait = time.Second
	longestWait  = time.Minute
	pressureHalf = 5 * time.Second
)

// decay forgets. The lock is held.
func (p *pressure) decay() {
	now := p.now()
	if passed := now.Sub(p.at); passed > 0 {
		f := math.Exp2(-passed.Seconds() / pressureHalf.Seconds())
		p.served *= f
		p.refused *= f
	}
	p.at = now
}

// serve notes that a request was worked on.
func (p *pressure) serve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decay()
	p.served++
}

// refuse notes that a request was refused, and returns how long its client is to wait.
func (p *pressure) refuse() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decay()
	p.refused++
	wait := float64(shortestWait) * (1 + p.refused/(p.served+1))
	return jitter(time.Duration(min(wait, float64(longestWait))))
}

// jitter spreads a wait: at least what was asked for, at most twice as long.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)+1)) //nolint:gosec // nobody gains from guessing it
}
