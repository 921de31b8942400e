// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"encoding/binary"
	"path"
	"slices"

	"github.com/zeebo/xxh3"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/strobe-profiler/strobe/libpf"
)

// scopeName names this reporter in the scope of its profiles.
const scopeName = "github.com/strobe-profiler/strobe/reporter"

// hostAttributes returns what is known of the host, by key.
func (r *OTLPReporter) hostAttributes() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]string, len(r.host)+2)
	for k, v := range r.host {
		out[k] = v
	}
	out["host.id"], out["host.name"] = r.settings.HostID, r.settings.HostName
	return out
}

// profileEncoder writes rows as one request: a resource per process, a profile
// per type of sample in it, and one dictionary for all.
type profileEncoder struct {
	dict     *dictionary
	host     map[string]string
	runID    [16]byte
	sequence uint64
	profiles int
}

func newProfileEncoder(c *catalogue, host map[string]string, runID [16]byte, sequence uint64) *profileEncoder {
	return &profileEncoder{dict: newDictionary(c), host: host, runID: runID, sequence: sequence}
}

type profileKey struct {
	process *libpf.Process
	kind    libpf.SampleType
}

// encode writes rows that are sorted by time.
func (e *profileEncoder) encode(rows []libpf.Sample, version string) *collector.ExportProfilesServiceRequest {
	byKey := map[profileKey][]*libpf.Sample{}
	var keys []profileKey
	var processes []*libpf.Process
	known := map[*libpf.Process]bool{}
	for i := range rows {
		row := &rows[i]
		key := profileKey{row.Process, row.Type}
		if byKey[key] == nil {
			keys = append(keys, key)
		}
		byKey[key] = append(byKey[key], row)
		if !known[row.Process] {
			known[row.Process] = true
			processes = append(processes, row.Process)
		}
	}
	req := &collector.ExportProfilesServiceRequest{Dictionary: e.dict.out}
	for _, p := range processes {
		scope := &profiles.ScopeProfiles{Scope: &common.InstrumentationScope{Name: scopeName, Version: cleanText(version)}}
		for _, key := range keys {
			if key.process == p {
				scope.Profiles = append(scope.Profiles, e.profile(key.kind, byKey[key]))
			}
		}
		req.ResourceProfiles = append(req.ResourceProfiles, &profiles.ResourceProfiles{
			Resource: e.resource(p), ScopeProfiles: []*profiles.ScopeProfiles{scope},
		})
	}
	return req
}

// resource writes plain strings, not references into the dictionary: receivers exist that do not resolve those.
func (e *profileEncoder) resource(p *libpf.Process) *resource.Resource {
	values := map[string]*common.AnyValue{}
	text := func(key, value string) {
		if key != "" && value != "" {
			values[cleanText(key)] = textValue(value)
		}
	}
	for k, v := range e.host {
		text(k, v)
	}
	for _, l := range p.Labels {
		text(l.Key, l.Value)
	}
	text("service.name", p.Service)
	text("container.id", p.ContainerID)
	text("container.name", p.ContainerName)
	text("k8s.pod.name", p.PodName)
	text("k8s.namespace.name", p.Namespace)
	text("process.executable.path", p.Executable)
	if p.Executable != "" {
		text("process.executable.name", path.Base(p.Executable))
	} else {
		text("process.executable.name", p.Name)
	}
	text("process.command_line", p.CommandLine)
	if p.PID != 0 {
		values["process.pid"] = intValue(int64(p.PID))
	}
	out := &resource.Resource{}
	for k, v := range values {
		out.Attributes = append(out.Attributes, &common.KeyValue{Key: k, Value: v})
	}
	slices.SortFunc(out.Attributes, func(a, b *common.KeyValue) int { return cmp.Compare(a.GetKey(), b.GetKey()) })
	return out
}

// units of the types of samples: what is counted, and in what.
func (e *profileEncoder) valueType(kind, unit string) *profiles.ValueType {
	return &profiles.ValueType{TypeStrindex: e.dict.text(kind), UnitStrindex: e.dict.text(unit)}
}

func (e *profileEncoder) profile(kind libpf.SampleType, rows []*libpf.Sample) *profiles.Profile {
	e.profiles++
	first, last := rows[0], rows[len(rows)-1]
	p := &profiles.Profile{
		TimeUnixNano: uint64(first.Time),               //nolint:gosec // after 1970
		DurationNano: uint64(last.Time-first.Time) + 1, //nolint:gosec // sorted; the end is exclusive
		ProfileId:    e.profileID(),
	}
	value := func(row *libpf.Sample) int64 { return row.Value }
	switch kind {
	case libpf.SampleOnCPU:
		p.SampleType = e.valueType("samples", "count")
		p.PeriodType = e.valueType("cpu", "nanoseconds")
		p.Period = first.Value / int64(first.Count)
		value = func(row *libpf.Sample) int64 { return int64(row.Count) }
	case libpf.SampleOffCPU:
		p.SampleType = e.valueType("off_cpu", "nanoseconds")
	default:
		p.SampleType = e.valueType("events", "count")
	}
	// All samples of a profile have one shape: times alone when each counts 1.
	withValues := slices.ContainsFunc(rows, func(row *libpf.Sample) bool { return value(row) != 1 })

	merged := map[string]*profiles.Sample{}
	var id []byte
	for _, row := range rows {
		s := &profiles.Sample{StackIndex: e.dict.stack(row.Trace, row.Process), LinkIndex: e.dict.link(row)}
		s.AttributeIndices = e.dict.sampleAttributes(row)
		id = binary.AppendVarint(id[:0], int64(s.StackIndex))
		id = binary.AppendVarint(id, int64(s.LinkIndex))
		for _, a := range s.AttributeIndices {
			id = binary.AppendVarint(id, int64(a))
		}
		if have, ok := merged[string(id)]; ok {
			s = have
		} else {
			merged[string(id)] = s
			p.Samples = append(p.Samples, s)
		}
		s.TimestampsUnixNano = append(s.TimestampsUnixNano, uint64(row.Time)) //nolint:gosec // after 1970
		if withValues {
			s.Values = append(s.Values, value(row))
		}
	}
	return p
}

// profileID is the same in every attempt and different in every profile.
func (e *profileEncoder) profileID() []byte {
	b := binary.LittleEndian.AppendUint64(slices.Clone(e.runID[:]), e.sequence)
	h := xxh3.Hash128(binary.LittleEndian.AppendUint64(b, uint64(e.profiles))) //nolint:gosec // counts up
	id := h.Bytes()
	return id[:]
}

func textValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: cleanText(s)}}
}

func intValue(n int64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
}
