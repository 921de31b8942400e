// SPDX-License-Identifier: Apache-2.0

package beam

import (
	"fmt"
	"sort"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/libc"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// instance is an emulator in one process.
type instance struct {
	mem        process.Memory
	layout     layout
	record     bpfBeamProcess
	atomTable  uint64 // address of the index of atoms
	modules    moduleCache
	cached     int // functions in modules, and in those that were replaced
	atoms      atomCache
	normalExit uint64
}

var _ interpreter.Instance = (*instance)(nil)

// Attach implements [interpreter.Binary].
func (x *executable) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	mem := p.Memory
	addr := func(name string) uint64 { return x.symbols[name].Value + m.Bias }
	tls, err := libc.Of(p)
	if err != nil {
		return nil, err
	}
	normalExit, err := mem.Uint64(addr("beam_normal_exit"))
	if err != nil {
		return nil, err
	}
	schedulers, err := mem.Uint64(addr("erts_aligned_scheduler_data"))
	if err != nil {
		return nil, err
	}
	if normalExit == 0 || schedulers == 0 {
		return nil, interpreter.ErrNotReady
	}
	l, err := x.layout(mem, m.Bias, schedulers, normalExit)
	if err != nil {
		return nil, err
	}
	key, err := mem.Uint32(x.tsdKey + m.Bias)
	if err != nil {
		return nil, err
	}
	framePointers, err := mem.Uint32(addr("erts_frame_layout"))
	if err != nil {
		return nil, err
	}
	in := &instance{
		mem: mem, layout: *l, normalExit: normalExit,
		atomTable: addr("erts_atom_table") + x.symbols["erts_atom_table"].Size - 8,
		record: bpfBeamProcess{
			ActiveIndex: addr("the_active_code_index"), Ranges: l.ranges + m.Bias, NormalExit: normalExit,
			MainReturn: x.mainReturn + m.Bias, MainOffset: l.mainOffset, TsdKey: key,
			SchedRegisters: l.schedRegisters, SchedProcess: l.schedProcess, ProcBase: l.procBase,
			Stop: l.stop, Heap: l.heap, Hend: l.hend, Md5: l.md5,
		},
	}
	if framePointers != 0 {
		in.record.FramePointers = 1
	}
	in.record.Tsd.Offset, in.record.Tsd.Stride = tls.TSD.Offset, tls.TSD.Stride
	in.record.Tsd.Indirect, in.record.Tsd.Keys = tls.TSD.Indirect, tls.TSD.Keys
	if _, err := in.Refresh(p); err != nil {
		return nil, err
	}
	return in, nil
}

// layout returns the layout of the emulator, which the first process that is
// attached has to show.
func (x *executable) layout(mem process.Memory, bias, schedulers, normalExit uint64) (*layout, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.found != nil {
		return x.found, nil
	}
	active, err := mem.Uint32(x.symbols["the_active_code_index"].Value + bias)
	if err != nil {
		return nil, err
	}
	ranges, err := findRanges(mem, x.data, bias, active)
	if err != nil {
		return nil, err
	}
	table := make([]byte, min(x.symbols["erts_proc"].Size, 4096))
	if err := mem.Read(table, x.symbols["erts_proc"].Value+bias); err != nil {
		return nil, err
	}
	l, err := findProcess(mem, table, normalExit)
	if err != nil {
		return nil, err
	}
	l.ranges = ranges
	modules, err := activeModules(mem, ranges+bias, active)
	if err != nil {
		return nil, err
	}
	if l.md5, l.functions, err = findHeader(mem, modules[0]); err != nil {
		return nil, fmt.Errorf("code header: %w", err)
	}
	if l.schedProcess, err = findScheduler(mem, schedulers); err != nil {
		return nil, fmt.Errorf("data of the scheduler: %w", err)
	}
	registers, err := mem.Uint64(schedulers + uint64(l.schedRegisters))
	if err != nil {
		return nil, err
	}
	if !pointer(registers) {
		return nil, interpreter.ErrNotReady
	}
	if l.mainOffset, err = findMain(mem, registers, x.mainReturn+bias); err != nil {
		return nil, err
	}
	x.found = &l
	return x.found, nil
}

// activeModules reads the table of modules that is in use.
func activeModules(mem process.Memory, ranges uint64, active uint32) ([]module, error) {
	if active > 2 {
		return nil, errLayout
	}
	b := make([]byte, 32)
	if err := mem.Read(b, ranges+uint64(active)*32); err != nil {
		return nil, err
	}
	t, ok := parseTable(b, 0)
	if !ok {
		return nil, fmt.Errorf("table of modules: %w", errLayout)
	}
	return readModules(mem, t)
}

// Record implements [interpreter.Instance].
func (in *instance) Record() any { return &in.record }

// Refresh implements [interpreter.Instance]: it tells the eBPF program where
// compiled code lies that belongs to no module.
func (in *instance) Refresh(p *interpreter.Process) (bool, error) {
	active, err := in.mem.Uint32(in.record.ActiveIndex)
	if err != nil {
		return false, err
	}
	modules, err := activeModules(in.mem, in.record.Ranges, active)
	if err != nil {
		return false, err
	}
	areas := codeAreas(p.Mappings, modules, in.normalExit)
	old := in.record.Area
	clear(in.record.Area[:])
	for i, a := range areas[:min(len(areas), len(in.record.Area))] {
		in.record.Area[i].Start, in.record.Area[i].End = a.start, a.end
	}
	return old != in.record.Area, nil
}

// codeAreas are the mappings that the emulator compiles into, neighbours as one.
// What is shared by all modules was compiled first, next to normalExit, so that
// comes first.
func codeAreas(maps []process.Mapping, modules []module, normalExit uint64) []module {
	var first, others []module
	for i := range maps {
		mp := &maps[i]
		a := module{mp.Start, mp.End}
		switch {
		case normalExit >= a.start && normalExit < a.end:
			first = append(first, a)
		case !holdsModule(a, modules):
		case len(others) > 0 && others[len(others)-1].end == a.start:
			others[len(others)-1].end = a.end
		default:
			others = append(others, a)
		}
	}
	return append(first, others...)
}

func holdsModule(a module, modules []module) bool {
	i := sort.Search(len(modules), func(i int) bool { return modules[i].start >= a.start })
	return i < len(modules) && modules[i].start < a.end
}

// Close implements [interpreter.Instance].
func (in *instance) Close() {}
