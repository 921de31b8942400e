// SPDX-License-Identifier: Apache-2.0

// Package dotnet unwinds and names the managed code of .NET 6 and later, which
// runs on the CoreCLR runtime. docs/runtimes/dotnet.md says how.
package dotnet

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Runtime is .NET.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_DOTNET }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return "dotnet" }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.DotnetFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// tableSymbol is what debuggers find everything by: a table of addresses. The
// library exports it, and so does the executable of an application that is a
// single file.
const tableSymbol = "g_dacTable"

// executable is a file that holds the runtime.
type executable struct {
	version     string
	major       int
	table       uint64 // ELF virtual address
	description uint64 // likewise, 0 when there is none
	images      imageCache

	mu     sync.Mutex
	layout *layout
}

// Detect implements [interpreter.Runtime].
func (r Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, ok := f.ExportedSymbol(tableSymbol)
	if !ok {
		return nil, nil //nolint:nilnil // the contract: not a runtime of this kind
	}
	b := &executable{table: table.Value}
	if b.version, b.major, err = version(f); err != nil {
		return nil, &interpreter.UnsupportedError{Runtime: r.Name(), Version: "?", Reason: "its version is not known"}
	}
	if d, ok := f.ExportedSymbol(descriptionSymbol); ok {
		b.description = d.Value
	}
	if b.major < 6 {
		return nil, &interpreter.UnsupportedError{Runtime: r.Name(), Version: b.version, Reason: "versions before 6 are not supported"}
	}
	if b.layout, err = layoutOf(b.major); err != nil && b.description == 0 {
		return nil, &interpreter.UnsupportedError{Runtime: r.Name(), Version: b.version, Reason: errLayout.Error()}
	}
	return b, nil
}

// Version implements [interpreter.Binary].
func (b *executable) Version() string { return b.version }

// Ranges implements [interpreter.Binary]: managed code lies outside of files that
// are executables.
func (b *executable) Ranges() []interpreter.Range { return nil }

// versionMark comes before the version in a string that is made for the command what.
var versionMark = []byte("@(#)Version ")

// version finds the runtime's version in its data: "9.0.525.21509" is 9.0.5, built
// in 2025.
func version(f *pfelf.File) (string, int, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X != 0 {
			continue
		}
		s, ok := findVersion(f, p.Off, min(p.Filesz, 32<<20), p.Flags&elf.PF_W != 0)
		if !ok {
			continue
		}
		return parseVersion(s)
	}
	return "", 0, errors.New("no version in the runtime's data")
}

// findVersion scans a part of a file. What is read only is left out: the string is
// a variable.
func findVersion(f *pfelf.File, off, size uint64, writable bool) (string, bool) {
	if !writable {
		return "", false
	}
	const chunk, longest = 256 << 10, 64
	for at := uint64(0); at < size; at += chunk {
		b, err := f.ReadRange(off+at, min(chunk+longest, size-at))
		if err != nil {
			return "", false
		}
		if _, v, found := bytes.Cut(b, versionMark); found {
			v = v[:min(len(v), 40)]
			if end := bytes.IndexAny(v, " \x00"); end > 0 {
				return string(v[:end]), true
			}
		}
	}
	return "", false
}

func parseVersion(s string) (string, int, error) {
	p := strings.Split(s, ".")
	if len(p) < 3 {
		return "", 0, fmt.Errorf("version with %d parts", len(p))
	}
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(p[i])
		if err != nil || v < 0 || v > 99999 {
			return "", 0, errors.New("version is not made of numbers")
		}
		n[i] = v
	}
	return fmt.Sprintf("%d.%d.%d", n[0], n[1], n[2]/100), n[0], nil
}
