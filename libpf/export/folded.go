// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bufio"
	"fmt"
	"io"
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
// joined by semicolons, a space, and the count. Equal lines are summed, lines
// are sorted, and samples without a count are left out.
func WriteFolded(w io.Writer, p *Profile) error {
	counts := make(map[string]int64, len(p.Samples))
	var line []byte
	var levels []Level
	for i := range p.Samples {
		s := &p.Samples[i]
		if s.Count == 0 {
			continue
		}
		levels = levels[:0]
		for j := range s.Frames {
			levels = AppendLevels(levels, &s.Frames[j], p.Executables)
		}
		line = line[:0]
		for _, name := range s.Root {
			line = appendFolded(line, name, false)
		}
		for _, l := range slices.Backward(levels) {
			line = appendFolded(line, l.Name, l.Kind == libpf.KernelFrame)
		}
		if len(line) == 0 {
			line = append(line, emptyStack...)
		}
		counts[string(line)] += s.Count
	}
	return WriteFoldedLines(w, counts)
}

// emptyStack stands for a stack without a frame, whose line would have no name.
const emptyStack = "[empty stack]"

// AppendFolded appends a level to a folded line.
func AppendFolded(line []byte, l *Level) []byte {
	return appendFolded(line, l.Name, l.Kind == libpf.KernelFrame)
}

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

// WriteFoldedLines writes lines made with [AppendFolded] and their counts, sorted.
func WriteFoldedLines(w io.Writer, counts map[string]int64) error {
	lines := make([]string, 0, len(counts))
	for l := range counts {
		lines = append(lines, l)
	}
	slices.Sort(lines)
	out := bufio.NewWriterSize(w, 64<<10)
	var number []byte
	for _, l := range lines {
		number = strconv.AppendInt(append(number[:0], ' '), counts[l], 10)
		_, _ = out.WriteString(l) // the error sticks, and Flush returns it
		_, _ = out.Write(append(number, '\n'))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write folded stacks: %w", err)
	}
	return nil
}
