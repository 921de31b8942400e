// SPDX-License-Identifier: Apache-2.0

package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/libpf"
)

// WritePprof writes a gzipped profile.proto. Each sample has two values, the
// number of observations and the sum, of which the second is the default; of types that
// programs measure themselves, such as memory, it has the sum alone. Every
// location has a function, also where only an address is known, so that no
// reader goes looking for symbols. Samples with the same stack and labels are
// summed and stay in the order they first appeared in.
func WritePprof(w io.Writer, p *Profile) error {
	b := NewPprof(p)
	for i := range p.Samples {
		b.Add(&p.Samples[i])
	}
	return b.Write(w)
}

// Pprof builds a profile, one sample at a time. It is for one goroutine.
type Pprof struct {
	out         *profile.Profile
	counted     bool // samples have the number of observations
	executables Executables
	mappings    map[libpf.FileID]*profile.Mapping
	functions   map[functionKey]*profile.Function
	locations   map[locationKey]*profile.Location
	samples     map[string]*profile.Sample
	levels      []Level
	key         []byte
}

// NewPprof returns a builder of a profile with the type, the times and the
// period of p. It does not add the samples of p.
func NewPprof(p *Profile) *Pprof {
	b := &Pprof{
		out:         &profile.Profile{TimeNanos: int64(p.From), DurationNanos: max(0, int64(p.To-p.From))},
		executables: p.Executables,
		mappings:    map[libpf.FileID]*profile.Mapping{},
		functions:   map[functionKey]*profile.Function{},
		locations:   map[locationKey]*profile.Location{},
		samples:     make(map[string]*profile.Sample, len(p.Samples)),
	}
	name, unit := pprofType(p.Type)
	if b.counted = counted(p.Type); b.counted {
		b.out.SampleType = append(b.out.SampleType, &profile.ValueType{Type: "samples", Unit: "count"})
	}
	b.out.SampleType = append(b.out.SampleType, &profile.ValueType{Type: name, Unit: unit})
	b.out.DefaultSampleType = name
	if p.Period > 0 {
		b.out.PeriodType = &profile.ValueType{Type: name, Unit: unit}
		b.out.Period = p.Period
	}
	return b
}

// Write writes the profile, gzipped.
func (b *Pprof) Write(w io.Writer) error {
	b.mainFirst()
	if err := b.out.CheckValid(); err != nil {
		return fmt.Errorf("build pprof profile: %w", err)
	}
	if err := b.out.Write(w); err != nil {
		return fmt.Errorf("write pprof profile: %w", err)
	}
	return nil
}

// mainFirst moves the mapping of a program to the front, because readers take
// the first for the one that the profile is of.
func (b *Pprof) mainFirst() {
	for i, m := range b.out.Mapping {
		name := path.Base(m.File)
		if !strings.HasPrefix(name, "[") && !strings.HasSuffix(name, ".so") && !strings.Contains(name, ".so.") {
			b.out.Mapping[0], b.out.Mapping[i] = m, b.out.Mapping[0]
			return
		}
	}
}

// pprofType returns the name and the unit of a type's values as the field knows them.
func pprofType(t libpf.SampleType) (name, unit string) {
	name = t.String()
	switch t {
	case libpf.SampleOnCPU:
		name = "cpu"
	case libpf.SampleGoroutines:
		name = "goroutine"
	case libpf.SampleThreads:
		name = "threadcreate"
	case libpf.SampleMutexContentions, libpf.SampleBlockContentions:
		name = "contentions"
	case libpf.SampleMutexDelay, libpf.SampleBlockDelay:
		name = "delay"
	}
	return name, t.Unit()
}

type functionKey struct {
	name, system, file string
	start              libpf.SourceLineno
}

// locationKey is the identity of a frame.
type locationKey struct {
	kind           libpf.FrameType
	id             libpf.FrameID
	function, file string
	line           libpf.SourceLineno
}

// Add adds a sample. It keeps nothing of it but its texts.
func (b *Pprof) Add(s *Sample) {
	if s.Count == 0 && s.Value == 0 {
		return
	}
	stack := make([]*profile.Location, len(s.Frames))
	b.key = b.key[:0]
	for i := range s.Frames {
		stack[i] = b.location(&s.Frames[i])
		b.key = binary.AppendUvarint(b.key, stack[i].ID)
	}
	b.key = append(b.key, 0) // no location has ID 0
	for _, l := range s.Labels {
		for _, text := range [...]string{l.Key, l.Value} {
			b.key = binary.AppendUvarint(b.key, uint64(len(text)))
			b.key = append(b.key, text...)
		}
	}
	values := []int64{s.Value}
	if b.counted {
		values = []int64{s.Count, s.Value}
	}
	if known, ok := b.samples[string(b.key)]; ok {
		for i, v := range values {
			known.Value[i] += v
		}
		return
	}
	sample := &profile.Sample{Location: stack, Value: values}
	for _, l := range s.Labels {
		if sample.Label == nil {
			sample.Label = make(map[string][]string, len(s.Labels))
		}
		sample.Label[l.Key] = append(sample.Label[l.Key], l.Value)
	}
	b.samples[string(b.key)] = sample
	b.out.Sample = append(b.out.Sample, sample)
}

func (b *Pprof) location(f *libpf.Frame) *profile.Location {
	key := locationKey{f.Type, f.ID(), f.FunctionName, f.SourceFile, f.SourceLine}
	if l, ok := b.locations[key]; ok {
		return l
	}
	b.levels = AppendLevels(b.levels[:0], f, b.executables)
	l := &profile.Location{
		ID:      uint64(len(b.out.Location) + 1),
		Mapping: b.mapping(f),
		Address: uint64(f.AddressOrLineno),
		Line:    make([]profile.Line, len(b.levels)),
	}
	for i := range b.levels {
		level := &b.levels[i]
		l.Line[i] = profile.Line{Function: b.function(level), Line: lineNumber(level.Line)}
		if m := l.Mapping; m != nil {
			m.HasFilenames = m.HasFilenames || level.File != ""
			m.HasLineNumbers = m.HasLineNumbers || level.Line != 0
			m.HasInlineFrames = m.HasInlineFrames || level.Inlined
		}
	}
	b.locations[key] = l
	b.out.Location = append(b.out.Location, l)
	return l
}

// mapping returns the mapping of a frame's executable, nil for code outside any.
func (b *Pprof) mapping(f *libpf.Frame) *profile.Mapping {
	executable, known := b.executables.Find(f.FileID)
	if f.FileID.IsZero() || !known && !inExecutable(f) {
		return nil
	}
	if m, ok := b.mappings[f.FileID]; ok {
		return m
	}
	file := executable.FileName
	if file == "" {
		file = f.FileID.String()[:fileIDPrefix]
	}
	m := &profile.Mapping{
		ID: uint64(len(b.out.Mapping) + 1),
		// A mapping of the whole address space is how the format says that
		// addresses are those of the ELF file and need no rebasing.
		Start: 0, Limit: math.MaxUint64, Offset: 0,
		File: file, BuildID: executable.BuildID, HasFunctions: true,
	}
	b.mappings[f.FileID] = m
	b.out.Mapping = append(b.out.Mapping, m)
	return m
}

func (b *Pprof) function(l *Level) *profile.Function {
	key := functionKey{l.Name, l.SystemName, l.File, l.StartLine}
	if f, ok := b.functions[key]; ok {
		return f
	}
	f := &profile.Function{
		// A system name that equals the name would make pprof take the name for a
		// mangled one and cut what is in angle brackets off it.
		ID: uint64(len(b.out.Function) + 1), Name: l.Name, SystemName: l.SystemName, Filename: l.File,
		StartLine: lineNumber(l.StartLine),
	}
	b.functions[key] = f
	b.out.Function = append(b.out.Function, f)
	return f
}

// lineNumber fits a line into the format's signed field; a line that does not
// fit is none.
func lineNumber(n libpf.SourceLineno) int64 {
	if n > math.MaxInt32 {
		return 0
	}
	return int64(n) //nolint:gosec // checked above
}
