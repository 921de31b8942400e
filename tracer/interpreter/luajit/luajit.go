// SPDX-License-Identifier: Apache-2.0

// Package luajit unwinds LuaJIT 2.1: interpreted functions, compiled traces and
// coroutines. How its frames are found is in docs/runtimes/luajit.md.
package luajit

import (
	"debug/elf"
	"path"
	"regexp"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const name = "luajit"

// Runtime recognises luajit, libluajit, and programs that embed it.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_LUAJIT }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.LuaJITFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime], by an exported function of its own.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	base := path.Base(e.Path)
	if strings.Contains(base, ".so") && !strings.Contains(strings.ToLower(base), "lua") {
		return nil, nil //nolint:nilnil // some library
	}
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, ok := f.ExportedSymbol("luaJIT_setmode"); !ok {
		return nil, nil //nolint:nilnil // not LuaJIT
	}
	v := version(f)
	if !strings.HasPrefix(v, "2.1") {
		return nil, unsupported(v, "version is not known")
	}
	frame, find := wholeFrame, findLayout
	switch f.Machine {
	case elf.EM_X86_64:
	case elf.EM_AARCH64:
		frame, find = wholeFrameARM64, findLayoutARM64
	default:
		return nil, unsupported(v, "processor is not supported")
	}
	start, code, err := virtualMachine(f, frame)
	if err != nil {
		return nil, err
	}
	off, ok := f.VaddrToOffset(start)
	if !ok || code == nil {
		return nil, unsupported(v, "interpreter not found")
	}
	l, ok := find(code)
	if !ok {
		return nil, unsupported(v, "interpreter is not as expected")
	}
	return &engine{version: v, layout: l, loop: interpreter.Range{Start: off, End: off + uint64(len(code))}}, nil
}

// maxRodata bounds the search for the version's text.
const maxRodata = 64 << 20

// version reads the text that luajit -v shows: "LuaJIT 2.1.0-beta3".
func version(f *pfelf.File) string {
	if s := f.FindSection(".rodata"); s != nil && s.Size <= maxRodata {
		if b, err := f.SectionData(".rodata"); err == nil {
			if m := versionText.FindSubmatch(b); m != nil {
				return string(m[1])
			}
		}
	}
	if _, ok := f.ExportedSymbol("luaJIT_profile_start"); ok {
		return "2.1" // it came with that
	}
	return "unknown"
}

var versionText = regexp.MustCompile(`LuaJIT (2\.[0-9][0-9A-Za-z.-]*)`)

func unsupported(version, reason string) error {
	return &interpreter.UnsupportedError{Runtime: name, Version: version, Reason: reason}
}

// engine is a file that holds LuaJIT.
type engine struct {
	version string
	layout  layout
	loop    interpreter.Range
}

// Version implements [interpreter.Binary].
func (e *engine) Version() string { return e.version }

// Ranges implements [interpreter.Binary].
func (e *engine) Ranges() []interpreter.Range { return []interpreter.Range{e.loop} }

// Attach implements [interpreter.Binary]: the record holds no address.
func (e *engine) Attach(p *interpreter.Process, _ *interpreter.Module) (interpreter.Instance, error) {
	return &instance{
		record: e.layout.record(),
		names:  decoder{memory: p.Memory, layout: e.layout},
		cache:  map[interpreter.Frame]libpf.Frame{},
		known:  map[interpreter.Frame]string{},
	}, nil
}

// instance is LuaJIT in a process.
type instance struct {
	record bpfLuajitProcess
	names  decoder
	// cache holds frames by their words, which change with what they mean.
	cache map[interpreter.Frame]libpf.Frame
	// known are the names that functions were called by, for where that cannot
	// be told.
	known map[interpreter.Frame]string
}

const maxCached = 4096

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance]: nothing moves.
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	frame, ok := i.cache[f]
	if !ok {
		var err error
		if frame, err = i.name(f); err != nil {
			return out, err
		}
		if len(i.cache) >= maxCached {
			clear(i.cache)
		}
		i.cache[f] = frame
	}
	return append(out, frame), nil
}

func (i *instance) name(f interpreter.Frame) (libpf.Frame, error) {
	if f.Subtype == kindTrace {
		return libpf.Frame{Type: libpf.LuaJITFrame, FunctionName: "[trace]"}, nil
	}
	fn, err := i.names.function(f)
	if err != nil {
		return libpf.Frame{}, err
	}
	function := interpreter.Frame{Addr: f.Addr, W1: f.W1 & pointerMask} // wherever it is called from
	called := fn.called
	if called != "" {
		if len(i.known) >= maxCached {
			clear(i.known)
		}
		i.known[function] = called
	} else if called = i.known[function]; called == "" {
		called = fn.defined()
	}
	return libpf.Frame{
		Type: libpf.LuaJITFrame, FunctionName: called, SourceFile: fn.file, SourceLine: libpf.SourceLineno(fn.line),
		AddressOrLineno: libpf.AddressOrLineno(fn.line),
	}, nil
}

// Close implements [interpreter.Instance].
func (i *instance) Close() {}
