// SPDX-License-Identifier: Apache-2.0

package query

import (
	"cmp"
	"slices"
	"unique"

	"github.com/strobe-profiler/strobe/libpf"
)

// Level is what the nodes of a tree tell apart.
type Level uint8

// Levels of trees.
const (
	// LevelFunction has a node for each function that is called.
	LevelFunction Level = iota
	// LevelLine has a node for each source line of a function: the one that was
	// running, or that called what is below.
	LevelLine
	// LevelFile has a node for each source file, or binary where no file is known.
	// Calls within a file are one node, as those within a binary are in the next.
	LevelFile
	// LevelBinary has a node for each executable or library.
	LevelBinary
)

// Names of nodes that functions without a file or a binary are in.
const (
	noFileName   = "(no file)"
	noBinaryName = "(no binary)"
)

// merges reports whether calls between functions of one node are no new node.
func (l Level) merges() bool { return l == LevelFile || l == LevelBinary }

// identity returns what functions are the same by, nil: each is another one.
func (l Level) identity() func(function) function {
	if !l.merges() {
		return nil
	}
	known := map[function]function{}
	return func(f function) function {
		if same, ok := known[f]; ok {
			return same
		}
		v := f.Value()
		same := f
		switch {
		case v.Kind == KindError: // a marker is in no file
		case l == LevelFile:
			same = unique.Make(Function{Name: cmp.Or(v.File, v.Binary, noFileName), File: v.File, Binary: v.Binary, Kind: v.Kind})
		default:
			same = unique.Make(Function{Name: cmp.Or(v.Binary, noBinaryName), Binary: v.Binary, Kind: v.Kind})
		}
		known[f] = same
		return same
	}
}

// levelBytes is about what a level of a frame takes when nodes are no functions: its line, or its file or binary,
// in a map and as a function of its own.
const levelBytes = 96

// claimLevels takes the memory for that, which functions have with their frames.
func (res *resolution) claimLevels(l Level) bool {
	if l == LevelFunction {
		return true
	}
	n := 0
	for _, names := range res.names {
		n += len(names.levels)
	}
	return res.watch.take(n, levelBytes)
}

// functionLine is a line of a function.
type functionLine struct {
	function function
	line     libpf.SourceLineno
}

// numberLine returns the number of a line of a function. The first line that was seen
// of a function has the number of the function, too.
func (t *functionTable) numberLine(f function, line libpf.SourceLineno) uint32 {
	key := functionLine{f, line}
	n, ok := t.atLine[key]
	if !ok {
		if t.atLine == nil {
			t.atLine = make(map[functionLine]uint32, len(t.numbers))
		}
		n = t.add(f)
		t.atLine[key] = n
		if _, ok := t.numbers[f]; !ok {
			t.numbers[f] = n
		}
	}
	return n
}

// orderLines puts lines of the same function, which have the same place, into the
// order of their numbers.
func (t *functionTable) orderLines(places []uint32) {
	order := make([]uint32, len(places))
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // fewer than frames in memory
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(t.lines[a].line, t.lines[b].line))
	})
	for place, n := range order {
		places[n] = uint32(place) //nolint:gosec // as above
	}
}
