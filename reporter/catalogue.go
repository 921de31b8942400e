// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"path"

	"github.com/strobe-profiler/strobe/libpf"
)

// catalogue is the four kinds of definitions. It is safe for concurrent use.
type catalogue struct {
	stacks      *definitions[libpf.TraceHash, *libpf.Trace]
	names       *definitions[libpf.FrameID, []libpf.SourceLine]
	symbols     *definitions[libpf.FrameID, string]
	executables *definitions[libpf.FileID, *libpf.Executable]
}

func newCatalogue(s *settings, wake func()) (c catalogue, err error) {
	large, small := s.MaxQueueBytes/16, s.MaxQueueBytes/32
	few := max(s.DefinitionCacheEntries/4, 1)
	var errs [4]error
	c.stacks, errs[0] = newDefinitions(laneStacks, int(s.FramesForTracesMaxQueue), large,
		s.DefinitionCacheEntries, libpf.TraceHash.Hash32, sizeOfTrace, wake)
	c.names, errs[1] = newDefinitions(laneNames, int(s.FrameMetadataMaxQueue), large,
		s.DefinitionCacheEntries, libpf.FrameID.Hash32, sizeOfLines, wake)
	c.symbols, errs[2] = newDefinitions(laneSymbols, int(s.FallbackSymbolsMaxQueue), small,
		few, libpf.FrameID.Hash32, sizeOfSymbol, wake)
	c.executables, errs[3] = newDefinitions(laneExecutables, int(s.ExecMetadataMaxQueue), small,
		few, libpf.FileID.Hash32, sizeOfExecutable, wake)
	if err := errors.Join(errs[:]...); err != nil {
		return c, fmt.Errorf("create definition caches: %w", err)
	}
	c.stacks.identity = true
	return c, nil
}

// naming says how a frame is named.
type naming int

const (
	notAtAll naming = iota
	byLines
	bySymbol
)

// namesOf finds the names of a frame: its own, else what was reported for its ID.
// A kernel frame of which only the function is known is named by a fallback symbol.
func (c *catalogue) namesOf(f *libpf.Frame) (nameDef, symbolDef, naming) {
	id := f.ID()
	if len(f.Lines) > 0 {
		l := &f.Lines[0]
		if f.Type == libpf.KernelFrame && len(f.Lines) == 1 && l.File == "" && l.SystemName == "" && l.Line == 0 {
			return nameDef{}, symbolDef{key: id, value: l.Function, content: contentOfSymbol(l.Function)}, bySymbol
		}
		return nameDef{key: id, value: f.Lines, content: contentOfLines(f.Lines)}, symbolDef{}, byLines
	}
	if def, ok := c.names.lookup(id); ok {
		return def, symbolDef{}, byLines
	}
	if def, ok := c.symbols.lookup(id); ok {
		return nameDef{}, def, bySymbol
	}
	return nameDef{}, symbolDef{}, notAtAll
}

// executable finds what is known of a file: what was reported, else what the process says of its own.
func (c *catalogue) executable(id libpf.FileID, p *libpf.Process) (execDef, bool) {
	if def, ok := c.executables.lookup(id); ok {
		return def, true
	}
	if p == nil || p.ExecutableID != id || p.Executable == "" {
		return execDef{}, false
	}
	e := &libpf.Executable{FileID: id, FileName: path.Base(p.Executable)}
	def := execDef{key: id, value: e, content: contentOfExecutable(e)}
	c.executables.remember(def)
	return def, true
}

// sourceLine makes a name out of the parameters of FrameMetadata.
func sourceLine(line libpf.SourceLineno, functionOffset uint32, function, file string) libpf.SourceLine {
	l := libpf.SourceLine{Function: function, File: file, Line: line}
	if offset := libpf.SourceLineno(functionOffset); offset > 0 && offset < line {
		l.StartLine = line - offset
	}
	return l
}

// keepFile completes a name without a file from the one known before.
func keepFile(old, lines []libpf.SourceLine) []libpf.SourceLine {
	if len(old) == 1 && len(lines) == 1 && lines[0].File == "" {
		lines[0].File = old[0].File
	}
	return lines
}
