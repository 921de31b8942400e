// SPDX-License-Identifier: Apache-2.0

package workload

import (
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
)

// OTLP returns the samples of a host in a window as a request of OTLP, with the
// whole dictionary of what they refer to, as its agents send it. With timestamps
// a sample says when each observation was made, else how many there were.
func (w *Workload) OTLP(host, window int, start int64, timestamps bool) (r *collector.ExportProfilesServiceRequest, samples, observations int) {
	d := newDictionary(w)
	r = &collector.ExportProfilesServiceRequest{Dictionary: d.out}
	for s, name := range w.Services {
		mapping := d.mapping(s)
		p := &profiles.Profile{
			SampleType: &profiles.ValueType{TypeStrindex: d.texts.index32("samples"), UnitStrindex: d.texts.index32("count")},
			PeriodType: &profiles.ValueType{TypeStrindex: d.texts.index32("cpu"), UnitStrindex: d.texts.index32("nanoseconds")},
			Period:     PeriodNs, TimeUnixNano: uint64(start), DurationNano: WindowSeconds * 1e9, //nolint:gosec // after 1970
		}
		for _, sample := range w.Window(host, window, s) {
			out := &profiles.Sample{StackIndex: d.stack(sample.Stack, mapping)}
			if timestamps {
				for _, t := range sample.Times {
					out.TimestampsUnixNano = append(out.TimestampsUnixNano, uint64(start)+uint64(t)*1000) //nolint:gosec // after 1970
				}
			} else {
				out.Values = []int64{sample.Count}
			}
			p.Samples = append(p.Samples, out)
			samples++
			observations += int(sample.Count)
		}
		r.ResourceProfiles = append(r.ResourceProfiles, &profiles.ResourceProfiles{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{
				attribute("service.name", name), attribute("host.name", HostName(host)), attribute("k8s.namespace.name", "shop"),
			}},
			ScopeProfiles: []*profiles.ScopeProfiles{{
				Scope: &common.InstrumentationScope{Name: "process_cpu", Version: "1"}, Profiles: []*profiles.Profile{p},
			}},
		})
	}
	d.out.StringTable = d.texts.list
	return r, samples, observations
}

func attribute(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: text(value)}
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

// dictionary builds the tables of a request, in each of which entry 0 means none.
type dictionary struct {
	w         *Workload
	out       *profiles.ProfilesDictionary
	texts     *table[string]
	functions map[int]int32
	locations map[int32]int32
	stacks    map[int]int32
	frameType int32
}

func (t *table[K]) index32(k K) int32 { return int32(t.of(k)) } //nolint:gosec // of a request

func newDictionary(w *Workload) *dictionary {
	d := &dictionary{
		w: w, texts: texts(), functions: make(map[int]int32), locations: make(map[int32]int32), stacks: make(map[int]int32),
		out: &profiles.ProfilesDictionary{
			MappingTable: []*profiles.Mapping{{}}, LocationTable: []*profiles.Location{{}}, FunctionTable: []*profiles.Function{{}},
			LinkTable: []*profiles.Link{{}}, StackTable: []*profiles.Stack{{}}, AttributeTable: []*profiles.KeyValueAndUnit{{}},
		},
	}
	d.frameType = d.attribute("profile.frame.type", "go")
	return d
}

// push appends to a table and returns the index.
func push[T any](list *[]*T, v *T) int32 {
	*list = append(*list, v)
	return int32(len(*list) - 1) //nolint:gosec // of a request
}

func (d *dictionary) attribute(key, value string) int32 {
	return push(&d.out.AttributeTable, &profiles.KeyValueAndUnit{KeyStrindex: d.texts.index32(key), Value: text(value)})
}

func (d *dictionary) mapping(service int) int32 {
	return push(&d.out.MappingTable, &profiles.Mapping{
		MemoryStart: 0x400000, MemoryLimit: 0x40000000, FilenameStrindex: d.texts.index32("/usr/bin/" + d.w.Services[service]),
		AttributeIndices: []int32{d.attribute("process.executable.build_id.gnu", buildID(service))},
	})
}

func (d *dictionary) stack(stack int, mapping int32) int32 {
	if i, ok := d.stacks[stack]; ok {
		return i
	}
	s := &profiles.Stack{}
	for _, l := range d.w.Stacks[stack].Locations {
		s.LocationIndices = append(s.LocationIndices, d.location(l, mapping))
	}
	i := push(&d.out.StackTable, s)
	d.stacks[stack] = i
	return i
}

func (d *dictionary) location(number, mapping int32) int32 {
	if i, ok := d.locations[number]; ok {
		return i
	}
	l := &d.w.Locations[number]
	f, ok := d.functions[l.Function]
	if !ok {
		named := &d.w.Functions[l.Function]
		f = push(&d.out.FunctionTable, &profiles.Function{
			NameStrindex: d.texts.index32(named.Name), SystemNameStrindex: d.texts.index32(named.Name),
			FilenameStrindex: d.texts.index32(named.File), StartLine: named.StartLine,
		})
		d.functions[l.Function] = f
	}
	i := push(&d.out.LocationTable, &profiles.Location{
		MappingIndex: mapping, Address: l.Address, Lines: []*profiles.Line{{FunctionIndex: f, Line: l.Line}},
		AttributeIndices: []int32{d.frameType},
	})
	d.locations[number] = i
	return i
}
