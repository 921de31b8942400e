// SPDX-License-Identifier: Apache-2.0

package export

import (
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

// A name that the agent made of file and address names no function, whatever it looks like.
func TestNamed(t *testing.T) {
	t.Parallel()
	id := libpf.NewFileID(1, 2)
	file := func(libpf.FileID) (libpf.Executable, bool) {
		return libpf.Executable{FileID: id, FileName: "/usr/lib/libx.so.1"}, true
	}
	for name, want := range map[string]bool{
		"work":                   true,
		"libx.so.1+0x12ef":       false,
		"libx.so.1+0x12f0":       true, // of another address: somebody's name
		"other+0x12ef":           true,
		"operator+0x":            true,
		"a+0x1+libx.so.1+0x12ef": true,
	} {
		f := &libpf.Frame{Type: libpf.NativeFrame, FileID: id, AddressOrLineno: 0x12ef, Lines: []libpf.SourceLine{{Function: name}}}
		if got := AppendLevels(nil, f, file)[0]; got.Named != want || got.Name != name {
			t.Errorf("%s: named %v as %q", name, got.Named, got.Name)
		}
	}
}
