// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
)

// errNoMemory is returned when the budget is used up.
var errNoMemory = errors.New("memory for requests is used up")

// budget is a number of bytes that requests in flight share. It is safe for
// concurrent use.
type budget struct {
	size       int64
	maxWaiting int

	mu      sync.Mutex
	used    int64
	waiting list.List // of *waiter, first come first served
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// tryAcquire takes n bytes if they are free and nobody waits for some.
func (b *budget) tryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Len() > 0 || b.size-b.used < n {
		return false
	}
	b.used += n
	return true
}

// grow takes n bytes more for a request that has some already. Those who wait
// for their first do not stand before it: it is closer to giving all of them back.
func (b *budget) grow(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size-b.used < n {
		return false
	}
	b.used += n
	return true
}

// acquire takes n bytes, waiting for them for a while when not too many wait already.
func (b *budget) acquire(ctx context.Context, n int64, patience time.Duration) error {
	if b.tryAcquire(n) {
		return nil
	}
	b.mu.Lock()
	if b.waiting.Len() >= b.maxWaiting || n > b.size {
		b.mu.Unlock()
		return errNoMemory
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	e := b.waiting.PushBack(w)
	b.wake()
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	err := errNoMemory
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // just now
		b.used -= n
	default:
		b.waiting.Remove(e)
	}
	b.wake()
	return err
}

// release gives n bytes back.
func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.wake()
}

// wake serves those who wait, in order. The lock is held.
func (b *budget) wake() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		w := e.Value.(*waiter) //nolint:forcetypeassert // the list holds nothing else
		if b.size-b.used < w.n {
			return
		}
		b.used += w.n
		b.waiting.Remove(e)
		close(w.ready)
	}
}

// inUse returns how much is taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// A request may become objects of up to this much memory: amplifyFactor bytes
// for each of its own, and amplifyFree on top, but never more than a share of
// the budget.
const (
	amplifyFactor = 32
	unpackFactor  = 96 // of a profile, which is decoded, converted and read in turn
	amplifyFree   = 16 << 20
)

// meter counts the memory of one request and holds it in the budget. A nil
// meter counts nothing. It is used by one goroutine at a time.
type meter struct {
	budget *budget
	held   int64 // in the budget
	used   int64
	limit  int64
	bytes  int64 // of the request, uncompressed
	// What the limits of the project and of its hosts know of the request.
	billed   int64 // of its bytes
	admitted limit.Admitted
}

// bill returns the bytes of the request that were not billed before, and who was let in: it may be
// stored in parts.
func (m *meter) bill() (bytes int64, admitted limit.Admitted) {
	if m.admitted == nil {
		m.admitted = limit.Admitted{}
	}
	bytes = m.bytes - m.billed
	m.billed = m.bytes
	return bytes, m.admitted
}

// charge says that n elements of about size bytes are going to be made.
func (m *meter) charge(field string, n int, size int64) error {
	if m == nil {
		return nil
	}
	m.used += int64(n) * size
	if m.used > m.limit {
		return oversized(field, "the request of %d bytes would take more than %d bytes of memory: send it in parts", m.bytes, m.limit)
	}
	if m.used <= m.held {
		return nil
	}
	more := max(m.used-m.held, 64<<10)
	if !m.budget.grow(more) {
		return errNoMemory
	}
	m.held += more
	return nil
}

// mayUse returns what may be made of the request, of which a factor says what its bytes become.
func (m *meter) mayUse(factor int64) int64 {
	return min(factor*m.bytes+amplifyFree, m.budget.size/2)
}

// admit notes the size of a request that was read, bounds what may be made of it, and
// gives back what it does not need of what was reserved.
func (m *meter) admit(bytes int) {
	m.bytes = int64(bytes)
	m.used = m.bytes
	m.limit = m.mayUse(amplifyFactor)
	if give := m.held - min(2*m.used+64<<10, m.held); give > 0 {
		m.budget.release(give)
		m.held -= give
	}
}

// release gives everything back.
func (m *meter) release() {
	if m != nil && m.held > 0 {
		m.budget.release(m.held)
		m.held = 0
	}
}

// meterKey is the key of the meter in a context.
type meterKey struct{}

// meterOf returns the meter of a request, nil when it has none.
func meterOf(ctx context.Context) *meter {
	m, _ := ctx.Value(meterKey{}).(*meter)
	return m
}
