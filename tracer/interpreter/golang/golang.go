// SPDX-License-Identifier: Apache-2.0

// Package golang reads the labels that Go programs set on their goroutines
// (runtime/pprof.Do), so that they travel with the samples. Go's frames are
// native ones and need nothing from here.
package golang

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/gopclntab"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

const name = "go"

// setter is the function that stores the labels: it is in every program that
// can set any.
const setter = "runtime/pprof.runtime_setProfLabel"

// Runtime reads labels of Go programs.
type Runtime struct{}

var _ interpreter.Runtime = Runtime{}

// ID implements [interpreter.Runtime].
func (Runtime) ID() interpreter.ID { return support.StrobeRuntimeIdRUNTIME_GO }

// Name implements [interpreter.Runtime].
func (Runtime) Name() string { return name }

// FrameType implements [interpreter.Runtime].
func (Runtime) FrameType() libpf.FrameType { return libpf.GoFrame }

// NoFrames tells the tracer that stacks are complete without this runtime.
func (Runtime) NoFrames() bool { return true }

// Spec implements [interpreter.Runtime].
func (Runtime) Spec() (*ebpf.CollectionSpec, error) { return loadBpf() }

// Object implements [interpreter.Runtime].
func (Runtime) Object() []byte { return _BpfBytes }

// Detect implements [interpreter.Runtime]: a Go program that can set labels.
func (Runtime) Detect(e *interpreter.Executable) (interpreter.Binary, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !f.IsGo() {
		return nil, nil //nolint:nilnil // not a Go program
	}
	start, end, ok := findSetter(f)
	if !ok {
		return nil, nil //nolint:nilnil // it never sets labels
	}
	version := goVersion(f)
	code := make([]byte, min(end-start, 1024))
	if _, err := f.ReadVaddr(code, start); err != nil {
		return nil, fmt.Errorf("read %s: %w", setter, err)
	}
	offset, ok := labelsOffset(f.Machine, code)
	if !ok {
		return nil, &interpreter.UnsupportedError{Runtime: name, Version: version, Reason: "labels of goroutines not found"}
	}
	return &program{version: version, process: bpfGoProcess{G_labels: offset, AsList: asList(version)}}, nil
}

// findSetter returns where the function is that stores labels.
func findSetter(f *pfelf.File) (start, end uint64, ok bool) {
	t, err := gopclntab.Open(f)
	if err != nil {
		return 0, 0, false
	}
	for i := range t.Funcs() {
		fn, err := t.Func(i)
		if err == nil && fn.Name == setter {
			start, end = t.Bounds(i)
			return start, end, end > start
		}
	}
	return 0, 0, false
}

func goVersion(f *pfelf.File) string {
	info, err := buildinfo.Read(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		return "unknown"
	}
	return info.GoVersion
}

// asList tells whether labels are a list of pairs, as from Go 1.24 on, or a map.
// A version that cannot be read is taken to be recent.
func asList(version string) uint32 {
	v := strings.TrimPrefix(version, "go1.")
	if i := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		v = v[:i]
	}
	if minor, err := strconv.Atoi(v); err == nil && minor < 24 {
		return 0
	}
	return 1
}

// Bounds of where runtime.g.labels may be, in bytes.
const minOffset, maxOffset = 0x80, 0x800

// labelsOffset finds the offset of runtime.g.labels in the code that stores it:
// the only store at an offset of this size.
func labelsOffset(m elf.Machine, code []byte) (uint32, bool) {
	switch m {
	case elf.EM_X86_64: // MOVQ reg, disp32(base), the base not being the stack pointer
		for ; len(code) >= 7; code = code[1:] {
			if code[0]&0xf8 != 0x48 || code[1] != 0x89 || code[2]&0xc0 != 0x80 || code[2]&7 == 4 {
				continue
			}
			if off := binary.LittleEndian.Uint32(code[3:]); off >= minOffset && off < maxOffset {
				return off, true
			}
		}
	case elf.EM_AARCH64: // STR Xt, [Xn, #imm]
		for ; len(code) >= 4; code = code[4:] {
			in := binary.LittleEndian.Uint32(code)
			if in&0xffc00000 != 0xf9000000 || in>>5&31 == 31 {
				continue
			}
			if off := in >> 10 & 0xfff * 8; off >= minOffset && off < maxOffset {
				return off, true
			}
		}
	}
	return 0, false
}

// program is a Go program.
type program struct {
	version string
	process bpfGoProcess
}

func (b *program) Version() string             { return b.version }
func (b *program) Ranges() []interpreter.Range { return nil }

func (b *program) Attach(*interpreter.Process, *interpreter.Module) (interpreter.Instance, error) {
	return &instance{b.process}, nil
}

type instance struct{ process bpfGoProcess }

func (i *instance) Record() any                                { return &i.process }
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }
func (i *instance) Close()                                     {}

func (i *instance) Symbolize(interpreter.Frame, []libpf.Frame) ([]libpf.Frame, error) {
	return nil, errors.New("go has no frames of its own")
}
