// SPDX-License-Identifier: Apache-2.0

package query

import (
	"unique"

	"github.com/strobe-profiler/strobe/libpf"
)

// functionLines are the first lines of a function that start it and that run, and
// the build of what it is in: its number in the builds of the table.
type functionLines struct {
	start, line libpf.SourceLineno
	build       uint32
}

// Builds that are no build IDs.
const (
	buildUnknown = iota
	buildSeveral
)

// best returns the line that stands for the function, 0 when unknown.
func (l *functionLines) best() libpf.SourceLineno {
	if l.start != 0 {
		return l.start
	}
	return l.line
}

// functionTable numbers the functions of one query.
type functionTable struct {
	// level says what has a number of its own. Of file and binary, functions are
	// mapped to what they are in before they get here.
	level     Level
	numbers   map[function]uint32
	atLine    map[functionLine]uint32 // of LevelLine
	functions []function
	lines     []functionLines
	values    []*Function // those that were asked for
	builds    []string    // build IDs, the first of which are none
	byBuild   map[string]uint32
}

// newFunctionTable returns a table with room for the functions of some frames.
func newFunctionTable(frames int) *functionTable {
	return &functionTable{
		numbers:   make(map[function]uint32, frames/2),
		functions: make([]function, 0, frames/2),
		lines:     make([]functionLines, 0, frames/2),
		builds:    []string{buildUnknown: "", buildSeveral: ""},
		byBuild:   map[string]uint32{"": buildUnknown},
	}
}

// number returns the number of a function, a new one for one that is new.
func (t *functionTable) number(f function) uint32 {
	n, ok := t.numbers[f]
	if !ok {
		n = t.add(f)
		t.numbers[f] = n
	}
	return n
}

// add gives a function a number more.
func (t *functionTable) add(f function) uint32 {
	t.functions = append(t.functions, f)
	t.lines = append(t.lines, functionLines{})
	return uint32(len(t.functions) - 1) //nolint:gosec // fewer than frames in memory
}

// value returns a function, which is not to be changed.
func (t *functionTable) value(n uint32) *Function {
	for len(t.values) < len(t.functions) {
		t.values = append(t.values, nil)
	}
	if t.values[n] == nil {
		f := t.functions[n].Value()
		t.values[n] = &f
	}
	return t.values[n]
}

// label returns the number of a level that is not code.
func (t *functionTable) label(name, kind string) uint32 {
	return t.number(unique.Make(Function{Name: name, Kind: kind}))
}

// build returns the number of a build ID.
func (t *functionTable) build(id string) uint32 {
	n, ok := t.byBuild[id]
	if !ok {
		n = uint32(len(t.builds)) //nolint:gosec // fewer than frames in memory
		t.byBuild[id] = n
		t.builds = append(t.builds, id)
	}
	return n
}

// saw notes the lines of a level of the function, and the build ID of its executable.
func (t *functionTable) saw(n uint32, l *level, build uint32) {
	lines := &t.lines[n]
	switch {
	case build == buildUnknown || lines.build == build || lines.build == buildSeveral:
	case lines.build == buildUnknown:
		lines.build = build
	default:
		lines.build = buildSeveral
	}
	if t.level != LevelFunction {
		if t.level == LevelLine {
			lines.line = l.line
		}
		return
	}
	if l.start != 0 && (lines.start == 0 || l.start < lines.start) {
		lines.start = l.start
	}
	if l.line != 0 && (lines.line == 0 || l.line < lines.line) {
		lines.line = l.line
	}
}

// frameLevels are the levels of every frame of a resolution as numbers of
// functions, outermost first.
type frameLevels struct {
	offsets []uint32 // of the levels of each frame, and one more
	levels  []uint32
	// named is how many levels of each frame have a name.
	named []uint32
	// unnamed is how many of all have none.
	unnamed int
}

// levels numbers the functions of all frames. With identity it may map
// functions that are to count as one to the same; with fold, frames of
// interpreters have no levels.
func (res *resolution) levels(t *functionTable, fold bool, identity func(function) function) *frameLevels {
	out := &frameLevels{
		offsets: make([]uint32, 1, len(res.names)+1),
		levels:  make([]uint32, 0, len(res.names)+len(res.names)/2),
		named:   make([]uint32, len(res.names)),
	}
	if !res.claimLevels(t.level) {
		out.offsets = make([]uint32, len(res.names)+1)
		return out
	}
	build := uint32(buildUnknown)
	for i, names := range res.names {
		if res.watch.ended() { // the rest has no levels
			out.offsets = append(out.offsets, uint32(len(out.levels))) //nolint:gosec // as below
			continue
		}
		if id := names.executable.BuildID; id != t.builds[build] { // most often that of the frame before
			build = t.build(id)
		}
		for j := range names.levels {
			l := &names.levels[j]
			f := l.function
			if fold && f.Value().Kind == KindInterpreter {
				continue
			}
			if identity != nil {
				f = identity(f)
			}
			var n uint32
			if t.level == LevelLine {
				n = t.numberLine(f, l.line)
			} else {
				n = t.number(f)
			}
			t.saw(n, l, build)
			out.levels = append(out.levels, n)
			if l.named {
				out.named[i]++
			} else {
				out.unnamed++
			}
		}
		out.offsets = append(out.offsets, uint32(len(out.levels))) //nolint:gosec // fewer than frames in memory
	}
	return out
}

// count returns how many levels a frame has.
func (l *frameLevels) count(frame uint32) int { return int(l.offsets[frame+1] - l.offsets[frame]) }

// of returns the levels of a frame, outermost first.
func (l *frameLevels) of(frame uint32) []uint32 {
	return l.levels[l.offsets[frame]:l.offsets[frame+1]]
}
