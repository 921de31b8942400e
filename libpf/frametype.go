// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"fmt"
	"strings"
)

// FrameType says what kind of code a frame belongs to. The values are those
// the field has used since 2024, so that they can travel as they are.
type FrameType uint8

// Kinds of frames.
const (
	UnknownFrame FrameType = 0
	PythonFrame  FrameType = 1
	PHPFrame     FrameType = 2
	NativeFrame  FrameType = 3
	KernelFrame  FrameType = 4
	JVMFrame     FrameType = 5
	RubyFrame    FrameType = 6
	PerlFrame    FrameType = 7
	V8Frame      FrameType = 8
	PHPJITFrame  FrameType = 9
	DotnetFrame  FrameType = 10
	GoFrame      FrameType = 11
	BEAMFrame    FrameType = 12
	LuaJITFrame  FrameType = 13

	// ErrorBit marks a frame of some kind that could not be resolved; the
	// frame's function then says why.
	ErrorBit FrameType = 0x80
	// AbortFrame marks the place where unwinding stopped before the root; the
	// frame's function says why.
	AbortFrame FrameType = 0xff
)

var frameTypeNames = [...]string{
	"unknown", "python", "php", "native", "kernel", "jvm", "ruby", "perl", "v8", "phpjit",
	"dotnet", "go", "beam", "luajit",
}

// IsError reports whether the frame is an error or abort marker.
func (t FrameType) IsError() bool { return t&ErrorBit != 0 }

// String returns the name, such as "python", "python-error" or "abort-marker".
// Values without a name print as "frametype(N)".
func (t FrameType) String() string {
	if t == AbortFrame {
		return "abort-marker"
	}
	base := t &^ ErrorBit
	if int(base) >= len(frameTypeNames) {
		return fmt.Sprintf("frametype(%d)", uint8(t))
	}
	if t.IsError() {
		return frameTypeNames[base] + "-error"
	}
	return frameTypeNames[base]
}

// ParseFrameType is the inverse of [FrameType.String].
func ParseFrameType(s string) (FrameType, error) {
	if s == "abort-marker" {
		return AbortFrame, nil
	}
	base, isError := strings.CutSuffix(s, "-error")
	for i, name := range frameTypeNames {
		if name != base {
			continue
		}
		t := FrameType(i) //nolint:gosec // the table has 14 rows
		if isError {
			t |= ErrorBit
		}
		return t, nil
	}
	return UnknownFrame, fmt.Errorf("unknown frame type %q", s)
}

// Valid reports whether the value is one that has a name.
func (t FrameType) Valid() bool {
	return t == AbortFrame || int(t&^ErrorBit) < len(frameTypeNames)
}
