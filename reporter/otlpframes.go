// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// locationOf returns the index of the location that a frame is at.
func (d *dictionary) locationOf(f *libpf.Frame, p *libpf.Process) int32 {
	slot := d.frames.find(f)
	if slot.frame != nil {
		return slot.location
	}
	lines := d.linesOf(f)
	inFile, addressed := d.placeOf(f, p, lines)
	if addressed && d.onlyAddress(f, p, lines) {
		lines = nil
	}
	d.location = d.location[:0]
	if inFile {
		d.location.index(1, d.mapping(f.FileID, p))
	}
	if addressed {
		d.location.varint(2, uint64(f.AddressOrLineno))
	}
	for i := range lines {
		from := d.location.open()
		d.location.index(1, d.function(&lines[i]))
		d.location.varint(2, lineNumber(lines[i].Line))
		d.location.close(3, from)
	}
	d.location.packed(4, d.typeAttributes(f.Type))
	i := d.locations.add(d.location)
	d.frames.fill(slot, f, i)
	return i
}

// namedAsCaptured reports whether the names of a frame are part of its identity.
func namedAsCaptured(f *libpf.Frame) bool { return f.FunctionName != "" || f.SourceFile != "" }

// placeOf says whether a location names its file, and whether it has an address:
// those of code that was named as it was captured mean nothing beyond their process.
func (d *dictionary) placeOf(f *libpf.Frame, p *libpf.Process, lines []libpf.SourceLine) (inFile, addressed bool) {
	if namedAsCaptured(f) || f.Type.IsError() {
		if f.FileID.IsZero() {
			return false, false
		}
		_, known := d.catalogue.executable(f.FileID, p)
		return known, false
	}
	addressed = isNative(f.Type) || len(lines) == 0
	return addressed, addressed
}

// linesOf returns the names of a frame, innermost first; none when it has no name.
func (d *dictionary) linesOf(f *libpf.Frame) []libpf.SourceLine {
	one := func(l libpf.SourceLine) []libpf.SourceLine {
		d.line[0] = l
		return d.line[:]
	}
	if namedAsCaptured(f) {
		return one(libpf.SourceLine{Function: f.FunctionName, File: f.SourceFile, Line: f.SourceLine})
	}
	if len(f.Lines) > 0 {
		return f.Lines
	}
	switch def, symbol, kind := d.catalogue.namesOf(f); kind {
	case byLines:
		return def.value
	case bySymbol:
		return one(libpf.SourceLine{Function: symbol.value})
	}
	if f.Type.IsError() {
		return one(libpf.SourceLine{Function: f.Type.String()})
	}
	return nil
}

// onlyAddress reports whether the name of a frame is made of its file and address.
// A reader makes the same name of them, or finds a better one.
func (d *dictionary) onlyAddress(f *libpf.Frame, p *libpf.Process, lines []libpf.SourceLine) bool {
	if len(lines) != 1 || lines[0].File != "" || lines[0].SystemName != "" || lines[0].Line != 0 {
		return false
	}
	binary, address, ok := cutLast(lines[0].Function, "+0x")
	if !ok {
		return false
	}
	if n, err := strconv.ParseUint(address, 16, 64); err != nil || n != uint64(f.AddressOrLineno) {
		return false
	}
	if f.FileID.IsZero() {
		return true
	}
	def, ok := d.catalogue.executable(f.FileID, p)
	return ok && def.value.FileName == binary
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (d *dictionary) function(l *libpf.SourceLine) int32 {
	name, system, file := d.text(l.Function), int32(0), d.text(l.File)
	if l.SystemName != l.Function {
		system = d.text(l.SystemName)
	}
	d.entry = d.entry[:0]
	d.entry.index(1, name)
	d.entry.index(2, system)
	d.entry.index(3, file)
	d.entry.varint(4, lineNumber(l.StartLine))
	return d.functions.add(d.entry)
}

// lineNumber keeps what debug information claims within what a reader accepts.
func lineNumber(l libpf.SourceLineno) uint64 { return uint64(min(l, math.MaxInt32)) }

// mapping describes a file. Addresses are those of the ELF file, so the mapping has
// no place in memory.
func (d *dictionary) mapping(file libpf.FileID, p *libpf.Process) int32 {
	if file.IsZero() {
		return 0
	}
	if i, ok := d.mappingOf[file]; ok {
		return i
	}
	var e libpf.Executable
	if def, ok := d.catalogue.executable(file, p); ok {
		e = *def.value
	}
	d.packed = d.packed[:0]
	// A kernel cannot be hashed while it runs: its ID follows from its build ID, which says it all.
	if e.BuildID == "" || libpf.FileIDFromBuildID(e.BuildID) != file {
		d.packed = appendIndices(d.packed, d.textAttribute(otlpkey.BuildIDHTLHash, file.String()))
	}
	if e.BuildID != "" {
		key := otlpkey.BuildIDGo
		if _, err := hex.DecodeString(e.BuildID); err == nil {
			key = otlpkey.BuildIDGNU
		}
		d.packed = appendIndices(d.packed, d.textAttribute(key, e.BuildID))
	}
	if e.Runtime != "" {
		d.packed = appendIndices(d.packed, d.textAttribute(otlpkey.Runtime, e.Runtime))
	}
	name := d.text(e.FileName)
	d.entry = d.entry[:0]
	d.entry.index(4, name)
	d.entry.packed(5, d.packed)
	i := d.mappings.add(d.entry)
	d.mappingOf[file] = i
	return i
}

// isNative reports whether addresses of the type are those of an ELF file.
func isNative(t libpf.FrameType) bool {
	switch t {
	case libpf.NativeFrame, libpf.KernelFrame, libpf.GoFrame:
		return true
	default:
		return false
	}
}

// typeAttributes returns the attributes that tell the type of a frame, packed: the
// one of the conventions, and ours where that says less.
func (d *dictionary) typeAttributes(t libpf.FrameType) []byte {
	if d.typeOf[t] == nil {
		name, exact := frameTypeName(t)
		if name != "" {
			d.typeOf[t] = appendIndices(d.typeOf[t], d.textAttribute(otlpkey.FrameType, name))
		}
		if !exact {
			d.typeOf[t] = appendIndices(d.typeOf[t], d.textAttribute(otlpkey.ExactFrameType, t.String()))
		}
	}
	return d.typeOf[t]
}

// frameTypeName is the value of profile.frame.type, "" where the conventions know
// none, and whether it says all.
func frameTypeName(t libpf.FrameType) (name string, exact bool) {
	if t == libpf.AbortFrame {
		return "", false
	}
	switch base := t &^ libpf.ErrorBit; base {
	case libpf.UnknownFrame:
		return "", false
	case libpf.PHPJITFrame:
		return "php", false
	case libpf.PythonFrame:
		name = "cpython"
	case libpf.V8Frame:
		name = "v8js"
	default:
		if !base.Valid() {
			return "", false
		}
		name = base.String()
	}
	return name, !t.IsError()
}
