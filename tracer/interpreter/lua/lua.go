// SPDX-License-Identifier: Apache-2.0

// Package lua recognises plain Lua (PUC-Rio's), 5.1 to 5.5. It is not unwound
// yet: its interpreter's loop is no exported function, and nothing global leads to
// the lua_State of a thread. It is reported, so that it is not missed in silence.
package lua

import (
	"path"
	"regexp"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const name = "lua"

// Runtime recognises lua, liblua, and programs that embed it and export its
// functions.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_LUA }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.LuaJITFrame }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime].
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
	if _, ok := f.ExportedSymbol("lua_newstate"); !ok {
		return nil, nil //nolint:nilnil // not Lua
	}
	if _, ok := f.ExportedSymbol("luaJIT_setmode"); ok {
		return nil, nil //nolint:nilnil // another one's
	}
	return nil, &interpreter.UnsupportedError{Runtime: name, Version: version(f), Reason: "plain Lua is not supported yet"}
}

// maxRodata bounds the search for the version's text.
const maxRodata = 64 << 20

var versionText = regexp.MustCompile(`Lua (5\.[0-9](?:\.[0-9]+)?)`)

// version reads the text that lua -v shows.
func version(f *pfelf.File) string {
	if s := f.FindSection(".rodata"); s != nil && s.Size <= maxRodata {
		if b, err := f.SectionData(".rodata"); err == nil {
			if m := versionText.FindSubmatch(b); m != nil {
				return string(m[1])
			}
		}
	}
	return "unknown"
}
