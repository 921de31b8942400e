// SPDX-License-Identifier: Apache-2.0

package query

import "sync"

// cache keeps values up to a cost. It has two generations: what is used is in
// the hot one, and when that fills half of the budget it becomes the cold one
// and the cold one, which holds what was not used for that long, goes. This is
// least recently used to within half of the budget, at the price of a map
// look-up. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	budget int64

	mu        sync.Mutex
	hot, cold map[K]costed[V]
	hotCost   int64
	// coldCost is what the cold generation cost when it was the hot one; what moved
	// back since counts twice.
	coldCost int64
}

type costed[V any] struct {
	value V
	cost  int64
}

func newCache[K comparable, V any](budget int64) *cache[K, V] {
	return &cache[K, V]{budget: budget, hot: make(map[K]costed[V]), cold: make(map[K]costed[V])}
}

// locked runs f, which may call get and put, with the lock held: a bulk of
// look-ups takes it once.
func (c *cache[K, V]) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// get returns the value of a key. The lock is held.
func (c *cache[K, V]) get(k K) (V, bool) {
	if e, ok := c.hot[k]; ok {
		return e.value, true
	}
	e, ok := c.cold[k]
	if ok {
		delete(c.cold, k)
		c.insert(k, e)
	}
	return e.value, ok
}

// put sets the value of a key. The lock is held.
func (c *cache[K, V]) put(k K, v V, cost int64) {
	delete(c.cold, k)
	if old, ok := c.hot[k]; ok {
		c.hotCost -= old.cost
	}
	c.insert(k, costed[V]{v, cost})
}

func (c *cache[K, V]) insert(k K, e costed[V]) {
	c.hot[k] = e
	c.hotCost += e.cost
	if c.hotCost > c.budget/2 {
		c.hot, c.cold = make(map[K]costed[V]), c.hot
		c.hotCost, c.coldCost = 0, c.hotCost
	}
}

// cost returns what all values cost.
func (c *cache[K, V]) cost() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(c.hotCost+c.coldCost, c.budget)
}

// len returns the number of values.
func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.hot) + len(c.cold)
}
