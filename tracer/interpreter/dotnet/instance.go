// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Kinds of frames; see support/ebpf/dotnet.bpf.c.
const (
	frameJIT = 1 + iota
	frameReadyToRun
	frameStub
)

// Bounds on what an instance remembers.
const (
	maxModules = 4096
	maxNames   = 16384
)

// instance is the runtime in a process.
type instance struct {
	mem      process.Memory
	layout   *layout
	images   *imageCache
	sections uint64
	record   bpfDotnetProcess

	modules map[uint64]*metadata // by address of the module
	byImage map[uint64]*image    // by where it is loaded
	names   map[nameKey]string
}

type nameKey struct {
	addr, word uint64
	subtype    uint8
}

// Attach implements [interpreter.Binary].
func (b *executable) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	l, d, err := b.layoutIn(p.Memory, m.Bias)
	if err != nil {
		return nil, err
	}
	i := &instance{
		mem: p.Memory, layout: l, images: &b.images,
		modules: map[uint64]*metadata{}, byImage: map[uint64]*image{}, names: map[nameKey]string{},
	}
	if i.sections, err = b.sectionsIn(p.Memory, m.Bias, l, d); err != nil {
		return nil, err
	}
	i.fill()
	return i, nil
}

// layoutIn returns the layout, completed by what the running runtime says.
func (b *executable) layoutIn(mem process.Memory, bias uint64) (*layout, *description, error) {
	if b.description == 0 {
		return b.layout, nil, nil
	}
	d, err := readDescription(mem, bias+b.description)
	if err != nil {
		if errors.Is(err, process.ErrMemory) {
			return nil, nil, interpreter.ErrNotReady
		}
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var l layout
	if b.layout == nil {
		// A later version: what it does not say is as it was.
		known, err := layoutOf(10)
		if err != nil {
			return nil, nil, err
		}
		if _, ok := d.offset("RangeSection", "HeapList"); !ok {
			return nil, nil, &interpreter.UnsupportedError{Runtime: "dotnet", Version: b.version, Reason: errLayout.Error()}
		}
		l = *known
	} else {
		l = *b.layout
	}
	if err := l.describe(d); err != nil {
		return nil, nil, &interpreter.UnsupportedError{Runtime: "dotnet", Version: b.version, Reason: errLayout.Error()}
	}
	return &l, d, nil
}

// sectionsIn returns where the map of managed code is: the first entry of the
// debugger's table, in all versions. The table is filled in as the runtime starts.
func (b *executable) sectionsIn(mem process.Memory, bias uint64, l *layout, d *description) (uint64, error) {
	if d != nil {
		if at, ok := d.pointer("ExecutionManagerCodeRangeMapAddress"); ok && at != 0 {
			// The address of the map itself, as in the table.
			return at, nil
		}
	}
	if l.slotBytes == 4 {
		rva, err := mem.Uint32(bias + b.table)
		if err != nil {
			return 0, err
		}
		if rva == 0 {
			return 0, interpreter.ErrNotReady
		}
		return bias + uint64(rva), nil
	}
	at, err := mem.Uint64(bias + b.table)
	if err != nil {
		return 0, err
	}
	if at == 0 {
		return 0, interpreter.ErrNotReady
	}
	return at, nil
}

// fill makes the record of the eBPF program.
func (i *instance) fill() {
	l := i.layout
	words := func(bytes uint16) uint8 { return uint8(bytes / 8) } //nolint:gosec // checked
	i.record = bpfDotnetProcess{
		Sections:     i.sections,
		SectionBegin: words(l.section.begin), SectionEnd: words(l.section.end), SectionNext: words(l.section.next),
		SectionFlags: words(l.section.flags), SectionHeap: words(l.section.heap),
		HeapBase: words(l.heap.base), HeapMap: words(l.heap.nibbles),
		CodeMethod: l.code.method, CodeFunctions: l.code.functions,
		RangeKind: l.rangeKind, SectionRanges: l.section.ranges / 8, MethodName: l.method.name,
	}
	if l.list {
		i.record.IsList = 1
	}
}

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance]: the eBPF program follows the process by itself.
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Close implements [interpreter.Instance].
func (i *instance) Close() {}

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	key := nameKey{f.Addr, f.W1, f.Subtype}
	name, ok := i.names[key]
	if !ok {
		var err error
		switch f.Subtype {
		case frameJIT:
			name, err = i.methodName(f.Addr, uint32(f.W1)) //nolint:gosec // the cookie
		case frameReadyToRun:
			name, err = i.functionName(f.Addr, uint32(f.W1)) //nolint:gosec // the cookie
		case frameStub:
			name = stubName(f.Addr)
		default:
			err = fmt.Errorf("kind %d of frames is not known", f.Subtype)
		}
		if err != nil {
			return out, err
		}
		if len(i.names) >= maxNames {
			clear(i.names)
		}
		i.names[key] = name
	}
	return append(out, libpf.Frame{Type: libpf.DotnetFrame, FunctionName: name}), nil
}

// stubNames are by kind: StubCodeBlockKind of src/coreclr/vm/codeman.h.
var stubNames = [...]string{
	0: "", 1: "jump", 2: "precode", 3: "dynamic helper", 4: "precode", 5: "fixup precode",
	6: "dispatch", 7: "resolve", 8: "lookup", 9: "vtable call",
}

// stubName names code that the runtime makes for itself.
func stubName(kind uint64) string {
	if kind < uint64(len(stubNames)) && stubNames[kind] != "" {
		return "[stub: " + stubNames[kind] + "]"
	}
	return "[stub]"
}
