// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// Bounds of what an instance remembers; when one is reached it starts anew.
const (
	maxNames   = 4096
	maxClasses = 1024
)

// instance is Ruby in one process.
type instance struct {
	lib    *library
	bias   uint64
	record bpfRubyProcess
	mem    objects

	ids     map[uint64]string // names of symbols
	classes map[uint64]string // names of classes and modules
	symbols uint64            // address of the table of symbols, 0: not found yet
	// searched is set when the table was looked for in vain.
	searched int
}

// Attach implements [interpreter.Binary].
func (b *library) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	l := &b.layout
	i := &instance{lib: b, bias: m.Bias, mem: objects{p.Memory, l.shortLength}, ids: map[uint64]string{}, classes: map[uint64]string{}}
	i.record = bpfRubyProcess{
		TextStart: m.Start, TextEnd: m.End,
		ThreadEc: l.threadEC, Machine: l.machine, FrameSize: l.frame, Location: offLocation,
	}
	if b.code.core.end != 0 {
		i.record.CoreStart, i.record.CoreEnd = b.code.core.start+m.Bias, b.code.core.end+m.Bias
	}
	if b.code.outer {
		i.record.HasOuter = 1
	}
	if b.code.calls {
		i.record.HasCalls = 1
	}
	if l.wideLine {
		i.record.WideLine = 1
	}
	if err := b.context.record(&i.record, p, m.Bias); err != nil {
		return nil, err
	}
	return i, nil
}

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance]: what is known stays true.
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Close implements [interpreter.Instance].
func (i *instance) Close() { i.ids, i.classes = nil, nil }
