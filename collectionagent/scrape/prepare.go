// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/libpf"
)

// isSnapshot reports whether values of a type are a level at a time.
func isSnapshot(name string) bool {
	t, err := libpf.ParseSampleType(name)
	return err == nil && t.Snapshot()
}

// typeName is what keep_sample_type calls a type of samples.
func typeName(t *profile.ValueType) string { return t.Type + "/" + t.Unit }

// selectTypes leaves in a profile the types of samples that are to be stored of it. That
// there are none is an error.
func selectTypes(p *profile.Profile, s *spec) error {
	var columns []int
	var all []string
	var types []*profile.ValueType
	for i, t := range p.SampleType {
		all = append(all, typeName(t))
		if s.keep != "" && !strings.Contains("\n"+s.keep, "\n"+typeName(t)+"\n") {
			continue
		}
		// What a target makes the difference of says nothing about a level.
		if s.seconds > 0 && isSnapshot(t.Type) {
			continue
		}
		columns, types = append(columns, i), append(types, t)
	}
	switch len(columns) {
	case len(p.SampleType):
		return nil
	case 0:
		return fmt.Errorf("nothing of it is stored: it has %s, none of which keep_sample_type and seconds leave", strings.Join(all, ", "))
	}
	for _, sample := range p.Sample {
		values := make([]int64, len(columns))
		for i, c := range columns {
			values[i] = sample.Value[c]
		}
		sample.Value = values
	}
	p.SampleType, p.DefaultSampleType = types, ""
	return nil
}
