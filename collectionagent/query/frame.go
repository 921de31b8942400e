// SPDX-License-Identifier: Apache-2.0

package query

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
)

// Kinds of functions beside the names of frame types.
const (
	KindLabel = "label" // the root, and levels made of labels
	KindError = "error" // an error or abort marker
	KindOther = "other" // the sum of what was left out
	// KindInterpreter is native code of an interpreter: work for the script
	// functions around it.
	KindInterpreter = "interpreter"
)

// Function is what the levels of a flame graph and the rows of a table are of.
type Function struct {
	Name   string
	File   string // source file, "" when unknown
	Binary string // base name of the executable, "" when it has none
	// Kind is the name of the frame type, as "kernel" or "python", or one of the
	// Kind constants.
	Kind string
	// Inlined says that the function has no frame of its own here.
	Inlined bool
}

func (f *Function) compare(o *Function) int {
	if c := strings.Compare(f.Name, o.Name); c != 0 {
		return c
	}
	if c := strings.Compare(f.Kind, o.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(f.Binary, o.Binary); c != 0 {
		return c
	}
	if c := strings.Compare(f.File, o.File); c != 0 || f.Inlined == o.Inlined {
		return c
	}
	if o.Inlined {
		return -1
	}
	return 1
}

// function is a Function that compares in one instruction and is in memory once.
type function = unique.Handle[Function]

// level is a level of a frame.
type level struct {
	function function
	// start is the line the function starts on, line one that is executed; 0 when unknown.
	start, line libpf.SourceLineno
	named       bool
}

// frameKey is the identity of a frame in a project.
type frameKey struct {
	project        string
	kind           libpf.FrameType
	id             libpf.FrameID
	function, file string
	line           libpf.SourceLineno
}

// frameEntry is a frame that stacks share. Its identity never changes, its names may.
type frameEntry struct {
	frame libpf.Frame // without Lines
	names atomic.Pointer[frameNames]
}

// frameNames are the names of a frame as they are known. They are immutable.
type frameNames struct {
	lines      []libpf.SourceLine
	executable libpf.Executable
	levels     []level // outermost first
	expires    time.Time
}

// needsSymbol reports whether the names of a frame are kept apart from it.
func needsSymbol(f *libpf.Frame) bool {
	return f.FunctionName == "" && f.SourceFile == "" && !f.Type.IsError() && !f.FileID.IsZero()
}

// nameFrame builds the names of a frame.
func nameFrame(f *libpf.Frame, lines []libpf.SourceLine, executable libpf.Executable) *frameNames {
	named := *f
	named.Lines = lines
	levels := export.AppendLevels(nil, &named, find(executable))
	n := &frameNames{lines: lines, executable: executable, levels: make([]level, 0, len(levels))}
	for _, l := range slices.Backward(levels) {
		n.levels = append(n.levels, level{
			function: unique.Make(Function{
				Name: l.Name, File: l.File, Binary: l.Binary, Kind: kindName(l.Kind, executable), Inlined: l.Inlined,
			}),
			start: l.StartLine, line: l.Line,
			named: l.Named && !l.Kind.IsError(),
		})
	}
	return n
}

// find returns the look-up of a single executable.
func find(executable libpf.Executable) export.Executables {
	if executable.FileID.IsZero() {
		return nil
	}
	return func(libpf.FileID) (libpf.Executable, bool) { return executable, true }
}

func kindName(t libpf.FrameType, executable libpf.Executable) string {
	if t.IsError() {
		return KindError
	}
	if t == libpf.NativeFrame && executable.Runtime != "" {
		return KindInterpreter
	}
	return t.String()
}

// lifetime returns how long the names are good for: as long as better ones are
// unlikely to come.
func (n *frameNames) lifetime(f *libpf.Frame) time.Duration {
	unnamed := slices.ContainsFunc(n.levels, func(l level) bool { return !l.named })
	withFile := slices.ContainsFunc(n.lines, func(l libpf.SourceLine) bool { return l.File != "" })
	switch {
	case !needsSymbol(f):
		return finalTTL
	case unnamed || n.executable.FileID.IsZero():
		return unknownTTL
	case !withFile && f.Type != libpf.KernelFrame:
		return fallbackTTL
	default:
		return finalTTL
	}
}
