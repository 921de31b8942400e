// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"sync"
)

// MaxRules is the number of rules that tables can refer to by index, the fixed
// ones below [FirstRule] included. A system with a thousand executables has
// about this many different ones; a desktop has some hundred.
const MaxRules = 4096

// How a rule finds the CFA.
const (
	CFARegister   = 0 // register + CFAOff
	CFADeref      = 1 // *(register + CFAOff) + CFAOff2
	CFAGoCallback = 2 // the stack pointer that Go saved when a callback left the system stack, + CFAOff
	// Of arm64 only:
	CFAGoCall    = 3 // that on the goroutine's stack, which Go left to call C, by what it keeps at SP
	CFAGoPreempt = 4 // register + CFAOff; the caller was interrupted, its LR is at the CFA, and 16 bytes of its stack
)

// How a rule finds the return address.
const (
	RADefault   = 0 // x86-64: *(CFA - 8); arm64: LR
	RAOffset    = 1 // *(CFA + RAOff)
	RARegister  = 2 // register number RAOff, in the leaf only
	RAUndefined = 3 // there is none: the stack ends
)

// How a rule finds the caller's frame pointer.
const (
	FPUnchanged = 0 // it is in the register
	FPOffset    = 1 // *(CFA + FPOff)
	FPDeref     = 2 // *(FP + FPOff)
	FPUndefined = 3 // it is lost
)

// Rule is a rule that does not fit into a row. The kernel side has the same
// structure, of 20 bytes. Registers have their DWARF numbers; others than stack
// and frame pointer are known in the leaf only.
type Rule struct {
	CFAKind uint8
	CFAReg  uint8
	RAKind  uint8
	FPKind  uint8
	CFAOff  int32
	CFAOff2 int32
	RAOff   int32
	FPOff   int32
}

// String returns the rule as people read it.
func (r Rule) String() string {
	var cfa string
	switch r.CFAKind {
	case CFARegister:
		cfa = fmt.Sprintf("r%d%+d", r.CFAReg, r.CFAOff)
	case CFADeref:
		cfa = fmt.Sprintf("*(r%d%+d)%+d", r.CFAReg, r.CFAOff, r.CFAOff2)
	case CFAGoCall:
		return "go-call"
	case CFAGoPreempt:
		cfa = fmt.Sprintf("preempted r%d%+d", r.CFAReg, r.CFAOff)
	case CFAGoCallback:
		cfa = fmt.Sprintf("gosp%+d", r.CFAOff)
	default:
		cfa = "?"
	}
	ra := [...]string{"default", fmt.Sprintf("*(cfa%+d)", r.RAOff), fmt.Sprintf("r%d", r.RAOff), "undefined"}[r.RAKind&3]
	fp := [...]string{"same", fmt.Sprintf("*(cfa%+d)", r.FPOff), fmt.Sprintf("*(fp%+d)", r.FPOff), "lost"}[r.FPKind&3]
	return fmt.Sprintf("cfa=%s ra=%s fp=%s", cfa, ra, fp)
}

// Interner gives rules their indexes. It must be safe for concurrent use.
type Interner interface {
	// Intern returns the index of the rule, which is at least [FirstRule] and
	// below 1<<15. ok is false if there is no room for another rule.
	Intern(r Rule) (index uint16, ok bool)
}

// Rules is an [Interner] of at most [MaxRules] rules, which it keeps for ever:
// rows in kernel memory refer to them. It is safe for concurrent use.
type Rules struct {
	mu    sync.RWMutex
	index map[Rule]uint16
	rules []Rule
}

var _ Interner = (*Rules)(nil)

// NewRules returns an interner that has only the fixed rules.
func NewRules() *Rules {
	return &Rules{index: map[Rule]uint16{}, rules: make([]Rule, FirstRule, 64)}
}

// Intern implements [Interner].
func (r *Rules) Intern(rule Rule) (index uint16, ok bool) {
	r.mu.RLock()
	index, ok = r.index[rule]
	r.mu.RUnlock()
	if ok {
		return index, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if index, ok = r.index[rule]; ok {
		return index, true
	}
	if len(r.rules) >= MaxRules {
		return 0, false
	}
	index = uint16(len(r.rules)) //nolint:gosec // below MaxRules
	r.rules = append(r.rules, rule)
	r.index[rule] = index
	return index, true
}

// Len returns the number of rules, [FirstRule] of which are the fixed ones. It
// never decreases.
func (r *Rules) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.rules)
}

// At returns the rule with index i, which must be in [0, Len()). The fixed
// rules are zero values here: their meaning is in their index.
func (r *Rules) At(i int) Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rules[i]
}

// Snapshot returns a copy of all rules, by index.
func (r *Rules) Snapshot() []Rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return append([]Rule(nil), r.rules...)
}
