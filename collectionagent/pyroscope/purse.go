// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// purse takes memory from the claim of a question, some at a time. It is for one goroutine.
type purse struct {
	claim *memory.Claim
	owed  int64
	// err is set when there is no more; the context of the question has ended then.
	err error
}

func newPurse(ctx context.Context) *purse { return &purse{claim: memory.From(ctx)} }

// takeAtOnce is what is counted before it is asked for.
const takeAtOnce = 64 << 10

// take counts n bytes that are about to be taken, and reports whether they may be.
func (p *purse) take(n int64) bool {
	if p.owed += n; p.owed >= takeAtOnce && p.err == nil {
		p.err = p.claim.Take(p.owed)
		p.owed = 0
	}
	return p.err == nil
}
