// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// wireResource reads the profiles of a resource.
func (m *message) wireResource(b []byte) error {
	if err := m.grow(resourceTable, len(m.resources), 1); err != nil {
		return err
	}
	scopes, attributes := to32(len(m.scopes)), to32(len(m.keyValues))
	err := headed(b, m.wireAttributes, m.wireScope)
	m.resources = append(m.resources, resourceEntry{
		attributes: extent{attributes, to32(len(m.keyValues))}, scopes: extent{scopes, to32(len(m.scopes))},
	})
	return err
}

// parts reads those fields of bytes of a message that have one of the tags, and skips
// all others.
func parts(b []byte, read func(tag uint64, v []byte) error, tags ...uint64) error {
	return fields(b, func(tag uint64, b []byte) ([]byte, error) {
		if !slices.Contains(tags, tag) {
			return unknown(tag, b)
		}
		v, rest, ok := lengthDelimited(b)
		if !ok {
			return nil, ErrWire
		}
		return rest, read(tag, v)
	})
}

// headed reads a message of a head, entries, and the URL of a schema.
func headed(b []byte, head, entry func([]byte) error) error {
	return parts(b, func(tag uint64, v []byte) error {
		switch tag {
		case bytes1:
			return head(v)
		case bytes2:
			return entry(v)
		default: // schema_url
			return checkText(v)
		}
	}, bytes1, bytes2, bytes3)
}

// checkText checks a text that is not kept.
func checkText(v []byte) error {
	if !utf8.Valid(v) {
		return ErrWire
	}
	return nil
}

// checkTexts checks the texts of a message that is not kept.
func checkTexts(b []byte, tags ...uint64) error {
	return parts(b, func(_ uint64, v []byte) error { return checkText(v) }, tags...)
}

// wireAttributes reads a resource, or a part of it.
func (m *message) wireAttributes(b []byte) error {
	return parts(b, func(tag uint64, v []byte) error {
		if tag == bytes3 { // entity_refs
			return checkTexts(v, bytes1, bytes2, bytes3, bytes4)
		}
		if err := m.grow(keyValueTable, len(m.keyValues), 1); err != nil {
			return err
		}
		var e keyValue
		const depth = 2 // of the resource, which is in the profiles of one
		if err := m.wireKeyValue(v, &e, depth, true); err != nil {
			return err
		}
		m.keyValues = append(m.keyValues, e)
		return nil
	}, bytes1, bytes3)
}

// wireScope reads the profiles of a scope. The scope itself is not kept.
func (m *message) wireScope(b []byte) error {
	if err := m.grow(scopeTable, len(m.scopes), 1); err != nil {
		return err
	}
	profiles := to32(len(m.profiles))
	err := headed(b, m.wireInstrumentation, m.wireProfile)
	m.scopes = append(m.scopes, extent{profiles, to32(len(m.profiles))})
	return err
}

// wireInstrumentation checks a scope.
func (m *message) wireInstrumentation(b []byte) error {
	return parts(b, func(tag uint64, v []byte) error {
		if tag == bytes3 {
			const depth = 3 // of the scope, which is in the profiles of one, which are in those of a resource
			return m.wireKeyValue(v, &keyValue{}, depth, false)
		}
		return checkText(v) // name, version
	}, bytes1, bytes2, bytes3)
}

func (m *message) wireProfile(b []byte) error {
	if err := m.grow(profileTable, len(m.profiles), 1); err != nil {
		return err
	}
	samples, attributes := to32(len(m.samples)), to32(len(m.ofProfile))
	e := profileEntry{}
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		var v uint64
		var part []byte
		var err error
		switch tag {
		case bytes1, bytes2, bytes5, bytes9, bytes11:
			part, b, ok = lengthDelimited(rest)
		case fixed3:
			e.time, b, ok = fixed64(rest)
		case varint4:
			e.duration, b, ok = uvarint(rest)
		case varint6:
			v, b, ok = uvarint(rest)
			e.period = int64Of(v)
		case varint11:
			v, b, ok = uvarint(rest)
		case bytes3, varint5, bytes6, varint7, bytes8, varint9:
			return ErrOldLayout
		default:
			b, ok = skip(tag, rest)
		}
		if !ok {
			return ErrWire
		}
		switch tag {
		case bytes1:
			err = e.sampleType.wire(part)
		case bytes2:
			err = m.wireSample(part)
		case bytes5:
			err = e.periodType.wire(part)
		case bytes9: // original_payload_format
			err = checkText(part)
		case varint11:
			if err = m.grow(profileAttributeTable, len(m.ofProfile), 1); err == nil {
				m.ofProfile = append(m.ofProfile, int32Of(v))
			}
		case bytes11:
			if err = m.grow(profileAttributeTable, len(m.ofProfile), len(part)); err != nil {
				break
			}
			if m.ofProfile, ok = appendVarints(m.ofProfile, part); !ok {
				err = ErrWire
			}
		}
		if err != nil {
			return err
		}
	}
	e.samples, e.attributes = extent{samples, to32(len(m.samples))}, extent{attributes, to32(len(m.ofProfile))}
	m.profiles = append(m.profiles, e)
	return nil
}

// wire reads a type, or a part of it.
func (t *valueType) wire(b []byte) error {
	return fields(b, func(tag uint64, b []byte) ([]byte, error) {
		if tag != varint1 && tag != varint2 {
			return unknown(tag, b)
		}
		v, rest, ok := uvarint(b)
		if !ok {
			return nil, ErrWire
		}
		if tag == varint1 {
			t.typ = int32Of(v)
		} else {
			t.unit = int32Of(v)
		}
		return rest, nil
	})
}

func (m *message) wireSample(b []byte) error {
	if err := m.grow(sampleTable, len(m.samples), 1); err != nil {
		return err
	}
	values, times := to32(len(m.values)), to32(len(m.times))
	e := sampleEntry{attributes: m.noIndices(), values: extent{from: values}, times: extent{from: times}}
	for len(b) > 0 {
		tag, rest, ok := uvarint(b)
		if !ok {
			return ErrWire
		}
		var v uint64
		var err error
		switch tag {
		case varint1:
			v, b, ok = uvarint(rest)
			e.stack = int32Of(v)
		case varint2, bytes2:
			b, err = m.wireIndices(tag&7, rest, &e.attributes)
		case varint3:
			v, b, ok = uvarint(rest)
			e.link = int32Of(v)
		case bytes3:
			return ErrOldLayout
		case varint4, bytes4:
			b, err = m.wireValues(tag&7, rest)
		case fixed5, bytes5:
			b, err = m.wireTimes(tag&7, rest)
		default:
			b, ok = skip(tag, rest)
		}
		if err != nil {
			return err
		}
		if !ok {
			return ErrWire
		}
	}
	e.values.to, e.times.to = to32(len(m.values)), to32(len(m.times))
	m.samples = append(m.samples, e)
	return nil
}

// wireValues reads one value or packed ones.
func (m *message) wireValues(typ uint64, b []byte) (rest []byte, err error) {
	var packed []byte
	var ok bool
	if protowire.Type(typ) == protowire.VarintType { //nolint:gosec // three bits
		_, after, ok := uvarint(b)
		if !ok {
			return nil, ErrWire
		}
		packed, rest = b[:len(b)-len(after)], after
	} else if packed, rest, ok = lengthDelimited(b); !ok {
		return nil, ErrWire
	}
	if err := m.grow(valueTable, len(m.values), len(packed)); err != nil { // at most one for each byte
		return nil, err
	}
	for len(packed) > 0 {
		var v uint64
		if v, packed, ok = uvarint(packed); !ok {
			return nil, ErrWire
		}
		m.values = append(m.values, int64Of(v))
	}
	return rest, nil
}

// wireTimes reads one time or packed ones.
func (m *message) wireTimes(typ uint64, b []byte) (rest []byte, err error) {
	const size = 8
	var packed []byte
	if protowire.Type(typ) == protowire.Fixed64Type { //nolint:gosec // three bits
		if len(b) < size {
			return nil, ErrWire
		}
		packed, rest = b[:size], b[size:]
	} else {
		var ok bool
		if packed, rest, ok = lengthDelimited(b); !ok || len(packed)%size != 0 {
			return nil, ErrWire
		}
	}
	if err := m.grow(timeTable, len(m.times), len(packed)/size); err != nil {
		return nil, err
	}
	for len(packed) > 0 {
		var v uint64
		v, packed, _ = fixed64(packed)
		m.times = append(m.times, v)
	}
	return rest, nil
}
