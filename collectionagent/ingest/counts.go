// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// counts checks and converts a request with samples.
func (v *validator) counts(r *pb.AddCountsForTracesRequest, project string) (*store.Batch, error) {
	id, err := v.batch(r.Batch, project, store.BatchSamples)
	if err != nil {
		return nil, err
	}
	c := countsReader{validator: v, r: r, batch: &store.Batch{ID: id}}
	for _, step := range []func() error{c.lengths, c.tables, c.samples} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.batch, nil
}

// countsReader converts one request.
type countsReader struct {
	*validator
	r     *pb.AddCountsForTracesRequest
	batch *store.Batch
	texts stringTable
	sets  [][]libpf.Label
	// processes are the series of the processes, without thread, type and labels of samples.
	processes []store.Series
	series    map[seriesKey]uint32
	// last is the key of the row before, whose series is lastSeries: rows of one come together.
	last       seriesKey
	lastSeries uint32
}

// seriesKey is what tells the series of a request apart.
type seriesKey struct{ source, typ, labels uint32 }

// lengths checks that the columns of each table are of the same length.
func (c *countsReader) lengths() error {
	r := c.r
	n := len(r.TimeDeltas)
	if n > c.limits.MaxSamples {
		return invalid("time_deltas", "has %d entries, at most %d are allowed", n, c.limits.MaxSamples)
	}
	for _, err := range []error{
		hashes("trace_hashes", r.HiTraceHashes, r.LoTraceHashes),
		sameLength("thread_comms", len(r.ThreadComms), "thread_tids", len(r.ThreadTids)),
		sameLength("source_threads", len(r.SourceThreads), "source_processes", len(r.SourceProcesses)),
		sameLength("stacks", len(r.Stacks), "time_deltas", n),
		sameLength("sources", len(r.Sources), "time_deltas", n),
		optionalLength("counts", len(r.Counts), "time_deltas", n),
		optionalLength("values", len(r.Values), "time_deltas", n),
		optionalLength("types", len(r.Types), "time_deltas", n),
		optionalLength("cpus", len(r.Cpus), "time_deltas", n),
		optionalLength("labels", len(r.Labels), "time_deltas", n),
		optionalLength("span_refs", len(r.SpanRefs), "time_deltas", n),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// tables checks the tables that samples refer to.
func (c *countsReader) tables() (err error) {
	r := c.r
	if c.texts, err = c.stringTable(r.StringTable); err != nil {
		return err
	}
	if err := c.texts.column("thread_comms", r.ThreadComms); err != nil {
		return err
	}
	if err := c.meter.charge("label_sets", len(r.LabelSets), 24); err != nil {
		return err
	}
	if err := c.meter.charge("processes", len(r.Processes), seriesBytes); err != nil {
		return err
	}
	c.processes = make([]store.Series, len(r.Processes))
	for i, p := range r.Processes {
		if err := c.process(at("processes", i), p, &c.processes[i]); err != nil {
			return err
		}
	}
	c.sets = make([][]libpf.Label, len(r.LabelSets))
	for i, set := range r.LabelSets {
		if c.sets[i], err = c.validator.labels(c.texts, at("label_sets", i), set); err != nil {
			return err
		}
	}
	for i, s := range r.Spans {
		if len(s) != 24 {
			return invalid(at("spans", i), "has %d bytes instead of 24", len(s))
		}
	}
	for i := range r.SourceProcesses {
		if err := index(at("source_processes", i), r.SourceProcesses[i], "processes", len(r.Processes)); err != nil {
			return err
		}
		if err := index(at("source_threads", i), r.SourceThreads[i], "thread table", len(r.ThreadTids)); err != nil {
			return err
		}
	}
	return nil
}

// process checks and converts a process.
func (c *countsReader) process(field string, p *pb.Process, s *store.Series) (err error) {
	if p == nil {
		return invalid(field, "is missing")
	}
	*s = store.Series{
		Project: c.batch.ID.Project, HostID: c.batch.ID.HostID, Host: c.r.Batch.HostName,
		PID: libpf.PID(p.Pid), ProcessStart: p.StartTime,
	}
	if s.Host == "" {
		s.Host = s.HostID
	}
	var commandLine string // not kept by the store yet, but it must be a text all the same
	for _, t := range []struct {
		name  string
		index uint32
		to    *string
	}{
		{".name", p.Name, &s.Process},
		{".executable", p.Executable, &s.Executable},
		{".command_line", p.CommandLine, &commandLine},
		{".container_id", p.ContainerId, &s.ContainerID},
		{".container_name", p.ContainerName, &s.Container},
		{".pod_name", p.PodName, &s.Pod},
		{".namespace", p.Namespace, &s.Namespace},
		{".service", p.Service, &s.Service},
	} {
		if *t.to, err = c.texts.get(field+t.name, t.index); err != nil {
			return err
		}
	}
	s.Labels, err = c.validator.labels(c.texts, field+".labels", p.Labels)
	return err
}

// samples checks and converts the rows.
func (c *countsReader) samples() error {
	r := c.r
	if err := c.meter.charge("hi_trace_hashes", len(r.HiTraceHashes), 2*hashBytes); err != nil {
		return err
	}
	if err := c.meter.charge("time_deltas", len(r.TimeDeltas), sampleBytes); err != nil {
		return err
	}
	stacks := make([]libpf.TraceHash, len(r.HiTraceHashes))
	for i := range stacks {
		stacks[i] = libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])
	}
	c.batch.Samples = make([]store.Sample, len(r.TimeDeltas))
	c.series = make(map[seriesKey]uint32)
	t := libpf.UnixTimeNs(r.BaseTime)
	late := rangeError{}
	late.earliest, late.latest = c.limits.window(c.now)
	for i := range c.batch.Samples {
		s := &c.batch.Samples[i]
		delta := libpf.UnixTimeNs(r.TimeDeltas[i])
		if (delta > 0 && t > math.MaxInt64-delta) || (delta < 0 && t < math.MinInt64-delta) {
			return invalid(at("time_deltas", i), "time overflows")
		}
		t += delta
		s.Time = t
		stack := r.Stacks[i]
		if int64(stack) >= int64(len(stacks)) {
			return index(at("stacks", i), stack, "stack table", len(stacks))
		}
		s.Stack = stacks[stack]
		if err := c.amount(i, s); err != nil {
			return err
		}
		if t < late.earliest {
			late.tooOld += uint64(s.Count) //nolint:gosec // positive
		} else if t > late.latest {
			late.inFuture += uint64(s.Count) //nolint:gosec // positive
		}
		var err error
		if s.Series, err = c.seriesOf(i); err != nil {
			return err
		}
		if len(r.SpanRefs) > 0 && r.SpanRefs[i] != 0 {
			ref := r.SpanRefs[i] - 1
			if int64(ref) >= int64(len(r.Spans)) {
				return invalid(at("span_refs", i), "span %d out of range, spans has %d entries", ref+1, len(r.Spans))
			}
			copy(s.TraceID[:], r.Spans[ref])
			copy(s.SpanID[:], r.Spans[ref][16:])
		}
	}
	if late.tooOld > 0 || late.inFuture > 0 {
		return &late
	}
	return nil
}

// amount sets the count and the value of a row.
func (c *countsReader) amount(i int, s *store.Sample) error {
	s.Count, s.Value = 1, c.r.DefaultValue
	valueField := "default_value"
	if len(c.r.Counts) > 0 {
		s.Count = int64(c.r.Counts[i])
		if s.Count == 0 || s.Count > maxCount {
			return invalid(at("counts", i), "is %d, must be from 1 to %d", s.Count, int64(maxCount))
		}
	}
	if len(c.r.Values) > 0 {
		s.Value, valueField = c.r.Values[i], "values"
	}
	if s.Value < 0 || s.Value > maxValue {
		if valueField == "values" {
			valueField = at(valueField, i)
		}
		return invalid(valueField, "is %d, must be from 0 to %d", s.Value, int64(maxValue))
	}
	return nil
}

// seriesOf returns the index of the series of a row.
func (c *countsReader) seriesOf(i int) (uint32, error) {
	r := c.r
	key := seriesKey{source: r.Sources[i], typ: r.DefaultType}
	if len(r.Types) > 0 {
		key.typ = r.Types[i]
	}
	if len(r.Labels) > 0 {
		key.labels = r.Labels[i]
	}
	if key == c.last && len(c.batch.Series) > 0 {
		return c.lastSeries, nil
	}
	if n, ok := c.series[key]; ok {
		c.last, c.lastSeries = key, n
		return n, nil
	}
	if err := index(at("sources", i), key.source, "source table", len(r.SourceProcesses)); err != nil {
		return 0, err
	}
	if key.typ > math.MaxUint8 || !libpf.SampleType(key.typ).Valid() {
		field := "default_type"
		if len(r.Types) > 0 {
			field = at("types", i)
		}
		return 0, invalid(field, "%d is not a type of sample", key.typ)
	}
	if int64(key.labels) > int64(len(c.sets)) {
		return 0, invalid(at("labels", i), "label set %d out of range, label_sets has %d entries", key.labels, len(c.sets))
	}
	thread := r.SourceThreads[key.source]
	series := c.processes[r.SourceProcesses[key.source]]
	series.Type = libpf.SampleType(key.typ)
	series.TID = libpf.TID(r.ThreadTids[thread])
	series.Comm = c.texts[r.ThreadComms[thread]]
	if err := c.meter.charge("sources", 1, seriesBytes); err != nil {
		return 0, err
	}
	if key.labels > 0 {
		set := c.sets[key.labels-1]
		if err := c.meter.charge("labels", len(series.Labels)+len(set), labelBytes); err != nil {
			return 0, err
		}
		series.Labels = mergeLabels(series.Labels, set)
	}
	// The log and the head keep each series with its texts, however often they repeat.
	if err := c.meter.charge("sources", 1, int64(series.TextBytes())); err != nil {
		return 0, err
	}
	n := uint32(len(c.batch.Series)) //nolint:gosec // there are fewer than rows
	c.series[key] = n
	c.last, c.lastSeries = key, n
	c.batch.Series = append(c.batch.Series, series)
	return n, nil
}

// mergeLabels merges two sorted sets; where both have a key, the second wins.
func mergeLabels(a, b []libpf.Label) []libpf.Label {
	merged := make([]libpf.Label, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].Key, b[0].Key); {
		case c < 0:
			merged = append(merged, a[0])
			a = a[1:]
		case c > 0:
			merged = append(merged, b[0])
			b = b[1:]
		default:
			merged = append(merged, b[0])
			a, b = a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}
