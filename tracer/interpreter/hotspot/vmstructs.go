// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// The JVM exports a description of itself for its serviceability agent: tables
// of the fields, types and constants of its C++ code, named by the symbols
// gHotSpotVM*. They have been there, in the same form, since before version 8.

// Bounds on what a process can make the reader do. A JVM of today has 3,000
// fields, 1,200 types and 1,100 constants.
const (
	maxTableEntries = 16384
	maxTableName    = 256
	maxTableStride  = 256
	maxTablePages   = 4096
)

// vmField is an entry of the table of fields.
type vmField struct {
	// offset is that in the object; address that of a static field.
	offset, address uint64
	static          bool
	typ             string
}

// vmTables is the JVM's description of itself. Addresses are as in the process
// that it was read from.
type vmTables struct {
	fields map[string]vmField // by "Type::field"
	sizes  map[string]uint64  // of types
	consts map[string]int64
}

// errTables reports a description that cannot be one.
var errTables = errors.New("the tables of gHotSpotVMStructs are not as expected")

// tableSymbols are the exported variables, by table: the pointer to it, then the
// distance of its entries and the offsets of an entry's members.
type tableSymbols struct {
	table, stride string
	members       []string
}

var (
	structSymbols = tableSymbols{"gHotSpotVMStructs", "gHotSpotVMStructEntryArrayStride", []string{
		"gHotSpotVMStructEntryTypeNameOffset", "gHotSpotVMStructEntryFieldNameOffset", "gHotSpotVMStructEntryIsStaticOffset",
		"gHotSpotVMStructEntryOffsetOffset", "gHotSpotVMStructEntryAddressOffset", "gHotSpotVMStructEntryTypeStringOffset",
	}}
	typeSymbols = tableSymbols{"gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride", []string{
		"gHotSpotVMTypeEntryTypeNameOffset", "gHotSpotVMTypeEntrySizeOffset",
	}}
	intSymbols = tableSymbols{"gHotSpotVMIntConstants", "gHotSpotVMIntConstantEntryArrayStride", []string{
		"gHotSpotVMIntConstantEntryNameOffset", "gHotSpotVMIntConstantEntryValueOffset",
	}}
	longSymbols = tableSymbols{"gHotSpotVMLongConstants", "gHotSpotVMLongConstantEntryArrayStride", []string{
		"gHotSpotVMLongConstantEntryNameOffset", "gHotSpotVMLongConstantEntryValueOffset",
	}}
)

// tableAddresses are the addresses of a table's variables in the file.
type tableAddresses struct {
	table, stride uint64
	members       []uint64
}

// symbolAddresses finds a table's variables in a file.
func symbolAddresses(f *pfelf.File, s tableSymbols) (a tableAddresses, err error) {
	find := func(name string) uint64 {
		sym, ok := f.ExportedSymbol(name)
		if !ok && err == nil {
			err = fmt.Errorf("%w: no symbol %s", errTables, name)
		}
		return sym.Value
	}
	a.table, a.stride = find(s.table), find(s.stride)
	for _, m := range s.members {
		a.members = append(a.members, find(m))
	}
	return a, err
}

// pages reads memory by the page, each of them once: the tables and their names
// are many small things close together.
type pages struct {
	memory process.Memory
	read   map[uint64][]byte
}

const pageSize = 4096

func (p *pages) page(n uint64) ([]byte, error) {
	if b, ok := p.read[n]; ok {
		return b, nil
	}
	if len(p.read) >= maxTablePages {
		return nil, fmt.Errorf("%w: too large", errTables)
	}
	b := make([]byte, pageSize)
	if err := p.memory.Read(b, n*pageSize); err != nil {
		return nil, err
	}
	p.read[n] = b
	return b, nil
}

func (p *pages) bytes(b []byte, addr uint64) error {
	for len(b) > 0 {
		page, err := p.page(addr / pageSize)
		if err != nil {
			return err
		}
		n := copy(b, page[addr%pageSize:])
		b, addr = b[n:], addr+uint64(n) //nolint:gosec // what copy returns is not negative
	}
	return nil
}

func (p *pages) uint64(addr uint64) (uint64, error) {
	var b [8]byte
	err := p.bytes(b[:], addr)
	return binary.LittleEndian.Uint64(b[:]), err
}

// name reads a string that ends with a zero byte.
func (p *pages) name(addr uint64) (string, error) {
	var out []byte
	for len(out) <= maxTableName {
		page, err := p.page(addr / pageSize)
		if err != nil {
			return "", err
		}
		rest := page[addr%pageSize:]
		if name, _, ended := bytes.Cut(rest, []byte{0}); ended {
			return string(append(out, name...)), nil
		}
		out = append(out, rest...)
		addr += uint64(len(rest))
	}
	return "", fmt.Errorf("%w: name too long", errTables)
}

// each calls fn with every entry of a table: a function that reads a member.
func (p *pages) each(a tableAddresses, bias uint64, fn func(entry []byte, member []uint64) (more bool, err error)) error {
	table, err := p.uint64(a.table + bias)
	if err != nil {
		return err
	}
	stride, err := p.uint64(a.stride + bias)
	if err != nil {
		return err
	}
	if table == 0 || stride == 0 {
		// The variables are set by the library's constructors.
		return interpreter.ErrNotReady
	}
	if stride < 16 || stride > maxTableStride {
		return fmt.Errorf("%w: entries of %d bytes", errTables, stride)
	}
	members := make([]uint64, len(a.members))
	for i, m := range a.members {
		if members[i], err = p.uint64(m + bias); err != nil {
			return err
		}
		if members[i] > stride-4 {
			return fmt.Errorf("%w: member at %d of %d", errTables, members[i], stride)
		}
	}
	entry := make([]byte, stride+8) // a member of 4 bytes at the end can be read as 8
	for range maxTableEntries {
		if err := p.bytes(entry[:stride], table); err != nil {
			return err
		}
		if more, err := fn(entry, members); err != nil || !more {
			return err
		}
		table += stride
	}
	return fmt.Errorf("%w: no end", errTables)
}

// readTables reads the JVM's description of itself.
func readTables(memory process.Memory, bias uint64, addrs [4]tableAddresses) (*vmTables, error) {
	p := &pages{memory: memory, read: map[uint64][]byte{}}
	t := &vmTables{fields: map[string]vmField{}, sizes: map[string]uint64{}, consts: map[string]int64{}}
	u64 := binary.LittleEndian.Uint64
	err := p.each(addrs[0], bias, func(e []byte, m []uint64) (bool, error) {
		typ, field := u64(e[m[0]:]), u64(e[m[1]:])
		if typ == 0 || field == 0 {
			return false, nil
		}
		typeName, err := p.name(typ)
		if err != nil {
			return false, err
		}
		fieldName, err := p.name(field)
		if err != nil {
			return false, err
		}
		var declared string
		if at := u64(e[m[5]:]); at != 0 { // there is none for some that have no type
			if declared, err = p.name(at); err != nil {
				return false, err
			}
		}
		key := typeName + "::" + fieldName
		t.fields[key] = vmField{
			static: binary.LittleEndian.Uint32(e[m[2]:]) != 0, offset: u64(e[m[3]:]), address: u64(e[m[4]:]), typ: declared,
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read fields: %w", err)
	}
	named := func(a tableAddresses, set func(name string, value uint64)) error {
		return p.each(a, bias, func(e []byte, m []uint64) (bool, error) {
			at := u64(e[m[0]:])
			if at == 0 {
				return false, nil
			}
			name, err := p.name(at)
			if err != nil {
				return false, err
			}
			set(name, u64(e[m[1]:]))
			return true, nil
		})
	}
	if err := named(addrs[1], func(n string, v uint64) { t.sizes[n] = v }); err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	err = named(addrs[2], func(n string, v uint64) { t.consts[n] = int64(int32(v)) }) //nolint:gosec // the table holds ints
	if err != nil {
		return nil, fmt.Errorf("read constants: %w", err)
	}
	if err := named(addrs[3], func(n string, v uint64) { t.consts[n] = int64(v) }); err != nil { //nolint:gosec // its type
		return nil, fmt.Errorf("read long constants: %w", err)
	}
	return t, nil
}
