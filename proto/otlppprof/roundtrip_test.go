// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// roundTrip converts a profile, sends it over the wire, and converts it back.
func roundTrip(t *testing.T, p *profile.Profile) *profile.Profile {
	t.Helper()
	req, err := FromPprof(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	got := &profiles.ProfilesData{} // the same on the wire
	if err := proto.Unmarshal(wire, got); err != nil {
		t.Fatal(err)
	}
	list, err := ToPprof(got, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("%d profiles", len(list))
	}
	back := list[0].Profile
	if err := back.CheckValid(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(flatten(p, true), flatten(back, false)); diff != "" {
		t.Fatalf("not the same (-went +came back):\n%s", diff)
	}
	again, err := FromPprof(back, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(req, again) {
		t.Fatalf("another message the second time:\n%v\n%v", req, again)
	}
	return back
}

// burn keeps a CPU busy.
func burn(d time.Duration) (n int) {
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		_ = bytes.Repeat([]byte{1}, 1<<10)
	}
	return n
}

var kept [][]byte

// realProfiles takes each kind of profile that Go has.
func realProfiles(t *testing.T) map[string]*profile.Profile {
	t.Helper()
	mutexRate := runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	defer runtime.SetMutexProfileFraction(mutexRate)
	defer runtime.SetBlockProfileRate(0)
	out := map[string]*profile.Profile{}
	parse := func(name string, data []byte) {
		p, err := Parse(data, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = p
	}

	// On a busy machine the process may not run while it burns.
	for out["cpu"] == nil || len(out["cpu"].Sample) == 0 {
		var cpu bytes.Buffer
		if err := pprof.StartCPUProfile(&cpu); err != nil {
			t.Fatal(err)
		}
		pprof.Do(context.Background(), pprof.Labels("route", "/cart", "tenant", "ä"), func(context.Context) { burn(200 * time.Millisecond) })
		burn(100 * time.Millisecond)
		pprof.StopCPUProfile()
		parse("cpu", cpu.Bytes())
	}

	for range 100 {
		kept = append(kept, make([]byte, 64<<10))
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				mu.Lock()
				runtime.Gosched()
				time.Sleep(10 * time.Microsecond)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	runtime.GC()
	for _, name := range []string{"heap", "allocs", "goroutine", "mutex", "block", "threadcreate"} {
		var b bytes.Buffer
		if err := pprof.Lookup(name).WriteTo(&b, 0); err != nil {
			t.Fatal(err)
		}
		parse(name, b.Bytes())
	}
	return out
}

func TestRealProfiles(t *testing.T) {
	for name, p := range realProfiles(t) {
		if len(p.Sample) == 0 {
			t.Errorf("%s: no samples", name)
		}
		t.Run(name, func(t *testing.T) {
			roundTrip(t, p)
			req, err := FromPprof(p, Options{})
			if err != nil {
				t.Fatal(err)
			}
			conforms(t, req)
		})
	}
}

// conforms checks a message. Mappings need a build ID, which pprof does not always have.
func conforms(t *testing.T, p otlpcheck.Payload) {
	t.Helper()
	r := otlpcheck.Check(p, otlpcheck.Options{})
	for _, f := range r.Findings {
		if f.Rule != "build-id" {
			t.Error(f)
		}
	}
}

// everything is a profile that uses all that the format has.
func everything() *profile.Profile {
	program := &profile.Mapping{
		ID: 7, Start: 0x400000, Limit: 0x500000, Offset: 0x1000, File: "/bin/shop", BuildID: "c89b11207f6479603b0d49bf291c092c2b719293",
		HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true,
	}
	library := &profile.Mapping{ID: 3, Start: 0x7f0000000000, Limit: 0x7f0000010000, File: "/lib/libc.so.6", BuildID: "abc/def/ghi"}
	broken := &profile.Mapping{ID: 4, Start: 0x9000, File: "[vdso]"}
	unused := &profile.Mapping{ID: 5, File: "unused"}
	empty := &profile.Mapping{ID: 6}
	inlined := &profile.Function{ID: 1, Name: "inlined", SystemName: "_Z7inlined", Filename: "a.cc", StartLine: 3}
	caller := &profile.Function{ID: 2, Name: "caller", Filename: "a.cc"}
	nameless := &profile.Function{ID: 9}
	bad := &profile.Function{ID: 10, Name: "bad \xff", StartLine: -1}
	locations := []*profile.Location{
		{ID: 20, Mapping: program, Address: 0x401234, Line: []profile.Line{{Function: inlined, Line: 4, Column: 8}, {Function: caller, Line: 12}}},
		{ID: 10, Mapping: library, Address: 0x7f0000000100, IsFolded: true},
		{ID: 11, Mapping: broken, Address: 0x9010, Line: []profile.Line{{Function: nameless}}},
		{ID: 12, Mapping: empty, Line: []profile.Line{{Function: bad, Line: -5}}},
		{ID: 13},
		{ID: 14, Mapping: library, Address: 0x7f0000000100, IsFolded: true}, // again
	}
	return &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"}, {Type: "x"}},
		DefaultSampleType: "alloc_space",
		Sample: []*profile.Sample{
			{Location: locations[:3], Value: []int64{1, 2, 3}, Label: map[string][]string{"route": {"/cart"}}, NumLabel: map[string][]int64{"bytes": {512}}, NumUnit: map[string][]string{"bytes": {"bytes"}}},
			{Location: []*profile.Location{locations[0], locations[5], locations[2]}, Value: []int64{10, 20, -30}, Label: map[string][]string{"route": {"/cart"}}, NumLabel: map[string][]int64{"bytes": {512}}, NumUnit: map[string][]string{"bytes": {"bytes"}}},
			{Location: locations[3:5], Value: []int64{0, 0, 0}, NumLabel: map[string][]int64{"n": {0}}},
			{Value: []int64{4, 5, 6}, Label: map[string][]string{"a": {"x", "y"}, "": {"z"}, "none": {}, "empty": {""}, "bad\xff": {"\xfe"}}},
			{
				Value: []int64{7, 8, 9}, Label: map[string][]string{"both": {"text"}},
				NumLabel: map[string][]int64{"both": {5, 6}, "units": {1, 2, 3}, "some": {1, 2}, "one": {-1}},
				NumUnit:  map[string][]string{"units": {"s", "ms", "s"}, "some": {"", "s"}},
			},
		},
		Mapping: []*profile.Mapping{unused, program, library, broken, empty}, Location: locations,
		Function: []*profile.Function{inlined, caller, nameless, bad},
		Comments: []string{"one", "", "two, three"}, DocURL: "https://example.com", DropFrames: "drop.*", KeepFrames: "keep",
		TimeNanos: 1_700_000_000_000_000_000, DurationNanos: 10_000_000_000, PeriodType: &profile.ValueType{Type: "space", Unit: "bytes"}, Period: 524288,
	}
}

func TestEverything(t *testing.T) {
	back := roundTrip(t, everything())
	if got := back.Mapping[0].File; got != "/bin/shop" {
		t.Errorf("the first mapping is %s", got)
	}
	if len(back.Mapping) != 3 || len(back.Location) != 5 || len(back.Function) != 3 {
		t.Errorf("%d mappings, %d locations, %d functions", len(back.Mapping), len(back.Location), len(back.Function))
	}
}

func TestSmallProfiles(t *testing.T) {
	for name, p := range map[string]*profile.Profile{
		"no samples":     {SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}},
		"nameless types": {SampleType: []*profile.ValueType{{}, {}}, Sample: []*profile.Sample{{Value: []int64{1, 2}}}},
		"same types": {SampleType: []*profile.ValueType{{Type: "a"}, {Type: "a"}, {Type: "b"}}, DefaultSampleType: "a",
			Sample: []*profile.Sample{{Value: []int64{1, 2, 3}}}},
		"unknown default": {SampleType: []*profile.ValueType{{Type: "a"}, {Type: "b"}}, DefaultSampleType: "c"},
		"negative times":  {SampleType: []*profile.ValueType{{Type: "a"}}, TimeNanos: -1, DurationNanos: -1},
		"sums at the end": {SampleType: []*profile.ValueType{{Type: "a"}}, Sample: []*profile.Sample{
			{Value: []int64{1 << 62}}, {Value: []int64{1 << 62}}, {Value: []int64{1 << 62}}, {Value: []int64{-5}},
		}},
	} {
		t.Run(name, func(t *testing.T) { roundTrip(t, p) })
	}
}

// TestMapping checks what stands where in the message.
func TestMapping(t *testing.T) {
	req, err := FromPprof(everything(), Options{
		Resource:  []*common.KeyValue{{Key: "service.name", Value: textValue("shop")}},
		Scope:     &common.InstrumentationScope{Name: "test", Version: "1"},
		FrameType: "native",
	})
	if err != nil {
		t.Fatal(err)
	}
	d := req.GetDictionary()
	attributes := func(list []int32) map[string]string {
		m := map[string]string{}
		for _, a := range list {
			e := d.GetAttributeTable()[a]
			m[d.GetStringTable()[e.GetKeyStrindex()]] = (&reader{}).valueText(e.GetValue()) + " " + d.GetStringTable()[e.GetUnitStrindex()]
		}
		return m
	}
	var types []string
	scope := req.GetResourceProfiles()[0].GetScopeProfiles()[0]
	for _, p := range scope.GetProfiles() {
		types = append(types, d.GetStringTable()[p.GetSampleType().GetTypeStrindex()]+"/"+d.GetStringTable()[p.GetSampleType().GetUnitStrindex()])
		if p.GetPeriod() != 524288 || p.GetTimeUnixNano() != 1_700_000_000_000_000_000 || p.GetDurationNano() != 10_000_000_000 {
			t.Errorf("header %v", p)
		}
	}
	var scopeKeys []string
	for _, kv := range scope.GetScope().GetAttributes() {
		scopeKeys = append(scopeKeys, kv.GetKey())
	}
	program, library := d.GetMappingTable()[1], d.GetMappingTable()[2]
	first := scope.GetProfiles()[0]
	leaf := d.GetLocationTable()[d.GetStackTable()[first.GetSamples()[0].GetStackIndex()].GetLocationIndices()[0]]
	got := map[string]any{
		"types": types, "scope": scope.GetScope().GetName(), "scope keys": scopeKeys,
		"resource": req.GetResourceProfiles()[0].GetResource().GetAttributes()[0].GetValue().GetStringValue(),
		"program":  attributes(program.GetAttributeIndices()), "library": attributes(library.GetAttributeIndices()),
		"location": attributes(leaf.GetAttributeIndices()), "profile": len(first.GetAttributeIndices()),
		"sample": attributes(first.GetSamples()[0].GetAttributeIndices()), "values": first.GetSamples()[0].GetValues(),
		"inlined first": d.GetStringTable()[d.GetFunctionTable()[leaf.GetLines()[0].GetFunctionIndex()].GetNameStrindex()],
	}
	want := map[string]any{
		"types": []string{"alloc_space/bytes", "alloc_objects/count", "x/"}, "scope": "test", "scope keys": []string{keyDefaultType, keyTypeOrder},
		"resource": "shop",
		"program": map[string]string{
			otlpkey.BuildIDGNU: "c89b11207f6479603b0d49bf291c092c2b719293 ", keyHasFunctions: "true ",
			keyHasFilenames: "true ", keyHasLineNumbers: "true ", keyHasInlineFrames: "true ",
		},
		"library":  map[string]string{otlpkey.BuildIDGo: "abc/def/ghi "},
		"location": map[string]string{otlpkey.FrameType: "native "}, "profile": 4,
		"sample": map[string]string{"route": "/cart ", "bytes": "512 bytes"}, "values": []int64{22},
		"inlined first": "inlined",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsTime(t *testing.T) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "a"}}}
	at := time.Unix(1_700_000_000, 5)
	for _, test := range []struct{ has, want int64 }{{0, at.UnixNano()}, {-7, at.UnixNano()}, {9, 9}} {
		p.TimeNanos = test.has
		req, err := FromPprof(p, Options{Time: at})
		if err != nil {
			t.Fatal(err)
		}
		if got := req.GetResourceProfiles()[0].GetScopeProfiles()[0].GetProfiles()[0].GetTimeUnixNano(); got != uint64(test.want) {
			t.Errorf("time %d, want %d", got, test.want)
		}
	}
}

func TestFromPprofRefuses(t *testing.T) {
	for name, p := range map[string]*profile.Profile{
		"pprof profile has no sample types":                                {},
		"pprof profile has 65 sample types, at most 64 are allowed":        {SampleType: make([]*profile.ValueType, 65)},
		"check pprof profile: mismatch: sample has 2 values vs. 1 types":   {SampleType: make([]*profile.ValueType, 1), Sample: []*profile.Sample{{Value: []int64{1, 2}}}},
		"check pprof profile: sample has nil location":                     {SampleType: make([]*profile.ValueType, 1), Sample: []*profile.Sample{{Value: []int64{1}, Location: make([]*profile.Location, 1)}}},
		"check pprof profile: location id: 1 has a line with nil function": {Location: []*profile.Location{{ID: 1, Line: make([]profile.Line, 1)}}},
	} {
		if _, err := FromPprof(p, Options{}); err == nil || err.Error() != name {
			t.Errorf("error %v, want %s", err, name)
		}
	}
}

var _ = []Payload{&collector.ExportProfilesServiceRequest{}, &profiles.ProfilesData{}}
