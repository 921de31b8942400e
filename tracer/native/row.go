// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"sort"
)

const (
	// PageShift is the binary logarithm of the size of a page, in bytes of the file.
	PageShift = 16
	// PageSize is the size of a page, in bytes of the file.
	PageSize = 1 << PageShift
	// MaxPageRows is the most rows that a page has.
	MaxPageRows = 8192
)

// Row says which rule holds from an offset in its page on, up to the next row.
type Row struct {
	// PCLow is the lower 16 bits of the offset in the file.
	PCLow uint16
	// Rule is an inline rule or an index; see the package comment.
	Rule uint16
}

// The parts of an inline rule.
const (
	ruleIndexed  = 1 << 15
	ruleBaseFP   = 1 << 14
	ruleOffShift = 5
	ruleOffMask  = 0x1ff
	ruleSlotMask = 0x1f
)

// Rules that every table knows. They are followed by the interned ones.
const (
	// RuleInvalid is code that nothing describes.
	RuleInvalid = ruleIndexed
	// RuleStop is the outermost function: it has no caller.
	RuleStop = ruleIndexed | 1
	// RuleFramePointer is a frame with a frame pointer: CFA = FP + 16.
	RuleFramePointer = ruleIndexed | 2
	// RulePLT is an entry of a procedure linkage table: on x86-64 CFA = RSP + 8,
	// and 8 more from byte 11 of an entry on; on arm64 as in a leaf.
	RulePLT = ruleIndexed | 3
	// RuleSignal is the return from a signal handler: the registers of the
	// interrupted code are in the frame that the kernel made.
	RuleSignal = ruleIndexed | 4
	// RuleGoSwitch is a Go function that runs on another stack than its caller:
	// as RuleFramePointer, but the frame pointer may point anywhere.
	RuleGoSwitch = ruleIndexed | 5
	// FirstRule is the index of the first interned rule.
	FirstRule = 16
)

// inlineRule returns the inline rule with an offset in units of 8 bytes.
func inlineRule(baseFP bool, units, slot uint16) uint16 {
	r := (units&ruleOffMask)<<ruleOffShift | slot&ruleSlotMask
	if baseFP {
		r |= ruleBaseFP
	}
	return r
}

// Lookup returns the rule that holds at an offset in a page, [RuleInvalid] if
// there are no rows.
func Lookup(rows []Row, pcLow uint16) uint16 {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].PCLow > pcLow })
	if i == 0 {
		return RuleInvalid
	}
	return rows[i-1].Rule
}

var fixedRuleNames = map[uint16]string{
	RuleInvalid: "invalid", RuleStop: "stop", RuleFramePointer: "fp", RulePLT: "plt",
	RuleSignal: "signal", RuleGoSwitch: "go-switch",
}

// FormatRule returns a rule of a row as people read it, for tests and debugging.
func FormatRule(rule uint16) string {
	if rule&ruleIndexed == 0 {
		base := "sp"
		if rule&ruleBaseFP != 0 {
			base = "fp"
		}
		return fmt.Sprintf("%s+%d n=%d", base, rule>>ruleOffShift&ruleOffMask*8, rule&ruleSlotMask)
	}
	if name, ok := fixedRuleNames[rule]; ok {
		return name
	}
	return fmt.Sprintf("rule %d", rule&^ruleIndexed)
}
