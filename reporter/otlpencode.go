// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

const (
	// scopeName names this reporter in the scope of its profiles.
	scopeName = "github.com/strobe-profiler/strobe/reporter"
	// schemaURL names the version of the conventions that the attributes are of.
	schemaURL = "https://opentelemetry.io/schemas/1.44.0"
)

// profileEncoder writes rows as requests: a resource per process, a profile per type
// of sample in it, and one dictionary for all. It writes the wire format itself,
// since an object per sample and entry would cost several times as much, and keeps its
// memory for the next request. It is not safe for concurrent use.
type profileEncoder struct {
	dict dictionary
	host map[string]string

	resources    entryTable // by content, not part of the dictionary
	resourceOf   map[*libpf.Process]int32
	resourceList []resourceEntry
	values       map[string]resourceValue
	keys         []string

	profiles  []profileEntry
	profileOf map[profileKey]int32

	sets   entryTable // of attributes of samples, packed; not part of the dictionary
	setOf  map[setKey]int32
	packed []byte

	samples  []sampleEntry
	sampleOf map[sampleIdentity]int32

	observations []observation
	order        []int32

	held int // bytes that the rows of the last request keep alive

	scratch wire
	out     wire
}

// none is the end of a list.
const none = -1

// resourceEntry is the profiles of a resource, as a list.
type resourceEntry struct{ first, last int32 }

// profileKey is what tells the profiles of a request apart.
type profileKey struct {
	resource int32
	kind     libpf.SampleType
	period   int64 // of samples on a CPU
}

// profileEntry is a profile: a list of samples.
type profileEntry struct {
	profileKey
	first, last, next int32
	// withValues: all samples of a profile have one shape, times alone when each counts 1.
	withValues bool
}

// sampleIdentity is the identity of a sample in a request: no two of a profile are equal.
type sampleIdentity struct{ profile, stack, set, link int32 }

// sampleEntry is a sample: a list of observations, in the order of time.
type sampleEntry struct {
	sampleIdentity
	first, last, next int32
}

type observation struct {
	time  uint64
	value uint64
	next  int32
}

// setKey stands for the attributes of a sample.
type setKey struct {
	tid    libpf.TID
	cpu    uint32
	comm   string
	labels *libpf.Label
	n      int
}

// export is what a request is made of.
type export struct {
	rows      []libpf.Sample // by time
	catalogue *catalogue
	host      map[string]string
	version   string
	runID     [16]byte
	sequence  uint64
}

// encode returns a request, and the number of profiles in it.
func (e *profileEncoder) encode(x *export) (request []byte, profiles int) {
	e.reset(x)
	for i := range x.rows {
		e.add(&x.rows[i])
	}
	e.write(x)
	n := e.dict.size()
	request = make([]byte, 0, len(e.out)+protowire.SizeTag(2)+protowire.SizeBytes(n))
	request = append(request, e.out...)
	request = protowire.AppendTag(request, 2, protowire.BytesType)
	request = protowire.AppendVarint(request, uint64(n)) //nolint:gosec // not negative
	for _, t := range e.dict.tables() {
		request = append(request, t.buf...)
	}
	profiles = len(e.profiles)
	e.held = len(x.rows) * rowBytes
	for t := range e.dict.stackOf {
		e.held += sizeOfTrace(t)
	}
	for p := range e.resourceOf {
		e.held += sizeOfProcess(p)
	}
	// What the rows refer to is none of ours any more.
	e.dict.forget()
	e.forget()
	return request, profiles
}

func (e *profileEncoder) reset(x *export) {
	e.forget()
	e.dict.reset(x.catalogue)
	e.host = x.host
	e.resources.reset(1)
	e.sets.reset(1)
	e.resourceList = append(emptied(e.resourceList, 8), resourceEntry{none, none}) // entry 0 is no resource
	e.profiles = emptied(e.profiles, int(unsafe.Sizeof(profileEntry{})))
	e.samples = emptied(e.samples, int(unsafe.Sizeof(sampleEntry{})))
	e.observations = emptied(e.observations, int(unsafe.Sizeof(observation{})))
	e.order = emptied(e.order, 4)
	e.out, e.scratch = emptied(e.out, 1), emptied(e.scratch, 1)
}

func (e *profileEncoder) forget() {
	e.host = nil
	e.resourceOf, e.values = emptiedMap(e.resourceOf), emptiedMap(e.values)
	e.profileOf, e.setOf, e.sampleOf = emptiedMap(e.profileOf), emptiedMap(e.setOf), emptiedMap(e.sampleOf)
	clear(e.keys[:cap(e.keys)])
}

const (
	// maxParts bounds the observations that a row is written as.
	maxParts = 1 << 12
	// maxObservations bounds those of a lease: as many as a request has room for, which
	// has a time of 8 bytes for each.
	maxObservations = maxRequestBytes / 8
)

// partsOf returns as how many observations a row is written that has a value beside its
// count: OTLP has no place for both, so each observation has a part of the value.
func partsOf(row *libpf.Sample) int64 {
	return min(max(int64(row.Count), 1), max(row.Value, 1), maxParts)
}

// leaseRows takes rows from a queue as far as they make a request of a reasonable size:
// what was summed while the server was away would become many times as large as it was.
func leaseRows(q *sampleQueue) []libpf.Sample {
	rows := q.lease(maxRows)
	n := int64(0)
	for i := range rows {
		if t := rows[i].Type; t != libpf.SampleOnCPU && t != libpf.SampleEvent {
			n += partsOf(&rows[i])
		}
		if n > maxObservations {
			q.giveBack(rows[i:])
			clear(rows[i:])
			return rows[:i]
		}
	}
	return rows
}

// add adds a row.
func (e *profileEncoder) add(row *libpf.Sample) {
	id := sampleIdentity{stack: e.dict.stackOfRow(row), set: e.set(row), link: e.dict.linkTo(row)}
	key := profileKey{resource: e.resource(row.Process), kind: row.Type}
	count, value := max(int64(row.Count), 1), max(row.Value, 0)
	switch row.Type {
	case libpf.SampleOnCPU:
		// The value is the count times the period. Where several periods were summed it
		// is two counts with periods that are as close as numbers can be.
		longer := value % count
		key.period = value / count
		e.observe(key, id, row.Time, count-longer, 1)
		if longer > 0 {
			key.period++
			e.observe(key, id, row.Time, longer, 1)
		}
	case libpf.SampleEvent:
		e.observe(key, id, row.Time, value, 1)
	default:
		parts := partsOf(row)
		larger := value % parts
		e.observe(key, id, row.Time, value/parts+1, larger)
		e.observe(key, id, row.Time, value/parts, parts-larger)
	}
}

// observe adds a number of observations of the same value.
func (e *profileEncoder) observe(key profileKey, id sampleIdentity, at libpf.UnixTimeNs, value, times int64) {
	if times == 0 {
		return
	}
	id.profile = e.profile(key)
	e.profiles[id.profile].withValues = e.profiles[id.profile].withValues || value != 1
	s := e.sample(id)
	one := observation{time: unixNano(at), value: uint64(value), next: none} //nolint:gosec // add makes parts of what is not negative
	for range times {
		i := int32(len(e.observations)) //nolint:gosec // bounded by the rows
		e.observations = append(e.observations, one)
		sample := &e.samples[s]
		if sample.last == none {
			sample.first = i
		} else {
			e.observations[sample.last].next = i
		}
		sample.last = i
	}
}

// unixNano returns a time as the protocol has it, which knows none before 1970.
func unixNano(t libpf.UnixTimeNs) uint64 { return uint64(max(t, 0)) }

// profile returns the index of a profile.
func (e *profileEncoder) profile(key profileKey) int32 {
	i, ok := e.profileOf[key]
	if ok {
		return i
	}
	i = int32(len(e.profiles)) //nolint:gosec // bounded by the rows
	e.profiles = append(e.profiles, profileEntry{profileKey: key, first: none, last: none, next: none})
	e.profileOf[key] = i
	r := &e.resourceList[key.resource]
	if r.last == none {
		r.first = i
	} else {
		e.profiles[r.last].next = i
	}
	r.last = i
	return i
}

// sample returns the index of a sample.
func (e *profileEncoder) sample(id sampleIdentity) int32 {
	i, ok := e.sampleOf[id]
	if ok {
		return i
	}
	i = int32(len(e.samples)) //nolint:gosec // bounded by the rows
	e.samples = append(e.samples, sampleEntry{sampleIdentity: id, first: none, last: none, next: none})
	e.sampleOf[id] = i
	p := &e.profiles[id.profile]
	if p.last == none {
		p.first = i
	} else {
		e.samples[p.last].next = i
	}
	p.last = i
	return i
}

// set returns the index of the attributes of a row.
func (e *profileEncoder) set(row *libpf.Sample) int32 {
	key := setKey{tid: row.TID, cpu: row.CPU, comm: row.Comm, labels: firstOf(row.Labels), n: len(row.Labels)}
	if i, ok := e.setOf[key]; ok {
		return i
	}
	e.packed = e.packed[:0]
	add := func(attribute int32) { e.packed = appendIndices(e.packed, attribute) }
	if row.Comm != "" {
		add(e.dict.textAttribute("thread.name", row.Comm))
	}
	if row.TID != 0 {
		add(e.dict.numberAttribute("thread.id", uint64(row.TID)))
	}
	if row.TID != 0 || row.CPU != 0 { // else nothing was said of either
		add(e.dict.numberAttribute("cpu.logical_number", uint64(row.CPU)))
	}
	for _, l := range uniqueLabels(row.Labels) {
		add(e.dict.textAttribute(otlpkey.LabelPrefix+l.Key, l.Value))
	}
	i := e.sets.add(e.packed)
	e.setOf[key] = i
	return i
}

// uniqueLabels returns labels in the order of their keys, the first of each that
// differs as it is written.
func uniqueLabels(labels []libpf.Label) []libpf.Label {
	byKey := func(a, b libpf.Label) int { return cmp.Compare(cleanText(a.Key), cleanText(b.Key)) }
	fine := func(i int) bool { return labels[i].Key != "" && (i == 0 || byKey(labels[i-1], labels[i]) < 0) }
	for i := range labels {
		if !fine(i) {
			labels = slices.DeleteFunc(slices.Clone(labels), func(l libpf.Label) bool { return l.Key == "" })
			slices.SortStableFunc(labels, byKey)
			return slices.CompactFunc(labels, func(a, b libpf.Label) bool { return byKey(a, b) == 0 })
		}
	}
	return labels
}

// write writes the profiles.
func (e *profileEncoder) write(x *export) {
	version := cleanText(x.version)
	begin, duration := span(x.rows)
	w, n := &e.out, 0
	for i := range e.resourceList {
		r := &e.resourceList[i]
		if r.first == none {
			continue
		}
		resource := w.open()
		w.bytes(1, e.resources.entry(int32(i))) //nolint:gosec // bounded by the rows
		scope := w.open()
		name := w.open()
		w.text(1, scopeName)
		w.text(2, version)
		w.close(1, name)
		for p := r.first; p != none; p = e.profiles[p].next {
			n++
			from := w.open()
			e.writeProfile(&e.profiles[p], begin, duration, profileID(x, n))
			w.close(2, from)
		}
		w.text(3, schemaURL)
		w.close(2, scope)
		w.text(3, schemaURL)
		w.close(1, resource)
	}
}

// span returns the time that rows cover. Its end is exclusive, and far enough from
// the begin that a rate is a rate: a sample stands for the time of a period.
func span(rows []libpf.Sample) (begin, duration uint64) {
	if len(rows) == 0 {
		return 0, 0
	}
	last := &rows[len(rows)-1]
	begin, duration = unixNano(rows[0].Time), unixNano(last.Time)-unixNano(rows[0].Time)
	if last.Type == libpf.SampleOnCPU {
		duration += uint64(max(last.Value, 0)) / max(uint64(last.Count), 1)
	}
	return begin, duration + 1
}

// writeProfile writes the fields of a profile.
func (e *profileEncoder) writeProfile(p *profileEntry, begin, duration uint64, id [16]byte) {
	kind, unit := p.kind.String(), p.kind.Unit()
	switch p.kind {
	case libpf.SampleOnCPU:
		kind, unit = "samples", "count"
	case libpf.SampleEvent:
		kind = "events"
	}
	e.writeValueType(1, kind, unit)
	// Samples of a thread stand together, since what is alike compresses best when it is near.
	e.order = e.order[:0]
	for s := p.first; s != none; s = e.samples[s].next {
		e.order = append(e.order, s)
	}
	slices.SortFunc(e.order, func(i, j int32) int {
		a, b := &e.samples[i], &e.samples[j]
		return cmp.Or(cmp.Compare(a.set, b.set), cmp.Compare(a.link, b.link), cmp.Compare(a.stack, b.stack))
	})
	for _, s := range e.order {
		e.writeSample(&e.samples[s], p.withValues)
	}
	w := &e.out
	w.fixed64(3, begin)
	w.varint(4, duration)
	if p.kind == libpf.SampleOnCPU {
		e.writeValueType(5, "cpu", "nanoseconds")
		w.varint(6, uint64(p.period)) //nolint:gosec // not negative
	}
	w.bytes(7, id[:])
}

func (e *profileEncoder) writeValueType(field protowire.Number, kind, unit string) {
	w := &e.out
	from := w.open()
	w.index(1, e.dict.text(kind))
	w.index(2, e.dict.text(unit))
	w.close(field, from)
}

func (e *profileEncoder) writeSample(s *sampleEntry, withValues bool) {
	w := &e.out
	from := w.open()
	w.index(1, s.stack)
	w.packed(2, e.sets.entry(s.set))
	w.index(3, s.link)
	if withValues {
		values := w.open()
		for o := s.first; o != none; o = e.observations[o].next {
			*w = protowire.AppendVarint(*w, e.observations[o].value)
		}
		w.close(4, values)
	}
	times := w.open()
	for o := s.first; o != none; o = e.observations[o].next {
		*w = protowire.AppendFixed64(*w, e.observations[o].time)
	}
	w.close(5, times)
	w.close(2, from)
}

// profileID returns an ID that is the same whenever the request is encoded again,
// and different in every profile. IDs begin alike, so that they compress.
func profileID(x *export, n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], xxh3.Hash(x.runID[:]))
	binary.BigEndian.PutUint64(id[8:], x.sequence<<16^uint64(n)) //nolint:gosec // counts up
	return id
}
