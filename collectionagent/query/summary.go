// SPDX-License-Identifier: Apache-2.0

package query

import (
	"math/bits"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Summary says what an answer was made from.
type Summary struct {
	Type     libpf.SampleType
	From, To libpf.UnixTimeNs
	// Total is the sum of the values, Samples the number of observations.
	Total, Samples int64
	// Excluded is the sum of the values that conditions on stacks left out.
	Excluded int64
	Coverage store.Coverage
	// ByStack says that stacks were looked at; without it the rest means nothing.
	ByStack bool
	// Symbolized is the share of levels that have a name, weighted by value: 0..1.
	Symbolized float64
	// UnknownStacks is the value of the samples whose stack is not known (yet).
	UnknownStacks int64
}

// summary returns the summary of a question that looks at no stacks.
func (s *Selection) summary() Summary { return Summary{Type: s.Type, From: s.From, To: s.To} }

// add counts a row of an answer.
func (s *Summary) add(r *store.Row) {
	s.Total += r.Value
	s.Samples += r.Count
}

// summary returns the summary of a question about stacks.
func (s *sums) summary(selection *Selection, levels *frameLevels) Summary {
	out := selection.summary()
	out.Total, out.Samples, out.Excluded, out.Coverage = s.value, s.count, s.excluded, s.coverage
	out.ByStack, out.UnknownStacks, out.Symbolized = true, s.unknownValue, 1
	if levels.unnamed == 0 {
		return out
	}
	namedIn, allIn := make([]int, len(s.stacks)), make([]int, len(s.stacks))
	for i, frames := range s.stacks {
		if s.watch.ended() {
			return out
		}
		for _, f := range frames {
			namedIn[i] += int(levels.named[f])
			allIn[i] += levels.count(f)
		}
	}
	var named, all wideSum // of whole numbers, so that their order means nothing
	for _, r := range s.rows {
		named.add(r.value, namedIn[r.stack])
		all.add(r.value, allIn[r.stack])
	}
	if total := all.float(); total > 0 {
		out.Symbolized = named.float() / total
	}
	return out
}

// wideSum is a sum of products that are not negative, in 128 bits.
type wideSum struct{ hi, lo uint64 }

func (s *wideSum) add(value int64, times int) {
	hi, lo := bits.Mul64(uint64(max(0, value)), uint64(max(0, times))) //nolint:gosec // not negative
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

func (s *wideSum) float() float64 { return float64(s.hi)*(1<<64) + float64(s.lo) }
