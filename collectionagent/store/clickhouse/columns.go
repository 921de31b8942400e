// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// sampleRows are rows of the table of samples, column by column.
type sampleRows struct {
	texts   [10][]string // those of textOf
	project []string
	typ     []uint8
	pid     []uint32
	started []uint64
	tid     []uint32

	labels                  []map[string]string
	labelNames, labelValues [][]string

	times        []time.Time
	ms           []int64
	stack        []string
	count, value []int64
	trace, span  []string
	ins          []uint64
}

// textColumns are the columns of textOf.
var textColumns = [10]string{
	store.LabelService, store.LabelHostID, store.LabelHost, store.LabelNamespace, store.LabelPod,
	store.LabelContainerID, store.LabelContainer, store.LabelProcess, store.LabelExecutable, store.LabelComm,
}

// textOf returns the fields of a series in the order of textColumns.
func textOf(s *store.Series) [10]*string {
	return [10]*string{
		&s.Service, &s.HostID, &s.Host, &s.Namespace, &s.Pod, &s.ContainerID, &s.Container, &s.Process, &s.Executable, &s.Comm,
	}
}

// grow makes room for rows.
func (r *sampleRows) grow(n int, legacy bool) {
	for i := range r.texts {
		r.texts[i] = make([]string, 0, n)
	}
	r.project, r.typ, r.pid = make([]string, 0, n), make([]uint8, 0, n), make([]uint32, 0, n)
	r.started, r.tid = make([]uint64, 0, n), make([]uint32, 0, n)
	r.stack, r.trace, r.span = make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	r.count, r.value, r.ins = make([]int64, 0, n), make([]int64, 0, n), make([]uint64, n)
	if legacy {
		r.labelNames, r.labelValues, r.ms = make([][]string, 0, n), make([][]string, 0, n), make([]int64, 0, n)
		return
	}
	r.labels, r.times = make([]map[string]string, 0, n), make([]time.Time, 0, n)
}

// noTrace and noSpan are the columns of a sample outside of any span.
var (
	noTrace = string(make([]byte, 16))
	noSpan  = string(make([]byte, 8))
)

// idColumn returns an ID as a column has it, without a copy where it is zero.
func idColumn(id []byte, zero string) string {
	if string(id) == zero {
		return zero
	}
	return string(id)
}

// add adds a row.
func (r *sampleRows) add(series *store.Series, labels map[string]string, names, values []string, sample *store.Sample, legacy bool) {
	for i, v := range textOf(series) {
		r.texts[i] = append(r.texts[i], *v)
	}
	r.project, r.typ = append(r.project, series.Project), append(r.typ, uint8(series.Type))
	r.pid, r.started, r.tid = append(r.pid, uint32(series.PID)), append(r.started, series.ProcessStart), append(r.tid, uint32(series.TID))
	ms := store.FloorMs(sample.Time)
	if legacy {
		r.labelNames, r.labelValues = append(r.labelNames, names), append(r.labelValues, values)
		r.ms = append(r.ms, ms)
	} else {
		r.labels = append(r.labels, labels)
		r.times = append(r.times, time.UnixMilli(ms).UTC())
	}
	stack := sample.Stack.Bytes()
	r.stack = append(r.stack, string(stack[:]))
	r.count, r.value = append(r.count, sample.Count), append(r.value, sample.Value)
	r.trace, r.span = append(r.trace, idColumn(sample.TraceID[:], noTrace)), append(r.span, idColumn(sample.SpanID[:], noSpan))
}

// sampleColumns returns the rows of all samples of items, nil when there are none.
func sampleColumns(items []*item, ins insertID, legacy bool) []Column {
	n := 0
	for _, i := range items {
		n += len(i.samples)
	}
	if n == 0 {
		return nil
	}
	var r sampleRows
	r.grow(n, legacy)
	for _, i := range items {
		type labels struct {
			all           map[string]string
			names, values []string
		}
		bySeries := make([]labels, len(i.series))
		for k := range i.series {
			l := &bySeries[k]
			l.all = make(map[string]string, len(i.series[k].Labels))
			l.names, l.values = []string{}, []string{}
			for _, label := range i.series[k].Labels {
				if _, ok := l.all[label.Key]; ok {
					continue // the first one counts
				}
				l.all[label.Key] = label.Value
				l.names, l.values = append(l.names, label.Key), append(l.values, label.Value)
			}
		}
		for k := range i.samples {
			sample := &i.samples[k]
			l := &bySeries[sample.Series]
			r.add(&i.series[sample.Series], l.all, l.names, l.values, sample, legacy)
		}
	}
	for i := range r.ins {
		r.ins[i] = uint64(ins)
	}
	columns := []Column{
		{"project", r.project}, {"type", r.typ}, {"pid", r.pid}, {"process_start", r.started}, {"tid", r.tid},
		{"stack", r.stack}, {"count", r.count}, {"value", r.value}, {"trace_id", r.trace}, {"span_id", r.span}, {"ins", r.ins},
	}
	for i, name := range textColumns {
		columns = append(columns, Column{name, r.texts[i]})
	}
	if legacy {
		return append(columns, Column{"label_names", r.labelNames}, Column{"label_values", r.labelValues}, Column{"ts", r.ms})
	}
	return append(columns, Column{"labels", r.labels}, Column{"ts", r.times})
}

// hoursOf returns the hours since the epoch, by project, that samples lie in.
func hoursOf(items []*item) map[string]map[int64]struct{} {
	hours := make(map[string]map[int64]struct{})
	for _, i := range items {
		for k := range i.samples {
			project := i.series[i.samples[k].Series].Project
			if hours[project] == nil {
				hours[project] = make(map[int64]struct{})
			}
			hours[project][store.FloorMs(i.samples[k].Time)/hourMs] = struct{}{}
		}
	}
	return hours
}

// Widths of roll-ups in ms.
const (
	minuteMs = int64(store.RollUpMinute / time.Millisecond)
	hourMs   = int64(store.RollUpHour / time.Millisecond)
)

// hash reads a hash from the bytes of a column.
func hash(s string) libpf.Hash128 {
	h, err := libpf.Hash128FromBytes([]byte(s))
	if err != nil {
		return libpf.Hash128{}
	}
	return h
}

// bytesOf returns a hash as a column holds it.
func bytesOf(h libpf.Hash128) string {
	b := h.Bytes()
	return string(b[:])
}
