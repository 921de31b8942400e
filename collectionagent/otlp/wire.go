// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrWire is returned for bytes that are no request at all.
var ErrWire = errors.New("not a protocol buffer")

// maxDepth bounds how deep messages nest, of which values of attributes may hold
// others. The library of protocol buffers takes more.
const maxDepth = 16

// What follows reads the wire format of a request. It takes and refuses what the
// library of protocol buffers takes and refuses: fields come in any order, those
// that are not known or of another type are skipped, of a field that comes twice
// the last one stands, lists and messages are continued, numbers are packed or not.

// Tags of fields, as they are written: the number and the type.
const (
	varint1, varint2, varint3, varint4, varint5, varint6 = 1<<3 | 0, 2<<3 | 0, 3<<3 | 0, 4<<3 | 0, 5<<3 | 0, 6<<3 | 0 //nolint:staticcheck // 0 is a type as 1 and 2 are
	varint7, varint8, varint9, varint11                  = 7<<3 | 0, 8<<3 | 0, 9<<3 | 0, 11<<3 | 0                    //nolint:staticcheck // as well
	fixed3, fixed4, fixed5                               = 3<<3 | 1, 4<<3 | 1, 5<<3 | 1
	bytes1, bytes2, bytes3, bytes4, bytes5, bytes6       = 1<<3 | 2, 2<<3 | 2, 3<<3 | 2, 4<<3 | 2, 5<<3 | 2, 6<<3 | 2
	bytes7, bytes8, bytes9, bytes11                      = 7<<3 | 2, 8<<3 | 2, 9<<3 | 2, 11<<3 | 2
)

// uvarint reads a number. ok is false when there is none.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	return longVarint(b)
}

func longVarint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 1 && b[1] < 0x80 {
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, b[2:], true
	}
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// lengthDelimited reads a field of bytes.
func lengthDelimited(b []byte) (v, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// skip returns what follows a field that is not known.
func skip(tag uint64, b []byte) (rest []byte, ok bool) {
	n := tag >> 3
	if n < uint64(protowire.MinValidNumber) || n > uint64(protowire.MaxValidNumber) {
		return nil, false
	}
	used := protowire.ConsumeFieldValue(protowire.Number(n), protowire.Type(tag&7), b) //nolint:gosec // bounded above
	if used < 0 {
		return nil, false
	}
	return b[used:], true
}

// to32 is a place in a table. Requests have less than 2 GiB.
func to32(n int) uint32 { return uint32(n) } //nolint:gosec // see above

// int32Of is how a number becomes one of 32 bits: the rest is cut off.
func int32Of(v uint64) int32 { return int32(v) } //nolint:gosec // see above

func int64Of(v uint64) int64 { return int64(v) } //nolint:gosec // two's complement

// wire reads a request. Its error is ErrWire, ErrOldLayout or that of charge.
func (m *message) wire(b []byte) error {
	if len(b) > math.MaxInt32 {
		return ErrWire
	}
	return fields(b, func(tag uint64, b []byte) ([]byte, error) {
		v, rest, ok := lengthDelimited(b)
		switch {
		case tag != bytes1 && tag != bytes2:
			return unknown(tag, b)
		case !ok:
			return nil, ErrWire
		case tag == bytes1:
			return rest, m.wireResource(v)
		default:
			return rest, m.wireDictionary(v)
		}
	})
}

// unknown is skip for the functions below.
func unknown(tag uint64, b []byte) ([]byte, error) {
	rest, ok := skip(tag, b)
	if !ok {
		return nil, ErrWire
	}
	return rest, nil
}

// fields calls f with the tag of each field and what follows it. f returns what
// follows the field. It is for messages that are few; others have loops of their own.
func fields(b []byte, f func(tag uint64, b []byte) ([]byte, error)) error {
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		var err error
		if b, err = f(tag, rest); err != nil {
			return err
		}
	}
	return nil
}

// wireDictionary reads the dictionary, or a part of it.
func (m *message) wireDictionary(b []byte) error {
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		switch tag {
		case bytes1, bytes2, bytes3, bytes4, bytes5, bytes6, bytes7:
		default:
			if b, ok = skip(tag, rest); !ok {
				return ErrWire
			}
			continue
		}
		var v []byte
		if v, b, ok = lengthDelimited(rest); !ok {
			return ErrWire
		}
		var err error
		switch tag {
		case bytes1:
			err = m.wireMapping(v)
		case bytes2:
			err = m.wireLocation(v)
		case bytes3:
			err = m.wireFunction(v)
		case bytes4:
			err = m.wireLink(v)
		case bytes5:
			if !utf8.Valid(v) {
				return ErrWire
			}
			if err = m.grow(textTable, len(m.texts), 1); err == nil {
				m.texts = append(m.texts, v)
			}
		case bytes6:
			err = m.wireAttribute(v)
		case bytes7:
			err = m.wireStack(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *message) wireMapping(b []byte) error {
	if err := m.grow(mappingTable, len(m.mappings), 1); err != nil {
		return err
	}
	e := mappingEntry{attributes: m.noIndices()}
	err := fields(b, func(tag uint64, b []byte) ([]byte, error) {
		var v uint64
		var ok bool
		switch tag {
		case varint1:
			e.start, b, ok = uvarint(b)
		case varint2:
			e.limit, b, ok = uvarint(b)
		case varint3:
			e.offset, b, ok = uvarint(b)
		case varint4:
			v, b, ok = uvarint(b)
			e.filename = int32Of(v)
		case varint5, bytes5:
			return m.wireIndices(tag&7, b, &e.attributes)
		default:
			return unknown(tag, b)
		}
		if !ok {
			return nil, ErrWire
		}
		return b, nil
	})
	m.mappings = append(m.mappings, e)
	return err
}

// noIndices is a list of indices that begins here.
func (m *message) noIndices() extent { return extent{to32(len(m.indices)), to32(len(m.indices))} }

// wireIndices reads one index or packed ones into the last list of indices.
func (m *message) wireIndices(typ uint64, b []byte, list *extent) (rest []byte, err error) {
	if protowire.Type(typ) == protowire.VarintType { //nolint:gosec // three bits
		v, rest, ok := uvarint(b)
		if !ok {
			return nil, ErrWire
		}
		if err := m.grow(indexTable, len(m.indices), 1); err != nil {
			return nil, err
		}
		m.indices = append(m.indices, int32Of(v))
		list.to = to32(len(m.indices))
		return rest, nil
	}
	v, end := bytesAt(b, 0)
	if end < 0 {
		return nil, ErrWire
	}
	if err := m.grow(indexTable, len(m.indices), len(v)); err != nil { // at most one for each byte
		return nil, err
	}
	var ok bool
	if len(v) == 1 && v[0] < 0x80 {
		m.indices = append(m.indices, int32(v[0]))
	} else if m.indices, ok = appendVarints(m.indices, v); !ok {
		return nil, ErrWire
	}
	list.to = to32(len(m.indices))
	return b[end:], nil
}

// appendVarints appends packed numbers of 32 bits.
func appendVarints(to []int32, b []byte) ([]int32, bool) {
	n := len(to)
	to = slices.Grow(to, len(b)) // at most one for each byte
	to = to[:n+len(b)]
	for i := 0; i < len(b); n++ {
		v := uint64(b[i])
		switch {
		case v < 0x80:
			i++
		case i+1 < len(b) && b[i+1] < 0x80:
			v = v&0x7f | uint64(b[i+1])<<7
			i += 2
		default:
			if v, i = varintAt(b, i); i < 0 {
				return to[:n], false
			}
		}
		to[n] = int32Of(v)
	}
	return to[:n], true
}

// varintAt reads a number at a place and returns the next one, -1 when there is no
// number. Loops over small messages read those of one byte themselves.
func varintAt(b []byte, i int) (v uint64, next int) {
	if i+1 < len(b) && b[i+1] < 0x80 {
		if b[i] < 0x80 {
			return uint64(b[i]), i + 1
		}
		return uint64(b[i]&0x7f) | uint64(b[i+1])<<7, i + 2
	}
	if i >= len(b) {
		return 0, -1
	}
	v, n := protowire.ConsumeVarint(b[i:])
	if n < 0 {
		return 0, -1
	}
	return v, i + n
}

// bytesAt reads a field of bytes at a place, like varintAt.
func bytesAt(b []byte, i int) (v []byte, next int) {
	var n uint64
	if i < len(b) && b[i] < 0x80 {
		n = uint64(b[i])
		i++
	} else if n, i = varintAt(b, i); i < 0 {
		return nil, -1
	}
	if n > uint64(len(b)-i) { //nolint:gosec // varintAt goes no further than the end
		return nil, -1
	}
	end := i + int(n) //nolint:gosec // bounded above
	return b[i:end:end], end
}

// skipAt returns the place after a field that is not known, like varintAt.
func skipAt(tag uint64, b []byte, i int) (next int) {
	rest, ok := skip(tag, b[i:])
	if !ok {
		return -1
	}
	return len(b) - len(rest)
}

func (m *message) wireLocation(b []byte) error {
	if err := m.grow(locationTable, len(m.locations), 1); err != nil {
		return err
	}
	lines := to32(len(m.lines))
	e := locationEntry{attributes: m.noIndices(), lines: extent{lines, lines}}
	for i := 0; i < len(b); {
		tag := uint64(b[i])
		if i++; tag >= 0x80 {
			if tag, i = varintAt(b, i-1); i < 0 {
				return ErrWire
			}
		}
		var v uint64
		switch tag {
		case varint1:
			v, i = varintAt(b, i)
			e.mapping = int32Of(v)
		case varint2:
			e.address, i = varintAt(b, i)
		case bytes3:
			var line []byte
			if line, i = bytesAt(b, i); i < 0 {
				return ErrWire
			}
			if err := m.wireLine(line); err != nil {
				return err
			}
		case varint4, bytes4:
			rest, err := m.wireIndices(tag&7, b[i:], &e.attributes)
			if err != nil {
				return err
			}
			i = len(b) - len(rest)
		default:
			i = skipAt(tag, b, i)
		}
		if i < 0 {
			return ErrWire
		}
	}
	e.lines.to = to32(len(m.lines))
	m.locations = append(m.locations, e)
	return nil
}

func (m *message) wireLine(b []byte) error {
	if err := m.grow(lineTable, len(m.lines), 1); err != nil {
		return err
	}
	e := lineEntry{}
	for i := 0; i < len(b); {
		tag := uint64(b[i])
		if i++; tag >= 0x80 {
			if tag, i = varintAt(b, i-1); i < 0 {
				return ErrWire
			}
		}
		var v uint64
		switch tag {
		case varint1:
			v, i = varintAt(b, i)
			e.function = int32Of(v)
		case varint2:
			v, i = varintAt(b, i)
			e.line = int64Of(v)
		default:
			i = skipAt(tag, b, i)
		}
		if i < 0 {
			return ErrWire
		}
	}
	m.lines = append(m.lines, e)
	return nil
}

func (m *message) wireFunction(b []byte) error {
	if err := m.grow(functionTable, len(m.functions), 1); err != nil {
		return err
	}
	e := functionEntry{}
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		var v uint64
		switch tag {
		case varint1, varint2, varint3, varint4:
			v, b, ok = uvarint(rest)
		default:
			b, ok = skip(tag, rest)
		}
		if !ok {
			return ErrWire
		}
		switch tag {
		case varint1:
			e.name = int32Of(v)
		case varint2:
			e.system = int32Of(v)
		case varint3:
			e.file = int32Of(v)
		case varint4:
			e.startLine = int64Of(v)
		}
	}
	m.functions = append(m.functions, e)
	return nil
}

func (m *message) wireLink(b []byte) error {
	if err := m.grow(linkTable, len(m.links), 1); err != nil {
		return err
	}
	e := linkEntry{}
	err := parts(b, func(tag uint64, v []byte) error {
		if tag == bytes1 {
			e.trace, e.traceLen = [16]byte{}, len(v)
			copy(e.trace[:], v)
		} else {
			e.span, e.spanLen = [8]byte{}, len(v)
			copy(e.span[:], v)
		}
		return nil
	}, bytes1, bytes2)
	m.links = append(m.links, e)
	return err
}

func (m *message) wireStack(b []byte) error {
	if err := m.grow(stackTable, len(m.stacks), 1); err != nil {
		return err
	}
	e := m.noIndices()
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		var err error
		switch tag {
		case varint1, bytes1:
			b, err = m.wireIndices(tag&7, rest, &e)
		default:
			b, err = unknown(tag, rest)
		}
		if err != nil {
			return err
		}
	}
	m.stacks = append(m.stacks, e)
	return nil
}

// fixed64 reads a number of eight bytes.
func fixed64(b []byte) (v uint64, rest []byte, ok bool) {
	const size = 8
	if len(b) < size {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b), b[size:], true
}
