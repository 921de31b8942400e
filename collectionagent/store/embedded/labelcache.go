// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"container/list"
	"slices"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// labelCounts are the values of a label in files of blocks with their sums. It is
// immutable, as files are.
type labelCounts struct {
	// values are sorted by value.
	values []store.LabelValue
	// largest is the order of the values by sum, nil when it was not needed.
	largest []uint32
}

// Rough sizes of a value in counts, without its text, and of counts.
const (
	labelValueBytes  = 40
	labelCountsBytes = 200
)

func (c *labelCounts) bytes() int64 {
	n := int64(labelCountsBytes + 4*len(c.largest))
	for i := range c.values {
		n += labelValueBytes + int64(len(c.values[i].Value))
	}
	return n
}

// find returns the place of a value.
func (c *labelCounts) find(value string) (int, bool) {
	return slices.BinarySearchFunc(c.values, value, func(v store.LabelValue, s string) int { return strings.Compare(v.Value, s) })
}

// prefix returns the range of the values that start with a text.
func (c *labelCounts) prefix(text string) (first, end int) {
	first, _ = c.find(text)
	n, _ := slices.BinarySearchFunc(c.values[first:], text, func(v store.LabelValue, s string) int {
		if strings.HasPrefix(v.Value, s) {
			return -1
		}
		return 1
	})
	return first, first + n
}

// sortLargest makes the order by sum.
func (c *labelCounts) sortLargest() {
	c.largest = make([]uint32, len(c.values))
	for i := range c.largest {
		c.largest[i] = uint32(i) //nolint:gosec // bounded by memory
	}
	slices.SortFunc(c.largest, func(a, b uint32) int { return c.values[a].Compare(&c.values[b]) })
}

// newLabelCounts returns the counts of a map.
func newLabelCounts(sums map[string]sum) *labelCounts {
	c := &labelCounts{values: make([]store.LabelValue, 0, len(sums))}
	for value, s := range sums {
		c.values = append(c.values, store.LabelValue{Value: value, Count: s.count, Sum: s.value})
	}
	slices.SortFunc(c.values, func(a, b store.LabelValue) int { return strings.Compare(a.Value, b.Value) })
	return c
}

// labelCache keeps counts up to a number of bytes; those that rested longest go. It
// is safe for concurrent use.
type labelCache struct {
	max int64

	mu    sync.Mutex
	bytes int64
	byKey map[string]*list.Element
	order list.List // of *labelCacheEntry, the last that was used in front
}

type labelCacheEntry struct {
	key    string
	counts *labelCounts
	bytes  int64
}

func newLabelCache(bytes int64) *labelCache {
	return &labelCache{max: bytes, byKey: make(map[string]*list.Element)}
}

// get returns the counts of a key, nil when there are none.
func (c *labelCache) get(key string) *labelCounts {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*labelCacheEntry).counts //nolint:forcetypeassert // the list holds nothing else
}

// put keeps counts, unless they would take more than half of the room.
func (c *labelCache) put(key string, counts *labelCounts) {
	n := counts.bytes() + int64(len(key))
	if c == nil || n > c.max/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key] != nil {
		return
	}
	c.byKey[key] = c.order.PushFront(&labelCacheEntry{key, counts, n})
	c.bytes += n
	for c.bytes > c.max {
		e := c.order.Back()
		old := e.Value.(*labelCacheEntry) //nolint:forcetypeassert // the list holds nothing else
		c.order.Remove(e)
		delete(c.byKey, old.key)
		c.bytes -= old.bytes
	}
}

// used returns the bytes of all counts.
func (c *labelCache) used() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}
