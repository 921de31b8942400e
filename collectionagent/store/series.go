// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Resolution is the width of a stored time: samples are kept to the millisecond.
const Resolution = time.Millisecond

// FloorMs returns the millisecond that a time lies in. Engines store this.
func FloorMs(t libpf.UnixTimeNs) int64 { return floorDiv(int64(t), int64(Resolution)) }

// CeilMs returns the first millisecond that starts at or after a time. With it
// a range of nanoseconds selects the same rows whatever the engine keeps.
func CeilMs(t libpf.UnixTimeNs) int64 {
	ms := int64(t) / int64(Resolution) // towards zero, which is up for negative times
	if int64(t)%int64(Resolution) > 0 {
		ms++
	}
	return ms
}

// Bucket returns the start of the bucket of the given width that a time lies
// in, 0 when there are no buckets.
func Bucket(t libpf.UnixTimeNs, step time.Duration) libpf.UnixTimeNs {
	if step <= 0 {
		return 0
	}
	return libpf.UnixTimeNs(floorDiv(int64(t), int64(step)) * int64(step))
}

// floorDiv divides and rounds towards minus infinity.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Clone returns a copy that shares no memory with s but its texts.
func (s *Series) Clone() Series {
	c := *s
	c.Labels = slices.Clone(s.Labels)
	return c
}

// Equal reports whether two series are the same in every field.
func (s *Series) Equal(o *Series) bool { return s.Compare(o) == 0 }

// Compare orders series the way engines keep them: by project and type, then
// from the label that most queries fix to the one that few do.
func (s *Series) Compare(o *Series) int {
	return cmp.Or(
		strings.Compare(s.Project, o.Project),
		cmp.Compare(s.Type, o.Type),
		strings.Compare(s.Service, o.Service),
		strings.Compare(s.Host, o.Host),
		strings.Compare(s.HostID, o.HostID),
		strings.Compare(s.Namespace, o.Namespace),
		strings.Compare(s.Pod, o.Pod),
		strings.Compare(s.Container, o.Container),
		strings.Compare(s.ContainerID, o.ContainerID),
		strings.Compare(s.Comm, o.Comm),
		strings.Compare(s.Process, o.Process),
		strings.Compare(s.Executable, o.Executable),
		cmp.Compare(s.PID, o.PID),
		cmp.Compare(s.ProcessStart, o.ProcessStart),
		cmp.Compare(s.TID, o.TID),
		slices.CompareFunc(s.Labels, o.Labels, func(a, b libpf.Label) int {
			return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value))
		}),
	)
}

// EachLabelName calls yield with the name of every label that the series has.
func (s *Series) EachLabelName(yield func(string)) {
	for _, name := range BuiltinLabels {
		switch name {
		case LabelPID:
			if s.PID == 0 {
				continue
			}
		case LabelTID:
			if s.TID == 0 {
				continue
			}
		default:
			if s.Label(name) == "" {
				continue
			}
		}
		yield(name)
	}
	for _, l := range s.Labels {
		if l.Value != "" {
			yield(l.Key)
		}
	}
}

// InScope reports whether the series is one that the query asks for: of its
// project, of its type where it names one, and meeting its conditions.
func (q *Query) InScope(s *Series) bool {
	return s.Project == q.Project && (q.Type == 0 || s.Type == q.Type) && s.Matches(q.Matchers)
}

// GroupOf appends the values of the labels that the query groups by to dst.
func (q *Query) GroupOf(dst []string, s *Series) []string {
	for _, name := range q.GroupBy {
		dst = append(dst, s.Label(name))
	}
	return dst
}

// HasSample reports whether a sample is within the times and traces that the
// query asks for.
func (q *Query) HasSample(s *Sample) bool {
	return s.Time >= q.From && s.Time < q.To &&
		(len(q.TraceIDs) == 0 || slices.Contains(q.TraceIDs, s.TraceID)) &&
		(len(q.SpanIDs) == 0 || slices.Contains(q.SpanIDs, s.SpanID))
}

// Pick sorts the values of a label and returns those that the search asks for.
func (l *LabelSearch) Pick(values []LabelValue) LabelValues {
	values = slices.DeleteFunc(values, func(v LabelValue) bool { return !strings.HasPrefix(v.Value, l.Prefix) })
	SortLabelValues(values)
	out := LabelValues{Values: values}
	if l.Limit > 0 && len(values) > l.Limit {
		out.Values, out.Hidden = values[:l.Limit], len(values)-l.Limit
	}
	return out
}

// SortLabelValues puts the largest sum first and breaks ties by count and value.
func SortLabelValues(values []LabelValue) {
	slices.SortFunc(values, func(a, b LabelValue) int { return a.Compare(&b) })
}

// Compare puts the larger sum first and breaks ties by count and value.
func (v *LabelValue) Compare(o *LabelValue) int {
	return cmp.Or(cmp.Compare(o.Sum, v.Sum), cmp.Compare(o.Count, v.Count), strings.Compare(v.Value, o.Value))
}

// SortRunLedgers sorts by host and run.
func SortRunLedgers(ledgers []RunLedger) {
	slices.SortFunc(ledgers, func(a, b RunLedger) int {
		return cmp.Or(strings.Compare(a.HostID, b.HostID), bytes.Compare(a.RunID[:], b.RunID[:]))
	})
}

// Merge returns the host that is known after h was known and o is reported:
// the later report wins, and what it leaves out stays.
func (h *Host) Merge(o *Host) Host {
	older, newer := h, o
	if o.LastSeen < h.LastSeen {
		older, newer = o, h
	}
	m := *newer
	if m.Name == "" {
		m.Name = older.Name
	}
	if m.Metadata == nil {
		m.Metadata = older.Metadata
	}
	return m
}

// HashTo writes the series to a hash, so that different series hash differently.
func (s *Series) HashTo(h *maphash.Hash) {
	maphash.WriteComparable(h, seriesKey{
		s.Project, s.Service, s.HostID, s.Host, s.Namespace, s.Pod, s.ContainerID, s.Container, s.Process, s.Executable, s.Comm,
		s.Type, s.PID, s.ProcessStart, s.TID,
	})
	for _, l := range s.Labels {
		maphash.WriteComparable(h, l)
	}
}

// seriesKey is a series without labels.
type seriesKey struct {
	project, service, hostID, host, namespace, pod, containerID, container, process, executable, comm string

	typ   libpf.SampleType
	pid   libpf.PID
	start uint64
	tid   libpf.TID
}

// TextBytes returns the length of all texts of a series: engines keep each with its
// texts, however often they repeat.
func (s *Series) TextBytes() int {
	n := 0
	for _, text := range [...]string{
		s.Project, s.Service, s.HostID, s.Host, s.Namespace, s.Pod, s.ContainerID, s.Container, s.Process, s.Executable, s.Comm,
	} {
		n += len(text)
	}
	for i := range s.Labels {
		n += len(s.Labels[i].Key) + len(s.Labels[i].Value)
	}
	return n
}
