// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"compress/gzip"
	"fmt"

	"github.com/google/pprof/profile"
)

// Pprof returns samples of a service, in a window that starts at a time, as a
// compressed profile of pprof.
func (w *Workload) Pprof(samples []Sample, service int, start int64) ([]byte, error) {
	mapping := &profile.Mapping{
		ID: 1, Start: 0x400000, Limit: 0x40000000, File: "/usr/bin/" + w.Services[service], BuildID: buildID(service),
		HasFunctions: true, HasFilenames: true, HasLineNumbers: true,
	}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}, PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period: PeriodNs, TimeNanos: start, DurationNanos: WindowSeconds * 1e9, Mapping: []*profile.Mapping{mapping},
	}
	functions, locations := make(map[int]*profile.Function), make(map[int32]*profile.Location)
	location := func(number int32) *profile.Location {
		out := locations[number]
		if out != nil {
			return out
		}
		l := &w.Locations[number]
		f := functions[l.Function]
		if f == nil {
			named := &w.Functions[l.Function]
			f = &profile.Function{
				ID: uint64(len(functions) + 1), Name: named.Name, SystemName: named.Name, Filename: named.File, StartLine: named.StartLine,
			}
			functions[l.Function] = f
			p.Function = append(p.Function, f)
		}
		out = &profile.Location{
			ID: uint64(len(locations) + 1), Mapping: mapping, Address: l.Address, Line: []profile.Line{{Function: f, Line: l.Line}},
		}
		locations[number] = out
		p.Location = append(p.Location, out)
		return out
	}
	for _, s := range samples {
		out := &profile.Sample{Value: []int64{s.Count * PeriodNs}}
		for _, l := range w.Stacks[s.Stack].Locations {
			out.Location = append(out.Location, location(l))
		}
		p.Sample = append(p.Sample, out)
	}
	var raw, packed bytes.Buffer
	if err := p.WriteUncompressed(&raw); err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(raw.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
