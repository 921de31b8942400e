// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"maps"
	"sync"
	"time"
)

// Receipts says what became of the samples that the server received since it
// started, by weight: received = stored + duplicate + refused.
type Receipts struct {
	Received, Stored, Duplicate uint64
	Refused                     map[string]uint64 // by reason
}

// Counter keeps the receipts of every project. The zero value is ready for use.
// It is safe for concurrent use.
type Counter struct {
	// Now is the clock of [Counter.LastMinute]. Default time.Now.
	Now func() time.Time

	mu       sync.Mutex
	projects map[string]*counted
}

// counted are the receipts of a project: all, and those of the last slots of time, in a
// ring.
type counted struct {
	all   Receipts
	slots [minuteSlots]slot
}

// slot are the receipts of slotSeconds.
type slot struct {
	number                      int64 // of the slot since 1970
	received, stored, duplicate uint64
}

// A minute is slots of slotSeconds, of which the last one is not over.
const (
	slotSeconds = 5
	minuteSlots = 60 / slotSeconds
)

// Store counts samples that were stored, or had been before.
func (c *Counter) Store(project string, weight uint64, duplicate bool) {
	c.count(project, weight, func(r *Receipts, s *slot) {
		if duplicate {
			r.Duplicate += weight
			s.duplicate += weight
		} else {
			r.Stored += weight
			s.stored += weight
		}
	})
}

// Refuse counts samples that were not stored. Reasons must be few.
func (c *Counter) Refuse(project, reason string, weight uint64) {
	if weight == 0 {
		return
	}
	c.count(project, weight, func(r *Receipts, _ *slot) { r.Refused[reason] += weight })
}

func (c *Counter) count(project string, weight uint64, count func(*Receipts, *slot)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projects[project]
	if p == nil {
		p = &counted{all: Receipts{Refused: map[string]uint64{}}}
		if c.projects == nil {
			c.projects = map[string]*counted{}
		}
		c.projects[project] = p
	}
	now := c.slot()
	s := &p.slots[now%minuteSlots]
	if s.number != now {
		*s = slot{number: now}
	}
	p.all.Received += weight
	s.received += weight
	count(&p.all, s)
}

// slot returns the number of the slot of now.
func (c *Counter) slot() int64 {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return max(0, now().Unix()) / slotSeconds
}

// Receipts returns those of a project.
func (c *Counter) Receipts(project string) Receipts {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projects[project]
	if p == nil {
		return Receipts{Refused: map[string]uint64{}}
	}
	out := p.all
	out.Refused = maps.Clone(p.all.Refused)
	return out
}

// Minute says what was received of a project within the last minute, by weight.
// What was received and neither stored nor a duplicate was refused.
type Minute struct{ Received, Stored, Duplicate uint64 }

// LastMinute returns what was received of a project within the last 55 to 60 seconds.
func (c *Counter) LastMinute(project string) Minute {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := Minute{}
	p := c.projects[project]
	if p == nil {
		return m
	}
	now := c.slot()
	for i := range p.slots {
		if s := &p.slots[i]; s.number > now-minuteSlots && s.number <= now {
			m.Received += s.received
			m.Stored += s.stored
			m.Duplicate += s.duplicate
		}
	}
	return m
}

// Sum returns those of all projects together.
func (c *Counter) Sum() Receipts {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := Receipts{Refused: map[string]uint64{}}
	for _, p := range c.projects {
		r := &p.all
		sum.Received += r.Received
		sum.Stored += r.Stored
		sum.Duplicate += r.Duplicate
		for reason, n := range r.Refused {
			sum.Refused[reason] += n
		}
	}
	return sum
}
