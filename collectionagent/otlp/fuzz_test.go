// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"slices"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

// FuzzDecode decodes any bytes: what is refused names a field, and in what is
// taken every sample has a series, a sum and a stack whose definition has its hash.
func FuzzDecode(f *testing.F) {
	data, err := proto.Marshal(testRequest().r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(append(slices.Clip(data), data...))
	for _, old := range oldRequests() {
		f.Add(old)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data, testOptions(len(data)))
		if err != nil {
			if !errors.Is(err, ErrWire) && !errors.Is(err, ErrOldLayout) {
				t.Fatal(err)
			}
			return
		}
		defer m.Release()
		in, err := m.Decode(nil)
		if err != nil {
			var field *FieldError
			if !errors.As(err, &field) || field.Field == "" || field.Description == "" {
				t.Fatal(err)
			}
			return
		}
		if err := in.Batch.Check(); err != nil {
			t.Fatal(err)
		}
		d := definitions(t, in, nil)
		defined := map[libpf.TraceHash]bool{}
		for i := range d.Stacks {
			if got := libpf.HashTrace(d.Stacks[i].Frames); got != d.Stacks[i].Hash {
				t.Fatalf("stack %s has the hash %s", d.Stacks[i].Hash, got)
			}
			defined[d.Stacks[i].Hash] = true
		}
		for _, s := range in.Batch.Samples {
			if s.Count <= 0 || s.Value <= 0 || !defined[s.Stack] {
				t.Fatalf("%+v", s)
			}
		}
		for i := range in.Batch.Series {
			if s := &in.Batch.Series[i]; s.Service == "" || s.Service == unknownService || !s.Type.Valid() {
				t.Fatalf("%+v", s)
			}
		}
		learned(d)
	})
}

// FuzzWire reads any bytes as the library of protocol buffers does.
func FuzzWire(f *testing.F) {
	data, err := proto.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	for _, rp := range full().ResourceProfiles { // smaller ones are quicker to change
		if data, err = proto.Marshal(&collector.ExportProfilesServiceRequest{ResourceProfiles: []*profiles.ResourceProfiles{rp}}); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(sameAsLibrary)
}
