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

	// sending: an attempt is under way.
	sending bool

	order uint64 // its place on disk, 0: it is not there
	// The list of the backlog that it is in, and what it counts for there.
	prev, next *batch
	inTail     bool
	held       int
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
	// weight is what the cargo counts for in the ledger.
	weight() uint64
	// toDisk and fromDisk take note of where the batch waits.
	toDisk()
	fromDisk()
	// within drops the samples outside of the window and returns the rest, nil for
	// none; ok is false when none lies outside.
	within(w window) (rest cargo, ok bool)
}

// weightless is the part of a cargo without samples that has no say in where it waits.
type weightless struct{}

func (weightless) weight() uint64              { return 0 }
func (weightless) toDisk()                     {}
func (weightless) fromDisk()                   {}
func (weightless) within(window) (cargo, bool) { return nil, false }

func (b *batch) bytes() int { return len(b.payload) + b.cargo.held() }

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
