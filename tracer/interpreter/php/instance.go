// SPDX-License-Identifier: Apache-2.0

package php

import (
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// instance is PHP in a process.
type instance struct {
	memory process.Memory
	layout layout
	record *bpfPhpProcess
	// included is the address of the table of files that were included, 0 when it is not known.
	included uint64
	names    map[nameKey]names
}

var _ interpreter.Instance = (*instance)(nil)

// Record implements [interpreter.Instance].
func (i *instance) Record() any { return i.record }

// Close implements [interpreter.Instance].
func (i *instance) Close() { i.names = nil }

// Refresh implements [interpreter.Instance]: opcache may have set up its compiler.
func (i *instance) Refresh(p *interpreter.Process) (changed bool, err error) {
	return i.findCompiled(p), nil
}

// findCompiled looks for the memory that opcache compiles into. It is the only
// executable memory that is shared and no program: opcache shares it between the
// processes of a server.
func (i *instance) findCompiled(p *interpreter.Process) (changed bool) {
	var start, end uint64
	for k := range p.Mappings {
		m := &p.Mappings[k]
		if !isShared(m) {
			continue
		}
		if start == 0 {
			start = m.Start
		}
		if m.End-start < 1<<32 {
			end = m.End
		}
	}
	if start == 0 || start == i.record.JitStart && end == i.record.JitEnd {
		return false
	}
	i.record.JitStart, i.record.JitEnd = start, end
	return true
}

// isShared reports whether a mapping is shared memory: what the kernel shows for
// mmap with MAP_SHARED and no file, with huge pages, System V's and POSIX's.
func isShared(m *process.Mapping) bool {
	if m.Path == "/dev/zero" || m.Path == "/anon_hugepage" || strings.HasPrefix(m.Path, "/memfd:opcache") {
		return true
	}
	return strings.HasPrefix(m.Path, "/SYSV") || strings.HasPrefix(m.Path, "/dev/shm/")
}

// Kinds of frames; see php.bpf.c.
const (
	kindUser     = 0
	kindInternal = 1
	kindParts    = 2
	kindNested   = 4
	kindCompiled = 8
)

// maxNames bounds the cache of a process.
const maxNames = 8192

// Symbolize implements [interpreter.Instance].
func (i *instance) Symbolize(f interpreter.Frame, out []libpf.Frame) ([]libpf.Frame, error) {
	kind := f.Subtype &^ kindCompiled
	key := nameKey{kind: kind, addr: f.Addr}
	var line uint64
	switch kind {
	case kindUser:
		line, key.w1, key.w2 = f.W1&0xffffffff, f.W1>>32, f.W2
	case kindInternal:
		key.w2 = f.W2
	case kindParts, kindParts | kindNested:
		line, key.w1, key.w2 = f.W1&packedMask, f.W1&^packedMask, f.W2
	default:
		return out, errKind
	}
	n, ok := i.names[key]
	if !ok {
		var err error
		if n, err = i.read(key); err != nil {
			return out, err
		}
		if i.names == nil || len(i.names) >= maxNames {
			i.names = map[nameKey]names{}
		}
		i.names[key] = n
	}
	if line == 0 {
		line = uint64(n.start)
	}
	typ := libpf.PHPFrame
	if f.Subtype&kindCompiled != 0 {
		typ = libpf.PHPJITFrame
	}
	return append(out, libpf.Frame{
		Type: typ, FunctionName: n.function, SourceFile: n.file,
		SourceLine: libpf.SourceLineno(line), AddressOrLineno: libpf.AddressOrLineno(line),
	}), nil
}
