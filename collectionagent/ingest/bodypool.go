// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Sizes of the buffers that are used again, as powers of two.
const (
	minBody = 12
	maxBody = 24
)

// bodyPool keeps the buffers of requests. The pool of gRPC has no size between 32 KiB and
// 1 MiB, and clears all of a buffer that is about to be overwritten. It is safe for
// concurrent use.
type bodyPool [maxBody - minBody + 1]sync.Pool

var _ mem.BufferPool = (*bodyPool)(nil)

// bodies is the pool of all servers.
var bodies = &bodyPool{}

// Get implements [mem.BufferPool]. The buffer holds what its last user left in it.
func (p *bodyPool) Get(length int) *[]byte {
	class := max(bits.Len(uint(max(length-1, 0))), minBody) //nolint:gosec // not negative
	if class > maxBody {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p[class-minBody].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<class)
	return &b
}

// Put implements [mem.BufferPool].
func (p *bodyPool) Put(b *[]byte) {
	class := bits.Len(uint(cap(*b))) - 1 //nolint:gosec // not negative
	if class < minBody || class > maxBody || cap(*b) != 1<<class {
		return
	}
	p[class-minBody].Put(b)
}
