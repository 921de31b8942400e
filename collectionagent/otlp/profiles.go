// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"math"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// makeRows makes room for the rows.
func (d *Message) makeRows() error {
	n := 0
	for i := range d.samples {
		if n += max(d.samples[i].times.len(), 1); n >= d.MaxSamples {
			n = d.MaxSamples
			break
		}
	}
	if err := d.charge("samples", n, sampleBytes); err != nil {
		return err
	}
	d.out.Batch.Samples = make([]store.Sample, 0, n)
	return nil
}

func (d *Message) resourceProfiles(i int, rp *resourceEntry) error {
	if rp.attributes.len() == 0 && rp.scopes.len() == 0 {
		return nil
	}
	field := at("resource_profiles", i)
	o, err := d.resource(field+".resource", d.keyValues[rp.attributes.from:rp.attributes.to])
	if err != nil {
		return err
	}
	r := &reader{Message: d, origin: o, series: make(map[seriesKey]uint32)}
	for i, sp := range d.scopes[rp.scopes.from:rp.scopes.to] {
		scope := at(field+".scope_profiles", i)
		all := d.profiles[sp.from:sp.to]
		kinds := make([]kind, len(all))
		for j := range all {
			if kinds[j], err = d.kind(at(scope+".profiles", j), &all[j]); err != nil {
				return err
			}
		}
		inTime, err := d.profilesInTime(scope, kinds, all)
		if err != nil {
			return err
		}
		for j := range all {
			if _, ok := inTime[twinOf(&kinds[j], &all[j])]; ok && kinds[j].count {
				continue
			}
			if err := r.profile(at(scope+".profiles", j), &all[j], kinds[j]); err != nil {
				return err
			}
		}
	}
	if len(r.series) > 0 {
		return d.host(field+".resource", o)
	}
	return nil
}

// kind tells what a profile measures.
func (d *Message) kind(field string, p *profileEntry) (k kind, err error) {
	var texts [4]string
	for i, t := range [...]struct {
		field string
		index int32
	}{
		{".sample_type.type_strindex", p.sampleType.typ},
		{".sample_type.unit_strindex", p.sampleType.unit},
		{".period_type.type_strindex", p.periodType.typ},
		{".period_type.unit_strindex", p.periodType.unit},
	} {
		if t.index < 0 || int(t.index) >= len(d.texts) {
			return k, index(field+t.field, t.index, "string_table", len(d.texts))
		}
		texts[i] = d.typeName(t.index)
	}
	for j, a := range d.ofProfile[p.attributes.from:p.attributes.to] {
		if a < 0 || int(a) >= len(d.attributes) {
			return k, index(at(field+".attribute_indices", j), a, "attribute_table", d.entries[attributeTable])
		}
	}
	return kindOf(texts[0], texts[1], texts[2], texts[3], p.period), nil
}

// twin is what is the same in profiles of a scope of which one tells in time what the
// other tells in observations, as the two of a pprof file do.
type twin struct {
	typ            libpf.SampleType
	time, duration uint64
	samples        int
}

func twinOf(k *kind, p *profileEntry) twin { return twin{k.typ, p.time, p.duration, p.samples.len()} }

// profilesInTime returns the profiles of a scope that tell in time. There may be many.
func (d *Message) profilesInTime(field string, kinds []kind, all []profileEntry) (map[twin]struct{}, error) {
	const twinBytes = 2 * 48 // with its place in the map
	var twins map[twin]struct{}
	for i := range all {
		k := &kinds[i]
		if k.typ == 0 || k.count {
			continue
		}
		if twins == nil {
			twins = make(map[twin]struct{})
		}
		if err := d.owe(field, twinBytes); err != nil {
			return nil, err
		}
		twins[twinOf(k, &all[i])] = struct{}{}
	}
	return twins, nil
}

// reader reads the profiles of a resource.
type reader struct {
	*Message
	origin *origin
	series map[seriesKey]uint32
	// last is the series that was asked for last, of lastType and with the attributes in key.
	last     uint32
	lastType libpf.SampleType // 0: none yet
	key      []byte
	lastKey  []byte
}

// seriesKey is what tells the series of a resource apart.
type seriesKey struct {
	typ        libpf.SampleType
	attributes string
}

func (r *reader) profile(field string, p *profileEntry, k kind) error {
	begin := r.Now
	if p.time > math.MaxInt64 {
		return invalid(field+".time_unix_nano", "is %d, at most %d is allowed", p.time, int64(math.MaxInt64))
	}
	if p.time > 0 {
		begin = libpf.UnixTimeNs(p.time)
	}
	rows := len(r.out.Batch.Samples)
	var left uint64 // weight of what is out of the window
	all := r.samples[p.samples.from:p.samples.to]
	for i := range all {
		s := &all[i]
		if err := r.check(field, i, s); err != nil {
			return err
		}
		if k.typ == 0 {
			r.out.Unsupported += uint64(max(s.times.len(), 1))
			continue
		}
		l, err := r.sample(field, i, s, &k, begin)
		if err != nil {
			return err
		}
		left += l
	}
	switch {
	case k.typ == 0 && len(all) > 0:
		r.out.RejectedProfiles++
		r.out.note("samples of type %q are not taken: "+taken, r.typeName(p.sampleType.typ)+"/"+r.typeName(p.sampleType.unit))
	case left > 0 && len(r.out.Batch.Samples) == rows:
		r.out.RejectedProfiles++
	}
	return nil
}

// check checks a sample's references and shape.
func (r *reader) check(field string, i int, s *sampleEntry) error {
	at := func(name string) string { return at(field+".samples", i) + name }
	if x := s.stack; x < 0 || int(x) >= len(r.stacks) {
		return index(at(".stack_index"), x, "stack_table", r.entries[stackTable])
	}
	if x := s.link; x < 0 || int(x) >= len(r.links) {
		return index(at(".link_index"), x, "link_table", r.entries[linkTable])
	}
	attributes := r.indices[s.attributes.from:s.attributes.to]
	for j, a := range attributes {
		switch {
		case a < 0 || int(a) >= len(r.attributes):
			return orOldLayout(s, index(at(".attribute_indices"), a, "attribute_table", r.entries[attributeTable]))
		case j > 0 && a == attributes[j-1] && valuesAsAttributes(s):
			return orOldLayout(s, invalid(at(".attribute_indices"), "has %d twice", a))
		}
	}
	values, times := s.values.len(), s.times.len()
	switch {
	case values == 0 && times == 0:
		return orOldLayout(s, invalid(at(""), "has neither values nor timestamps_unix_nano"))
	case times == 0 && values != 1:
		return invalid(at(".values"), "has %d entries, without timestamps_unix_nano it must be 1", values)
	case times > 0 && values > 0 && values != times:
		return invalid(at(".values"), "has %d entries, timestamps_unix_nano has %d", values, times)
	}
	return nil
}

// sample appends the rows of a sample that was checked. It returns the weight of
// those that are left out for their times.
func (r *reader) sample(field string, i int, s *sampleEntry, k *kind, begin libpf.UnixTimeNs) (left uint64, err error) {
	hash, err := r.stack(int(s.stack))
	if err != nil {
		return 0, err
	}
	series, err := r.seriesIndex(k.typ, r.indices[s.attributes.from:s.attributes.to])
	if err != nil {
		return 0, err
	}
	link := &r.links[s.link]
	batch := r.out.Batch
	values, times := r.values[s.values.from:s.values.to], r.times[s.times.from:s.times.to]
	n := max(len(times), 1)
	if len(batch.Samples)+n > r.MaxSamples {
		return 0, oversized(field+".samples", "the request has more than %d observations in time: send it in parts", r.MaxSamples)
	}
	first := len(batch.Samples)
	for j := range n {
		t := begin
		if len(times) > 0 {
			ns := times[j]
			if ns > math.MaxInt64 {
				return 0, invalid(at(at(field+".samples", i)+".timestamps_unix_nano", j), "is %d, at most %d is allowed", ns, int64(math.MaxInt64))
			}
			t = libpf.UnixTimeNs(ns)
		}
		count, value, ok := k.amount(values, j)
		if !ok {
			return 0, invalid(at(at(field+".samples", i)+".values", j), "is %d, must not be negative or stand for more than %d", values[j], int64(maxValue))
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
		if last := len(batch.Samples) - 1; last >= first && mergeInto(&batch.Samples[last], t, count, value) {
			continue
		}
		batch.Samples = append(batch.Samples, store.Sample{
			Time: t, Series: series, Stack: hash, Count: count, Value: value, TraceID: link.trace, SpanID: link.span,
		})
	}
	return left, nil
}

// mergeInto adds an observation to the one before it if both are of the same
// millisecond and the sums stay what a single observation may be.
func mergeInto(s *store.Sample, t libpf.UnixTimeNs, count, value int64) bool {
	if store.FloorMs(s.Time) != store.FloorMs(t) || s.Count+count > maxCount || s.Value+value > maxValue {
		return false
	}
	s.Count += count
	s.Value += value
	return true
}

// amount returns the count and the value of an observation.
func (k *kind) amount(values []int64, j int) (count, value int64, ok bool) {
	if len(values) == 0 { // each timestamp counts one
		return 1, max(k.period, 1), true
	}
	v := values[j]
	if v < 0 || v > maxValue/k.scale {
		return 0, 0, false
	}
	v *= k.scale
	switch {
	case v == 0:
		return 0, 0, true
	case k.count:
		return v, v * k.period, v <= maxCount && v <= maxValue/k.period
	case k.typ == libpf.SampleEvent:
		return v, v, v <= maxCount
	case k.period > 0:
		return min(max((v+k.period/2)/k.period, 1), maxCount), v, true
	default:
		return 1, v, true
	}
}

// keyBytes returns the length of the keys of a series, which are hashed for it.
func (r *reader) keyBytes(attributes []int32) (n int) {
	for _, a := range attributes {
		n += len(r.texts[r.attributes[a].key])
	}
	for key := range r.origin.labels {
		n += len(key)
	}
	return n
}

// seriesIndex returns the index of the series of samples with attributes.
func (r *reader) seriesIndex(t libpf.SampleType, attributes []int32) (uint32, error) {
	r.key = r.key[:0]
	for _, a := range attributes {
		r.key = binary.LittleEndian.AppendUint32(r.key, uint32(a)) //nolint:gosec // checked
	}
	if t == r.lastType && string(r.key) == string(r.lastKey) {
		return r.last, nil
	}
	i, ok := r.series[seriesKey{t, string(r.key)}]
	if !ok {
		labels := len(r.origin.labels) + len(attributes)
		if err := r.charge("attributes", 1, int64(seriesBytes+labels*3*labelBytes+len(r.key))); err != nil {
			return 0, err
		}
		if err := r.work("attributes", r.keyBytes(attributes)); err != nil {
			return 0, err
		}
		s := r.seriesOf(r.origin, t, attributes)
		if err := r.charge("attributes", 1, int64(s.TextBytes())); err != nil {
			return 0, err
		}
		i = uint32(len(r.out.Batch.Series)) //nolint:gosec // fewer than samples
		r.out.Batch.Series = append(r.out.Batch.Series, s)
		r.series[seriesKey{t, string(r.key)}] = i
	}
	r.last, r.lastType, r.lastKey, r.key = i, t, r.key, r.lastKey
	return i, nil
}
