// SPDX-License-Identifier: Apache-2.0

package export

import (
	"path"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// Level is one function on a stack as a person reads it: a frame, or one of
// the functions that were inlined into it.
type Level struct {
	// Name is never empty.
	Name string
	// SystemName is the name as the linker knows it, "" when it does not differ.
	SystemName string
	// File is the source file, "" when unknown.
	File string
	// Binary is the base name of the executable the code is in, "" when the code
	// has none, as interpreted code may.
	Binary string
	// Line is the line being executed, StartLine the one the function starts on;
	// 0 when unknown.
	Line, StartLine libpf.SourceLineno
	Kind            libpf.FrameType
	// Inlined says that the function has no frame of its own: it is part of the
	// level that follows on the way to the root.
	Inlined bool
	// Named says that Name is the name of a function and not made of an address.
	Named bool
}

// Executables finds what is known of an executable. A nil Executables knows none.
type Executables func(libpf.FileID) (libpf.Executable, bool)

// Find returns the executable, if it is known.
func (e Executables) Find(id libpf.FileID) (libpf.Executable, bool) {
	if e == nil || id.IsZero() {
		return libpf.Executable{}, false
	}
	return e(id)
}

// AppendLevels appends the levels of a frame to dst, innermost first, at least
// one. The name a frame was captured with is preferred to the names of its
// Lines, because it is the one that is part of the stack's identity.
func AppendLevels(dst []Level, f *libpf.Frame, executables Executables) []Level {
	binary := binaryName(f, executables)
	switch {
	case f.Type.IsError():
		return append(dst, Level{Name: reason(f), Binary: binary, Kind: f.Type, Named: true})
	case f.FunctionName != "":
		return append(dst, Level{
			Name: f.FunctionName, File: f.SourceFile, Binary: binary, Line: f.SourceLine, Kind: f.Type, Named: true,
		})
	case len(f.Lines) == 0 && f.SourceFile != "":
		return append(dst, Level{
			Name: path.Base(f.SourceFile) + ":" + strconv.FormatUint(uint64(f.SourceLine), 10),
			File: f.SourceFile, Binary: binary, Line: f.SourceLine, Kind: f.Type,
		})
	case len(f.Lines) == 0:
		return append(dst, Level{Name: addressName(f, binary), Binary: binary, Kind: f.Type})
	}
	for i := range f.Lines {
		l := &f.Lines[i]
		level := Level{
			Name: l.Function, SystemName: l.SystemName, File: l.File, Binary: binary,
			Line: l.Line, StartLine: l.StartLine,
			Kind: f.Type, Inlined: i < len(f.Lines)-1, Named: !onlyAddress(l, f, binary),
		}
		if level.SystemName == level.Name {
			level.SystemName = ""
		}
		if level.Name == "" {
			level.Name, level.Named = level.SystemName, level.SystemName != ""
			level.SystemName = ""
		}
		if level.Name == "" {
			level.Name = addressName(f, binary)
		}
		dst = append(dst, level)
	}
	return dst
}

// reason returns what an error or abort frame says, in brackets.
func reason(f *libpf.Frame) string {
	name := f.FunctionName
	if name == "" && len(f.Lines) > 0 {
		name = f.Lines[0].Function
	}
	if name == "" {
		name = f.Type.String()
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		return name
	}
	return "[" + name + "]"
}

// binaryName returns the name of the file that a frame's code is in. Code that
// was named as it was captured need not be in a file, so it gets no made-up name.
func binaryName(f *libpf.Frame, executables Executables) string {
	if e, ok := executables.Find(f.FileID); ok && e.FileName != "" {
		return path.Base(e.FileName)
	}
	if f.FileID.IsZero() || !inExecutable(f) {
		return ""
	}
	return f.FileID.String()[:fileIDPrefix]
}

// fileIDPrefix is how many hexadecimal digits of a file ID stand for a binary
// without a name: enough to tell files apart, short enough to read.
const fileIDPrefix = 8

// inExecutable reports whether a frame's address is one in an executable file.
func inExecutable(f *libpf.Frame) bool {
	return f.FunctionName == "" && f.SourceFile == "" && !f.Type.IsError()
}

// addressName returns binary+0xaddress.
func addressName(f *libpf.Frame, binary string) string {
	if binary == "" {
		binary = "[" + f.Type.String() + "]"
	}
	return binary + "+0x" + strconv.FormatUint(uint64(f.AddressOrLineno), 16)
}

// onlyAddress reports whether a name is binary+0xaddress, as the agent sends for code that has
// no symbol.
func onlyAddress(l *libpf.SourceLine, f *libpf.Frame, binary string) bool {
	i := strings.LastIndex(l.Function, "+0x")
	return i >= 0 && l.Function[:i] == binary && l.Function[i+len("+0x"):] == strconv.FormatUint(uint64(f.AddressOrLineno), 16)
}
