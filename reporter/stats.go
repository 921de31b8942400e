// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// byteCounts counts the bytes of RPCs: for ever, and since the last GetMetrics.
type byteCounts struct {
	rpcOut, rpcIn, wireOut, wireIn byteCount
}

type byteCount struct {
	total, taken atomic.Int64
}

func (c *byteCount) add(n int) { c.total.Add(int64(n)) }

// take returns what was added since the last take. Several takers share what was added.
func (c *byteCount) take() int64 {
	now := c.total.Load()
	return now - c.taken.Swap(now)
}

var _ stats.Handler = (*byteCounts)(nil)

// TagRPC implements stats.Handler.
func (*byteCounts) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (b *byteCounts) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch p := s.(type) {
	case *stats.OutPayload:
		b.rpcOut.add(p.Length)
		b.wireOut.add(p.WireLength)
	case *stats.InPayload:
		b.rpcIn.add(p.Length)
		b.wireIn.add(p.WireLength)
	}
}

// TagConn implements stats.Handler.
func (*byteCounts) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (*byteCounts) HandleConn(context.Context, stats.ConnStats) {}
