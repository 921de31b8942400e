// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// TestOpenBlockIsPaid wants every byte of an open block paid by those that read it, or in
// the part of the memory that is for blocks; and nothing open that a question cannot pay.
func TestOpenBlockIsPaid(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	mustAppend(t, s, mixedBatch(1, "default", 20_000))
	if err := s.Close(); err != nil { // which makes a block
		t.Fatal(err)
	}
	block := openTest(t, Config{Dir: dir}).blocks[0]
	budget := memory.NewBudget("-query-memory", 64<<20, time.Millisecond)
	acquire := func(what string, want bool) *memory.Claim {
		t.Helper()
		claim := budget.Claim(t.Context())
		t.Cleanup(claim.Release)
		c, paid, err := block.acquireFor(claim, 1)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if all := c.bytes; want && paid != all || !want && paid != 0 || claim.Used() != paid {
			t.Errorf("%s: paid %d of %d bytes, and %d are counted", what, paid, all, claim.Used())
		}
		return claim
	}
	first := acquire("who opens it", true)
	acquire("who reads beside", true)
	block.release()
	first.Release() // the other one still reads
	block.release()
	acquire("who finds it open and idle", false)
	acquire("who reads beside that one", true)
	block.release()
	block.release()
	block.evict()
	if n := block.openBytes(); n != 0 {
		t.Fatalf("%d bytes are open that nobody reads", n)
	}

	budget = memory.NewBudget("-query-memory", 64<<20, time.Millisecond)
	other := budget.Claim(t.Context())
	defer other.Release()
	if err := other.Take(64<<20 - 4096); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"its size is known", "its size is not known"} {
		claim := budget.Claim(t.Context())
		if _, paid, err := block.acquireFor(claim, 1); !errors.Is(err, memory.ErrBusy) || paid != 0 {
			t.Errorf("%s: paid %d, %v", what, paid, err)
		}
		if used, open := claim.Used(), block.openBytes(); used != 0 || open != 0 {
			t.Errorf("%s: %d bytes are counted, %d are open", what, used, open)
		}
		claim.Release()
		block.opened, block.info.TableBytes = 0, 0
	}
}
