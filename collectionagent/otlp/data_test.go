// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// testNow is the time of the server in tests.
const testNow = libpf.UnixTimeNs(1_700_000_000 * int64(time.Second))

func testOptions(bytes int) *Options {
	return &Options{
		Project: "p", Now: testNow, First: testNow - libpf.UnixTimeNs(time.Hour), Last: testNow + libpf.UnixTimeNs(time.Hour),
		MaxSamples: math.MaxInt32, MaxFrames: 1 << 14, MaxLabels: 64, MaxMetadata: 1 << 10, MaxTextBytes: 64 << 10, Bytes: int64(bytes),
	}
}

// errNoMemory is what is answered to who asks for more than there is.
var errNoMemory = errors.New("no memory")

// chargedOptions are testOptions that count what is charged, of which there is so much.
func chargedOptions(bytes int, most int64) (o *Options, charged *int64) {
	o, charged = testOptions(bytes), new(int64)
	o.Charge = func(_ string, n int, bytes int64) error {
		if *charged += int64(n) * bytes; *charged > most {
			return errNoMemory
		}
		return nil
	}
	return o, charged
}

// build makes requests. Index 0 of each table is none.
type build struct {
	r *collector.ExportProfilesServiceRequest
}

func newBuild() *build {
	return &build{&collector.ExportProfilesServiceRequest{Dictionary: &profiles.ProfilesDictionary{
		MappingTable: []*profiles.Mapping{{}}, LocationTable: []*profiles.Location{{}}, FunctionTable: []*profiles.Function{{}},
		LinkTable: []*profiles.Link{{}}, StringTable: []string{""}, AttributeTable: []*profiles.KeyValueAndUnit{{}},
		StackTable: []*profiles.Stack{{}},
	}}}
}

func push[T any](list *[]T, v T) int32 {
	*list = append(*list, v)
	return int32(len(*list) - 1) //nolint:gosec // small
}

func (b *build) text(s string) int32 {
	if i := slices.Index(b.r.Dictionary.StringTable, s); i >= 0 {
		return int32(i) //nolint:gosec // small
	}
	return push(&b.r.Dictionary.StringTable, s)
}

func textValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func (b *build) attribute(key, value string) int32 {
	return push(&b.r.Dictionary.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: b.text(key), Value: textValue(value)})
}

func (b *build) mapping(file string, attributes ...int32) int32 {
	return push(&b.r.Dictionary.MappingTable, &profiles.Mapping{FilenameStrindex: b.text(file), AttributeIndices: attributes})
}

func (b *build) function(name, file string) int32 {
	return push(&b.r.Dictionary.FunctionTable, &profiles.Function{NameStrindex: b.text(name), FilenameStrindex: b.text(file)})
}

func (b *build) location(l *profiles.Location) int32 { return push(&b.r.Dictionary.LocationTable, l) }

func (b *build) stack(locations ...int32) int32 {
	return push(&b.r.Dictionary.StackTable, &profiles.Stack{LocationIndices: locations})
}

// profile adds a profile of its own resource.
func (b *build) profile(kind, unit string, period int64, resources map[string]string, samples ...*profiles.Sample) *profiles.Profile {
	p := &profiles.Profile{
		SampleType: &profiles.ValueType{TypeStrindex: b.text(kind), UnitStrindex: b.text(unit)},
		PeriodType: &profiles.ValueType{TypeStrindex: b.text("cpu"), UnitStrindex: b.text("nanoseconds")}, Period: period,
		TimeUnixNano: uint64(testNow), DurationNano: 1e9, Samples: samples,
	}
	rp := &profiles.ResourceProfiles{Resource: &resource.Resource{}, ScopeProfiles: []*profiles.ScopeProfiles{{Profiles: []*profiles.Profile{p}}}}
	for _, k := range slices.Sorted(maps.Keys(resources)) {
		rp.Resource.Attributes = append(rp.Resource.Attributes, &common.KeyValue{Key: k, Value: textValue(resources[k])})
	}
	b.r.ResourceProfiles = append(b.r.ResourceProfiles, rp)
	return p
}

// testBuildID is the build ID of the file of testRequest.
const testBuildID = "abcdef0123"

// testRequest is a request with a bit of everything.
func testRequest() *build {
	b := newBuild()
	b.r.Dictionary.LinkTable = append(b.r.Dictionary.LinkTable, &profiles.Link{TraceId: []byte("0123456789abcdef"), SpanId: []byte("SPANSPAN")})
	file := b.mapping("/usr/bin/server", b.attribute(otlpkey.BuildIDGNU, testBuildID))
	nobody := b.mapping("/lib/plain.so")
	mapped := push(&b.r.Dictionary.MappingTable, &profiles.Mapping{
		FilenameStrindex: b.text("/usr/bin/server"), MemoryStart: 0x7f0000, MemoryLimit: 0x7f9000, FileOffset: 0x1000, AttributeIndices: []int32{1},
	})
	native, python := b.attribute(otlpkey.FrameType, "native"), b.attribute(otlpkey.FrameType, "cpython")
	inner, outer, script := b.function("inner", "a.c"), b.function("outer", "b.c"), b.function("run", "x.py")
	inlined := b.location(&profiles.Location{MappingIndex: file, Address: 0x1234, AttributeIndices: []int32{native}, Lines: []*profiles.Line{
		{FunctionIndex: inner, Line: 5}, {FunctionIndex: outer, Line: 9},
	}})
	unnamed := b.location(&profiles.Location{MappingIndex: mapped, Address: 0x7f0042, AttributeIndices: []int32{native}})
	plain := b.location(&profiles.Location{MappingIndex: nobody, Address: 0x99})
	interpreted := b.location(&profiles.Location{AttributeIndices: []int32{python}, Lines: []*profiles.Line{{FunctionIndex: script, Line: 3}}})
	deep := b.stack(inlined, unnamed, plain)
	script = b.stack(interpreted)
	b.profile("samples", "count", 50_000_000, map[string]string{
		"service.name": "web", "host.name": "alpha", "host.id": "h1", "host.arch": "amd64", "k8s.namespace.name": "ns", "k8s.pod.name": "pod",
		"k8s.container.name": "con", "container.id": "c0ffee", "process.pid": "42", "process.executable.path": "/usr/bin/server", "team": "blue",
	}, &profiles.Sample{
		StackIndex: deep, LinkIndex: 1, Values: []int64{3}, AttributeIndices: []int32{
			b.attribute("thread.name", "worker"), b.attribute("thread.id", "43"), b.attribute("process.context.label.user", "u1"),
		},
	}, &profiles.Sample{StackIndex: script, Values: []int64{1}})
	b.profile("off_cpu", "nanoseconds", 0, map[string]string{"service.name": "unknown_service:x", "process.executable.name": "server", "host.name": "alpha"},
		&profiles.Sample{StackIndex: script, Values: []int64{700, 800}, TimestampsUnixNano: []uint64{uint64(testNow), uint64(testNow) + 5_000_000}})
	return b
}
