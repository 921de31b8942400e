// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// batch is a sealed request: bytes that do not change any more, under an
// identity that is inside them. It is repeated until the server has answered.
type batch struct {
	kind     string // the queue it came from
	method   string // full gRPC method
	sequence uint64
	payload  []byte
	cargo    cargo

	attempts int
	// unclear is set when an attempt may have stored the batch without our
	// hearing of it. Only a batch that is not may be cut up and sent in new pieces.
	unclear bool
	// faults counts answers that blame the server; notBefore spaces the next try.
	faults        int
	notBefore     time.Time
	succeededThen uint64 // batches the server had taken at the first fault
	// cuts is how often the batch was halved to find an invalid item.
	cuts int
}

// cargo is what is in a batch. Only the flusher calls it.
type cargo interface {
	// encode writes the request with the given sequence.
	encode(sequence uint64) ([]byte, error)
	newResponse() proto.Message
	// acknowledge takes note that the batch is stored, and of what else the server said.
	acknowledge(resp proto.Message)
	// discard takes note that the batch will never be stored.
	discard(reason string)
	// halves cuts the cargo in two; ok is false when it holds a single item.
	halves() (a, b cargo, ok bool)
	// held is about how many bytes the cargo keeps alive besides the payload.
	held() int
}

// backlog keeps the batches that are sealed and not settled, in the order in
// which they were sealed, which is the order in which they are sent. The one in
// memory is all there is for now; one on disk replaces it behind this interface.
// Only the flusher calls it.
type backlog interface {
	// push adds a batch at the end.
	push(b *batch)
	// batches returns the batches, first sealed first. The slice is the caller's.
	batches() []*batch
	// remove takes out a batch that is settled.
	remove(b *batch)
	// replace puts pieces in the place of a batch.
	replace(b *batch, pieces []*batch)
	// full reports that nothing more should be sealed for now.
	full() bool
	// usage returns the number of batches and their bytes.
	usage() (batches, bytes int)
}

func (b *batch) bytes() int { return len(b.payload) + b.cargo.held() }

// memoryBacklog is a backlog in memory, bounded in the bytes of payloads and
// cargo. One lease may take it over the limit.
type memoryBacklog struct {
	list     []*batch
	bytes    int
	maxBytes int
}

func newMemoryBacklog(maxBytes int) *memoryBacklog { return &memoryBacklog{maxBytes: maxBytes} }

func (m *memoryBacklog) push(b *batch) {
	m.list = append(m.list, b)
	m.bytes += b.bytes()
}

func (m *memoryBacklog) batches() []*batch { return append([]*batch(nil), m.list...) }

func (m *memoryBacklog) remove(b *batch) { m.replace(b, nil) }

func (m *memoryBacklog) replace(b *batch, pieces []*batch) {
	for i, have := range m.list {
		if have != b {
			continue
		}
		m.bytes -= b.bytes()
		for _, p := range pieces {
			m.bytes += p.bytes()
		}
		rest := append(append([]*batch(nil), pieces...), m.list[i+1:]...)
		m.list = append(m.list[:i:i], rest...)
		return
	}
}

func (m *memoryBacklog) full() bool { return m.bytes >= m.maxBytes }

func (m *memoryBacklog) usage() (batches, bytes int) { return len(m.list), m.bytes }

// lane is the sequence of one type of batches. Safe for concurrent use.
type lane struct {
	kind   string
	method string

	mu   sync.Mutex
	last uint64 // sequence given out last
}

// seal encodes cargo under the next sequence. The sequence is used up only when
// the result has at most limit bytes, so that the sequences of what is sent stay dense.
func (l *lane) seal(c cargo, limit int) (*batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	payload, err := c.encode(l.last + 1)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", l.kind, err)
	}
	if len(payload) > limit {
		return nil, errTooLarge
	}
	l.last++
	return &batch{kind: l.kind, method: l.method, sequence: l.last, payload: payload, cargo: c}, nil
}

var errTooLarge = errors.New("item is larger than the largest request")

// sealAll turns cargo into batches of at most limit bytes, cutting it in halves
// until every piece fits. An item that fits no batch is discarded and reported to aside.
func sealAll(l *lane, c cargo, limit int, aside func(kind, reason string, n int)) []*batch {
	b, err := l.seal(c, limit)
	if err == nil {
		return []*batch{b}
	}
	if first, second, ok := c.halves(); ok {
		return append(sealAll(l, first, limit, aside), sealAll(l, second, limit, aside)...)
	}
	reason := reasonEncoding
	if errors.Is(err, errTooLarge) {
		reason = reasonTooLarge
	}
	aside(l.kind, reason, 1)
	c.discard(reason)
	return nil
}
