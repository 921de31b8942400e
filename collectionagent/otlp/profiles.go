// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"math"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

func (d *decoder) resourceProfiles(field string, rp *profiles.ResourceProfiles) error {
	o, err := d.resource(field+".resource", rp.GetResource())
	if err != nil {
		return err
	}
	r := &reader{decoder: d, origin: o, series: make(map[seriesKey]uint32)}
	for i, sp := range rp.GetScopeProfiles() {
		scope := at(field+".scope_profiles", i)
		kinds := make([]kind, len(sp.GetProfiles()))
		for j, p := range sp.GetProfiles() {
			if kinds[j], err = d.kind(at(scope+".profiles", j), p); err != nil {
				return err
			}
		}
		for j, p := range sp.GetProfiles() {
			if kinds[j].count && sameInTime(kinds, sp.GetProfiles(), p) {
				continue
			}
			if err := r.profile(at(scope+".profiles", j), p, kinds[j]); err != nil {
				return err
			}
		}
	}
	if len(r.series) > 0 {
		d.host(o)
	}
	return nil
}

// kind is what a profile measures.
type kind struct {
	typ    libpf.SampleType // 0: nothing that is known
	count  bool             // values count observations, each of which stands for period
	period int64            // in nanoseconds of CPU, 0: not known
	name   string
}

// kind tells what a profile measures.
func (d *decoder) kind(field string, p *profiles.Profile) (k kind, err error) {
	var texts [4]string
	for i, t := range []struct {
		field string
		index int32
	}{
		{".sample_type.type_strindex", p.GetSampleType().GetTypeStrindex()},
		{".sample_type.unit_strindex", p.GetSampleType().GetUnitStrindex()},
		{".period_type.type_strindex", p.GetPeriodType().GetTypeStrindex()},
		{".period_type.unit_strindex", p.GetPeriodType().GetUnitStrindex()},
	} {
		if t.index < 0 || int(t.index) >= len(d.texts) {
			return k, index(field+t.field, t.index, "string_table", len(d.texts))
		}
		texts[i] = d.texts[t.index]
	}
	for j, a := range p.GetAttributeIndices() {
		if a < 0 || int(a) >= len(d.attributes) {
			return k, index(at(field+".attribute_indices", j), a, "attribute_table", len(d.raw.AttributeTable))
		}
	}
	typ, unit := texts[0], texts[1]
	k.name = typ + "/" + unit
	if texts[2] == "cpu" && nanoseconds(texts[3]) && p.Period > 0 && p.Period <= maxValue {
		k.period = p.Period
	}
	switch {
	case typ == "samples" && counts(unit) && k.period > 0:
		k.typ, k.count = libpf.SampleOnCPU, true
	case typ == "cpu" && nanoseconds(unit):
		k.typ = libpf.SampleOnCPU
	case typ == "off_cpu" && nanoseconds(unit):
		k.typ = libpf.SampleOffCPU
	case counts(unit):
		k.typ = libpf.SampleEvent
	}
	return k, nil
}

func nanoseconds(unit string) bool { return unit == "nanoseconds" || unit == "ns" }

func counts(unit string) bool { return unit == "count" || unit == "1" || unit == "" }

// sameInTime reports whether another profile of the scope tells in time what p
// tells in observations, as the two of a pprof file do.
func sameInTime(kinds []kind, all []*profiles.Profile, p *profiles.Profile) bool {
	for i, k := range kinds {
		if k.typ == libpf.SampleOnCPU && !k.count && all[i].TimeUnixNano == p.TimeUnixNano && all[i].DurationNano == p.DurationNano &&
			len(all[i].Samples) == len(p.Samples) {
			return true
		}
	}
	return false
}

// reader reads the profiles of a resource.
type reader struct {
	*decoder
	origin *origin
	series map[seriesKey]uint32
	key    []byte
}

// seriesKey is what tells the series of a resource apart.
type seriesKey struct {
	typ        libpf.SampleType
	attributes string
}

func (r *reader) profile(field string, p *profiles.Profile, k kind) error {
	if p == nil {
		return nil
	}
	begin := r.Now
	if p.TimeUnixNano > math.MaxInt64 {
		return invalid(field+".time_unix_nano", "is %d, at most %d is allowed", p.TimeUnixNano, int64(math.MaxInt64))
	}
	if p.TimeUnixNano > 0 {
		begin = libpf.UnixTimeNs(p.TimeUnixNano)
	}
	rows := len(r.out.Batch.Samples)
	var left uint64 // weight of what is out of the window
	for i, s := range p.Samples {
		if err := r.check(field, i, s); err != nil {
			return err
		}
		if k.typ == 0 {
			r.out.Unsupported += uint64(max(len(s.GetTimestampsUnixNano()), 1))
			continue
		}
		l, err := r.sample(field, i, s, k, begin)
		if err != nil {
			return err
		}
		left += l
	}
	switch {
	case k.typ == 0 && len(p.Samples) > 0:
		r.out.RejectedProfiles++
		r.out.note("samples of type %.100q are not taken: supported are samples/count with a period of cpu/nanoseconds, cpu/nanoseconds, off_cpu/nanoseconds, and counts of events", k.name)
	case left > 0 && len(r.out.Batch.Samples) == rows:
		r.out.RejectedProfiles++
	}
	return nil
}

// check checks a sample's references and shape.
func (r *reader) check(field string, i int, s *profiles.Sample) error {
	at := func(name string) string { return at(field+".samples", i) + name }
	if x := s.GetStackIndex(); x < 0 || int(x) >= len(r.stacks) {
		return index(at(".stack_index"), x, "stack_table", len(r.raw.StackTable))
	}
	if x := s.GetLinkIndex(); x < 0 || int(x) >= len(r.links) {
		return index(at(".link_index"), x, "link_table", len(r.raw.LinkTable))
	}
	for _, a := range s.GetAttributeIndices() {
		if a < 0 || int(a) >= len(r.attributes) {
			return index(at(".attribute_indices"), a, "attribute_table", len(r.raw.AttributeTable))
		}
	}
	values, times := len(s.GetValues()), len(s.GetTimestampsUnixNano())
	switch {
	case values == 0 && times == 0:
		return invalid(at(""), "has neither values nor timestamps_unix_nano")
	case times == 0 && values != 1:
		return invalid(at(".values"), "has %d entries, without timestamps_unix_nano it must be 1", values)
	case times > 0 && values > 0 && values != times:
		return invalid(at(".values"), "has %d entries, timestamps_unix_nano has %d", values, times)
	}
	return nil
}

// sample appends the rows of a sample that was checked. It returns the weight of
// those that are left out for their times.
func (r *reader) sample(field string, i int, s *profiles.Sample, k kind, begin libpf.UnixTimeNs) (left uint64, err error) {
	hash, err := r.stack(s.StackIndex)
	if err != nil {
		return 0, err
	}
	series, err := r.seriesIndex(k.typ, s.AttributeIndices)
	if err != nil {
		return 0, err
	}
	link := &r.links[s.LinkIndex]
	batch := r.out.Batch
	n := max(len(s.TimestampsUnixNano), 1)
	if len(batch.Samples)+n > r.MaxSamples {
		return 0, invalid(field+".samples", "the request has more than %d observations in time: send it in parts", r.MaxSamples)
	}
	if err := r.charge("samples", n, sampleBytes); err != nil {
		return 0, err
	}
	first := len(batch.Samples)
	for j := range n {
		t := begin
		if len(s.TimestampsUnixNano) > 0 {
			ns := s.TimestampsUnixNano[j]
			if ns > math.MaxInt64 {
				return 0, invalid(at(at(field+".samples", i)+".timestamps_unix_nano", j), "is %d, at most %d is allowed", ns, int64(math.MaxInt64))
			}
			t = libpf.UnixTimeNs(ns)
		}
		count, value, ok := k.amount(s.Values, j)
		if !ok {
			return 0, invalid(at(at(field+".samples", i)+".values", j), "is %d, must not be negative or stand for more than %d", s.Values[j], int64(maxValue))
		}
		if count == 0 && value == 0 {
			continue
		}
		switch {
		case t < r.First:
			r.out.TooOld += uint64(count) //nolint:gosec // not negative
			left += uint64(count)         //nolint:gosec // not negative
			continue
		case t > r.Last:
			r.out.InFuture += uint64(count) //nolint:gosec // not negative
			left += uint64(count)           //nolint:gosec // not negative
			continue
		}
		if last := len(batch.Samples) - 1; last >= first && store.FloorMs(batch.Samples[last].Time) == store.FloorMs(t) {
			batch.Samples[last].Count += count
			batch.Samples[last].Value += value
			continue
		}
		batch.Samples = append(batch.Samples, store.Sample{
			Time: t, Series: series, Stack: hash, Count: count, Value: value, TraceID: link.trace, SpanID: link.span,
		})
	}
	return left, nil
}

// amount returns the count and the value of an observation.
func (k *kind) amount(values []int64, j int) (count, value int64, ok bool) {
	if len(values) == 0 { // each timestamp counts one
		value = 1
		if k.typ == libpf.SampleOnCPU && k.period > 0 {
			value = k.period
		}
		return 1, value, true
	}
	v := values[j]
	if v < 0 || v > maxValue {
		return 0, 0, false
	}
	switch {
	case v == 0:
		return 0, 0, true
	case k.count:
		return v, v * k.period, v <= maxCount && v <= maxValue/k.period
	case k.typ == libpf.SampleEvent:
		return v, v, v <= maxCount
	case k.typ == libpf.SampleOnCPU && k.period > 0:
		return min(max((v+k.period/2)/k.period, 1), maxCount), v, true
	default:
		return 1, v, true
	}
}

// seriesIndex returns the index of the series of samples with attributes.
func (r *reader) seriesIndex(t libpf.SampleType, attributes []int32) (uint32, error) {
	r.key = r.key[:0]
	for _, a := range attributes {
		r.key = binary.LittleEndian.AppendUint32(r.key, uint32(a)) //nolint:gosec // checked
	}
	if i, ok := r.series[seriesKey{t, string(r.key)}]; ok {
		return i, nil
	}
	labels := len(r.origin.labels) + len(attributes)
	if err := r.charge("attributes", 1, int64(seriesBytes+labels*3*labelBytes+len(r.key))); err != nil {
		return 0, err
	}
	s := r.seriesOf(r.origin, t, attributes)
	if err := r.charge("attributes", 1, seriesTexts(&s)); err != nil {
		return 0, err
	}
	i := uint32(len(r.out.Batch.Series)) //nolint:gosec // fewer than samples
	r.out.Batch.Series = append(r.out.Batch.Series, s)
	r.series[seriesKey{t, string(r.key)}] = i
	return i, nil
}

// seriesTexts returns the length of the texts of a series: the store keeps each
// series with its texts, however often they repeat.
func seriesTexts(s *store.Series) int64 {
	n := 0
	for _, text := range [...]string{
		s.Project, s.Service, s.HostID, s.Host, s.Namespace, s.Pod, s.ContainerID, s.Container, s.Process, s.Executable, s.Comm,
	} {
		n += len(text)
	}
	for i := range s.Labels {
		n += len(s.Labels[i].Key) + len(s.Labels[i].Value)
	}
	return int64(n)
}
