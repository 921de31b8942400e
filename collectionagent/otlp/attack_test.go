// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// The tests below send what is small and makes much work, or much memory, of itself.

// attack decodes a request within its bounds.
func attack(t *testing.T, b *build) (in *Request, err error) {
	t.Helper()
	data, err := proto.Marshal(b.r)
	if err != nil {
		t.Fatal(err)
	}
	hostile.Bound(t, len(data), 64, func() {
		var m *Message
		if m, err = Read(data, testOptions(len(data))); err == nil {
			in, err = m.Decode(nil)
		}
	})
	return in, err
}

// TestManyTwins has a scope with many profiles of observations, for each of which
// there may be one in time.
func TestManyTwins(t *testing.T) {
	b := newBuild()
	p := b.profile("samples", "count", 10, nil)
	scope := b.r.ResourceProfiles[0].ScopeProfiles[0]
	scope.Profiles = nil
	p.TimeUnixNano, p.DurationNano = 0, 0
	for range 1 << 17 { // to compare each with each takes long
		scope.Profiles = append(scope.Profiles, p)
	}
	if _, err := attack(t, b); err != nil {
		t.Error(err)
	}
}

// TestCollidingFrames chooses frames by what they have in common.
func TestCollidingFrames(t *testing.T) {
	t.Parallel()
	const n = 1 << 15
	for name, id := range map[string]func(i uint64) libpf.FrameID{
		"halves of IDs that cancel out":    func(i uint64) libpf.FrameID { return libpf.NewFrameID(libpf.NewFileID(i, i), 5) },
		"halves and addresses":             func(i uint64) libpf.FrameID { return libpf.NewFrameID(libpf.NewFileID(i, 0), libpf.AddressOrLineno(i)) },
		"addresses that follow each other": func(i uint64) libpf.FrameID { return libpf.NewFrameID(libpf.NewFileID(1, 2), libpf.AddressOrLineno(i)) },
		"addresses far from each other": func(i uint64) libpf.FrameID {
			return libpf.NewFrameID(libpf.NewFileID(1, 2), libpf.AddressOrLineno(i<<40))
		},
	} {
		var s symbols
		s.reset(n)
		for i := range uint64(n) {
			if _, added := s.add(id(i), int32(i)); !added {
				t.Errorf("%s: %d is there already", name, i)
			}
		}
		longest, run := 0, 0
		for _, place := range s.places {
			if run++; place == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		if longest > 500 {
			t.Errorf("%s: %d places in a row are taken", name, longest)
		}
	}
}

// TestLongBuildIDs has many mappings that share build IDs of 64 KiB, in capital letters.
func TestLongBuildIDs(t *testing.T) {
	for _, key := range []string{otlpkey.BuildIDGNU, otlpkey.BuildIDGo, otlpkey.BuildIDHTLHash} {
		b := newBuild()
		long := b.attribute(key, strings.Repeat("A", 64<<10))
		for range 10_000 {
			b.r.Dictionary.MappingTable = append(b.r.Dictionary.MappingTable, &profiles.Mapping{AttributeIndices: []int32{long, long, long}})
		}
		if in, err := attack(t, b); err != nil || len(in.Notes) != 1 || !strings.Contains(in.Notes[0], "build IDs") {
			t.Error(err, in)
		}
	}
}

// TestLongNames has many functions and mappings that share a name of 64 KiB.
func TestLongNames(t *testing.T) {
	for field, add := range map[string]func(d *profiles.ProfilesDictionary, text int32){
		"dictionary.function_table": func(d *profiles.ProfilesDictionary, text int32) {
			d.FunctionTable = append(d.FunctionTable, &profiles.Function{NameStrindex: text, FilenameStrindex: text})
		},
		"dictionary.mapping_table": func(d *profiles.ProfilesDictionary, text int32) {
			d.MappingTable = append(d.MappingTable, &profiles.Mapping{FilenameStrindex: text})
		},
	} {
		b := newBuild()
		text := b.text(strings.Repeat("x", 64<<10))
		for range 40_000 {
			add(b.r.Dictionary, text)
		}
		_, err := attack(t, b)
		var e *FieldError
		if !errors.As(err, &e) || e.Field != field || !strings.Contains(e.Description, "send it in parts") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestLongKeys has many attributes that share a key of 64 KiB, which is hashed for each.
func TestLongKeys(t *testing.T) {
	for name, add := range map[string]func(b *build, key int32){
		"resource": func(b *build, key int32) {
			r := b.r.ResourceProfiles[0].Resource
			for range 40_000 {
				r.Attributes = append(r.Attributes, &common.KeyValue{KeyStrindex: key, Value: textValue("v")})
			}
		},
		"sample": func(b *build, key int32) {
			a := push(&b.r.Dictionary.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: key, Value: textValue("v")})
			s := b.r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0].Samples[0]
			s.AttributeIndices = slices.Repeat([]int32{a}, 40_000)
		},
	} {
		b := newBuild()
		b.profile("cpu", "nanoseconds", 1, nil, &profiles.Sample{Values: []int64{1}})
		add(b, b.text(strings.Repeat("k", 64<<10)))
		_, err := attack(t, b)
		var e *FieldError
		if !errors.As(err, &e) || !strings.Contains(e.Field, "attributes") || !strings.Contains(e.Description, "send it in parts") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongTypes has many profiles that share a type of 64 KiB.
func TestLongTypes(t *testing.T) {
	b := newBuild()
	p := b.profile(strings.Repeat("a-", 32<<10), strings.Repeat("x", 64<<10), 1, nil, &profiles.Sample{Values: []int64{1}})
	scope := b.r.ResourceProfiles[0].ScopeProfiles[0]
	for range 20_000 {
		scope.Profiles = append(scope.Profiles, p)
	}
	in, err := attack(t, b)
	if err != nil || in.Unsupported != 20_001 || len(in.Notes) != 1 || len(in.Notes[0]) > 500 {
		t.Error(err, in)
	}
}

// TestLongRuntimes has many mappings that share a runtime of 64 KiB.
func TestLongRuntimes(t *testing.T) {
	b := newBuild()
	long := b.attribute(otlpkey.Runtime, strings.Repeat("x", 64<<10))
	for range 40_000 {
		b.r.Dictionary.MappingTable = append(b.r.Dictionary.MappingTable, &profiles.Mapping{AttributeIndices: []int32{long}})
	}
	_, err := attack(t, b)
	var e *FieldError
	if !errors.As(err, &e) || e.Field != "dictionary.mapping_table" || !strings.Contains(e.Description, "send it in parts") {
		t.Error(err)
	}
}

// TestLongDefinitions has definitions that share a text of 64 KiB, which stores write with each:
// memory is asked for as much as is handed over at once.
func TestLongDefinitions(t *testing.T) {
	t.Parallel()
	const n = 512
	long := strings.Repeat("x", 64<<10)
	for name, add := range map[string]func(b *build){
		"files": func(b *build) {
			runtime := b.attribute(otlpkey.Runtime, long)
			for i := range n {
				b.mapping(long, b.attribute(otlpkey.BuildIDHTLHash, fmt.Sprintf("%032x", i+1)), runtime)
			}
		},
		"stacks": func(b *build) {
			for i := range n {
				l := b.location(&profiles.Location{Lines: []*profiles.Line{{FunctionIndex: b.function("f", long), Line: int64(i)}}})
				b.profile("cpu", "nanoseconds", 1, nil, &profiles.Sample{StackIndex: b.stack(l), Values: []int64{1}})
			}
		},
		"one stack": func(b *build) {
			l := b.location(&profiles.Location{Lines: []*profiles.Line{{FunctionIndex: b.function("f", long)}}})
			b.profile("cpu", "nanoseconds", 1, nil, &profiles.Sample{StackIndex: b.stack(slices.Repeat([]int32{l}, n)...), Values: []int64{1}})
		},
	} {
		b := newBuild()
		add(b)
		o, charged := chargedOptions(1<<20, math.MaxInt64)
		in, err := decode(t, b.r, o)
		if err != nil {
			t.Fatal(name, err)
		}
		*charged = 0
		total, most := 0, 0
		err = in.Definitions(nil, func(d *store.Definitions) error {
			n := 0
			for i := range d.Executables {
				n += len(d.Executables[i].FileName) + len(d.Executables[i].Runtime)
			}
			for i := range d.Stacks {
				for _, f := range d.Stacks[i].Frames {
					n += len(f.FunctionName) + len(f.SourceFile)
				}
			}
			total, most = total+n, max(most, n)
			return nil
		})
		if err != nil || total < n*len(long) || *charged < int64(most) || (name != "one stack" && most > chunkBytes+2*len(long)) {
			t.Errorf("%s: %v: %d bytes of text, at once %d, charged %d", name, err, total, most, *charged)
		}
	}
}

// TestLongMetadata has hosts whose metadata share a text of 64 KiB.
func TestLongMetadata(t *testing.T) {
	t.Parallel()
	const hosts, each = 20, 50
	b := newBuild()
	long := b.text(strings.Repeat("x", 64<<10))
	for i := range hosts {
		b.profile("cpu", "nanoseconds", 1, map[string]string{"host.id": fmt.Sprint("h", i)}, &profiles.Sample{Values: []int64{1}})
		r := b.r.ResourceProfiles[i].Resource
		for j := range each {
			r.Attributes = append(r.Attributes, &common.KeyValue{
				KeyStrindex: b.text(fmt.Sprint("os.", j)), Value: &common.AnyValue{Value: &common.AnyValue_StringValueStrindex{StringValueStrindex: long}},
			})
		}
	}
	o, charged := chargedOptions(1<<20, math.MaxInt64)
	in, err := decode(t, b.r, o)
	if least := int64(hosts * each * 64 << 10); err != nil || len(in.Hosts) != hosts || *charged < least {
		t.Errorf("%v: charged %d, of at least %d", err, *charged, least)
	}
}

// TestStructsAreCharged copies texts of a request that did not come as bytes.
func TestStructsAreCharged(t *testing.T) {
	t.Parallel()
	b := newBuild()
	const each = 64 << 10
	b.text(strings.Repeat("x", each))
	b.attribute("a", strings.Repeat("y", each))
	b.profile("cpu", "nanoseconds", 1, map[string]string{"b": strings.Repeat("z", each)})
	o, charged := chargedOptions(1<<20, 3*each)
	if _, err := ReadStructs(b.r, o); !errors.Is(err, errNoMemory) {
		t.Errorf("%v: charged %d", err, *charged)
	}
}

// TestLargeSums has observations of one millisecond whose sum no number of 64 bits holds.
func TestLargeSums(t *testing.T) {
	t.Parallel()
	const n = 1 << 12
	s := &profiles.Sample{}
	for range n {
		s.Values, s.TimestampsUnixNano = append(s.Values, maxValue), append(s.TimestampsUnixNano, uint64(testNow))
	}
	b := newBuild()
	b.profile("cpu", "nanoseconds", 1, nil, s)
	in, err := decode(t, b.r, testOptions(1<<20))
	if err != nil || in.Batch.Weight() == 0 {
		t.Fatal(err)
	}
	for _, s := range in.Batch.Samples {
		if s.Value <= 0 || s.Value > maxValue || s.Count <= 0 || s.Count > maxCount {
			t.Fatalf("%+v", s)
		}
	}
}

// TestHostMetadata keeps as much of a host as the limit says.
func TestHostMetadata(t *testing.T) {
	t.Parallel()
	attributes := map[string]string{"host.name": "alpha"}
	for i := range 20 {
		attributes[fmt.Sprintf("host.x%02d", i)] = "1"
	}
	b := newBuild()
	b.profile("samples", "count", 10, attributes, &profiles.Sample{Values: []int64{1}})
	o := testOptions(1000)
	o.MaxMetadata = 3
	in, err := decode(t, b.r, o)
	if err != nil || len(in.Hosts) != 1 || len(in.Notes) != 1 {
		t.Fatal(err, in)
	}
	for key := range maps.Keys(in.Hosts[0].Metadata) {
		if key > "host.x02" {
			t.Errorf("%s is kept", key)
		}
	}
}
