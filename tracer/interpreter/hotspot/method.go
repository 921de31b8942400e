// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// method is what is known of a method of a class.
type method struct {
	// cookie is made of what would be different in another method at the same
	// address; see interpreted() in support/ebpf/hotspot.bpf.c.
	cookie uint64
	name   string
	file   string
	lines  []line
}

// Bounds on what is read of a process.
const (
	maxMethods   = 4096    // cached
	maxConst     = 1 << 20 // bytes of a ConstMethod
	maxPoolIndex = 1 << 16
	maxNameText  = 1024 // bytes of a name
)

// frame makes a frame of the method at a bytecode.
func (m *method) frame(bytecode int) libpf.Frame {
	f := libpf.Frame{Type: libpf.JVMFrame, FunctionName: m.name, SourceFile: m.file}
	if bytecode >= 0 && bytecode < noBytecode {
		f.SourceLine = libpf.SourceLineno(lineAt(m.lines, bytecode))
	}
	return f
}

// method returns the method whose Method object is at an address.
func (i *instance) method(addr uint64) (*method, error) {
	l := i.layout
	at, err := l.method.constMethod.at(i.memory, addr)
	if err != nil {
		return nil, fmt.Errorf("read method: %w", err)
	}
	c := make([]byte, l.constMethod.size)
	if err := i.memory.Read(c, at); err != nil {
		return nil, fmt.Errorf("read method: %w", err)
	}
	cookie := l.cookie(at, c)
	if m := i.methods[addr]; m != nil && m.cookie == cookie {
		return m, nil
	}
	m, err := i.readMethod(at, c)
	if err != nil {
		return nil, err
	}
	m.cookie = cookie
	if len(i.methods) >= maxMethods {
		for k := range i.methods { // any half of them
			if delete(i.methods, k); len(i.methods) <= maxMethods/2 {
				break
			}
		}
	}
	i.methods[addr] = m
	return m, nil
}

// cookie computes what the eBPF program does of a ConstMethod.
func (l *layout) cookie(addr uint64, c []byte) uint64 {
	var sizes uint64
	if off := l.constMethod.codeSize.offset; off+8 <= uint64(len(c)) {
		sizes = binary.LittleEndian.Uint64(c[off:])
	}
	return (addr ^ l.constMethod.constants.in(c)<<7 ^ sizes) * 0xff51afd7ed558ccd
}

// readMethod reads names and lines of a method.
func (i *instance) readMethod(addr uint64, c []byte) (*method, error) {
	l := i.layout
	pool := l.constMethod.constants.in(c)
	holder, err := l.constantPool.holder.at(i.memory, pool)
	if err != nil {
		return nil, fmt.Errorf("read constant pool: %w", err)
	}
	at, err := l.klass.name.at(i.memory, holder)
	if err != nil {
		return nil, fmt.Errorf("read class: %w", err)
	}
	class, err := i.symbol(at)
	if err != nil {
		return nil, fmt.Errorf("read name of class: %w", err)
	}
	name, err := i.poolSymbol(pool, l.constMethod.name.in(c))
	if err != nil {
		return nil, fmt.Errorf("read name of method: %w", err)
	}
	signature, err := i.poolSymbol(pool, l.constMethod.signature.in(c))
	if err != nil {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	m := &method{name: className(class) + "." + name + parameters(signature)}
	m.file = i.sourceFile(pool, holder, class)
	if l.constMethod.flags.in(c)&1 != 0 { // has a table of lines
		m.lines = i.lines(addr, c)
	}
	return m, nil
}

// sourceFile returns the path of the source of a class, "" when there is none: the
// file's name below the directory of the package.
func (i *instance) sourceFile(pool, holder uint64, class string) string {
	m, object := i.layout.constantPool.sourceFile, pool
	if !m.there() {
		m, object = i.layout.klass.sourceFile, holder
	}
	index, err := m.at(i.memory, object)
	if err != nil || index == 0 {
		return ""
	}
	file, err := i.poolSymbol(pool, index)
	if err != nil || file == "" || strings.Contains(file, "/") {
		return file
	}
	if n := strings.LastIndexByte(strings.TrimSuffix(class, hiddenPart(class)), '/'); n >= 0 {
		return path.Join(class[:n], file)
	}
	return file
}

// hiddenPart returns the end of the name of a class that was made at run time: a
// slash and an address.
func hiddenPart(class string) string {
	if n := strings.LastIndex(class, "/0x"); n >= 0 && isHex(class[n+3:]) {
		return class[n:]
	}
	return ""
}

// lines reads the table of lines, which follows the bytecode.
func (i *instance) lines(addr uint64, c []byte) []line {
	l := i.layout
	begin := l.constMethod.size + l.constMethod.codeSize.in(c)
	size := l.constMethod.words.in(c) * 8
	if size > maxConst || size <= begin {
		return nil
	}
	b, err := i.memory.Bytes(addr+begin, size-begin, maxConst)
	if err != nil {
		return nil
	}
	return readLines(b, l.unsigned5Skip)
}

// poolSymbol reads a name in a constant pool.
func (i *instance) poolSymbol(pool, index uint64) (string, error) {
	if index == 0 || index >= maxPoolIndex {
		return "", fmt.Errorf("%w: index %d", errFrame, index)
	}
	at, err := i.memory.Uint64(pool + i.layout.constantPool.size + index*8)
	if err != nil {
		return "", err
	}
	return i.symbol(at &^ 1)
}

// symbol reads a Symbol.
func (i *instance) symbol(at uint64) (string, error) {
	n, err := i.layout.symbol.length.at(i.memory, at)
	if err != nil {
		return "", err
	}
	return i.memory.Text(at+i.layout.symbol.body, min(n, maxNameText))
}
