// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Decoding amplifies: an empty message of two bytes becomes an object of more
// than a hundred, an empty string a header of sixteen. measure therefore walks
// over the bytes of a message and charges what decoding would make, before
// anything is decoded.

// errWire is returned for bytes that are no message.
var errWire = errors.New("not a protocol buffer")

// maxDepth bounds how deep messages nest. Those of the protocol have three levels,
// those of OTLP five and values that may nest further.
const maxDepth = 16

// Sizes of what decoding makes. A repeated field grows by doubling, which leaves
// as much garbage behind as it keeps.
const (
	stringBytes   = 2 * 16
	bytesBytes    = 2 * 24
	pointerBytes  = 2 * 8
	mapEntryBytes = 160
)

// shape is what is known of the fields of a message type.
type shape struct {
	size   int64        // of the Go struct
	fields []fieldShape // by number
}

// maxNumber is the largest number of a field.
const maxNumber = 1000

// field returns the shape of a field, nil when it is not known.
func (s *shape) field(n protowire.Number) *fieldShape {
	if int(n) >= len(s.fields) || s.fields[n].name == "" {
		return nil
	}
	return &s.fields[n]
}

type fieldShape struct {
	name    string
	element int64 // of a repeated field, 0 otherwise
	message *shape
	isMap   bool
	scalar  scalar
}

// scalar says how many numbers a packed field has.
type scalar uint8

// A field is of something else than numbers, or of numbers as varints or of fixed size.
const (
	noScalar scalar = iota
	varint
	fixed
)

var shapes sync.Map // of protoreflect.FullName to *shape

// shapeOf returns the shape of a message type.
func shapeOf(m protoreflect.MessageType) *shape {
	name := m.Descriptor().FullName()
	if s, ok := shapes.Load(name); ok {
		return s.(*shape) //nolint:forcetypeassert // the map holds nothing else
	}
	s := makeShape(m, make(map[protoreflect.FullName]*shape))
	shapes.Store(name, s)
	return s
}

// makeShape makes the shape of a message type. made are those of the types around
// it: a message may hold others of its own type.
func makeShape(m protoreflect.MessageType, made map[protoreflect.FullName]*shape) *shape {
	name := m.Descriptor().FullName()
	if s := made[name]; s != nil {
		return s
	}
	zero := m.New()
	s := &shape{size: int64(reflect.TypeOf(zero.Interface()).Elem().Size())} //nolint:gosec // a small number
	made[name] = s
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		f := fieldShape{name: string(fd.Name()), isMap: fd.IsMap()}
		switch {
		case f.isMap:
			f.element = mapEntryBytes
		case fd.Kind() == protoreflect.MessageKind && fd.IsList():
			f.message = makeShape(zero.NewField(fd).List().NewElement().Message().Type(), made)
			f.element = pointerBytes + f.message.size
		case fd.Kind() == protoreflect.MessageKind:
			f.message = makeShape(zero.NewField(fd).Message().Type(), made)
		case fd.IsList():
			f.element, f.scalar = element(fd.Kind())
		}
		n := int(fd.Number())
		if n > maxNumber {
			panic(fmt.Sprintf("field %s of %s has the number %d", f.name, name, n)) // of a schema, not of data
		}
		if n >= len(s.fields) {
			s.fields = append(s.fields, make([]fieldShape, n+1-len(s.fields))...)
		}
		s.fields[n] = f
	}
	return s
}

// element returns what an element of a repeated field takes, and how it is packed.
func element(k protoreflect.Kind) (int64, scalar) {
	switch k {
	case protoreflect.StringKind:
		return stringBytes, noScalar
	case protoreflect.BytesKind:
		return bytesBytes, noScalar
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return 4, fixed
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return 8, fixed
	case protoreflect.Uint32Kind, protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.EnumKind, protoreflect.BoolKind:
		return 4, varint
	default:
		return 8, varint
	}
}

// measure charges the meter with what decoding b as a message like m would make.
func measure(b []byte, m proto.Message, meter *meter) error {
	s := shapeOf(m.ProtoReflect().Type())
	if err := meter.charge("request", 1, s.size); err != nil {
		return err
	}
	return s.measure(b, meter, 0)
}

func (s *shape) measure(b []byte, meter *meter, depth int) error {
	if depth > maxDepth {
		return errWire
	}
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		f := s.field(number)
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
				return errWire
			}
			if f != nil && f.element > 0 { // not packed: grows one by one
				if err := meter.charge(f.name, 1, 2*f.element); err != nil {
					return err
				}
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if f == nil {
			continue // is not decoded
		}
		if err := f.measure(v, meter, depth); err != nil {
			return err
		}
	}
	return nil
}

// measure charges one length-delimited value of a field.
func (f *fieldShape) measure(v []byte, meter *meter, depth int) error {
	switch {
	case f.isMap:
		return meter.charge(f.name, 1, f.element+int64(len(v)))
	case f.message != nil:
		if err := meter.charge(f.name, 1, max(f.element, f.message.size)); err != nil {
			return err
		}
		return f.message.measure(v, meter, depth+1)
	case f.scalar == fixed:
		return meter.charge(f.name, 1, int64(len(v)))
	case f.scalar == varint:
		n := 0
		for _, c := range v {
			if c < 0x80 { // the last byte of one
				n++
			}
		}
		return meter.charge(f.name, n, f.element)
	default: // a text, alone or as an element
		return meter.charge(f.name, 1, f.element+int64(len(v)))
	}
}
