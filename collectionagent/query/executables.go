// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// ExecutableOrder is what executables are sorted by, the largest first.
type ExecutableOrder uint8

// Orders of executables.
const (
	// ExecutablesByValue sorts by the value of the samples that an executable is in.
	ExecutablesByValue ExecutableOrder = iota
	// ExecutablesBySelf sorts by the value of the samples in which its code was running.
	ExecutablesBySelf
	// ExecutablesByUnnamed sorts by the value of the samples in which it has frames
	// without a name: those for which symbols are wanted most.
	ExecutablesByUnnamed
)

// Executables is a table of the files that code of a selection is in.
type Executables struct {
	Summary
	Rows []ExecutableRow
	// Hidden is how many rows are left out.
	Hidden int
}

// ExecutableRow is what is known of an executable, and what of a selection is in it.
type ExecutableRow struct {
	// Executable has a FileID only, when nothing else is known of it.
	libpf.Executable
	// Kind is what the code is: "kernel", "go", [KindInterpreter], or "native".
	Kind string
	// Self is the value of the samples in which code of the file was running, Value
	// that of all that it is on the stack of, Unnamed that of those where some of its
	// frames there have no name. Each sample counts once.
	Self, Value, Unnamed int64
	// Frames is how many places in the code were seen; of them, NamedFrames have a name
	// and LineFrames a line of source code.
	Frames, NamedFrames, LineFrames int
	// Symbolized is the share of the file's levels with a name, weighted by value: 0..1.
	Symbolized float64
}

// executableSize is about what the tables below take for each executable,
// and placeSize for each place that is remembered.
const (
	executableSize = 320
	placeSize      = 32
)

// noExecutable stands for a frame that is in no file.
const noExecutable = ^uint32(0)

// executableTable is what [Engine.Executables] counts in.
type executableTable struct {
	rows []ExecutableRow
	// of is the row of each frame.
	of []uint32
	// seen and seenUnnamed hold the last sum that a row was counted for, from 1.
	seen, seenUnnamed []int
	named, all        []wideSum
}

// Executables returns the table of the executables of a selection, at most limit
// rows. Frames that are in no file, as those of scripts, count for none.
func (e *Engine) Executables(ctx context.Context, s *Selection, order ExecutableOrder, limit int) (*Executables, error) {
	sums, err := e.sums(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	levels := sums.levels(newFunctionTable(len(sums.names)), s.FoldInterpreters, nil)
	t := sums.executableTable(levels, len(s.Stacks.ShowFrom) > 0)
	for i, r := range sums.rows {
		if sums.watch.ended() {
			break
		}
		t.count(sums.stacks[r.stack], levels, i+1, r.value)
	}
	for i := range t.rows {
		t.rows[i].Symbolized = 1
		if all := t.all[i].float(); all > 0 {
			t.rows[i].Symbolized = t.named[i].float() / all
		}
	}
	slices.SortFunc(t.rows, func(a, b ExecutableRow) int {
		if sums.watch.ended() {
			return 0
		}
		return compareExecutables(&a, &b, order)
	})
	out := &Executables{Summary: sums.summary(s, levels), Rows: t.rows}
	if len(out.Rows) > limit {
		out.Rows, out.Hidden = out.Rows[:limit], len(out.Rows)-limit
	}
	return out, ctx.Err()
}

func compareExecutables(a, b *ExecutableRow, order ExecutableOrder) int {
	first := 0
	switch order {
	case ExecutablesBySelf:
		first = cmp.Compare(b.Self, a.Self)
	case ExecutablesByUnnamed:
		first = cmp.Compare(b.Unnamed, a.Unnamed)
	}
	return cmp.Or(first, cmp.Compare(b.Value, a.Value), cmp.Compare(b.Self, a.Self),
		strings.Compare(a.FileName, b.FileName), a.FileID.Compare(b.FileID.Hash128))
}

// executableTable numbers the executables of all frames. cut says that some are shown in part.
func (s *sums) executableTable(levels *frameLevels, cut bool) *executableTable {
	t := &executableTable{}
	if !s.watch.take(len(s.names), 4) {
		return t
	}
	t.of = make([]uint32, len(s.names))
	numbers := map[libpf.FileID]uint32{}
	// A place that is shown as a whole on some stacks and cut on others is one place.
	places := map[*frameEntry]struct{}{}
	for i, names := range s.names {
		t.of[i] = noExecutable
		if s.watch.ended() {
			continue
		}
		f := &s.entries[i].frame
		// What was named as it was captured is in a file only if the file is known.
		if f.FileID.IsZero() || f.Type.IsError() || names.executable.FileID.IsZero() && !needsSymbol(f) {
			continue
		}
		n, ok := numbers[f.FileID]
		if !ok {
			s.watch.take(1, executableSize)
			n = uint32(len(t.rows)) //nolint:gosec // fewer than frames in memory
			numbers[f.FileID] = n
			t.rows = append(t.rows, ExecutableRow{Executable: names.executable})
			t.rows[n].FileID = f.FileID
		}
		t.of[i] = n
		row := &t.rows[n]
		if row.FileName == "" && row.BuildID == "" { // frames may have been named at different times
			row.Executable = names.executable
			row.FileID = f.FileID
		}
		row.Kind = moreTelling(row.Kind, kindOfFile(f, names))
		if cut {
			s.watch.take(1, placeSize)
			if _, again := places[s.entries[i]]; again {
				continue
			}
			places[s.entries[i]] = struct{}{}
		}
		row.Frames++
		if int(levels.named[i]) == levels.count(uint32(i)) { //nolint:gosec // as above
			row.NamedFrames++
		}
		if slices.ContainsFunc(names.levels, func(l level) bool { return l.line > 0 }) {
			row.LineFrames++
		}
	}
	t.seen, t.seenUnnamed = make([]int, len(t.rows)), make([]int, len(t.rows))
	t.named, t.all = make([]wideSum, len(t.rows)), make([]wideSum, len(t.rows))
	return t
}

// count adds the sum with a number, from 1, of samples with a stack.
func (t *executableTable) count(stack []uint32, levels *frameLevels, number int, value int64) {
	leaf := true
	for _, frame := range stack {
		all := levels.count(frame)
		if all == 0 { // folded
			continue
		}
		isLeaf := leaf
		leaf = false
		n := t.of[frame]
		if n == noExecutable {
			continue
		}
		row, named := &t.rows[n], int(levels.named[frame])
		t.named[n].add(value, named)
		t.all[n].add(value, all)
		if isLeaf {
			row.Self += value
		}
		if t.seen[n] != number {
			t.seen[n] = number
			row.Value += value
		}
		if named < all && t.seenUnnamed[n] != number {
			t.seenUnnamed[n] = number
			row.Unnamed += value
		}
	}
}

// kindOfFile returns what a frame says of the file that its code is in.
func kindOfFile(f *libpf.Frame, names *frameNames) string {
	switch {
	case names.executable.Runtime != "":
		return KindInterpreter
	case f.Type == libpf.KernelFrame, f.Type == libpf.GoFrame:
		return f.Type.String()
	}
	return libpf.NativeFrame.String()
}

// moreTelling returns the kind that says more: a program in Go has native frames too.
func moreTelling(a, b string) string {
	if a == "" || a == libpf.NativeFrame.String() {
		return b
	}
	return a
}
