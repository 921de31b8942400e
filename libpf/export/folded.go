// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// kernelSuffix marks the names of kernel frames; flame graph tools colour by it.
const kernelSuffix = "_[k]"

// foldedReplacer keeps a name from ending its frame or its line.
var foldedReplacer = strings.NewReplacer(";", ":", "\n", " ", "\r", " ")

// WriteFolded writes one line per stack: the levels from the root to the leaf
// joined by semicolons, a space, and a number. That is how many observations there are
// of types that our own agents take, and else the value: what a tool makes of it has no unit.
// Equal lines are summed, lines are sorted, and samples without a number are left out.
func WriteFolded(w io.Writer, p *Profile) error {
	f := NewFolded(p.Type, p.Executables)
	for i := range p.Samples {
		f.Add(&p.Samples[i])
	}
	return f.Write(w)
}

// Folded sums stacks by their folded line, one sample at a time. It is for one
// goroutine.
type Folded struct {
	values      bool // and not counts
	executables Executables
	counts      map[string]int64
	line        []byte
	levels      []Level
}

// NewFolded returns a Folded of samples of a type without stacks. The function may be nil.
func NewFolded(t libpf.SampleType, executables func(libpf.FileID) (libpf.Executable, bool)) *Folded {
	return &Folded{values: !counted(t), executables: executables, counts: make(map[string]int64)}
}

// counted reports whether the number of observations says something: each of them is one that
// was made, and not a sum that a program made of its own.
func counted(t libpf.SampleType) bool {
	return t == libpf.SampleOnCPU || t == libpf.SampleOffCPU || t == libpf.SampleEvent
}

// Add adds a sample. It keeps nothing of it.
func (f *Folded) Add(s *Sample) {
	n := s.Count
	if f.values {
		n = s.Value
	}
	if n == 0 {
		return
	}
	f.levels = f.levels[:0]
	for i := range s.Frames {
		f.levels = AppendLevels(f.levels, &s.Frames[i], f.executables)
	}
	f.line = f.line[:0]
	for _, name := range s.Root {
		f.line = appendFolded(f.line, name, false)
	}
	for _, l := range slices.Backward(f.levels) {
		f.line = appendFolded(f.line, l.Name, l.Kind == libpf.KernelFrame)
	}
	if len(f.line) == 0 {
		f.line = append(f.line, emptyStack...)
	}
	f.counts[string(f.line)] += n
}

// emptyStack stands for a stack without a frame, whose line would have no name.
const emptyStack = "[empty stack]"

func appendFolded(line []byte, name string, kernel bool) []byte {
	if len(line) > 0 {
		line = append(line, ';')
	}
	if strings.ContainsAny(name, ";\n\r") {
		name = foldedReplacer.Replace(name)
	}
	line = append(line, name...)
	if kernel && !strings.HasSuffix(name, kernelSuffix) {
		line = append(line, kernelSuffix...)
	}
	return line
}

// Write writes the lines, sorted.
func (f *Folded) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var number []byte
	for _, l := range slices.Sorted(maps.Keys(f.counts)) {
		number = strconv.AppendInt(append(number[:0], ' '), f.counts[l], 10)
		_, _ = out.WriteString(l) // the error sticks, and Flush returns it
		_, _ = out.Write(append(number, '\n'))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write folded stacks: %w", err)
	}
	return nil
}
