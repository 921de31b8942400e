// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"fmt"
	"testing"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
)

// large is a profile as a busy program has it: stacks of 30 frames, three labels.
func large(samples int) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Mapping:    []*profile.Mapping{{ID: 1, Start: 0x400000, Limit: 0x800000, File: "/bin/shop", BuildID: "0a1b"}},
	}
	for i := range uint64(2000) {
		f := &profile.Function{ID: i + 1, Name: fmt.Sprintf("example.com/shop/package.(*Type).function%d", i), Filename: fmt.Sprintf("/src/shop/package/file%d.go", i%100)}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{
			ID: i + 1, Mapping: p.Mapping[0], Address: 0x400000 + i*16, Line: []profile.Line{{Function: f, Line: int64(i)}},
		})
	}
	for i := range samples {
		s := &profile.Sample{
			Value: []int64{1, 10_000_000}, NumLabel: map[string][]int64{"bytes": {int64(i % 64)}}, NumUnit: map[string][]string{"bytes": {"bytes"}},
			Label: map[string][]string{"route": {fmt.Sprint("/route/", i%100)}, "tenant": {fmt.Sprint(i % 10)}},
		}
		for j := range 30 {
			s.Location = append(s.Location, p.Location[(i*7+j*j)%len(p.Location)])
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func BenchmarkFromPprof(b *testing.B) {
	p := large(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromPprof(p, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToPprof(b *testing.B) {
	req, err := FromPprof(large(10_000), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ToPprof(req, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data := encoded(b, large(10_000))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck measures the checker, which has no large message of its own.
func BenchmarkCheck(b *testing.B) {
	req, err := FromPprof(large(10_000), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(proto.Size(req)))
	b.ReportAllocs()
	for b.Loop() {
		if err := otlpcheck.Check(req, otlpcheck.Options{}).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
