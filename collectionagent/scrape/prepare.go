// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"strings"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/libpf"
)

// isSnapshot reports whether values of a type are a level at a time.
func isSnapshot(name string) bool {
	t, err := libpf.ParseSampleType(name)
	return err == nil && t.Snapshot()
}

// selectTypes leaves in a profile the types of samples that are to be stored of it. It
// reports whether there are any.
func selectTypes(p *profile.Profile, s *spec) bool {
	var columns []int
	var types []*profile.ValueType
	for i, t := range p.SampleType {
		if s.keep != "" && !strings.Contains("\n"+s.keep, "\n"+t.Type+"/"+t.Unit+"\n") {
			continue
		}
		// What a target makes the difference of says nothing about a level.
		if s.seconds > 0 && isSnapshot(t.Type) {
			continue
		}
		columns, types = append(columns, i), append(types, t)
	}
	if len(columns) == len(p.SampleType) {
		return true
	}
	for _, sample := range p.Sample {
		values := make([]int64, len(columns))
		for i, c := range columns {
			values[i] = sample.Value[c]
		}
		sample.Value = values
	}
	p.SampleType, p.DefaultSampleType = types, ""
	return len(types) > 0
}
