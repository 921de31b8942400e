// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// StackFilter says which stacks a question is about, and what of them is shown.
// The zero value is for all of every stack.
type StackFilter struct {
	// Conditions all hold. They are about stacks as a whole.
	Conditions []StackCondition
	// CallSite names the functions that stacks start with, outermost first, in what
	// is shown of them.
	CallSite []string
	// ShowFrom cuts off what is outside of the outermost frame that matches; stacks
	// without such a frame are left out.
	ShowFrom FramePattern
	// Hide leaves the frames out that match: what they take belongs to their callers.
	Hide FramePattern
}

// IsZero reports whether the filter is for all of every stack.
func (f *StackFilter) IsZero() bool {
	return len(f.Conditions) == 0 && len(f.CallSite) == 0 && len(f.ShowFrom) == 0 && len(f.Hide) == 0
}

// selects reports whether the filter leaves stacks out; else it only changes
// what is shown of them.
func (f *StackFilter) selects() bool {
	return len(f.Conditions) > 0 || len(f.CallSite) > 0 || len(f.ShowFrom) > 0
}

// Bits of frameBits above those of the conditions.
const (
	bitShowFrom = 1 << maxStackConditions
	bitHide     = bitShowFrom << 1
)

// stackFilter applies a [StackFilter] to the stacks of a resolution.
type stackFilter struct {
	*StackFilter
	fold bool
	in   *resolution
	out  *resolution
	// functions remembers which patterns a function matches.
	functions map[function]uint32
	frames    []uint32 // the same of any level of each frame
	// whole and cut are the frames of out that show a frame as a whole, or from the
	// first level on that ShowFrom matches, from 1; 0: not made yet.
	whole, cut []uint32
}

// noFrame stands for a frame of which nothing is shown.
const noFrame = ^uint32(0)

// filterStacks applies a filter. newStack gives the new index of each stack,
// negative for those that are left out.
func (res *resolution) filterStacks(f *StackFilter, fold bool) (out *resolution, newStack []int32) {
	sf := &stackFilter{
		StackFilter: f, fold: fold, in: res, out: &resolution{watch: res.watch, order: res.order},
		functions: make(map[function]uint32, len(res.names)/2), frames: make([]uint32, len(res.names)),
		whole: make([]uint32, len(res.names)), cut: make([]uint32, len(res.names)),
	}
	for i, names := range res.names {
		if res.watch.ended() {
			return sf.out, nil
		}
		for j := range names.levels {
			sf.frames[i] |= sf.bits(names.levels[j].function)
		}
	}
	newStack = make([]int32, len(res.stacks))
	frames := 0
	for _, stack := range res.stacks {
		frames += len(stack)
	}
	flat := make([]uint32, 0, frames) // of what is shown of all stacks
	for i, stack := range res.stacks {
		if res.watch.ended() {
			return sf.out, nil
		}
		newStack[i] = -1
		if !sf.holds(stack) {
			continue
		}
		start := len(flat)
		var ok bool
		if flat, ok = sf.show(flat, stack); !ok || !sf.startsRight(flat[start:]) {
			flat = flat[:start]
			continue
		}
		newStack[i] = int32(len(sf.out.stacks)) //nolint:gosec // at most maxRows
		sf.out.stacks = append(sf.out.stacks, flat[start:len(flat):len(flat)])
		sf.out.unknown = append(sf.out.unknown, res.unknown[i])
	}
	sf.dropUnused()
	return sf.out, newStack
}

// bits returns which patterns a function matches.
func (sf *stackFilter) bits(f function) uint32 {
	bits, known := sf.functions[f]
	if known {
		return bits
	}
	if sf.in.watch.look() { // a large regular expression takes its time
		return 0
	}
	v := f.Value()
	for i := range sf.Conditions {
		if sf.Conditions[i].Pattern.matches(&v) {
			bits |= 1 << i
		}
	}
	if len(sf.ShowFrom) > 0 && sf.ShowFrom.matches(&v) {
		bits |= bitShowFrom
	}
	if len(sf.Hide) > 0 && sf.Hide.matches(&v) {
		bits |= bitHide
	}
	sf.functions[f] = bits
	return bits
}

// holds reports whether a stack meets the conditions.
func (sf *stackFilter) holds(stack []uint32) bool {
	var has uint32
	for _, f := range stack {
		has |= sf.frames[f]
	}
	for i := range sf.Conditions {
		if (has&(1<<i) != 0) == sf.Conditions[i].Not {
			return false
		}
	}
	return true
}

// show appends what is shown of a stack, leaf first.
func (sf *stackFilter) show(dst, stack []uint32) (shown []uint32, ok bool) {
	from := -1
	if len(sf.ShowFrom) > 0 {
		from = len(stack) - 1
		for from >= 0 && sf.frames[stack[from]]&bitShowFrom == 0 {
			from--
		}
		if from < 0 {
			return dst, false
		}
		stack = stack[:from+1]
	}
	for i, f := range stack {
		made := &sf.whole[f]
		if i == from {
			made = &sf.cut[f]
		}
		if *made == 0 {
			*made = sf.frame(f, i == from)
		}
		if *made != noFrame {
			dst = append(dst, *made-1)
		}
	}
	return dst, true
}

// frame makes a frame of out and returns its index, from 1.
func (sf *stackFilter) frame(f uint32, cut bool) uint32 {
	names := sf.in.names[f]
	hides := sf.frames[f]&bitHide != 0
	if cut || hides {
		shown := &frameNames{executable: names.executable, expires: names.expires}
		// Lines, where there are any for levels, are innermost first.
		paired := len(names.lines) == len(names.levels)
		started := !cut
		for i := range names.levels {
			bits := sf.functions[names.levels[i].function]
			started = started || bits&bitShowFrom != 0
			if !started || bits&bitHide != 0 {
				continue
			}
			shown.levels = append(shown.levels, names.levels[i])
			if paired {
				shown.lines = append(shown.lines, names.lines[len(names.lines)-1-i])
			}
		}
		if len(shown.levels) == 0 {
			return noFrame
		}
		slices.Reverse(shown.lines)
		if !paired {
			shown.lines = names.lines
		}
		names = shown
	}
	sf.out.entries = append(sf.out.entries, sf.in.entries[f])
	sf.out.names = append(sf.out.names, names)
	return uint32(len(sf.out.names)) //nolint:gosec // at most two for each frame
}

// startsRight reports whether what is shown of a stack starts with the call site.
func (sf *stackFilter) startsRight(shown []uint32) bool {
	left := sf.CallSite
	for i := len(shown) - 1; i >= 0 && len(left) > 0; i-- {
		levels := sf.out.names[shown[i]].levels
		for j := range levels {
			f := levels[j].function.Value()
			if sf.fold && f.Kind == KindInterpreter {
				continue
			}
			if len(left) == 0 {
				return true
			}
			if f.Name != left[0] {
				return false
			}
			left = left[1:]
		}
	}
	return len(left) == 0
}

// dropUnused removes the frames that were made for stacks that were then left out:
// tables list all frames that there are.
func (sf *stackFilter) dropUnused() {
	out := sf.out
	used := make([]uint32, len(out.names)) // from 1
	entries, names := make([]*frameEntry, 0, len(out.names)), make([]*frameNames, 0, len(out.names))
	for _, stack := range out.stacks {
		for i, f := range stack {
			if used[f] == 0 {
				entries, names = append(entries, out.entries[f]), append(names, out.names[f])
				used[f] = uint32(len(names)) //nolint:gosec // fewer than before
			}
			stack[i] = used[f] - 1
		}
	}
	out.entries, out.names = entries, names
}

// filter leaves out of the sums what a selection leaves out of stacks.
func (s *sums) filter(selection *Selection) {
	if selection.Stacks.IsZero() {
		return
	}
	out, newStack := s.filterStacks(&selection.Stacks, selection.FoldInterpreters)
	hashes := s.hashes[:0]
	for i, n := range newStack {
		if n >= 0 {
			hashes = append(hashes, s.hashes[i])
		}
	}
	s.hashes = hashes
	s.keep(out, newStack)
}

// keep replaces the resolution by one of some of its stacks.
func (s *sums) keep(out *resolution, newStack []int32) {
	all := s.value
	s.count, s.value = 0, 0
	rows := s.rows[:0]
	for _, r := range s.rows {
		if len(newStack) == 0 || newStack[r.stack] < 0 { // none: the question is over
			continue
		}
		r.stack = uint32(newStack[r.stack]) //nolint:gosec // not negative
		rows = append(rows, r)
		s.count += r.count
		s.value += r.value
	}
	s.resolution, s.rows, s.excluded = out, rows, all-s.value
}

// kept are the stacks that a selection with conditions on stacks is about.
type kept struct {
	sums   *sums
	stacks map[libpf.TraceHash]struct{}
	// all is how many stacks there are with those that are left out.
	all int
}

// has reports whether a stack is asked for. A nil kept has all.
func (k *kept) has(hash libpf.TraceHash) bool {
	if k == nil {
		return true
	}
	_, ok := k.stacks[hash]
	return ok
}

// kept finds the stacks that a selection is about, nil when those are all. An
// answer that is not made of stacks is then made from the rows that have them: the
// filter works on names, of which a store knows nothing.
func (e *Engine) kept(ctx context.Context, s *Selection) (*kept, error) {
	if !s.Stacks.selects() {
		return nil, ctx.Err()
	}
	only := *s
	only.Stacks.Hide = nil // changes nothing but what call sites look like
	if len(s.Stacks.CallSite) > 0 {
		only.Stacks.Hide = s.Stacks.Hide
	}
	sums, err := e.sums(ctx, &only, nil)
	if err != nil {
		return nil, err
	}
	k := &kept{sums: sums, stacks: make(map[libpf.TraceHash]struct{}, len(sums.hashes)), all: sums.selected}
	for _, h := range sums.hashes {
		k.stacks[h] = struct{}{}
	}
	return k, nil
}

// summary returns the summary of a question whose rows are counted apart.
func (k *kept) summary(s *Selection) Summary {
	if k == nil {
		return s.summary()
	}
	out := k.sums.summary(s, k.sums.levels(newFunctionTable(len(k.sums.names)), false, nil))
	out.Total, out.Samples = 0, 0
	return out
}

// selectKept hands over the sums of a query that is not by stack, of the stacks
// that are kept. A group and bucket may come more than once. To keep what the
// store works on in bounds, long ranges are asked for in parts of whole steps.
func (e *Engine) selectKept(ctx context.Context, q *store.Query, k *kept, yield func(*store.Row) bool) (store.Coverage, error) {
	if k == nil {
		return e.store.Select(ctx, q, yield)
	}
	q.ByStack = true
	part, to := *q, q.To
	steps := max(1, e.maxRows/max(1, k.all))
	var all store.Coverage
	for more := true; more && part.From < to; part.From = part.To {
		part.To = to
		if q.Step > 0 && int64(to-part.From)/int64(q.Step) > int64(steps) {
			part.To = store.Bucket(part.From, q.Step) + libpf.UnixTimeNs(steps)*libpf.UnixTimeNs(q.Step)
		}
		covered, err := e.store.Select(ctx, &part, func(r *store.Row) bool {
			if k.has(r.Stack) {
				more = yield(r)
			}
			return more
		})
		if err != nil {
			return all, err
		}
		all = joinCoverage(all, covered)
	}
	return all, ctx.Err()
}

// joinCoverage returns the coverage of two parts of an answer.
func joinCoverage(a, b store.Coverage) store.Coverage {
	a.Resolution = max(a.Resolution, b.Resolution)
	a.Horizon = max(a.Horizon, b.Horizon)
	if b.To != 0 {
		if a.To == 0 || b.From < a.From {
			a.From = b.From
		}
		a.To = max(a.To, b.To)
	}
	return a
}
