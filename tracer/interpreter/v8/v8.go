// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Runtime is V8.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_V8 }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return "v8" }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.V8Frame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// versionSymbol is V8's major version, a variable. The minor version and the
// build are other variables. Node.js exports them, others at most keep them in
// their symbol table.
const versionSymbol = "_ZN2v88internal7Version6major_E"

// embedders are executables that may hold V8 without exporting anything of it:
// their whole symbol table is searched.
var embedders = regexp.MustCompile(`^(node|nodejs|deno|denort|workerd|electron|chrome|chromium|nsolid)[-0-9.]*$`)

// Detect implements [interpreter.Runtime].
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, exported := f.ExportedSymbol(versionSymbol)
	_, extensible := f.ExportedSymbol(embedderSymbol)
	if !exported && !extensible && !embedders.MatchString(filepath.Base(e.Path)) {
		return nil, nil
	}
	s, err := readSymbols(f)
	if err != nil {
		return nil, err
	}
	compressed := s.constants["TaggedSize"] == 4
	found := embedded{version: s.version, sizes: readBytecodeSizes(f, s)}
	found.builtins, _ = findBuiltins(f, s)
	if !found.complete() && !compressed {
		// Distributions export little more than what extensions need.
		found.search(f)
	}
	if found.version.major == 0 {
		return nil, nil
	}
	unsupported := func(reason string) error {
		return &interpreter.UnsupportedError{Runtime: "v8", Version: found.version.String(), Reason: reason}
	}
	switch {
	case found.version.less(8, 1, 0):
		return nil, unsupported("version is older than 8.1")
	case compressed:
		return nil, unsupported("compressed pointers")
	case found.builtins.End == 0:
		return nil, unsupported(noBuiltins)
	case len(s.constants) == 0:
		return newEmbedder(found, unsupported)
	}
	l, err := newLayout(found.version, s.constants)
	if err != nil {
		return nil, unsupported(err.Error())
	}
	return &engine{version: found.version, layout: l, builtins: found.builtins, sizes: found.sizes}, nil
}

// noBuiltins tells people with an executable in which nothing says where the
// builtins are what to run instead.
const noBuiltins = "builtins not found: stripped of symbols (nodejs.org's builds have them)"

// engine implements [interpreter.Binary].
type engine struct {
	version  version
	layout   *layout
	builtins interpreter.Range
	sizes    bytecodeSizes
}

func (b *engine) Version() string { return b.version.String() }

func (b *engine) Ranges() []interpreter.Range { return []interpreter.Range{b.builtins} }

func (b *engine) Attach(p *interpreter.Process, _ *interpreter.Module) (interpreter.Instance, error) {
	return newInstance(b.layout, b.sizes, p.Memory), nil
}

// embedder is V8 in an executable that says nothing of its layout.
type embedder struct{ engine }

func newEmbedder(found embedded, unsupported func(string) error) (interpreter.Binary, error) {
	constants, ok := nearestConstants(found.version)
	if !ok {
		return nil, unsupported(errNoConstants.Error())
	}
	l, err := layoutOf(found.version, constants)
	if err != nil {
		return nil, unsupported(err.Error())
	}
	return &embedder{engine{version: found.version, layout: l, builtins: found.builtins, sizes: found.sizes}}, nil
}

func (b *embedder) Attach(p *interpreter.Process, _ *interpreter.Module) (interpreter.Instance, error) {
	starts, err := readOnlyMappings(p.PID)
	if err != nil {
		return nil, err
	}
	l, err := b.layout.learnTypes(&heap{layout: b.layout, mem: p.Memory}, starts)
	switch {
	case errors.Is(err, errCompressed), errors.Is(err, errLayout):
		return nil, &interpreter.UnsupportedError{Runtime: "v8", Version: b.version.String(), Reason: err.Error()}
	case err != nil:
		return nil, err
	}
	return newInstance(l, b.sizes, p.Memory), nil
}

// version of V8.
type version struct{ major, minor, build uint32 }

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.build) }

// less reports whether v is older than major.minor.build.
func (v version) less(major, minor, build uint32) bool {
	switch {
	case v.major != major:
		return v.major < major
	case v.minor != minor:
		return v.minor < minor
	}
	return v.build < build
}

// fileRange returns the part of a file that holds size bytes at a virtual address
// in an executable segment.
func fileRange(f *pfelf.File, vaddr, size uint64) (interpreter.Range, bool) {
	for _, s := range f.ExecSegments() {
		if vaddr >= s.Vaddr && vaddr < s.Vaddr+s.Filesz && size > 0 && size <= s.Vaddr+s.Filesz-vaddr {
			start := s.Offset + (vaddr - s.Vaddr)
			return interpreter.Range{Start: start, End: start + size}, true
		}
	}
	return interpreter.Range{}, false
}
