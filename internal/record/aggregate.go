// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"io"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/export"
)

// aggregate sums equal stacks in bounded memory. It is a sampling.Sink whose
// counters may be read at any time.
type aggregate struct {
	mu sync.Mutex
	// perProcess keeps the stacks of processes apart, for a format that can say
	// whose they are.
	perProcess  bool
	stacks      map[stackKey]*stack
	executables map[libpf.FileID]libpf.Executable
	// spare is how many bytes more stacks may take.
	spare                     int64
	samples, cutShort, merged int64
	first, last               libpf.UnixTimeNs
}

type stackKey struct {
	comm    string
	process *libpf.Process // nil unless perProcess
	labels  string         // joined; "" unless perProcess
	trace   libpf.TraceHash
}

type stack struct {
	trace        *libpf.Trace
	count, value int64
}

// stackOverhead is about what an entry of the map takes without its frames.
const stackOverhead = int64(unsafe.Sizeof(stackKey{})+unsafe.Sizeof(stack{})) * 2

// maxExecutables bounds the names of binaries; past it they show as their IDs.
const maxExecutables = 1 << 16

// fullTrace is the stack of samples for whose own stack there was no memory.
var fullTrace = libpf.NewTrace([]libpf.Frame{{
	Type: libpf.AbortFrame, FunctionName: "no memory for more stacks: raise -memory-limit",
}})

// newAggregate returns an aggregate whose stacks take at most about limit bytes.
func newAggregate(perProcess bool, limit int64) *aggregate {
	return &aggregate{
		perProcess: perProcess, spare: limit,
		stacks: map[stackKey]*stack{}, executables: map[libpf.FileID]libpf.Executable{},
	}
}

// ReportExecutable implements sampling.Sink.
func (a *aggregate) ReportExecutable(e *libpf.Executable) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.executables) < maxExecutables {
		a.executables[e.FileID] = *e
	}
}

// ReportSample implements sampling.Sink.
func (a *aggregate) ReportSample(s *libpf.Sample) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := int64(max(1, s.Count))
	a.samples += n
	if a.first == 0 || s.Time < a.first {
		a.first = s.Time
	}
	a.last = max(a.last, s.Time)
	if frames := s.Trace.Frames; len(frames) > 0 && frames[len(frames)-1].Type == libpf.AbortFrame {
		a.cutShort += n
	}
	key, trace := stackKey{comm: s.Comm, trace: s.Trace.Hash}, s.Trace
	if a.perProcess {
		key.process, key.labels = s.Process, joinLabels(s.Labels)
	}
	entry, ok := a.stacks[key]
	if !ok {
		if size := stackOverhead + int64(len(trace.Frames))*int64(unsafe.Sizeof(libpf.Frame{})); size <= a.spare {
			a.spare -= size
		} else {
			a.merged += n
			key, trace = stackKey{comm: s.Comm, trace: fullTrace.Hash}, fullTrace
			if entry, ok = a.stacks[key]; !ok && a.spare < -stackOverhead*1024 {
				// Even the names of threads are too many.
				key.comm = ""
				entry, ok = a.stacks[key]
			}
			if !ok {
				a.spare -= stackOverhead
			}
		}
		if !ok {
			entry = &stack{trace: trace}
			a.stacks[key] = entry
		}
	}
	entry.count += n
	entry.value += s.Value
}

// totals are the counters of an aggregate.
type totals struct {
	// samples were reported; cutShort of them have no complete stack, and for
	// merged of them there was no memory.
	samples, cutShort, merged int64
}

func (a *aggregate) totals() totals {
	a.mu.Lock()
	defer a.mu.Unlock()
	return totals{a.samples, a.cutShort, a.merged}
}

// write writes the profile. period is the time between samples in nanoseconds.
func (a *aggregate) write(w io.Writer, format string, period int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	profile := &export.Profile{
		Type: libpf.SampleOnCPU, From: a.first, To: a.last, Period: period,
		Executables: func(id libpf.FileID) (libpf.Executable, bool) {
			e, ok := a.executables[id]
			return e, ok
		},
	}
	type writer interface {
		Add(*export.Sample)
		Write(io.Writer) error
	}
	var out writer = export.NewFolded(profile.Type, profile.Executables)
	if format == Pprof {
		out = export.NewPprof(profile)
	}
	for key, s := range a.stacks {
		sample := export.Sample{
			Frames: s.trace.Frames, Root: []string{cmp.Or(key.comm, "?")}, Count: s.count, Value: s.value,
		}
		if format == Pprof {
			sample.Labels = labels(key)
		}
		out.Add(&sample)
	}
	return out.Write(w)
}

// labels say whose a stack is.
func labels(key stackKey) []libpf.Label {
	out := []libpf.Label{{Key: "thread", Value: key.comm}}
	p := key.process
	if p == nil {
		return out
	}
	for _, l := range []libpf.Label{
		{Key: "pid", Value: strconv.FormatUint(uint64(p.PID), 10)}, {Key: "process", Value: p.Name},
		{Key: "service", Value: p.Service}, {Key: "container_id", Value: p.ContainerID}, {Key: "pod", Value: p.PodName},
	} {
		if l.Value != "" {
			out = append(out, l)
		}
	}
	return append(out, splitLabels(key.labels)...)
}

// joinLabels makes one comparable value of labels. Neither keys nor values have
// control characters in them.
func joinLabels(labels []libpf.Label) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for _, l := range labels {
		b.WriteString(l.Key + "\x00" + l.Value + "\x01")
	}
	return b.String()
}

// splitLabels is the inverse of joinLabels.
func splitLabels(s string) []libpf.Label {
	var out []libpf.Label
	for pair := range strings.SplitSeq(s, "\x01") {
		if key, value, ok := strings.Cut(pair, "\x00"); ok {
			out = append(out, libpf.Label{Key: key, Value: value})
		}
	}
	return out
}
