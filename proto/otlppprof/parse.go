// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// Limits bound what [Parse] takes. The zero value bounds the size alone.
type Limits struct {
	// MaxBytes is how large the profile may be when it is decompressed; 0: 64 MiB.
	MaxBytes int64
	// MaxSamples bounds the samples times their types, MaxFrames the locations of all
	// samples and what is inlined in locations; 0: not bounded.
	MaxSamples, MaxFrames int
	// Charge is called before anything is decoded with the memory that the profile and what
	// FromPprof makes of it take, in parts. Its error is returned as it is.
	Charge func(bytes int64) error
}

const defaultMaxBytes = 64 << 20

// Texts are hashed wherever something refers to them. Few large ones that much refers to
// would keep a CPU busy for hours.
const (
	textFactor = 256
	textSlack  = 64 << 20
)

// Parse decodes a pprof profile, gzipped or plain, that may be anything. Other formats
// that the tools of pprof read are refused. An error is [ErrTooLarge] for what is above
// a limit, that of Charge, or says what is wrong with the profile.
func Parse(data []byte, l Limits) (*profile.Profile, error) {
	data, err := unzipped(data, l.MaxBytes)
	if err != nil {
		return nil, err
	}
	return ParseUncompressed(data, l)
}

// ParseUncompressed is [Parse] of a profile that is not gzipped, whose size the caller has bounded.
func ParseUncompressed(data []byte, l Limits) (*profile.Profile, error) {
	charge := l.Charge
	if charge == nil {
		charge = func(int64) error { return nil }
	}
	s, err := countParts(data)
	if err != nil {
		return nil, err
	}
	if n := s.Samples * max(s.Types, 1); l.MaxSamples > 0 && n > l.MaxSamples {
		return nil, fmt.Errorf("pprof profile: %w: %d samples, at most %d are allowed", ErrTooLarge, n, l.MaxSamples)
	}
	if n := s.References + s.Lines; l.MaxFrames > 0 && n > l.MaxFrames {
		return nil, fmt.Errorf("pprof profile: %w: %d frames, at most %d are allowed", ErrTooLarge, n, l.MaxFrames)
	}
	parts := s.Memory()
	if err := charge(parts); err != nil {
		return nil, err
	}
	if err := s.addTexts(data); err != nil {
		return nil, err
	}
	if most := textFactor*int64(s.Bytes) + textSlack; s.TextBytes > most {
		return nil, fmt.Errorf("pprof profile: %w: it repeats its texts up to %d bytes, at most %d are allowed", ErrTooLarge, s.TextBytes, most)
	}
	if err := charge(s.Memory() - parts); err != nil {
		return nil, err
	}
	p, err := profile.ParseUncompressed(data)
	if err != nil {
		return nil, fmt.Errorf("decode pprof profile: %w", err)
	}
	if err := p.CheckValid(); err != nil {
		return nil, fmt.Errorf("check pprof profile: %w", err)
	}
	return p, nil
}

// unzipped returns what is gzipped.
func unzipped(data []byte, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = defaultMaxBytes
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("decompress pprof profile: %w", err)
		}
		if data, err = io.ReadAll(io.LimitReader(zr, limit+1)); err != nil {
			return nil, fmt.Errorf("decompress pprof profile: %w", err)
		}
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("pprof profile: %w: more than %d bytes", ErrTooLarge, limit)
	}
	return data, nil
}

// Shape says how much a profile holds.
type Shape struct {
	Bytes, Types, Samples, Values, Labels, Mappings, Locations, Lines, Functions, Strings int
	// References are those of samples to locations.
	References int
	// TextBytes are the lengths of the texts wherever something refers to them.
	TextBytes int64
}

// Memory is about how many bytes a profile and what [FromPprof] makes of it take.
func (s Shape) Memory() int64 {
	n := int64(s.Bytes)*3 + s.TextBytes*2
	for _, part := range [...]struct{ n, bytes int }{
		{s.Samples, 700}, {s.Samples * min(s.Types, MaxSampleTypes), 160}, {s.Types, 300}, {s.Values, 32}, {s.References, 64}, {s.Labels, 900},
		{s.Mappings, 800}, {s.Locations, 800}, {s.Lines, 240}, {s.Functions, 700}, {s.Strings, 160},
	} {
		n += int64(part.n) * int64(part.bytes)
	}
	return n
}

var errNotPprof = errors.New("not a pprof profile in protocol buffer form")

// countParts counts what an encoded profile holds, but for its texts.
func countParts(data []byte) (Shape, error) {
	s := Shape{Bytes: len(data)}
	err := eachField(data, s.count)
	return s, err
}

func (s *Shape) count(field protowire.Number, value []byte, _ uint64) error {
	switch field {
	case 1:
		s.Types++
	case 2:
		s.Samples++
		return eachField(value, func(field protowire.Number, value []byte, _ uint64) error {
			switch field {
			case 1:
				s.References += varints(value)
			case 2:
				s.Values += varints(value)
			case 3:
				s.Labels++
			}
			return nil
		})
	case 3:
		s.Mappings++
	case 4:
		s.Locations++
		return eachField(value, func(field protowire.Number, _ []byte, _ uint64) error {
			if field == 4 {
				s.Lines++
			}
			return nil
		})
	case 5:
		s.Functions++
	case 6:
		s.Strings++
	case 13:
		s.Labels += varints(value) // comments are like them
	}
	return nil
}

// addTexts measures the texts of a profile whose parts were counted. They may come last.
func (s *Shape) addTexts(data []byte) error {
	m := textMeter{lengths: make([]int, 0, s.Strings)}
	if err := eachField(data, func(field protowire.Number, value []byte, _ uint64) error {
		if field == 6 {
			m.lengths = append(m.lengths, len(value))
		}
		return nil
	}); err != nil {
		return err
	}
	err := eachField(data, m.count)
	s.TextBytes = m.bytes
	return err
}

// textMeter adds the lengths of texts.
type textMeter struct {
	lengths []int // by index
	bytes   int64
}

// count adds the lengths of the texts that a field refers to.
func (m *textMeter) count(field protowire.Number, value []byte, _ uint64) error {
	switch field {
	case 1: // a type
		return eachField(value, m.textIn(1, 2))
	case 2: // a sample
		return eachField(value, func(field protowire.Number, value []byte, _ uint64) error {
			if field != 3 { // a label
				return nil
			}
			return eachField(value, m.textIn(1, 2, 4))
		})
	case 3: // a mapping
		return eachField(value, m.textIn(5, 6))
	case 5: // a function
		return eachField(value, m.textIn(2, 3, 4))
	}
	return nil
}

// textIn returns what adds the lengths of the texts that fields refer to.
func (m *textMeter) textIn(fields ...protowire.Number) func(protowire.Number, []byte, uint64) error {
	return func(field protowire.Number, _ []byte, index uint64) error {
		if slices.Contains(fields, field) && index < uint64(len(m.lengths)) {
			m.bytes += int64(m.lengths[index])
		}
		return nil
	}
}

// varints counts the numbers of a packed list; no list is one number.
func varints(packed []byte) int {
	if packed == nil {
		return 1
	}
	n := 0
	for _, b := range packed {
		if b < 0x80 {
			n++
		}
	}
	return n
}

// eachField calls f for each field of a message, with its bytes or, when they are nil, its number.
func eachField(data []byte, f func(field protowire.Number, value []byte, number uint64) error) error {
	for len(data) > 0 {
		field, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errNotPprof
		}
		data = data[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
			if value == nil {
				value = []byte{}
			}
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(field, typ, data)
		default:
			return errNotPprof
		}
		if n < 0 {
			return errNotPprof
		}
		data = data[n:]
		if err := f(field, value, number); err != nil {
			return err
		}
	}
	return nil
}
