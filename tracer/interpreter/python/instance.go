// SPDX-License-Identifier: Apache-2.0

package python

import (
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/libc"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// instance is the interpreter in a process.
type instance struct {
	record  bpfPythonProcess
	version version
	memory  process.Memory
	codes   map[codeKey]*code
}

var _ interpreter.Instance = (*instance)(nil)

// codeKey names what a code object held when it was sampled.
type codeKey struct{ addr, cookie uint64 }

// maxCodes bounds what is kept of a process's code objects.
const maxCodes = 4096

// Attach implements [interpreter.Binary].
func (b *build) Attach(p *interpreter.Process, m *interpreter.Module) (interpreter.Instance, error) {
	i := &instance{record: b.layout, version: b.version, memory: p.Memory, codes: map[codeKey]*code{}}
	at := func(v uint64) uint64 {
		if v == 0 {
			return 0
		}
		return v + m.Bias
	}
	r := &i.record
	r.ThreadKey, r.Current = at(b.threadKey), at(b.current)
	r.Interpreters, r.CodeType = at(b.interpreters), at(b.codeType)
	l, err := libc.Of(p)
	switch {
	case errors.Is(err, interpreter.ErrNotReady):
		return nil, err
	case err != nil:
		// Threads are found in the interpreter's list instead.
		r.ThreadKey = 0
	default:
		r.Tsd.Offset, r.Tsd.Stride, r.Tsd.Indirect, r.Tsd.Keys = l.TSD.Offset, l.TSD.Stride, l.TSD.Indirect, l.TSD.Keys
		r.Self = l.Self
	}
	if r.ThreadKey == 0 && r.Interpreters == 0 {
		return nil, fmt.Errorf("threads cannot be found: %w", err)
	}
	return i, nil
}

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return &i.record }

// Refresh implements [interpreter.Instance].
func (i *instance) Refresh(*interpreter.Process) (bool, error) { return false, nil }

// Close implements [interpreter.Instance].
func (i *instance) Close() { i.codes = nil }

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	key := codeKey{f.Addr, f.W2}
	c := i.codes[key]
	if c == nil {
		var err error
		if c, err = i.readCode(f.Addr, f.W2); err != nil {
			return out, err
		}
		if len(i.codes) >= maxCodes {
			clear(i.codes)
		}
		if i.codes != nil {
			i.codes[key] = c
		}
	}
	line := c.line(f.W1)
	return append(out, libpf.Frame{
		Type: libpf.PythonFrame, AddressOrLineno: libpf.AddressOrLineno(line), //nolint:gosec // not negative
		FunctionName: c.name, SourceFile: c.file, SourceLine: libpf.SourceLineno(line), //nolint:gosec // as above
	}), nil
}
