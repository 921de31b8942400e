// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar rewrites a number or a boolean.
func (j *jsonReader) scalar(f *jsonField) error {
	const most = 10
	if err := j.room(most); err != nil {
		return err
	}
	if f.kind == protoreflect.BoolKind {
		switch {
		case j.literal("true"):
			j.out = append(j.out, 1)
		case j.literal("false"):
			j.out = append(j.out, 0)
		default:
			return j.wrong("is neither true nor false")
		}
		return nil
	}
	at := j.at
	text, quoted, err := j.number()
	if err != nil {
		return err
	}
	v, ok := uint64(0), false
	switch f.kind {
	case protoreflect.Int32Kind:
		v, ok = signed(text, math.MaxInt32)
	case protoreflect.Int64Kind:
		v, ok = signed(text, math.MaxInt64)
	case protoreflect.Uint32Kind:
		v, ok = unsigned(text, math.MaxUint32)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		v, ok = unsigned(text, math.MaxUint64)
	case protoreflect.DoubleKind:
		v, ok = double(text, quoted)
	default: // the schema has no other
	}
	if !ok {
		j.at = at
		return j.wrong("is not a number of the type " + f.kind.String())
	}
	if wireType(f.kind) == protowire.Fixed64Type {
		j.out = protowire.AppendFixed64(j.out, v)
	} else {
		j.out = protowire.AppendVarint(j.out, v)
	}
	return nil
}

// text rewrites a text or bytes.
func (j *jsonReader) text(f *jsonField) error {
	at := j.at
	s, err := j.string()
	if err != nil {
		return err
	}
	if err := j.room(len(s)); err != nil {
		return err
	}
	switch {
	case f.kind == protoreflect.StringKind:
		j.out = append(j.out, s...)
	case f.hex:
		if j.out, err = hex.AppendDecode(j.out, s); err != nil {
			j.at = at
			return j.wrong("is not of hexadecimal digits, two for each byte")
		}
	default:
		if j.out, err = base64Of(s).AppendDecode(j.out, s); err != nil {
			j.at = at
			return j.wrong("is not of base64")
		}
	}
	return nil
}

// base64Of returns which of its forms a text has.
func base64Of(s []byte) *base64.Encoding {
	e := base64.StdEncoding
	if bytes.ContainsAny(s, "-_") {
		e = base64.URLEncoding
	}
	if len(s)%4 != 0 {
		e = e.WithPadding(base64.NoPadding)
	}
	return e
}

// double reads a number with a fraction.
func double(text []byte, quoted bool) (bits uint64, ok bool) {
	if quoted {
		switch string(text) {
		case "NaN":
			return math.Float64bits(math.NaN()), true
		case "Infinity":
			return math.Float64bits(math.Inf(1)), true
		case "-Infinity":
			return math.Float64bits(math.Inf(-1)), true
		}
	}
	if numberEnd(text, 0) != len(text) {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return math.Float64bits(v), err == nil
}

// signed reads a whole number whose largest is most.
func signed(text []byte, most uint64) (v uint64, ok bool) {
	v, negative, ok := integer(text)
	if negative {
		return -v, ok && v <= most+1
	}
	return v, ok && v <= most
}

// unsigned reads a whole number that is not negative.
func unsigned(text []byte, most uint64) (v uint64, ok bool) {
	v, negative, ok := integer(text)
	return v, ok && v <= most && (!negative || v == 0)
}

// integer reads a whole number, which may be written as 1.50e1, and its sign.
func integer(text []byte) (v uint64, negative, ok bool) {
	if len(text) == 0 || numberEnd(text, 0) != len(text) {
		return 0, false, false
	}
	if text[0] == '-' {
		negative, text = true, text[1:]
	}
	if bytes.ContainsAny(text, ".eE") {
		text = whole(text)
	}
	v, err := strconv.ParseUint(string(text), 10, 64)
	return v, negative, err == nil
}

// whole returns the digits of a number with a fraction or an exponent, nil when it is
// not a whole one or has too many.
func whole(text []byte) []byte {
	mantissa, exponent := text, 0
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(text[i+1:])); err != nil {
			return nil
		}
		mantissa = text[:i]
	}
	before, after, _ := bytes.Cut(mantissa, []byte("."))
	digits := bytes.TrimLeft(slices.Concat(before, after), "0")
	exponent -= len(after)
	for ; len(digits) > 0 && digits[len(digits)-1] == '0'; exponent++ {
		digits = digits[:len(digits)-1]
	}
	const most = 20 // digits of a number of 64 bits
	switch {
	case len(digits) == 0:
		return []byte("0")
	case exponent < 0 || exponent > most || len(digits) > most:
		return nil
	}
	return append(digits, bytes.Repeat([]byte("0"), exponent)...)
}
