// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"math"
	"slices"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/libpf"
)

// frameTypes are the values of profile.frame.type that are called otherwise here.
var frameTypes = map[string]libpf.FrameType{
	"cpython": libpf.PythonFrame, "v8js": libpf.V8Frame, "rust": libpf.NativeFrame,
}

// noStack stands for a stack without frames.
var noStack = libpf.Frame{Type: libpf.AbortFrame, FunctionName: "no stack"}

// locationTable checks the locations and makes their frames.
func (d *decoder) locationTable() error {
	table := d.raw.LocationTable
	if err := d.charge("dictionary.location_table", len(table), locationBytes+frameBytes); err != nil {
		return err
	}
	d.locations = make([]location, max(len(table), 1))
	d.frames = make([]libpf.Frame, 0, len(table)+1)
	d.symbols = newSymbols(len(table))
	d.identities = make([]byte, 0, 64*len(table))
	for i := range d.locations {
		var l *profiles.Location
		if i < len(table) {
			l = table[i]
		}
		if l == nil {
			l = &profiles.Location{}
		}
		first, began := len(d.frames), len(d.identities)
		if err := d.location(i, l); err != nil {
			return err
		}
		bytes := 0
		for f := first; f < len(d.frames); f++ {
			bytes += len(d.frames[f].FunctionName) + len(d.frames[f].SourceFile)
		}
		if err := d.charge("dictionary.location_table", 1, int64(64*(len(d.frames)-first)+bytes)); err != nil {
			return err
		}
		if len(d.identities)+bytes > math.MaxInt32 {
			return invalid("dictionary.location_table", "its names are too long: send the request in parts")
		}
		for f := first; f < len(d.frames); f++ {
			d.identities = d.frames[f].AppendIdentity(d.identities)
		}
		d.locations[i] = location{
			frame: uint32(first), frames: uint32(len(d.frames) - first), //nolint:gosec // bounded by the request
			identity: uint32(began), identityEnd: uint32(len(d.identities)), //nolint:gosec // bounded by the charge
		}
	}
	return nil
}

// location checks a location and appends its frames, leaf first.
func (d *decoder) location(i int, l *profiles.Location) error {
	if l.MappingIndex < 0 || int(l.MappingIndex) >= len(d.mappings) {
		return index(at("dictionary.location_table", i)+".mapping_index", l.MappingIndex, "mapping_table", len(d.raw.MappingTable))
	}
	var kind *attribute
	for j, a := range l.AttributeIndices {
		if a < 0 || int(a) >= len(d.attributes) {
			return index(at(at("dictionary.location_table", i)+".attribute_indices", j), a, "attribute_table", len(d.raw.AttributeTable))
		}
		if d.attributes[a].isFrameType {
			kind = &d.attributes[a]
		}
	}
	if len(l.Lines) > maxLines {
		return invalid(at("dictionary.location_table", i)+".lines", "has %d entries, at most %d are allowed", len(l.Lines), maxLines)
	}
	named := false
	for j, line := range l.Lines {
		f, n := line.GetFunctionIndex(), line.GetLine()
		if f < 0 || int(f) >= len(d.functions) {
			return index(at(at("dictionary.location_table", i)+".lines", j)+".function_index", f, "function_table", len(d.raw.FunctionTable))
		}
		if n < 0 {
			return invalid(at(at("dictionary.location_table", i)+".lines", j)+".line", "is %d, must not be negative", n)
		}
		named = named || d.functions[f].line.Function != "" || d.functions[f].line.File != ""
	}
	m := &d.mappings[l.MappingIndex]
	frame := libpf.Frame{Type: frameType(kind, m, l.Address), FileID: m.executable.FileID}
	if !named {
		frame.AddressOrLineno = m.address(l.Address)
		d.frames = append(d.frames, frame)
		return nil
	}
	if m.identified && l.Address != 0 && inFile(frame.Type) {
		frame.AddressOrLineno = m.address(l.Address)
		if d.names(frame.ID(), int32(i), l) { //nolint:gosec // an index of 32 bits
			// Each symbol is stored with its texts, however often they repeat.
			var texts int64
			for _, line := range l.Lines {
				f := &d.functions[line.GetFunctionIndex()].line
				texts += int64(len(f.Function) + len(f.SystemName) + len(f.File))
			}
			if err := d.charge("dictionary.location_table", 1, texts); err != nil {
				return err
			}
			d.frames = append(d.frames, frame)
			return nil
		}
		frame.AddressOrLineno = 0
	}
	for _, line := range l.Lines {
		function := &d.functions[line.GetFunctionIndex()].line
		frame.FunctionName, frame.SourceFile, frame.SourceLine = function.Function, function.File, libpf.SourceLineno(line.GetLine()) //nolint:gosec // not negative
		if frame.FunctionName == "" && frame.SourceFile == "" {
			continue
		}
		d.frames = append(d.frames, frame)
	}
	return nil
}

// names notes that a location names a frame. It returns false when another one of
// the request gives it other names, so that the address says too little.
func (d *decoder) names(id libpf.FrameID, i int32, l *profiles.Location) bool {
	first, ok := d.symbols.add(id, i)
	if ok {
		return true
	}
	return slices.EqualFunc(l.Lines, d.raw.LocationTable[first].Lines, func(a, b *profiles.Line) bool {
		return a.GetFunctionIndex() == b.GetFunctionIndex() && a.GetLine() == b.GetLine()
	})
}

// inFile reports whether addresses of the type are those of a file of machine code.
func inFile(t libpf.FrameType) bool {
	return t == libpf.NativeFrame || t == libpf.KernelFrame || t == libpf.GoFrame
}

// parseFrameType returns the type of a frame by its name.
func parseFrameType(name string) (libpf.FrameType, bool) {
	if t, ok := frameTypes[name]; ok {
		return t, true
	}
	t, err := libpf.ParseFrameType(name)
	return t, err == nil
}

// frameType returns the type of a frame, by what the location says, else by what it has.
func frameType(kind *attribute, m *mapping, address uint64) libpf.FrameType {
	if kind != nil && kind.known {
		return kind.frameType
	}
	switch {
	case m.executable.FileName == "[kernel.kallsyms]":
		return libpf.KernelFrame
	case address != 0 || m.identified:
		return libpf.NativeFrame
	}
	return libpf.UnknownFrame
}

// stackTable checks the stacks.
func (d *decoder) stackTable() error {
	table := d.raw.StackTable
	if err := d.charge("dictionary.stack_table", len(table), stackBytes); err != nil {
		return err
	}
	d.stacks = make([]stack, max(len(table), 1))
	n := len(d.locations)
	for i, s := range table {
		indices := s.GetLocationIndices()
		if len(indices) > d.MaxFrames {
			return invalid(at("dictionary.stack_table", i)+".location_indices", "has %d entries, at most %d are allowed", len(indices), d.MaxFrames)
		}
		for j, l := range indices {
			if l < 0 || int(l) >= n {
				return index(at(at("dictionary.stack_table", i)+".location_indices", j), l, "location_table", len(d.raw.LocationTable))
			}
		}
	}
	return nil
}

// locationsOf returns the locations of a stack.
func (d *decoder) locationsOf(i int32) []int32 {
	if int(i) >= len(d.raw.StackTable) {
		return nil
	}
	return d.raw.StackTable[i].GetLocationIndices()
}

// stack returns the hash of a stack whose index was checked.
func (d *decoder) stack(i int32) (libpf.TraceHash, error) {
	s := &d.stacks[i]
	if s.done {
		return s.hash, nil
	}
	indices := d.locationsOf(i)
	n, bytes := 0, 0
	for _, l := range indices {
		at := &d.locations[l]
		n += int(at.frames)
		bytes += int(at.identityEnd - at.identity)
	}
	if n > d.MaxFrames {
		return s.hash, invalid(at("dictionary.stack_table", int(i)), "has %d frames, at most %d are allowed", n, d.MaxFrames)
	}
	if d.workLeft -= int64(bytes); d.workLeft < 0 {
		return s.hash, invalid("dictionary.stack_table", "the stacks are too large for a request of %d bytes: send it in parts", d.Bytes)
	}
	if bytes > cap(d.identity) {
		if err := d.charge("dictionary.stack_table", 1, int64(bytes)); err != nil {
			return s.hash, err
		}
		d.identity = make([]byte, 0, bytes+64)
	}
	b := append(d.identity[:0], 0, 0, 0, 0, 0, 0, 0, 0)
	for _, l := range indices {
		at := &d.locations[l]
		b = append(b, d.identities[at.identity:at.identityEnd]...)
	}
	if n == 0 {
		n, b = 1, noStack.AppendIdentity(b)
	}
	binary.LittleEndian.PutUint64(b, uint64(n)) //nolint:gosec // not negative
	d.identity = b
	s.hash, s.done = libpf.HashIdentities(b), true
	return s.hash, nil
}

// framesOf returns the frames of a stack.
func (d *decoder) framesOf(i int32) []libpf.Frame {
	indices := d.locationsOf(i)
	frames := make([]libpf.Frame, 0, len(indices))
	for _, l := range indices {
		at := &d.locations[l]
		frames = append(frames, d.frames[at.frame:at.frame+at.frames]...)
	}
	if len(frames) == 0 {
		frames = append(frames, noStack)
	}
	return frames
}
