// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// field returns a field of bytes: those of the parts, one after the other.
func field(number protowire.Number, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), all)
}

// num returns a field with a number.
func num(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

// packed returns a field of numbers.
func packed(number protowire.Number, values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, v)
	}
	return field(number, b)
}

func times(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendFixed64(b, v)
	}
	return field(5, b)
}

// oldRequests are requests in layouts of before, as their schemas have them.
func oldRequests() map[string][]byte {
	dictionary := field(2, field(5), field(5, []byte("samples")), field(5, []byte("count")), field(7), field(7, packed(1, 0)))
	request := func(profile ...[]byte) []byte { return append(field(1, field(2, field(2, profile...))), dictionary...) }
	typ := field(1, num(1, 1), num(2, 2))
	now := protowire.AppendFixed64(protowire.AppendTag(nil, 3, protowire.Fixed64Type), uint64(testNow))
	return map[string][]byte{
		"1.9, values":                         request(typ, now, field(2, num(1, 1), packed(2, 5))),
		"1.9, values of nanoseconds, times":   request(typ, now, field(2, num(1, 1), packed(2, 900000, 70000), times(uint64(testNow), uint64(testNow)))),
		"1.9, values that are all 1, times":   request(typ, now, field(2, num(1, 1), packed(2, 0, 0), times(uint64(testNow), uint64(testNow)))),
		"1.9, values, attributes":             request(typ, now, field(2, num(1, 1), packed(2, 0), packed(3, 0))),
		"1.9, attributes, times":              request(typ, now, field(2, num(1, 1), packed(3, 0), times(uint64(testNow)))),
		"1.8, an ID":                          request(typ, now, field(8, make([]byte, 16))),
		"1.8, an ID and attributes of sample": request(typ, now, field(2, packed(3, 0)), field(8, make([]byte, 16))),
		"1.7":                                 request(typ, field(2, num(2, 1), packed(3, 1)), packed(3, 0), num(4, uint64(testNow)), num(5, 1), field(6, num(1, 1)), num(7, 1)),
		"1.7, no samples":                     request(typ, num(4, uint64(testNow)), num(5, 1000)),
		"1.5":                                 field(1, field(2, field(2, typ, field(3), field(10), field(13)))),
	}
}

// TestOldLayouts refuses requests of OTLP 1.9 and before, and says so.
func TestOldLayouts(t *testing.T) {
	t.Parallel()
	requests := oldRequests()
	for _, form := range []string{"data.bin", "request.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", "pdata", "v0.147.0-"+form))
		if err != nil {
			t.Fatal(err)
		}
		requests["Collector v0.147.0, "+form] = data
	}
	for name, data := range requests {
		m, err := Read(data, testOptions(len(data)))
		if err == nil {
			_, err = m.Decode(nil)
		}
		var e *FieldError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "send OTLP 1.10 or later") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoOldLayout has samples that are like those of before and yet are of today.
func TestNoOldLayout(t *testing.T) {
	t.Parallel()
	at := uint64(testNow)
	for name, s := range map[string]*profiles.Sample{
		"an attribute and a time":     {StackIndex: 1, AttributeIndices: []int32{1}, TimestampsUnixNano: []uint64{at}},
		"attributes and times":        {StackIndex: 1, AttributeIndices: []int32{1, 2, 3}, TimestampsUnixNano: []uint64{at, at, at}},
		"attributes, values":          {StackIndex: 1, AttributeIndices: []int32{1}, Values: []int64{1}},
		"attributes, values, times":   {StackIndex: 1, AttributeIndices: []int32{2}, Values: []int64{1}, TimestampsUnixNano: []uint64{at}, LinkIndex: 1},
		"the same twice, with values": {StackIndex: 1, AttributeIndices: []int32{2, 2}, Values: []int64{1, 1}, TimestampsUnixNano: []uint64{at, at}},
	} {
		b := testRequest()
		p := b.r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0]
		p.Samples, p.ProfileId, p.DroppedAttributesCount, p.OriginalPayloadFormat, p.OriginalPayload = []*profiles.Sample{s}, make([]byte, 16), 3, "x", []byte("y")
		if _, err := decode(t, b.r, testOptions(1000)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range []*collector.ExportProfilesServiceRequest{full(), testRequest().r} {
		data, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(data, testOptions(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
}
