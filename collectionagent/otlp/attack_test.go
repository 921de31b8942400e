// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
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
	for range 1 << 19 {
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
	for _, key := range []string{keyGNU, keyGo, keyHTLHash} {
		b := newBuild()
		long := b.attribute(key, strings.Repeat("A", 64<<10))
		for range 10_000 {
			b.r.Dictionary.MappingTable = append(b.r.Dictionary.MappingTable, &profiles.Mapping{AttributeIndices: []int32{long, long, long}})
		}
		if _, err := attack(t, b); err != nil {
			t.Error(err)
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
