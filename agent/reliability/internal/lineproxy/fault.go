// SPDX-License-Identifier: Apache-2.0

package lineproxy

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
)

// Fault is something that goes wrong on a line.
type Fault string

// Faults.
const (
	// Drop closes all connections in the orderly way.
	Drop Fault = "drop"
	// Reset closes all connections with RST.
	Reset Fault = "reset"
	// Refuse resets all connections, and new ones for a while.
	Refuse Fault = "refuse"
	// Blackhole forwards nothing for a while; afterwards all of it arrives.
	Blackhole Fault = "blackhole"
	// HalfOpen loses the server's side of all connections; the client's side stays
	// open and silent for a while, and what is sent on it is lost.
	HalfOpen Fault = "half_open"
	// Delay makes everything late.
	Delay Fault = "delay"
	// SlowReader reads what clients send in drops.
	SlowReader Fault = "slow_reader"
	// Bandwidth bounds the bytes per second.
	Bandwidth Fault = "bandwidth"
	// Truncate ends a connection in the middle of a message.
	Truncate Fault = "truncate"
)

// All lists the faults.
var All = []Fault{Drop, Reset, Refuse, Blackhole, HalfOpen, Delay, SlowReader, Bandwidth, Truncate}

const (
	slowBytes = 256
	slowPause = 50 * time.Millisecond
	maxDelay  = 400 * time.Millisecond
	minRate   = 2 << 10
	maxRate   = 32 << 10
)

// Inject makes a fault happen, for length where it lasts, and returns when it is over.
// The end of ctx ends it early. size, from 0 to 1, says how bad it is where that can be chosen.
func (p *Proxy) Inject(ctx context.Context, f Fault, length time.Duration, size float64) {
	during := func(begin, end func(*shape)) {
		p.count(f)
		p.change(begin)
		pause.For(ctx, length)
		p.change(end)
	}
	switch f {
	case Drop:
		p.count(f)
		p.each(func(c *pair) { c.finish() })
	case Reset:
		p.count(f)
		p.each(func(c *pair) { c.abort() })
	case Refuse:
		p.count(f)
		p.change(func(s *shape) { s.refuse = true })
		p.each(func(c *pair) { c.abort() })
		pause.For(ctx, length)
		p.change(func(s *shape) { s.refuse = false })
	case Blackhole:
		during(func(s *shape) { s.silent = true }, func(s *shape) { s.silent = false })
	case HalfOpen:
		p.count(f)
		var lost []*pair
		p.each(func(c *pair) {
			c.forget()
			lost = append(lost, c)
		})
		pause.For(ctx, length)
		for _, c := range lost {
			c.abort()
		}
	case Delay:
		during(func(s *shape) { s.delay = time.Duration(size * float64(maxDelay)) }, func(s *shape) { s.delay = 0 })
	case SlowReader:
		during(func(s *shape) { s.slow = true }, func(s *shape) { s.slow = false })
	case Bandwidth:
		during(func(s *shape) { s.rate = minRate + int((1-size)*float64(maxRate-minRate)) }, func(s *shape) { s.rate = 0 })
	case Truncate: // counted when it happens
		p.mu.Lock()
		p.truncate = true
		p.mu.Unlock()
		pause.For(ctx, length)
		p.takeTruncation()
	}
}

// Storm injects faults in a random order that the seed sets, one after another with
// pauses of up to gap, none longer than longest, until ctx ends. The line works afterwards.
func (p *Proxy) Storm(ctx context.Context, seed uint64, gap, longest time.Duration) {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
	for {
		// In rounds, so that every fault has its turn also in a short run.
		for _, i := range random.Perm(len(All)) {
			quiet := time.Duration(random.Int64N(int64(gap) + 1))
			length := longest/8 + time.Duration(random.Int64N(int64(longest-longest/8)+1))
			size := random.Float64()
			if !pause.For(ctx, quiet) {
				return
			}
			p.Inject(ctx, All[i], length, size)
			if ctx.Err() != nil {
				return
			}
		}
	}
}
