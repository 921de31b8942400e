// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"maps"
	"sync"
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
	mu       sync.Mutex
	projects map[string]*Receipts
}

// Store counts samples that were stored, or had been before.
func (c *Counter) Store(project string, weight uint64, duplicate bool) {
	c.count(project, weight, func(r *Receipts) {
		if duplicate {
			r.Duplicate += weight
		} else {
			r.Stored += weight
		}
	})
}

// Refuse counts samples that were not stored. Reasons must be few.
func (c *Counter) Refuse(project, reason string, weight uint64) {
	if weight == 0 {
		return
	}
	c.count(project, weight, func(r *Receipts) { r.Refused[reason] += weight })
}

func (c *Counter) count(project string, weight uint64, count func(*Receipts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.projects[project]
	if r == nil {
		r = &Receipts{Refused: map[string]uint64{}}
		if c.projects == nil {
			c.projects = map[string]*Receipts{}
		}
		c.projects[project] = r
	}
	r.Received += weight
	count(r)
}

// Receipts returns those of a project.
func (c *Counter) Receipts(project string) Receipts {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.projects[project]
	if r == nil {
		return Receipts{Refused: map[string]uint64{}}
	}
	out := *r
	out.Refused = maps.Clone(r.Refused)
	return out
}

// Sum returns those of all projects together.
func (c *Counter) Sum() Receipts {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := Receipts{Refused: map[string]uint64{}}
	for _, r := range c.projects {
		sum.Received += r.Received
		sum.Stored += r.Stored
		sum.Duplicate += r.Duplicate
		for reason, n := range r.Refused {
			sum.Refused[reason] += n
		}
	}
	return sum
}
