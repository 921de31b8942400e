// SPDX-License-Identifier: Apache-2.0

package pprof

import (
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/otlp"
)

// Kinds of profiles whose types have the names of others.
const (
	Mutex      = "mutex"
	Block      = "block"
	Exceptions = "exceptions"
)

// KindOf returns the kind of a profile by its name, such as godeltaprof_mutex, or the path that
// it was scraped from.
func KindOf(name string) string {
	for _, kind := range []string{Mutex, Block, Exceptions} {
		if strings.Contains(name, kind) {
			return kind
		}
	}
	return ""
}

// name gives types of samples the names that say what they are.
func name(p *profile.Profile, from *Source) {
	for _, t := range p.SampleType {
		old := t.Type
		if other := from.Names[old]; other != "" && otlp.KnownType(other, t.Unit) {
			t.Type = other
		}
		switch {
		case (from.Kind == Mutex || from.Kind == Block) && (t.Type == "contentions" || t.Type == "delay"):
			t.Type = from.Kind + "_" + t.Type
		case from.Kind == Exceptions && (t.Type == "samples" || t.Type == "exception"):
			t.Type = "exceptions"
		}
		if p.DefaultSampleType == old {
			p.DefaultSampleType = t.Type
		}
	}
}

// dropTwins removes the samples of a clock where another type has them in time: each would
// count twice. The ingest would leave them out as well, after they were converted.
func dropTwins(p *profile.Profile) {
	if p.PeriodType == nil || p.Period <= 0 {
		return
	}
	twin := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool {
		return (t.Type == "samples" || t.Type == "sample") && t.Unit == "count"
	})
	inTime := slices.ContainsFunc(p.SampleType, func(t *profile.ValueType) bool {
		return t.Type == p.PeriodType.Type && t.Unit != "count" && otlp.KnownType(t.Type, t.Unit)
	})
	if twin < 0 || !inTime {
		return
	}
	if p.DefaultSampleType == p.SampleType[twin].Type {
		p.DefaultSampleType = ""
	}
	p.SampleType = slices.Delete(p.SampleType, twin, twin+1)
	for _, s := range p.Sample {
		s.Value = slices.Delete(s.Value, twin, twin+1)
	}
}

// languages are the types of frames by the ends of names of source files.
var languages = map[string]string{
	".go": "go", ".py": "cpython", ".rb": "ruby", ".php": "php", ".java": "jvm", ".kt": "jvm", ".scala": "jvm", ".js": "v8js", ".ts": "v8js",
	".mjs": "v8js", ".cjs": "v8js", ".cs": "dotnet",
}

// frameType finds out the language of a profile: that of its source files, when they have one.
func frameType(p *profile.Profile) string {
	found := ""
	for _, f := range p.Function {
		if f == nil || f.Filename == "" {
			continue
		}
		l := languages[f.Filename[max(strings.LastIndexByte(f.Filename, '.'), 0):]]
		switch {
		case l == "" && strings.HasSuffix(f.Filename, ".s") && (found == "" || found == "go"):
			// assembly, of which Go's runtime has some
		case l == "" || found != "" && found != l:
			return ""
		default:
			found = l
		}
	}
	return found
}
