// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/support/hostile"
)

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestDecode(t *testing.T) {
	want := valid().ExportProfilesServiceRequest
	data := encoded(t, want)
	text := []byte(strings.NewReplacer(
		`"AQEBAQEBAQEBAQEBAQEBAQ=="`, `"`+strings.Repeat("01", 16)+`"`, `"AgICAgICAgI="`, `"`+strings.Repeat("02", 8)+`"`,
		`"AwMDAwMDAwMDAwMDAwMDAw=="`, `"`+strings.Repeat("03", 16)+`"`,
	).Replace(protojson.Format(want)))
	if !bytes.Contains(text, []byte(strings.Repeat("03", 16))) {
		t.Fatalf("no IDs in hexadecimal: %s", text)
	}
	withMore := bytes.Replace(text, []byte("{"), []byte(`{"more": {"x": [1]},`), 1)
	for name, in := range map[string][]byte{
		"protocol buffer": data, "gzip": zipped(data), "zstd": zstandard(t, data), "JSON": text, "JSON, zipped": zipped(text),
		"JSON after spaces": append([]byte("\n\t "), text...), "JSON with unknown fields": withMore,
		"ProfilesData": encoded(t, &profiles.ProfilesData{ResourceProfiles: want.ResourceProfiles, Dictionary: want.Dictionary}),
	} {
		got, err := Decode(in, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !proto.Equal(want, got) {
			t.Errorf("%s: got %v\nwant %v", name, got, want)
		}
	}
}

// TestBrace checks a protocol buffer that begins as JSON does, with a line feed and a brace.
func TestBrace(t *testing.T) {
	want := &collector.ExportProfilesServiceRequest{ResourceProfiles: []*profiles.ResourceProfiles{{SchemaUrl: strings.Repeat("x", '{'-2)}}}
	data := encoded(t, want)
	if !bytes.HasPrefix(data, []byte("\n{")) {
		t.Fatalf("begins with %q", data[:2])
	}
	if got, err := Decode(data, Limits{}); err != nil || !proto.Equal(want, got) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCheckBytes(t *testing.T) {
	data := encoded(t, valid().ExportProfilesServiceRequest)
	notText := bytes.Replace(data, []byte("main"), []byte("m\xffin"), 1)
	for name, test := range map[string]struct {
		data []byte
		l    Limits
		want string
	}{
		"valid":         {data, Limits{}, ""},
		"torn":          {data[:len(data)-3], Limits{}, "error decode: message: decode protocol buffer"},
		"text":          {[]byte("hello"), Limits{}, "error decode: message: decode protocol buffer"},
		"torn gzip":     {zipped(data)[:20], Limits{}, "error decode: message: decompress: unexpected EOF"},
		"not gzip":      {[]byte{0x1f, 0x8b, 1}, Limits{}, "error decode: message: decompress gzip: "},
		"not zstd":      {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff}, Limits{}, "error decode: message: decompress: "},
		"JSON":          {[]byte(`{"resourceProfiles": 1}`), Limits{}, "error decode: message: decode JSON: "},
		"bomb":          {zipped(make([]byte, 1<<20)), Limits{MaxBytes: 1 << 10}, "error size: message: too large: more than 1024 bytes"},
		"zstd bomb":     {zstandard(t, make([]byte, 1<<20)), Limits{MaxBytes: 1 << 10}, "error size: message: too large: more than 1024 bytes"},
		"many messages": {bytes.Repeat([]byte{10, 0}, 1<<10), Limits{MaxMemory: 100 << 10}, "error size: message: too large: its structures would take about "},
		"many objects":  {[]byte(`{"resourceProfiles": [` + strings.Repeat("{},", 1<<10) + `{}]}`), Limits{MaxMemory: 100 << 10}, "error size: message: too large: its structures"},
		"not UTF-8":     {notText, Limits{}, "error utf8: message: decode protocol buffer: "},
	} {
		r := CheckBytes(test.data, test.l, Options{})
		if test.want == "" {
			if r.Err() != nil {
				t.Errorf("%s: %v", name, r.Err())
			}
		} else if len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0].String(), test.want) {
			t.Errorf("%s: %v, want %s", name, r.Err(), test.want)
		}
	}
}

// nested is a value in lists in lists.
func nested(depth int) []byte {
	b := []byte{0x18, 1}
	for range depth {
		b = protowire.AppendBytes([]byte{0x0a}, b) // of values
		b = protowire.AppendBytes([]byte{0x2a}, b) // array_value
	}
	return b
}

func FuzzCheck(f *testing.F) {
	f.Add(encoded(f, valid().ExportProfilesServiceRequest))
	for _, b := range breaks {
		m := valid()
		b.spoil(m)
		if data, err := proto.Marshal(m.ExportProfilesServiceRequest); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte(protojson.Format(valid().ExportProfilesServiceRequest)))
	f.Add(zipped(encoded(f, valid().ExportProfilesServiceRequest)))
	f.Add(zstandard(f, encoded(f, valid().ExportProfilesServiceRequest)))
	f.Add(message(0x12, message(0x32, message(0x12, nested(100)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := Limits{MaxBytes: 1 << 20, MaxMemory: 16 << 20}
		plain, err := decompressed(data, l.MaxBytes)
		if err != nil {
			plain = nil
		}
		const decoders = 24 << 20 // what decompressing takes
		hostile.Bound(t, decoders+int(l.MaxMemory)+256*len(plain), 2, func() {
			r := CheckBytes(data, l, Options{})
			n := 0
			for rule, count := range r.Counts {
				n += count
				if rule == "" || count < 1 {
					t.Errorf("%d findings of %q", count, rule)
				}
			}
			if n != r.Errors+r.Warnings || len(r.Findings) > DefaultPerRule*len(r.Counts) {
				t.Errorf("%d findings shown, %d counted by rule, %d errors and %d warnings", len(r.Findings), n, r.Errors, r.Warnings)
			}
		})
	})
}

// message is a field of a message.
func message(tag byte, b []byte) []byte { return protowire.AppendBytes([]byte{tag}, b) }

// TestMany checks that large messages take time and memory in proportion.
func TestMany(t *testing.T) {
	const n = 1 << 16
	m := valid()
	list := make([]int32, n)
	for i := range list {
		list[i] = 4
	}
	m.q.Samples[0].AttributeIndices = list
	m.p.Samples[0].TimestampsUnixNano = make([]uint64, n)
	for range n {
		m.d.StringTable = append(m.d.StringTable, "same")
		m.d.StackTable = append(m.d.StackTable, &profiles.Stack{LocationIndices: []int32{1}})
		m.resource.Attributes = append(m.resource.Attributes, &common.KeyValue{Key: "x"})
		m.p.Samples = append(m.p.Samples, &profiles.Sample{StackIndex: -1})
	}
	hostile.Bound(t, n, 2000, func() {
		if r := Check(m, Options{}); r.Errors < 3*n {
			t.Errorf("%d errors", r.Errors)
		}
	})
}

// TestLongText checks that a text is not read again wherever something refers to it.
func TestLongText(t *testing.T) {
	const n = 1 << 14
	m := valid()
	m.d.StringTable = append(m.d.StringTable, strings.Repeat("f", 32<<20))
	long := int32(len(m.d.StringTable) - 1)
	for range n {
		m.d.AttributeTable = append(m.d.AttributeTable,
			&profiles.KeyValueAndUnit{KeyStrindex: long, UnitStrindex: long}, &profiles.KeyValueAndUnit{KeyStrindex: 7, Value: refValue(long)},
			&profiles.KeyValueAndUnit{KeyStrindex: 9, Value: refValue(long)})
		m.resource.Attributes = append(m.resource.Attributes, &common.KeyValue{KeyStrindex: long})
	}
	hostile.Bound(t, n, 8000, func() {
		if r := Check(m, Options{}); r.Errors < n {
			t.Errorf("%d errors", r.Errors)
		}
	})
}

func TestErrTooLarge(t *testing.T) {
	if _, err := Decode(make([]byte, 10), Limits{MaxBytes: 9}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}
