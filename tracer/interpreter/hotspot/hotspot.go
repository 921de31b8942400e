// SPDX-License-Identifier: Apache-2.0

// Package hotspot unwinds Java on HotSpot, OpenJDK's virtual machine: interpreted methods,
// compiled ones with what was inlined into them, and stubs.
//
// The machine describes its own structures in tables (gHotSpotVMStructs); support/ebpf/hotspot.bpf.c
// walks the frames by them, and docs/runtimes/hotspot.md is for people.
package hotspot

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Runtime recognises HotSpot by its library.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

const runtimeName = "hotspot"

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_HOTSPOT }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return runtimeName }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.JVMFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime]. The virtual machine is a library of
// its own; newer releases can also be linked into the launcher.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	base := path.Base(e.Path)
	if strings.HasPrefix(base, "libj9vm") {
		return nil, &interpreter.UnsupportedError{Runtime: "openj9", Reason: "this virtual machine is not HotSpot"}
	}
	if base != "libjvm.so" && base != "java" {
		return nil, nil //nolint:nilnil // means that it is another's
	}
	f, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", base, err)
	}
	defer f.Close()
	if _, ok := f.ExportedSymbol(structSymbols.table); !ok {
		return nil, nil //nolint:nilnil // means that it is another's
	}
	b := &library{version: findVersion(f)}
	if strings.Contains(b.version, " Zero VM") {
		return nil, unsupported(b.version, "interpreter is written in C++ (Zero)")
	}
	for i, s := range []tableSymbols{structSymbols, typeSymbols, intSymbols, longSymbols} {
		if b.tables[i], err = symbolAddresses(f, s); err != nil {
			return nil, unsupported(b.version, "description of itself is incomplete")
		}
	}
	return b, nil
}

func unsupported(version, reason string) error {
	return &interpreter.UnsupportedError{Runtime: runtimeName, Version: version, Reason: reason}
}

// library is a libjvm.so.
type library struct {
	version string
	tables  [4]tableAddresses

	mu     sync.Mutex
	layout *layout // nil until a process has been read
	err    error   // of reading it, when that is final
}

// Version implements [interpreter.Binary].
func (b *library) Version() string { return b.version }

// Ranges implements [interpreter.Binary]: the library's own code is native code
// like any other.
func (b *library) Ranges() []interpreter.Range { return nil }

// layoutIn returns the layout, read from the first process that is far enough.
func (b *library) layoutIn(p *interpreter.Process, bias uint64) (*layout, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.layout != nil || b.err != nil {
		return b.layout, b.err
	}
	t, err := readTables(p.Memory, bias, b.tables)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(t, bias, p.Memory)
	if u, ok := errors.AsType[*interpreter.UnsupportedError](err); ok {
		u.Version = b.version
		b.err = err
	}
	b.layout = l
	return l, err
}

// Text that the library says of itself: "OpenJDK 64-Bit Server VM (17.0.2+8) for
// linux-amd64 JRE (17.0.2+8), built ...".
var (
	versionMark  = []byte(") for linux-")
	versionStart = []byte(" VM (")
)

const (
	versionChunk = 1 << 16
	versionTail  = 256
	maxRodata    = 64 << 20
)

// findVersion finds the version in the read-only data, "" when it is not there.
func findVersion(f *pfelf.File) string {
	for _, s := range f.Sections {
		if s.Name != ".rodata" || s.Size > maxRodata {
			continue
		}
		for off := uint64(0); off < s.Size; off += versionChunk {
			b, err := f.ReadRange(s.Offset+off, min(s.Size-off, versionChunk+versionTail))
			if err != nil {
				return ""
			}
			if v := versionIn(b); v != "" {
				return v
			}
		}
	}
	return ""
}

func versionIn(b []byte) string {
	for {
		end := bytes.Index(b, versionMark)
		if end < 0 {
			return ""
		}
		text := b[max(0, end-versionTail):end]
		text = text[bytes.LastIndexByte(text, 0)+1:]
		if i := bytes.LastIndex(text, versionStart); i >= 0 {
			v := string(text[i+len(versionStart):])
			if bytes.Contains(text[:i], []byte(" Zero")) {
				v += " Zero VM"
			}
			return v
		}
		b = b[end+len(versionMark):]
	}
}
