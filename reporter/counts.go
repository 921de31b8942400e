// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// sortRows orders rows by time and sums those that agree in time and everything
// else: callers that count by the second report the same key many times.
func sortRows(rows []libpf.Sample) []libpf.Sample {
	byTime := func(a, b libpf.Sample) int { return cmp.Compare(a.Time, b.Time) }
	if !slices.IsSortedFunc(rows, byTime) {
		slices.SortStableFunc(rows, byTime)
	}
	kept := 0 // never above i, so rows[i-1] is still the row before
	var seen map[sampleKey]int
	for i := range rows {
		row := &rows[i]
		twin := i > 0 && rows[i-1].Time == row.Time
		if twin || (i+1 < len(rows) && rows[i+1].Time == row.Time) {
			if !twin {
				seen = map[sampleKey]int{}
			}
			key := sampleKey{
				stack: row.Trace.Hash, process: row.Process, tid: row.TID, cpu: row.CPU, comm: row.Comm,
				labels: labelKey(row.Labels), traceID: row.TraceID, spanID: row.SpanID, kind: row.Type,
				bucket: int64(row.Time),
			}
			if at, ok := seen[key]; ok && mergeInto(&rows[at], row) {
				continue
			}
			seen[key] = kept
		}
		if kept != i {
			rows[kept] = *row
		}
		kept++
	}
	clear(rows[kept:])
	return rows[:kept]
}

type threadKey struct {
	tid  libpf.TID
	comm uint32
}

type spanKey struct {
	traceID [16]byte
	spanID  [8]byte
}

// countsEncoder writes rows as columns. Its tables are made for one request.
type countsEncoder struct {
	req       *pb.AddCountsForTracesRequest
	texts     *textTable
	stacks    table[libpf.TraceHash]
	traces    []*libpf.Trace // the stack table
	processes table[*libpf.Process]
	threads   table[threadKey]
	sources   table[[2]uint32]
	labelSets table[string]
	spans     table[spanKey]
}

// encodeCounts writes rows, sorted by time, and returns the stack table with the request.
func encodeCounts(id *pb.Batch, rows []libpf.Sample) (*pb.AddCountsForTracesRequest, []*libpf.Trace) {
	e := countsEncoder{
		req:   &pb.AddCountsForTracesRequest{Batch: id},
		texts: newTextTable(), stacks: newTable[libpf.TraceHash](), processes: newTable[*libpf.Process](),
		threads: newTable[threadKey](), sources: newTable[[2]uint32](), labelSets: newTable[string](),
		spans: newTable[spanKey](),
	}
	n := len(rows)
	req := e.req
	req.TimeDeltas = make([]int64, n)
	req.Stacks = make([]uint32, n)
	req.Sources = make([]uint32, n)
	if n > 0 {
		req.BaseTime = int64(rows[0].Time)
		req.DefaultValue, req.DefaultType = rows[0].Value, uint32(rows[0].Type)
	}
	before := req.BaseTime
	for i := range rows {
		row := &rows[i]
		req.TimeDeltas[i] = int64(row.Time) - before
		before = int64(row.Time)
		req.Stacks[i] = e.stack(row.Trace)
		req.Sources[i] = e.source(row)
	}
	req.Counts = column(rows, func(r *libpf.Sample) uint32 { return r.Count }, 1)
	req.Values = column(rows, func(r *libpf.Sample) int64 { return r.Value }, req.DefaultValue)
	req.Types = column(rows, func(r *libpf.Sample) uint32 { return uint32(r.Type) }, req.DefaultType)
	req.Cpus = column(rows, func(r *libpf.Sample) uint32 { return r.CPU }, 0)
	req.Labels = column(rows, e.labels, 0)
	req.SpanRefs = column(rows, e.span, 0)
	req.StringTable = e.texts.texts
	return req, e.traces
}

// column returns the values of a column, or nil when all equal the default.
func column[T comparable](rows []libpf.Sample, value func(*libpf.Sample) T, standard T) []T {
	var out []T
	for i := range rows {
		v := value(&rows[i])
		if out == nil {
			if v == standard {
				continue
			}
			out = make([]T, len(rows))
			for j := range i {
				out[j] = standard
			}
		}
		out[i] = v
	}
	return out
}

func (e *countsEncoder) stack(t *libpf.Trace) uint32 {
	i, isNew := e.stacks.add(t.Hash)
	if isNew {
		e.req.HiTraceHashes = append(e.req.HiTraceHashes, t.Hash.Hi())
		e.req.LoTraceHashes = append(e.req.LoTraceHashes, t.Hash.Lo())
		e.traces = append(e.traces, t)
	}
	return i
}

func (e *countsEncoder) source(row *libpf.Sample) uint32 {
	process, isNew := e.processes.add(row.Process)
	if isNew {
		e.req.Processes = append(e.req.Processes, e.process(row.Process))
	}
	key := threadKey{tid: row.TID, comm: e.texts.add(row.Comm)}
	thread, isNew := e.threads.add(key)
	if isNew {
		e.req.ThreadTids = append(e.req.ThreadTids, uint32(key.tid))
		e.req.ThreadComms = append(e.req.ThreadComms, key.comm)
	}
	source, isNew := e.sources.add([2]uint32{process, thread})
	if isNew {
		e.req.SourceProcesses = append(e.req.SourceProcesses, process)
		e.req.SourceThreads = append(e.req.SourceThreads, thread)
	}
	return source
}

func (e *countsEncoder) process(p *libpf.Process) *pb.Process {
	t := e.texts
	out := &pb.Process{
		Pid: uint32(p.PID), StartTime: p.StartTime, Name: t.add(p.Name), Executable: t.add(p.Executable),
		HiExecutableId: p.ExecutableID.Hi(), LoExecutableId: p.ExecutableID.Lo(),
		CommandLine: t.add(p.CommandLine), ContainerId: t.add(p.ContainerID),
		ContainerName: t.add(p.ContainerName), PodName: t.add(p.PodName), Namespace: t.add(p.Namespace),
		Service: t.add(p.Service), CgroupId: p.CgroupID,
	}
	if len(p.Labels) > 0 {
		out.Labels = e.labelSet(p.Labels)
	}
	return out
}

func (e *countsEncoder) labelSet(labels []libpf.Label) *pb.LabelSet {
	byKey := func(a, b libpf.Label) int { return cmp.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(labels, byKey) {
		labels = slices.Clone(labels)
		slices.SortStableFunc(labels, byKey)
	}
	set := &pb.LabelSet{}
	for i := range labels {
		if i > 0 && labels[i].Key == labels[i-1].Key {
			continue // the first of equal keys counts
		}
		set.Keys = append(set.Keys, e.texts.add(labels[i].Key))
		set.Values = append(set.Values, e.texts.add(labels[i].Value))
	}
	return set
}

func (e *countsEncoder) labels(row *libpf.Sample) uint32 {
	if len(row.Labels) == 0 {
		return 0
	}
	i, isNew := e.labelSets.add(labelKey(row.Labels))
	if isNew {
		e.req.LabelSets = append(e.req.LabelSets, e.labelSet(row.Labels))
	}
	return i + 1
}

func (e *countsEncoder) span(row *libpf.Sample) uint32 {
	key := spanKey{traceID: row.TraceID, spanID: row.SpanID}
	if key == (spanKey{}) {
		return 0
	}
	i, isNew := e.spans.add(key)
	if isNew {
		e.req.Spans = append(e.req.Spans, append(slices.Clone(key.traceID[:]), key.spanID[:]...))
	}
	return i + 1
}
