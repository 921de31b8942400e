// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSON of OTLP is rewritten as what the wire format would be, which is then read like
// any other request: whatever holds for one holds for the other. The rewriting makes
// nothing but bytes, at most ten for each of JSON, which are charged before.

// maxJSONDepth bounds how deep objects and lists nest, of what is skipped too.
const maxJSONDepth = 64

// jsonError says where a text is no JSON, or not that of a request.
type jsonError struct {
	field string // "" for the request itself
	what  string
	at    int
}

// Error implements error.
func (e *jsonError) Error() string { return fmt.Sprintf("%s (at byte %d of the JSON)", e.what, e.at) }

// in puts the name of a field before that of an error of something in it.
func in(field string, err error) error {
	if e, ok := errors.AsType[*jsonError](err); ok {
		switch {
		case e.field == "" || e.field[0] == '[':
			e.field = field + e.field
		default:
			e.field = field + "." + e.field
		}
	}
	return err
}

// ReadJSON reads a request of OTLP's JSON, like [Read]. The bytes are not needed
// afterwards. The error is a [FieldError] or that of Options.Charge.
func ReadJSON(data []byte, o *Options) (*Message, error) {
	return read(o, func(m *message) error {
		j := jsonReader{jsonScanner: jsonScanner{data: data}, grow: m.grow, out: m.arena[:0]}
		j.charge = func(bytes int) error {
			if o.Charge == nil {
				return nil
			}
			return o.Charge("request", 1, int64(bytes))
		}
		err := j.request()
		m.arena = j.out
		if err == nil {
			err = m.wire(j.out)
		}
		var at *jsonError
		switch {
		case errors.As(err, &at) && at.field == "":
			return &FieldError{Field: "request", Description: at.Error()}
		case errors.As(err, &at):
			return &FieldError{Field: at.field, Description: at.Error()}
		case errors.Is(err, ErrWire): // the only thing that is left
			return &FieldError{Field: "request", Description: fmt.Sprintf("messages nest deeper than %d", maxDepth)}
		}
		return err
	})
}

// jsonReader rewrites a request.
type jsonReader struct {
	jsonScanner
	grow func(t table, n, more int) error
	out  []byte
}

// room makes sure that n more bytes were charged.
func (j *jsonReader) room(n int) error { return j.grow(arenaTable, len(j.out), n) }

// request rewrites all of the JSON.
func (j *jsonReader) request() error {
	j.space()
	if err := j.message(jsonRequest()); err != nil {
		return err
	}
	if j.space(); j.at < len(j.data) {
		return j.wrong("there is something after the request")
	}
	return nil
}

// message rewrites an object.
func (j *jsonReader) message(m *jsonMessage) error {
	var seen uint64 // by place
	oneOf := false
	return j.object(func(key []byte) error {
		f := m.fields[string(key)]
		switch {
		case j.literal("null"): // as if it were not there
			return nil
		case f == nil && m.gone[string(key)]:
			return ErrOldLayout
		case f == nil:
			return j.skip()
		case seen&(1<<f.place) != 0:
			return in(f.name, j.wrong("is there twice"))
		case f.oneOf && oneOf:
			return in(f.name, j.wrong("is the second of fields of which there may be one"))
		}
		seen |= 1 << f.place
		oneOf = oneOf || f.oneOf
		return in(f.name, j.field(f))
	})
}

// field rewrites the value of a field.
func (j *jsonReader) field(f *jsonField) error {
	switch {
	case f.list && f.packed():
		return j.long(f, func() error {
			return j.array(func(i int) error { return element(i, j.scalar(f)) })
		})
	case f.list:
		return j.array(func(i int) error { return element(i, j.single(f)) })
	default:
		return j.single(f)
	}
}

// element puts the place in a list before the name of a field.
func element(i int, err error) error {
	if err == nil {
		return nil
	}
	return in(fmt.Sprintf("[%d]", i), err)
}

// packed reports whether a list is one field of numbers.
func (f *jsonField) packed() bool {
	return f.message == nil && f.kind != protoreflect.StringKind && f.kind != protoreflect.BytesKind
}

// single rewrites a value with its tag.
func (j *jsonReader) single(f *jsonField) error {
	switch {
	case f.message != nil:
		return j.long(f, func() error { return j.message(f.message) })
	case !f.packed():
		return j.long(f, func() error { return j.text(f) })
	}
	if err := j.room(protowire.SizeTag(f.number)); err != nil {
		return err
	}
	j.out = protowire.AppendTag(j.out, f.number, wireType(f.kind))
	return j.scalar(f)
}

// long rewrites what has a length before it, which is known in the end.
func (j *jsonReader) long(f *jsonField, write func() error) error {
	const most = 10 + 10 // of a tag and a length
	if err := j.room(most); err != nil {
		return err
	}
	j.out = protowire.AppendTag(j.out, f.number, protowire.BytesType)
	begin := len(j.out) + 1
	j.out = append(j.out, 0)
	if err := write(); err != nil {
		return err
	}
	n := uint64(len(j.out) - begin) //nolint:gosec // a byte was added, and write only adds
	if n >= 1<<7 {
		// The length has more than one byte.
		if err := j.room(most); err != nil {
			return err
		}
		more := protowire.SizeVarint(n) - 1
		j.out = append(j.out, make([]byte, more)...)
		copy(j.out[begin+more:], j.out[begin:])
	}
	protowire.AppendVarint(j.out[:begin-1], n)
	return nil
}

// wireType returns the type of a number in the wire format.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	default:
		return protowire.VarintType
	}
}
