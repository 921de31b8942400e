// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"errors"
	"sync/atomic"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
)

// share is a part of the memory of all requests, so that targets cannot take what
// agents need. It is safe for concurrent use.
type share struct {
	in    *ingest.Server
	limit int64
	full  string // what to say when there is no more
	used  atomic.Int64
}

// hold returns memory that is empty.
func (s *share) hold() *held { return &held{share: s, memory: s.in.Hold()} }

// held is memory of a share. It is used by one goroutine at a time.
type held struct {
	share  *share
	memory *ingest.Held
	n      int64
}

// take takes n bytes more, or fails at once.
func (h *held) take(n int64) error {
	if h.share.used.Add(n) > h.share.limit {
		h.share.used.Add(-n)
		return &failure{"memory", errors.New(h.share.full)}
	}
	if err := h.memory.Take(n); err != nil {
		h.share.used.Add(-n)
		return &failure{"memory", err}
	}
	h.n += n
	return nil
}

// release gives all back.
func (h *held) release() {
	h.memory.Release()
	h.share.used.Add(-h.n)
	h.n = 0
}
