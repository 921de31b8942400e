// SPDX-License-Identifier: Apache-2.0

package native

import "sync/atomic"

// Stats count what was left out while tables were made, by reason.
type Stats struct {
	// RulesFull is the number of states that became [RuleInvalid] because the
	// interner had no room for their rules.
	RulesFull uint64
	// RowsCut is the number of rows that were merged into others because their
	// page had more than [MaxPageRows].
	RowsCut uint64
	// BadEntries is the number of entries of unwind information that were
	// malformed. Their code has [RuleInvalid].
	BadEntries uint64
	// WorkCut is the number of pages that were given up because their
	// information took too much work.
	WorkCut uint64
}

type counters struct {
	rulesFull, rowsCut, badEntries, workCut atomic.Uint64
}

// Stats returns the counts since the tables were opened. It is safe for
// concurrent use.
func (t *Tables) Stats() Stats {
	c := &t.stats
	return Stats{
		RulesFull: c.rulesFull.Load(), RowsCut: c.rowsCut.Load(),
		BadEntries: c.badEntries.Load(), WorkCut: c.workCut.Load(),
	}
}
