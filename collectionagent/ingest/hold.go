// SPDX-License-Identifier: Apache-2.0

package ingest

// Held is memory of requests that is held for what is no request yet, such as the answer
// of a target that is being read. It is used by one goroutine at a time.
type Held struct {
	budget *budget
	n      int64
}

// Hold returns memory that is empty.
func (s *Server) Hold() *Held { return &Held{budget: s.budget} }

// Take takes n bytes more, or fails at once.
func (h *Held) Take(n int64) error {
	if !h.budget.grow(n) {
		return errNoMemory
	}
	h.n += n
	return nil
}

// Release gives all back.
func (h *Held) Release() {
	h.budget.release(h.n)
	h.n = 0
}

// MemoryBytes returns how much memory all requests share.
func (s *Server) MemoryBytes() int64 { return s.budget.size }
