// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"container/list"
	"time"
)

// cache keeps what is known of containers, the least recently used of which goes first.
// It is not safe for concurrent use.
type cache struct {
	maxContainers, maxBytes int
	sources                 int
	now                     func() time.Time

	entries map[string]*list.Element // of *entry
	recent  *list.List               // most recently used first
	bytes   int
	known   int
	evicted uint64 // so far
}

// entry is a container. Each source has its part, so that one that forgets does not
// take away what another knows.
type entry struct {
	id     string
	parts  []*container
	merged *container // nil while nobody knows anything
	asked  time.Time
	bytes  int
}

// refreshAfter is how long an answer holds: labels of pods change, and what was not
// there may be by now.
const refreshAfter = 5 * time.Minute

func newCache(maxContainers, maxBytes, sources int) *cache {
	return &cache{
		maxContainers: maxContainers, maxBytes: maxBytes, sources: sources, now: time.Now,
		entries: map[string]*list.Element{}, recent: list.New(),
	}
}

// find returns what is known of a container that is in use, and whether it is time to ask.
func (c *cache) find(id string) (known *container, ask bool) {
	e := c.entry(id)
	if now := c.now(); e.asked.IsZero() || now.Sub(e.asked) >= refreshAfter {
		e.asked = now
		ask = true
	}
	return e.merged, ask
}

func (c *cache) has(id string) bool {
	at, ok := c.entries[id]
	return ok && at.Value.(*entry).merged != nil
}

// entry returns the entry of a container as the most recently used one.
func (c *cache) entry(id string) *entry {
	if at, ok := c.entries[id]; ok {
		c.recent.MoveToFront(at)
		return at.Value.(*entry)
	}
	e := &entry{id: id, parts: make([]*container, c.sources), bytes: 256 + 8*c.sources}
	c.entries[id] = c.recent.PushFront(e)
	c.bytes += e.bytes
	c.evict(e)
	return e
}

// learn takes over what a source tells. A value that says the same as before stays, so
// that it can be compared by pointer.
func (c *cache) learn(by int, id string, told *container) {
	e := c.entry(id)
	if part := e.parts[by]; part != nil && part.equal(told) {
		return
	}
	e.parts[by] = told
	var merged container
	for _, part := range e.parts {
		if part != nil {
			merged = merged.merge(part)
		}
	}
	if e.merged == nil {
		c.known++
	}
	if e.merged == nil || !e.merged.equal(&merged) {
		e.merged = &merged
	}
	c.bytes -= e.bytes
	e.bytes = 256 + 8*c.sources + merged.bytes()
	for _, part := range e.parts {
		if part != nil {
			e.bytes += part.bytes()
		}
	}
	c.bytes += e.bytes
	c.evict(e)
}

// evict makes room, but never for the cost of keep.
func (c *cache) evict(keep *entry) {
	for len(c.entries) > c.maxContainers || c.bytes > c.maxBytes {
		last := c.recent.Back()
		e := last.Value.(*entry)
		if e == keep {
			return
		}
		c.recent.Remove(last)
		delete(c.entries, e.id)
		c.evicted++
		c.bytes -= e.bytes
		if e.merged != nil {
			c.known--
		}
	}
}
