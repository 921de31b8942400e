// SPDX-License-Identifier: Apache-2.0

package pprof

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

// builtin are the attributes of OTLP for labels with the names of those that every store knows.
// A label of another name stays what it is.
var builtin = map[string]string{
	"service_name": "service.name", "service": "service.name",
	"host": "host.name", "host_id": "host.id", "node": "k8s.node.name",
	"namespace": "k8s.namespace.name", "pod": "k8s.pod.name", "container": "k8s.container.name", "container_id": "container.id",
	"process": "process.executable.name", "executable": "process.executable.path", "pid": "process.pid",
	"comm": "thread.name", "tid": "thread.id",
}

// attributes returns labels as attributes of a resource.
func attributes(labels map[string]string) []*common.KeyValue {
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if !internal(k) && builtin[k] == "" {
			out[k] = v
		}
	}
	// Where a label has the name of an attribute, ours counts.
	for k, key := range builtin {
		if v := labels[k]; v != "" {
			out[key] = v
		}
	}
	out["service.name"] = cmp.Or(labels["service_name"], labels["service"], labels["service.name"], labels["job"])
	out["host.name"] = cmp.Or(labels["host"], labels["host.name"], labels["hostname"])
	// In an order that does not change, so that the same is known again.
	list := make([]*common.KeyValue, 0, len(out))
	for _, k := range slices.Sorted(maps.Keys(out)) {
		if v := out[k]; v != "" {
			list = append(list, &common.KeyValue{
				Key: clean(k), Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: clean(v)}},
			})
		}
	}
	return list
}

// internal reports whether a label is for senders and servers alone.
func internal(name string) bool { return strings.HasPrefix(name, "__") }

// clean makes a text valid.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Labels of samples that name a trace and a span. They are links in OTLP: as labels there
// would be a series for each request that a program serves.
const (
	traceLabel = "trace_id"
	spanLabel  = "span_id"
	// profileLabel is what instrumentation for Pyroscope calls the ID of the outermost span of a
	// process.
	profileLabel = "profile_id"
)

// span is a span of a trace.
type span struct {
	trace [16]byte
	id    [8]byte
}

// simplify leaves out the numbers that samples are labelled with, each of which would make
// a series: they are measures, such as the size of objects. It returns the spans that
// samples belong to.
func simplify(p *profile.Profile) map[string]span {
	spans := map[string]span{}
	for _, s := range p.Sample {
		s.NumLabel, s.NumUnit = nil, nil
		for _, k := range slices.Sorted(maps.Keys(s.Label)) { // service before service_name, which counts
			switch key := builtin[k]; {
			case internal(k):
				delete(s.Label, k)
			case key != "":
				s.Label[key] = s.Label[k]
				delete(s.Label, k)
			}
		}
		if one, key, ok := spanOf(s.Label); ok {
			spans[key] = one
			s.Label[spanKey] = []string{key}
		}
	}
	return spans
}

// spanOf returns the span or the trace that labels name, which are removed.
func spanOf(labels map[string][]string) (one span, key string, ok bool) {
	for _, name := range []string{profileLabel, spanLabel} { // the latter counts
		if fromHex(one.id[:], first(labels[name])) {
			delete(labels, name)
			ok = true
		}
	}
	if fromHex(one.trace[:], first(labels[traceLabel])) {
		delete(labels, traceLabel)
		ok = true
	}
	return one, hex.EncodeToString(one.trace[:]) + hex.EncodeToString(one.id[:]), ok
}

// first returns the first value of a label.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// fromHex reads an ID that fills dst, or nothing.
func fromHex(dst []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(dst)) {
		return false
	}
	id, err := hex.DecodeString(text)
	return err == nil && copy(dst, id) == len(dst)
}

// spanKey is the label that keeps samples of different spans apart until [link].
const spanKey = "__strobe_span__"

// link turns the marks of [simplify] into links.
func link(r *collector.ExportProfilesServiceRequest, spans map[string]span) {
	if len(spans) == 0 {
		return
	}
	d := r.Dictionary
	links := make(map[int32]int32) // by index of the attribute
	for i, a := range d.AttributeTable {
		if d.StringTable[a.KeyStrindex] != spanKey {
			continue
		}
		one := spans[a.Value.GetStringValue()]
		links[int32(i)] = int32(len(d.LinkTable)) //nolint:gosec // fewer than samples
		d.LinkTable = append(d.LinkTable, &profiles.Link{TraceId: slices.Clone(one.trace[:]), SpanId: slices.Clone(one.id[:])})
	}
	for _, rp := range r.ResourceProfiles {
		for _, sp := range rp.ScopeProfiles {
			for _, p := range sp.Profiles {
				for _, s := range p.Samples {
					i := slices.IndexFunc(s.AttributeIndices, func(a int32) bool { _, ok := links[a]; return ok })
					if i < 0 {
						continue
					}
					s.LinkIndex = links[s.AttributeIndices[i]]
					s.AttributeIndices = slices.Delete(slices.Clone(s.AttributeIndices), i, i+1)
				}
			}
		}
	}
}
