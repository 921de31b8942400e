// SPDX-License-Identifier: Apache-2.0

package reporter

import "sync"

// newest is a bounded queue that drops its oldest items when it is full.
type newest[T any] struct {
	name     string
	maxItems int
	maxBytes int
	size     func(T) int
	weight   func(T) int // what the loss of an item counts as

	mu          sync.Mutex
	items       []T
	bytes       int
	overwritten overwriteCount
}

func newNewest[T any](name string, maxItems, maxBytes int, size, weight func(T) int) *newest[T] {
	return &newest[T]{name: name, maxItems: maxItems, maxBytes: maxBytes, size: size, weight: weight}
}

// push appends an item. One that is larger than the limit alone is kept until the next.
func (q *newest[T]) push(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	q.bytes += q.size(item)
	for len(q.items) > q.maxItems || (q.bytes > q.maxBytes && len(q.items) > 1) {
		old := q.items[0]
		var zero T
		q.items[0] = zero
		q.items = q.items[1:]
		q.bytes -= q.size(old)
		q.overwritten.add(uint64(max(q.weight(old), 0))) //nolint:gosec // not negative
	}
}

// lease takes all items.
func (q *newest[T]) lease() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = nil, 0
	return items
}

func (q *newest[T]) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) == 0
}

func (q *newest[T]) status() QueueStatus {
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueStatus{
		Name: q.name, Items: len(q.items), MaxItems: q.maxItems, Bytes: q.bytes, MaxBytes: q.maxBytes,
		Overwritten: q.overwritten.total,
	}
}

func (q *newest[T]) takeOverwritten() uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.overwritten.take()
}
