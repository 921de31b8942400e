// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// metadata are the tables that describe the types and methods of an assembly:
// ECMA-335, partition II. They are read row by row where a process has them mapped.
type metadata struct {
	mem     process.Memory
	strings heapRange
	blobs   heapRange
	tables  [tableCount]table
	coded   [codedCount]uint8 // size in bytes
}

type heapRange struct {
	addr uint64
	size uint32
}

type table struct {
	addr   uint64
	rows   uint32
	size   uint32
	column [9]uint8 // sizes in bytes
}

// Tables that are read; the schema below has them all.
const (
	tableTypeRef     = 0x01
	tableTypeDef     = 0x02
	tableMethodDef   = 0x06
	tableMemberRef   = 0x0a
	tableTypeSpec    = 0x1b
	tableNestedClass = 0x29
	tableCount       = 0x2d
)

// Coded indexes: a row of one of several tables.
const (
	codedTypeDefOrRef = iota
	codedHasConstant
	codedHasCustomAttribute
	codedHasFieldMarshal
	codedHasDeclSecurity
	codedMemberRefParent
	codedHasSemantics
	codedMethodDefOrRef
	codedMemberForwarded
	codedImplementation
	codedCustomAttributeType
	codedResolutionScope
	codedTypeOrMethodDef
	codedCount
)

var codedTables = [codedCount]struct {
	bits   uint
	tables []uint8
}{
	codedTypeDefOrRef: {2, []uint8{0x02, 0x01, 0x1b}},
	codedHasConstant:  {2, []uint8{0x04, 0x08, 0x17}},
	codedHasCustomAttribute: {5, []uint8{
		0x06, 0x04, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x00, 0x0e, 0x17, 0x14, 0x11, 0x1a, 0x1b, 0x20, 0x23, 0x26, 0x27, 0x28, 0x2a, 0x2c, 0x2b,
	}},
	codedHasFieldMarshal:     {1, []uint8{0x04, 0x08}},
	codedHasDeclSecurity:     {2, []uint8{0x02, 0x06, 0x20}},
	codedMemberRefParent:     {3, []uint8{0x02, 0x01, 0x1a, 0x06, 0x1b}},
	codedHasSemantics:        {1, []uint8{0x14, 0x17}},
	codedMethodDefOrRef:      {1, []uint8{0x06, 0x0a}},
	codedMemberForwarded:     {1, []uint8{0x04, 0x06}},
	codedImplementation:      {2, []uint8{0x26, 0x23, 0x27}},
	codedCustomAttributeType: {3, []uint8{0x06, 0x0a}},
	codedResolutionScope:     {2, []uint8{0x00, 0x1a, 0x23, 0x01}},
	codedTypeOrMethodDef:     {1, []uint8{0x02, 0x06}},
}

// Kinds of columns: a number of bytes, an index into a heap, a coded index
// (columnCoded + which), or a row of a table (columnTable + which).
const (
	column2      = 2
	column4      = 4
	columnString = 5
	columnGUID   = 6
	columnBlob   = 7
	columnCoded  = 0x40
	columnTable  = 0x80
)

var schema = [tableCount][]uint8{
	0x00: {column2, columnString, columnGUID, columnGUID, columnGUID},
	0x01: {columnCoded + codedResolutionScope, columnString, columnString},
	0x02: {column4, columnString, columnString, columnCoded + codedTypeDefOrRef, columnTable + 0x04, columnTable + 0x06},
	0x03: {columnTable + 0x04},
	0x04: {column2, columnString, columnBlob},
	0x05: {columnTable + 0x06},
	0x06: {column4, column2, column2, columnString, columnBlob, columnTable + 0x08},
	0x07: {columnTable + 0x08},
	0x08: {column2, column2, columnString},
	0x09: {columnTable + 0x02, columnCoded + codedTypeDefOrRef},
	0x0a: {columnCoded + codedMemberRefParent, columnString, columnBlob},
	0x0b: {column2, columnCoded + codedHasConstant, columnBlob},
	0x0c: {columnCoded + codedHasCustomAttribute, columnCoded + codedCustomAttributeType, columnBlob},
	0x0d: {columnCoded + codedHasFieldMarshal, columnBlob},
	0x0e: {column2, columnCoded + codedHasDeclSecurity, columnBlob},
	0x0f: {column2, column4, columnTable + 0x02},
	0x10: {column4, columnTable + 0x04},
	0x11: {columnBlob},
	0x12: {columnTable + 0x02, columnTable + 0x14},
	0x13: {columnTable + 0x14},
	0x14: {column2, columnString, columnCoded + codedTypeDefOrRef},
	0x15: {columnTable + 0x02, columnTable + 0x17},
	0x16: {columnTable + 0x17},
	0x17: {column2, columnString, columnBlob},
	0x18: {column2, columnTable + 0x06, columnCoded + codedHasSemantics},
	0x19: {columnTable + 0x02, columnCoded + codedMethodDefOrRef, columnCoded + codedMethodDefOrRef},
	0x1a: {columnString},
	0x1b: {columnBlob},
	0x1c: {column2, columnCoded + codedMemberForwarded, columnString, columnTable + 0x1a},
	0x1d: {column4, columnTable + 0x04},
	0x1e: {column4, column4},
	0x1f: {column4},
	0x20: {column4, column2, column2, column2, column2, column4, columnBlob, columnString, columnString},
	0x21: {column4},
	0x22: {column4, column4, column4},
	0x23: {column2, column2, column2, column2, column4, columnBlob, columnString, columnString, columnBlob},
	0x24: {column4, columnTable + 0x23},
	0x25: {column4, column4, column4, columnTable + 0x23},
	0x26: {column4, columnString, columnBlob},
	0x27: {column4, column4, columnString, columnString, columnCoded + codedImplementation},
	0x28: {column4, column4, columnString, columnCoded + codedImplementation},
	0x29: {columnTable + 0x02, columnTable + 0x02},
	0x2a: {column2, column2, columnCoded + codedTypeOrMethodDef, columnString},
	0x2b: {columnCoded + codedMethodDefOrRef, columnBlob},
	0x2c: {columnTable + 0x2a, columnCoded + codedTypeDefOrRef},
}

const (
	metadataMagic   = 0x424a5342 // "BSJB"
	maxMetadata     = 256 << 20
	maxStreams      = 16
	maxMetadataName = 1024
)

var errMetadata = errors.New("metadata is damaged")

// readMetadata reads the directory of the metadata at an address.
func readMetadata(mem process.Memory, root uint64) (*metadata, error) {
	le := binary.LittleEndian
	var head [16]byte
	if err := mem.Read(head[:], root); err != nil {
		return nil, err
	}
	if le.Uint32(head[:]) != metadataMagic || le.Uint32(head[12:]) > 256 {
		return nil, fmt.Errorf("%w: no signature", errMetadata)
	}
	at := root + 16 + uint64(le.Uint32(head[12:])+3)&^3
	streams, err := mem.Uint16(at + 2)
	if err != nil {
		return nil, err
	}
	m := &metadata{mem: mem}
	var tables heapRange
	at += 4
	for range min(streams, maxStreams) {
		var b [8]byte
		if err := mem.Read(b[:], at); err != nil {
			return nil, err
		}
		r := heapRange{root + uint64(le.Uint32(b[:])), le.Uint32(b[4:])}
		if uint64(le.Uint32(b[:]))+uint64(r.size) > maxMetadata {
			return nil, fmt.Errorf("%w: stream of %d bytes", errMetadata, r.size)
		}
		name, err := mem.String(at + 8)
		if err != nil {
			return nil, err
		}
		if len(name) > 32 {
			return nil, fmt.Errorf("%w: name of a stream", errMetadata)
		}
		switch name {
		case "#~", "#-":
			tables = r
		case "#Strings":
			m.strings = r
		case "#Blob":
			m.blobs = r
		}
		at += 8 + uint64(len(name)+4)&^3
	}
	if tables.addr == 0 {
		return nil, fmt.Errorf("%w: no tables", errMetadata)
	}
	return m, m.readTables(tables)
}

// readTables reads how many rows each table has, and finds out where they are.
func (m *metadata) readTables(r heapRange) error {
	le := binary.LittleEndian
	head := make([]byte, 24+64*4)
	if r.size < 24 {
		return fmt.Errorf("%w: tables of %d bytes", errMetadata, r.size)
	}
	head = head[:min(len(head), int(r.size))]
	if err := m.mem.Read(head, r.addr); err != nil {
		return err
	}
	heaps, valid := head[6], le.Uint64(head[8:])
	at := 24
	for i := range 64 {
		if valid>>i&1 == 0 {
			continue
		}
		if at+4 > len(head) {
			return fmt.Errorf("%w: too few counts of rows", errMetadata)
		}
		if i < tableCount {
			m.tables[i].rows = le.Uint32(head[at:]) & 0xffffff
		}
		at += 4
	}
	if heaps&0x40 != 0 {
		at += 4
	}
	for i := range m.coded {
		m.coded[i] = 2
		for _, t := range codedTables[i].tables {
			if m.tables[t].rows >= 1<<(16-codedTables[i].bits) {
				m.coded[i] = 4
			}
		}
	}
	addr := r.addr + uint64(at)
	for i := range m.tables {
		t := &m.tables[i]
		t.addr = addr
		for c, kind := range schema[i] {
			t.column[c] = m.columnSize(kind, heaps)
			t.size += uint32(t.column[c])
		}
		addr += uint64(t.size) * uint64(t.rows)
		if addr > r.addr+uint64(r.size) {
			if i <= tableNestedClass {
				return fmt.Errorf("%w: tables do not fit", errMetadata)
			}
			t.rows = 0
		}
	}
	return nil
}

func (m *metadata) columnSize(kind, heaps uint8) uint8 {
	wide := func(is bool) uint8 {
		if is {
			return 4
		}
		return 2
	}
	switch {
	case kind >= columnTable:
		return wide(m.tables[kind-columnTable].rows >= 1<<16)
	case kind >= columnCoded:
		return m.coded[kind-columnCoded]
	case kind == columnString:
		return wide(heaps&1 != 0)
	case kind == columnGUID:
		return wide(heaps&2 != 0)
	case kind == columnBlob:
		return wide(heaps&4 != 0)
	}
	return kind
}

// row reads the columns of a row; rows count from 1.
func (m *metadata) row(which int, rid uint32) (out [9]uint32, err error) {
	t := &m.tables[which]
	if rid == 0 || rid > t.rows {
		return out, fmt.Errorf("%w: row %d of table %d", errMetadata, rid, which)
	}
	var b [40]byte
	if err := m.mem.Read(b[:t.size], t.addr+uint64(rid-1)*uint64(t.size)); err != nil {
		return out, err
	}
	at := 0
	for c := range schema[which] {
		switch n := t.column[c]; n {
		case 2:
			out[c] = uint32(binary.LittleEndian.Uint16(b[at:]))
		case 4:
			out[c] = binary.LittleEndian.Uint32(b[at:])
		}
		at += int(t.column[c])
	}
	return out, nil
}

// text returns a string of the heap.
func (m *metadata) text(index uint32) (string, error) {
	if index >= m.strings.size {
		return "", fmt.Errorf("%w: string outside of its heap", errMetadata)
	}
	s, err := m.mem.String(m.strings.addr + uint64(index))
	return s[:min(len(s), maxMetadataName)], err
}

// blob returns a blob of the heap.
func (m *metadata) blob(index uint32) ([]byte, error) {
	if index >= m.blobs.size {
		return nil, fmt.Errorf("%w: blob outside of its heap", errMetadata)
	}
	var head [4]byte
	n := min(4, m.blobs.size-index)
	if err := m.mem.Read(head[:n], m.blobs.addr+uint64(index)); err != nil {
		return nil, err
	}
	s := signature{b: head[:n]}
	size := s.number()
	if s.bad || size > m.blobs.size-index {
		return nil, fmt.Errorf("%w: size of a blob", errMetadata)
	}
	return m.mem.Bytes(m.blobs.addr+uint64(index)+uint64(s.at), uint64(size), 1<<16) //nolint:gosec // 1 to 4
}
