// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"unicode/utf8"
)

// wireKeyValue reads an attribute. depth is that of the message it is in. Without
// keep it is only checked.
func (m *message) wireKeyValue(b []byte, e *keyValue, depth int, keep bool) error {
	if depth++; depth > maxDepth {
		return ErrWire
	}
	return fields(b, func(tag uint64, b []byte) ([]byte, error) {
		switch tag {
		case bytes1:
			v, rest, ok := lengthDelimited(b)
			if !ok || !utf8.Valid(v) {
				return nil, ErrWire
			}
			e.key = v
			return rest, nil
		case bytes2:
			v, rest, ok := lengthDelimited(b)
			if !ok {
				return nil, ErrWire
			}
			return rest, m.wireValue(v, &e.value, depth, keep)
		case varint3:
			v, rest, ok := uvarint(b)
			if !ok {
				return nil, ErrWire
			}
			e.index = int32Of(v)
			return rest, nil
		default:
			return unknown(tag, b)
		}
	})
}

// wireAttribute reads an entry of the attribute table.
func (m *message) wireAttribute(b []byte) error {
	if err := m.grow(attributeTable, len(m.attributes), 1); err != nil {
		return err
	}
	var e attributeEntry
	err := fields(b, func(tag uint64, b []byte) ([]byte, error) {
		switch tag {
		case varint1, varint3:
			v, rest, ok := uvarint(b)
			if !ok {
				return nil, ErrWire
			}
			if tag == varint1 {
				e.key = int32Of(v)
			} else {
				e.unit = int32Of(v)
			}
			return rest, nil
		case bytes2:
			v, rest, ok := lengthDelimited(b)
			if !ok {
				return nil, ErrWire
			}
			const depth = 2 // of the attribute, which is in the dictionary
			return rest, m.wireValue(v, &e.value, depth, true)
		default:
			return unknown(tag, b)
		}
	})
	m.attributes = append(m.attributes, e)
	return err
}

// wireValue reads a value, or a part of it. The last field stands; lists are
// continued as long as nothing else comes between their parts.
func (m *message) wireValue(b []byte, e *value, depth int, keep bool) error {
	if depth++; depth > maxDepth {
		return ErrWire
	}
	return fields(b, func(tag uint64, b []byte) ([]byte, error) {
		switch tag {
		case bytes1, bytes5, bytes6, bytes7:
			v, rest, ok := lengthDelimited(b)
			if !ok {
				return nil, ErrWire
			}
			return rest, m.wireLongValue(tag, v, e, depth, keep)
		case varint2, varint3, varint8:
			v, rest, ok := uvarint(b)
			if !ok {
				return nil, ErrWire
			}
			switch tag {
			case varint2:
				*e = value{kind: boolValue}
				if v != 0 {
					e.number = 1
				}
			case varint3:
				*e = value{kind: intValue, number: v}
			default:
				*e = value{kind: indexValue, number: uint64(uint32(v))} //nolint:gosec // the rest is cut off
			}
			return rest, nil
		case fixed4:
			v, rest, ok := fixed64(b)
			if !ok {
				return nil, ErrWire
			}
			*e = value{kind: doubleValue, number: v}
			return rest, nil
		default:
			return unknown(tag, b)
		}
	})
}

// wireLongValue reads a value that has a length.
func (m *message) wireLongValue(tag uint64, v []byte, e *value, depth int, keep bool) error {
	switch tag {
	case bytes1:
		*e = value{kind: stringValue, text: v}
		return checkText(v)
	case bytes5:
		if e.kind != listValue {
			*e = value{kind: listValue, list: extent{to32(len(m.elements)), to32(len(m.elements))}}
		}
		err := m.wireList(v, depth, keep)
		if keep {
			e.list.to = to32(len(m.elements))
		}
		return err
	case bytes6:
		*e = value{kind: mapValue}
		return m.wireMap(v, depth)
	default:
		*e = value{kind: bytesValue, text: v}
		return nil
	}
}

// wireList reads a list, or a part of it. Of lists and maps in it only the kind is kept.
func (m *message) wireList(b []byte, depth int, keep bool) error {
	if depth++; depth > maxDepth {
		return ErrWire
	}
	return parts(b, func(_ uint64, v []byte) error {
		var e value
		if err := m.wireValue(v, &e, depth, false); err != nil || !keep {
			return err
		}
		e.list = extent{}
		if err := m.grow(elementTable, len(m.elements), 1); err != nil {
			return err
		}
		m.elements = append(m.elements, e)
		return nil
	}, bytes1)
}

// wireMap checks a map.
func (m *message) wireMap(b []byte, depth int) error {
	if depth++; depth > maxDepth {
		return ErrWire
	}
	return parts(b, func(_ uint64, v []byte) error {
		return m.wireKeyValue(v, &keyValue{}, depth, false)
	}, bytes1)
}
