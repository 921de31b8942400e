// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/support/hostile"
)

// idPattern finds the IDs in the JSON of the library, which writes them as base64.
var idPattern = regexp.MustCompile(`"(traceId|spanId|profileId|trace_id|span_id|profile_id)":\s*"([^"]*)"`)

// toJSON returns a request as OTLP's JSON.
func toJSON(t testing.TB, r *collector.ExportProfilesServiceRequest, o protojson.MarshalOptions) []byte {
	t.Helper()
	data, err := o.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return idPattern.ReplaceAllFunc(data, func(b []byte) []byte {
		m := idPattern.FindSubmatch(b)
		id, err := base64.StdEncoding.DecodeString(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "%q: %q", m[1], strings.ToUpper(hex.EncodeToString(id)))
	})
}

// TestJSON reads every field of a request, under both of its names.
func TestJSON(t *testing.T) {
	t.Parallel()
	for _, r := range []*collector.ExportProfilesServiceRequest{full(), testRequest().r, {}} {
		for _, o := range []protojson.MarshalOptions{{}, {UseProtoNames: true}, {EmitUnpopulated: true}, {Multiline: true}} {
			sameInJSON(t, r, toJSON(t, r, o))
		}
	}
}

// sameInJSON reads a request as structs and as JSON, which must come to the same.
func sameInJSON(t *testing.T, r *collector.ExportProfilesServiceRequest, data []byte) {
	t.Helper()
	want, err := ReadStructs(r, testOptions(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Release()
	got, err := ReadJSON(data, testOptions(len(data)))
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	defer got.Release()
	if d := differ(&want.message, &got.message); d != "" {
		t.Fatalf("%s (-structs +JSON):\n%s", data, d)
	}
}

// TestJSONForms reads what is unusual or wrong, and names what is wrong.
func TestJSONForms(t *testing.T) {
	t.Parallel()
	profile := func(s string) string { return `{"resourceProfiles":[{"scopeProfiles":[{"profiles":[` + s + `]}]}]}` }
	sample := func(s string) string { return profile(`{"samples":[` + s + `]}`) }
	const at = "resource_profiles[0].scope_profiles[0].profiles[0]"
	value := func(s string) string { return `{"dictionary":{"attributeTable":[{"value":` + s + `}]}}` }
	for _, c := range []struct{ data, field string }{
		{`{}`, ""},
		{" \t\r\n{ } \n", ""},
		{``, "request"},
		{`null`, "request"},
		{`[]`, "request"},
		{`{}{}`, "request"},
		{`{`, "request"},
		{`{"a"`, "request"},
		{`{"a":}`, "request"},
		{`{"a":1,}`, "request"},
		{`{a:1}`, "request"},
		{`{"resourceProfiles":null,"dictionary":null}`, ""},
		{`{"resourceProfiles":[null]}`, "resource_profiles[0]"},
		{`{"resourceProfiles":{}}`, "resource_profiles"},
		{`{"resourceProfiles":[],"resource_profiles":[]}`, "resource_profiles"},
		{`{"unknown":{"a":[1,-2.5e+7,true,false,null,"\u00e9\ud83d\ude00\n",{"b":{}}]}}`, ""},
		{`{"unknown":tru}`, "request"},
		{`{"unknown":truex}`, "request"},
		{`{"unknown":01}`, "request"},
		{`{"unknown":1.}`, "request"},
		{`{"unknown":"\x"}`, "request"},
		{`{"unknown":"\ud83d"}`, "request"},
		{`{"unknown":"` + "\xff" + `"}`, "request"},
		{`{"unknown":"` + "\n" + `"}`, "request"},
		{`{"unknown":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, ""},
		{`{"unknown":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "request"},
		{`{"dictionary":{"stringTable":["",1]}}`, "dictionary.string_table[1]"},
		{`{"dictionary":{"string\u0054able":["","a\u0000b"]}}`, ""},
		{`{"dictionary":{"linkTable":[{"traceId":"0g"}]}}`, "dictionary.link_table[0].trace_id"},
		{`{"dictionary":{"linkTable":[{"spanId":"abc"}]}}`, "dictionary.link_table[0].span_id"},
		{`{"dictionary":{"linkTable":[{"traceId":"","spanId":"aAbB"}]}}`, ""},
		{value(`{"stringValue":"a"}`), ""},
		{value(`{"stringValue":"a","intValue":1}`), "dictionary.attribute_table[0].value.int_value"},
		{value(`{"boolValue":"true"}`), "dictionary.attribute_table[0].value.bool_value"},
		{value(`{"doubleValue":"NaN"}`), ""},
		{value(`{"doubleValue":"-Infinity"}`), ""},
		{value(`{"doubleValue":1e999}`), "dictionary.attribute_table[0].value.double_value"},
		{value(`{"bytesValue":"_-8"}`), ""},
		{value(`{"bytesValue":"_"}`), "dictionary.attribute_table[0].value.bytes_value"},
		{value(strings.Repeat(`{"arrayValue":{"values":[`, 8) + strings.Repeat(`]}}`, 8)), "request"},
		{profile(`{"timeUnixNano":"18446744073709551615","durationNano":1.5e3,"period":"-9223372036854775808"}`), ""},
		{profile(`{"timeUnixNano":18446744073709551616}`), at + ".time_unix_nano"},
		{profile(`{"timeUnixNano":-1}`), at + ".time_unix_nano"},
		{profile(`{"durationNano":0.5}`), at + ".duration_nano"},
		{profile(`{"durationNano":""}`), at + ".duration_nano"},
		{profile(`{"durationNano":" 1"}`), at + ".duration_nano"},
		{profile(`{"period":"--0"}`), at + ".period"},
		{profile(`{"period":9223372036854775808}`), at + ".period"},
		{profile(`{"period":1e400000000000000000000}`), at + ".period"},
		{sample(`{"stackIndex":2147483648}`), at + ".samples[0].stack_index"},
		{sample(`{"stackIndex":-2147483648,"linkIndex":"3","values":["1",2,3e0]}`), ""},
		{sample(`{"values":[1,"x"]}`), at + ".samples[0].values[1]"},
		{sample(`{"values":[1 2]}`), at + ".samples[0].values"},
		{profile(`{"sample":[{}]}`), "request"}, // OTLP 1.8
		{profile(`{"sample":null}`), ""},
		{profile(`{"timeNanos":"1"}`), "request"}, // OTLP 1.7
		{`{"dictionary":{"locationTable":[{"line":[]}]}}`, "request"},
	} {
		m, err := ReadJSON([]byte(c.data), testOptions(len(c.data)))
		var field *FieldError
		switch {
		case err == nil:
			m.Release()
			if c.field != "" {
				t.Errorf("%q is taken", c.data)
			}
		case !errors.As(err, &field) || field.Field != c.field || field.Description == "":
			t.Errorf("%q: %v, want field %q", c.data, err, c.field)
		}
	}
}

// TestJSONCharge charges before it makes anything, whatever a text is made of.
func TestJSONCharge(t *testing.T) {
	for _, data := range []string{
		`{"dictionary":{"stringTable":["` + strings.Repeat("x", 1<<20) + `"]}}`,
		`{"unknown":"` + strings.Repeat(`\n`, 1<<20) + `"}`,
		`{"dictionary":{"stackTable":[{"locationIndices":[` + strings.Repeat("-1,", 1<<20) + `0]}]}}`,
	} {
		o, _ := chargedOptions(len(data), 256<<10)
		b := []byte(data)
		hostile.Bound(t, 0, 1, func() {
			if _, err := ReadJSON(b, o); !errors.Is(err, errNoMemory) {
				t.Errorf("%.40s: %v", data, err)
			}
		})
	}
}

// FuzzJSON reads any bytes as the library does, which is told that IDs are base64.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"resourceProfiles":[{"resource":{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1e2"}]}}}]}}]}`))
	f.Add([]byte(`{"dictionary":{"stringTable":["","\ud83d\ude00"],"mappingTable":[{"memoryStart":"1","attributeIndices":[0,-1]}]},"x":[{}]}`))
	for _, rp := range full().ResourceProfiles {
		f.Add(toJSON(f, &collector.ExportProfilesServiceRequest{ResourceProfiles: []*profiles.ResourceProfiles{rp}}, protojson.MarshalOptions{}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadJSON(data, testOptions(len(data)))
		if err == nil {
			defer m.Release()
		}
		var field *FieldError
		if err != nil && (!errors.As(err, &field) || field.Field == "" || field.Description == "") {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(data)), "id") || strings.Contains(string(data), `\`) {
			return // IDs are written otherwise, also when their name has escapes
		}
		var r collector.ExportProfilesServiceRequest
		theirs := protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 1000}.Unmarshal(data, &r)
		switch {
		case err == nil && theirs != nil:
			t.Fatalf("the library refuses it: %v: %q", theirs, data)
		case err == nil:
			want, err := ReadStructs(&r, testOptions(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			defer want.Release()
			if d := differ(&want.message, &m.message); d != "" {
				t.Fatalf("%q (-library +ours):\n%s", data, d)
			}
		case theirs == nil && err != nil && !strings.Contains(err.Error(), "deeper") && !errors.Is(err, ErrOldLayout):
			t.Fatalf("the library takes it: %v: %q", err, data)
		}
	})
}

// TestJSONOfCollector reads what versions of the Collector write as JSON like what
// they write as protocol buffers. Names of OTLP 1.9 are those of today.
func TestJSONOfCollector(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v0.159.0", "v0.162.0"} {
		for _, form := range []string{"data", "request"} {
			name := filepath.Join("testdata", "pdata", version+"-"+form)
			data, err := os.ReadFile(name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(name + ".bin")
			if err != nil {
				t.Fatal(err)
			}
			var r collector.ExportProfilesServiceRequest
			if err := proto.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
			got, err := ReadJSON(data, testOptions(len(data)))
			if err != nil {
				t.Fatal(name, err)
			}
			want, err := ReadStructs(&r, testOptions(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			x, y := definedBy(t, want), definedBy(t, got)
			if x != y {
				t.Errorf("%s: protocol buffer %s, JSON %s", name, x, y)
			}
			want.Release()
			got.Release()
		}
	}
}

// definedBy returns what becomes of a message, as text.
func definedBy(t *testing.T, m *Message) string {
	t.Helper()
	in, err := m.Decode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v %+v %+v", in.Batch, definitions(t, in, nil), in.Hosts)
}
