// SPDX-License-Identifier: Apache-2.0

package native

import (
	"slices"
	"sort"
	"sync"
)

const (
	// maxPageWork bounds what is read for a page, in bytes of instructions and
	// 16 for each entry. The largest page seen takes 100 KiB; a file made to
	// hurt can let every entry describe every page.
	maxPageWork = 16 << 20
	// maxPadding is how long a gap between functions may be to be taken for
	// padding, which nothing executes.
	maxPadding = 16
)

// span is a range of addresses [lo, hi).
type span struct{ lo, hi uint64 }

// builder makes the rows of one page. It is reused.
type builder struct {
	t    *Tables
	rows []Row
	// The part of the page that is being described: code at [lo, hi), whose
	// lowest address has offset low in the page.
	lo, hi, low uint64
	// floor is where the range begins that the current source is asked about.
	floor   uint64
	work    int
	ctx     machine
	readers [2]reader // of .eh_frame and .debug_frame
	index   view
	code    codeView
	goSteps []goStep
}

// builders are shared by all tables: their buffers have some hundred KiB.
var builders = sync.Pool{New: func() any { return new(builder) }}

// begin starts a page of t.
func (b *builder) begin(t *Tables) {
	b.t = t
	b.rows = b.rows[:0]
	b.work = maxPageWork
}

// end gives the builder back, without references to what was read.
func (b *builder) end() {
	b.t, b.ctx.cie = nil, nil
	b.index.forget()
	for i := range b.readers {
		r := &b.readers[i]
		r.section, r.last = nil, nil
		r.fdes.forget()
		r.cies.forget()
	}
	builders.Put(b)
}

// part starts a part of the page: code at addresses [lo, hi), from low on.
func (b *builder) part(lo, hi, low uint64) {
	b.lo, b.hi, b.low, b.floor = lo, hi, low, lo
	b.code.valid = false
}

// add says that rule holds from addr on, which is below hi, and forgets what was
// said about higher addresses. One below floor means floor.
func (b *builder) add(addr uint64, rule uint16) {
	pc := uint16(max(addr, b.floor) - b.lo + b.low) //nolint:gosec // inside the page
	n := len(b.rows)
	for n > 0 && b.rows[n-1].PCLow >= pc {
		n--
	}
	b.rows = b.rows[:n]
	if n > 0 && b.rows[n-1].Rule == rule {
		return
	}
	b.rows = append(b.rows, Row{PCLow: pc, Rule: rule})
}

// overlay says that rule holds in [s.lo, s.hi) of what has been described,
// whatever was said before. What holds behind it stays.
func (b *builder) overlay(s span, rule uint16) {
	s.lo, s.hi = max(s.lo, b.lo), min(s.hi, b.hi)
	if s.lo >= s.hi {
		return
	}
	from, to := s.lo-b.lo+b.low, s.hi-b.lo+b.low // offsets in the page; to may be its end
	i := sort.Search(len(b.rows), func(i int) bool { return uint64(b.rows[i].PCLow) >= from })
	j := sort.Search(len(b.rows), func(i int) bool { return uint64(b.rows[i].PCLow) > to })
	insert := []Row{{PCLow: uint16(from), Rule: rule}} //nolint:gosec // inside the page
	if to < PageSize && j > 0 {
		insert = append(insert, Row{PCLow: uint16(to), Rule: b.rows[j-1].Rule}) //nolint:gosec // inside the page
	}
	b.rows = slices.Replace(b.rows, i, max(i, j), insert...)
}

// rule returns the rule for a state.
func (b *builder) rule(s *state) uint16 {
	if b.t.isa.sp == amd64SP {
		if rule, ok := inlineAMD64(s); ok {
			return rule
		}
	}
	return b.slowRule(*s)
}

// slowRule takes a copy, as states that are passed on do not stay on the stack.
//
//go:noinline
func (b *builder) slowRule(s state) uint16 {
	rule, intern, inline := b.t.isa.encode(&s)
	if !inline {
		rule = b.intern(intern)
	}
	return rule
}

// intern returns the rule of a row for an interned rule.
func (b *builder) intern(r Rule) uint16 {
	index, ok := b.t.rules.Intern(r)
	if !ok {
		b.t.stats.rulesFull.Add(1)
		return RuleInvalid
	}
	return ruleIndexed | index
}

// spend takes n from the work that the page may cost.
func (b *builder) spend(n int) bool {
	b.work -= n
	return b.work >= 0
}

// frames describes [s.lo, s.hi) by call frame information, and calls gap for
// what it says nothing about.
func (b *builder) frames(section *frameSection, index fdeIndex, r *reader, s span, gap func(s span, padding bool)) {
	r.reset(section)
	stats := &b.t.stats
	cursor := s.lo
	first := true // nothing of the section has been seen yet
	err := index.each(&b.index, s.lo, s.hi, func(ref fdeRef) bool {
		f, ok, err := section.fde(r, ref.off)
		if err != nil || !ok || f.start != ref.start {
			stats.badEntries.Add(1)
			return b.spend(16)
		}
		if !b.spend(16 + len(f.prog)) {
			stats.workCut.Add(1)
			return false
		}
		if f.start == f.end || f.end <= s.lo {
			return true
		}
		if f.start > cursor {
			g := span{cursor, f.start}
			gap(g, !first && g.hi-g.lo < maxPadding)
		}
		// One that begins inside the one before it is more special, as a signal return.
		b.floor = s.lo
		b.function(section, &f, min(f.end, s.hi))
		cursor = min(f.end, s.hi)
		first = false
		return true
	})
	if err != nil {
		stats.badEntries.Add(1)
	}
	if cursor < s.hi {
		gap(span{cursor, s.hi}, false)
	}
}

// function describes the code of an FDE up to hi.
func (b *builder) function(section *frameSection, f *fde, hi uint64) {
	if f.cie.signal {
		b.add(f.start, RuleSignal)
		return
	}
	m := &b.ctx
	m.isa, m.cie, m.st = section.isa, f.cie, f.cie.initial
	m.addr, m.base, m.out = f.start, f.progAddr, b
	err := m.run(f.prog, hi)
	if err != nil {
		b.t.stats.badEntries.Add(1)
		b.add(max(m.addr, f.start), RuleInvalid)
	}
}

// finish makes the rows of a page fit: the first at 0, equal neighbours merged,
// and not more than MaxPageRows. It returns nil when there is nothing to know.
func (b *builder) finish() []Row {
	rows := b.rows
	if len(rows) == 0 {
		return nil
	}
	if rows[0].PCLow != 0 {
		rows = slices.Insert(rows, 0, Row{Rule: RuleInvalid})
	}
	rows = slices.CompactFunc(rows, func(a, b Row) bool { return a.Rule == b.Rule })
	b.rows = rows
	if len(rows) == 1 && rows[0].Rule == RuleInvalid {
		return nil
	}
	if len(rows) > MaxPageRows {
		n := len(rows)
		rows = coarsen(rows, MaxPageRows)
		b.t.stats.rowsCut.Add(uint64(n - len(rows))) //nolint:gosec // it gets shorter
	}
	return slices.Clone(rows)
}

// coarsen removes the rows that hold for the fewest bytes, in place, so that
// most remain: what was before them then holds there, too.
func coarsen(rows []Row, most int) []Row {
	length := func(i int) int {
		if i+1 < len(rows) {
			return int(rows[i+1].PCLow) - int(rows[i].PCLow)
		}
		return PageSize - int(rows[i].PCLow)
	}
	lengths := make([]int, 0, len(rows)-1)
	for i := 1; i < len(rows); i++ {
		lengths = append(lengths, length(i))
	}
	sorted := slices.Clone(lengths)
	slices.Sort(sorted)
	limit := sorted[len(rows)-most-1] // the longest to be removed
	equal := len(rows) - most - sort.SearchInts(sorted, limit)
	out := rows[:1]
	for i := 1; i < len(rows); i++ {
		switch n := lengths[i-1]; {
		case n < limit:
			continue
		case n == limit && equal > 0:
			equal--
			continue
		}
		if out[len(out)-1].Rule != rows[i].Rule {
			out = append(out, rows[i])
		}
	}
	return out
}
