// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"strconv"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
)

// Sizes of what is made of a text, with what is made of that: see [otlppprof.Shape.Memory].
const (
	foldedLine  = 1000
	foldedFrame = 64   // a reference to a function
	foldedName  = 1600 // a function and its location
)

// folded is a text of stacks: on each line the functions from the root to the leaf with semicolons
// between them.
type folded struct {
	ctx   context.Context //nolint:containedctx // that of the request, for one call
	field string
	// single is set for lines that count one each, and have no number.
	single bool
	names  map[string]*profile.Location
	out    *profile.Profile
}

// parseFolded reads a text of stacks with values of a type.
func parseFolded(ctx context.Context, field string, data []byte, single bool, of *profile.ValueType) (*profile.Profile, error) {
	f := &folded{ctx: ctx, field: field, single: single, names: map[string]*profile.Location{}, out: &profile.Profile{
		SampleType: []*profile.ValueType{of},
	}}
	if err := ingest.Charge(ctx, field, bytes.Count(data, []byte{'\n'})+1, foldedLine); err != nil {
		return nil, err
	}
	if err := ingest.Charge(ctx, field, bytes.Count(data, []byte{';'}), foldedFrame); err != nil {
		return nil, err
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := f.line(n, line); err != nil {
			return nil, err
		}
	}
	return f.out, nil
}

// line reads a line, which is not empty.
func (f *folded) line(n int, line []byte) error {
	value := int64(1)
	if !f.single {
		at := bytes.LastIndexAny(line, " \t")
		if at < 0 {
			return ingest.Invalid(f.field, "line %d: expected functions with semicolons between them, a space and a number", n)
		}
		v, err := strconv.ParseInt(string(line[at+1:]), 10, 64)
		if err != nil || v < 0 {
			return ingest.Invalid(f.field, "line %d: %.40q is not a whole number", n, line[at+1:])
		}
		value, line = v, bytes.TrimSpace(line[:at])
	}
	if value == 0 {
		return nil
	}
	s := &profile.Sample{Value: []int64{value}}
	for len(line) > 0 { // from the leaf
		at := bytes.LastIndexByte(line, ';')
		if name := bytes.TrimSpace(line[at+1:]); len(name) > 0 {
			l, err := f.location(name)
			if err != nil {
				return err
			}
			s.Location = append(s.Location, l)
		}
		line = line[:max(at, 0)]
	}
	f.out.Sample = append(f.out.Sample, s)
	return nil
}

// location returns the location of a function.
func (f *folded) location(name []byte) (*profile.Location, error) {
	if l, ok := f.names[string(name)]; ok {
		return l, nil
	}
	if err := ingest.Charge(f.ctx, f.field, 1, foldedName+3*int64(len(name))); err != nil {
		return nil, err
	}
	function := &profile.Function{ID: uint64(len(f.out.Function) + 1), Name: string(name)}
	l := &profile.Location{ID: function.ID, Line: []profile.Line{{Function: function}}}
	f.out.Function = append(f.out.Function, function)
	f.out.Location = append(f.out.Location, l)
	f.names[function.Name] = l
	return l, nil
}

// clock makes the values of a profile those of a clock that ticks so often in a second.
func clock(p *profile.Profile, typ string, rate int64) {
	p.SampleType = []*profile.ValueType{{Type: "samples", Unit: "count"}}
	p.PeriodType = &profile.ValueType{Type: typ, Unit: "nanoseconds"}
	p.Period = max(1e9/rate, 1)
}

// types of values by the ends of names, as folded stacks are sent to /ingest. Those of a clock are
// counts of its ticks.
var suffixes = map[string]profile.ValueType{
	"cpu": {Type: "cpu"}, "itimer": {Type: "cpu"}, "wall": {Type: "wall"},
	"alloc_objects": {Type: "alloc_objects", Unit: "count"}, "alloc_space": {Type: "alloc_space", Unit: "bytes"},
	"inuse_objects": {Type: "inuse_objects", Unit: "count"}, "inuse_space": {Type: "inuse_space", Unit: "bytes"},
	"goroutines":  {Type: "goroutines", Unit: "count"},
	"mutex_count": {Type: "mutex_count", Unit: "count"}, "mutex_duration": {Type: "mutex_duration", Unit: "nanoseconds"},
	"block_count": {Type: "block_count", Unit: "count"}, "block_duration": {Type: "block_duration", Unit: "nanoseconds"},
	"lock_count": {Type: "lock_count", Unit: "count"}, "lock_duration": {Type: "lock_duration", Unit: "nanoseconds"},
	"exceptions": {Type: "exceptions", Unit: "count"},
}
