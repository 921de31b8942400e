// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

// appendFramesInFull is how stacks were stored before.
func appendFramesInFull(b []byte, frames []libpf.Frame) []byte {
	b = binary.AppendUvarint(b, uint64(len(frames)))
	for i := range frames {
		f := &frames[i]
		b = append(b, byte(f.Type))
		b = f.FileID.AppendBytes(b)
		b = binary.AppendUvarint(b, uint64(f.AddressOrLineno))
		b = appendString(b, f.FunctionName)
		b = appendString(b, f.SourceFile)
		b = binary.AppendUvarint(b, uint64(f.SourceLine))
	}
	return b
}

func TestFrames(t *testing.T) {
	t.Parallel()
	file := func(n uint64) libpf.FileID { return libpf.NewFileID(n, n+1) }
	many := make([]libpf.Frame, 0, 40)
	for i := range uint64(40) {
		many = append(many, libpf.Frame{Type: libpf.NativeFrame, FileID: file(i%13 + 1), AddressOrLineno: libpf.AddressOrLineno(i * 1000)})
	}
	for name, frames := range map[string][]libpf.Frame{
		"none": {},
		"one":  {{Type: libpf.NativeFrame, FileID: file(1), AddressOrLineno: 0x1234}},
		"files, back and forth": {
			{Type: libpf.KernelFrame, FileID: file(9), AddressOrLineno: math.MaxUint64},
			{Type: libpf.KernelFrame, FileID: file(9)},
			{Type: libpf.NativeFrame, FileID: file(1), AddressOrLineno: 1 << 63},
			{Type: libpf.KernelFrame, FileID: file(9), AddressOrLineno: 7},
			{Type: libpf.AbortFrame},
			{Type: libpf.NativeFrame, FileID: file(1), AddressOrLineno: 3},
		},
		"texts": {
			{Type: libpf.PythonFrame, FileID: file(3), AddressOrLineno: 4, FunctionName: "f", SourceFile: "a.py", SourceLine: 12},
			{Type: libpf.PythonFrame, SourceLine: 1},
			{FunctionName: "only this"},
		},
		"many files": many,
	} {
		for form, b := range map[string][]byte{"now": appendFrames(nil, frames), "before": appendFramesInFull(nil, frames)} {
			got, err := decodeFrames(b)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, form, err)
			}
			if d := cmp.Diff(frames, got, cmp.Comparer(func(a, b libpf.FileID) bool { return a == b })); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, form, d)
			}
			for n := range b {
				if got, err := decodeFrames(b[:n]); err == nil && n > 1 {
					t.Errorf("%s, %s: %d of %d bytes decode to %v", name, form, n, len(b), got)
				}
			}
		}
	}
	if _, err := decodeFrames([]byte{stackMark, stackVersion + 1, 0}); err == nil {
		t.Error("a version to come decodes")
	}
}
