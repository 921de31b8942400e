// SPDX-License-Identifier: Apache-2.0

package callproxy

import (
	"encoding/hex"
	"maps"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Receipts keeps what was sent to a server and what the server acknowledged, in
// samples by weight. Repetitions of a batch count once. It is safe for concurrent use.
type Receipts struct {
	mu   sync.Mutex
	runs map[string]map[uint64]*receipt
	// changed counts batches that came again with another weight.
	changed int
}

type receipt struct {
	weight uint64
	acked  bool
}

// RunReceipts is what is known of one run of an agent.
type RunReceipts struct {
	// Sent went to the server, Acked was acknowledged by it.
	Sent, Acked uint64
	Batches     int
}

// NewReceipts returns an empty book.
func NewReceipts() *Receipts { return &Receipts{runs: map[string]map[uint64]*receipt{}} }

// Observe is an [Observer].
func (r *Receipts) Observe(method string, request []byte, done bool, err error) {
	if method != pb.CollectionAgent_AddCountsForTraces_FullMethodName {
		return
	}
	var m pb.AddCountsForTracesRequest
	if proto.Unmarshal(request, &m) != nil {
		return // the server will say so
	}
	weight := uint64(len(m.GetTimeDeltas()))
	if len(m.GetCounts()) > 0 {
		weight = 0
		for _, n := range m.GetCounts() {
			weight += uint64(n)
		}
	}
	run := hex.EncodeToString(m.GetBatch().GetRunId())
	r.mu.Lock()
	defer r.mu.Unlock()
	batches := r.runs[run]
	if batches == nil {
		batches = map[uint64]*receipt{}
		r.runs[run] = batches
	}
	b := batches[m.GetBatch().GetSequence()]
	if b == nil {
		b = &receipt{weight: weight}
		batches[m.GetBatch().GetSequence()] = b
	}
	if b.weight != weight {
		r.changed++
	}
	if done && err == nil {
		b.acked = true
	}
}

// Runs returns the sums by run ID, in hexadecimal.
func (r *Receipts) Runs() map[string]RunReceipts {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]RunReceipts{}
	for run, batches := range r.runs {
		sum := RunReceipts{Batches: len(batches)}
		for b := range maps.Values(batches) {
			sum.Sent += b.weight
			if b.acked {
				sum.Acked += b.weight
			}
		}
		out[run] = sum
	}
	return out
}

// Changed returns how many batches came again with another content than before.
func (r *Receipts) Changed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}
