// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// item is a batch, of samples or of definitions, that waits for its insert. It
// shares no memory with what the caller gave.
type item struct {
	id      store.BatchID
	series  []store.Series
	samples []store.Sample
	weight  uint64
	defs    *store.Definitions
	span    span
	bytes   int64
	// done is closed when the fate is known; then duplicate and err are set.
	done      chan struct{}
	duplicate bool
	err       error
}

// finish tells who waits.
func (i *item) finish(duplicate bool, err error) {
	i.duplicate, i.err = duplicate, err
	close(i.done)
}

// Bounds of the times that the servers can hold, in ms: 1970 to the end of 2105.
const (
	earliest = 0
	latest   = 4291747199999
)

// errTime is the cause of [store.ErrInvalid] for times that no server can hold.
var errTime = errors.New("time is before 1970 or after 2105")

// fromMs returns a time.
func fromMs(ms int64) libpf.UnixTimeNs { return libpf.UnixTimeNs(ms * int64(store.Resolution)) }

// Append implements [store.Store]. The batch shares an insert with others.
func (s *Store) Append(ctx context.Context, b *store.Batch) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := b.Check(); err != nil {
		return false, err
	}
	i := &item{id: b.ID, weight: b.Weight(), span: nothing, bytes: 512, done: make(chan struct{})}
	for k := range b.Samples {
		ms := store.FloorMs(b.Samples[k].Time)
		if ms < earliest || ms > latest {
			return false, fmt.Errorf("%w: sample %d: %w", store.ErrInvalid, k, errTime)
		}
		i.span.include(ms)
	}
	i.samples = slices.Clone(b.Samples)
	i.series = make([]store.Series, len(b.Series))
	for k := range b.Series {
		i.series[k] = b.Series[k].Clone()
	}
	// A row is about 250 bytes as columns, with the copies that the insert makes.
	i.bytes += int64(len(b.Samples))*250 + int64(len(b.Series))*300
	return s.submit(ctx, i)
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, d *store.Definitions) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	i := &item{id: d.ID, defs: cloneDefinitions(d), span: nothing, bytes: 512, done: make(chan struct{})}
	for k := range d.Stacks {
		i.bytes += int64(len(d.Stacks[k].Frames))*150 + 64
	}
	i.bytes += int64(len(d.Symbols))*300 + int64(len(d.Executables)+len(d.Hosts)+len(d.Metrics))*200
	return s.submit(ctx, i)
}

// submit queues an item and waits for its fate.
func (s *Store) submit(ctx context.Context, i *item) (bool, error) {
	first, err := s.queue.push(ctx, i)
	if err != nil {
		s.metrics.rejected.WithLabelValues("memory").Inc()
		return false, err
	}
	wait := i
	if first != nil {
		wait = first // the same batch is on its way already
	}
	select {
	case <-wait.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if first != nil && wait.err == nil {
		s.metrics.duplicates.WithLabelValues(kindOf(i)).Inc()
		return true, nil
	}
	return wait.duplicate, wait.err
}

// kindOf names the kind of an item for metrics.
func kindOf(i *item) string {
	if i.defs != nil {
		return "definitions"
	}
	return "samples"
}

// maxWait is how long a batch waits for memory before the agent is asked to wait.
const maxWait = 2 * time.Second

// queue holds what waits for an insert. Its memory is bounded.
type queue struct {
	mu      sync.Mutex
	items   []*item
	known   map[store.BatchID]*item // those in the queue and in an insert
	free    int64
	total   int64
	closed  bool
	room    chan struct{} // closed and made again when memory is given back
	arrived chan struct{} // has capacity 1
}

// init makes the queue ready.
func (q *queue) init(bytes int64) {
	q.known, q.free, q.total = make(map[store.BatchID]*item), bytes, bytes
	q.room, q.arrived = make(chan struct{}), make(chan struct{}, 1)
}

// errClosed is returned by writes that come too late.
var errClosed = errors.New("store is closed")

// push queues an item, waiting for memory. It returns the item that already holds
// the same batch, if there is one; that one's fate is this one's.
func (q *queue) push(ctx context.Context, i *item) (*item, error) {
	deadline := time.NewTimer(maxWait)
	defer deadline.Stop()
	q.mu.Lock()
	for {
		if q.closed {
			q.mu.Unlock()
			return nil, errClosed
		}
		if other := q.known[i.id]; other != nil && i.id != (store.BatchID{}) {
			q.mu.Unlock()
			return other, nil
		}
		if i.bytes <= q.free || q.free == q.total { // a batch larger than all goes alone
			break
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			return nil, fmt.Errorf("%w: batches wait for clickhouse and fill the memory for them", store.ErrBusy)
		}
		q.mu.Lock()
	}
	q.free -= i.bytes
	q.items = append(q.items, i)
	if i.id != (store.BatchID{}) {
		q.known[i.id] = i
	}
	q.mu.Unlock()
	select {
	case q.arrived <- struct{}{}:
	default:
	}
	return nil, nil //nolint:nilnil // no other item, no error
}

// take returns what to insert together: about rows samples.
func (q *queue) take(rows int) []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, sum := 0, 0
	for n < len(q.items) && (n == 0 || sum+len(q.items[n].samples) <= rows) {
		sum += len(q.items[n].samples)
		n++
	}
	group := slices.Clone(q.items[:n])
	q.items = slices.Delete(q.items, 0, n)
	return group
}

// waiting returns how many items wait and the memory that is taken.
func (q *queue) waiting() (items int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.total - q.free
}

// finish gives the memory of an item back and tells who waits for it.
func (q *queue) finish(i *item, duplicate bool, err error) {
	q.mu.Lock()
	q.free += i.bytes
	if q.known[i.id] == i {
		delete(q.known, i.id)
	}
	close(q.room)
	q.room = make(chan struct{})
	q.mu.Unlock()
	i.finish(duplicate, err)
}

// close refuses further items.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
