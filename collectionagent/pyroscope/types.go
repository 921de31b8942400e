// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

// profileTypes are the IDs of types of samples. Where clients of Pyroscope send such profiles, they
// are the IDs that those have there, by which Grafana knows their units and whether they add up.
var profileTypes = map[libpf.SampleType]string{
	libpf.SampleOnCPU:            "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
	libpf.SampleOffCPU:           "off_cpu:off_cpu:nanoseconds::",
	libpf.SampleEvent:            "event:event:count::",
	libpf.SampleWall:             "wall:wall:nanoseconds:wall:nanoseconds",
	libpf.SampleAllocObjects:     "memory:alloc_objects:count:space:bytes",
	libpf.SampleAllocSpace:       "memory:alloc_space:bytes:space:bytes",
	libpf.SampleInuseObjects:     "memory:inuse_objects:count:space:bytes",
	libpf.SampleInuseSpace:       "memory:inuse_space:bytes:space:bytes",
	libpf.SampleGoroutines:       "goroutines:goroutine:count:goroutine:count",
	libpf.SampleThreads:          "threads:threads:count::",
	libpf.SampleMutexContentions: "mutex:contentions:count:contentions:count",
	libpf.SampleMutexDelay:       "mutex:delay:nanoseconds:contentions:count",
	libpf.SampleBlockContentions: "block:contentions:count:contentions:count",
	libpf.SampleBlockDelay:       "block:delay:nanoseconds:contentions:count",
	libpf.SampleExceptions:       "exception:exception:count:cpu:nanoseconds",
}

// otherIDs are IDs that other clients give to the same.
var otherIDs = map[string]libpf.SampleType{
	"goroutine:goroutine:count:goroutine:count":       libpf.SampleGoroutines,
	"heap:inuse_objects:count:cpu:nanoseconds":        libpf.SampleInuseObjects,
	"heap:inuse_space:bytes:cpu:nanoseconds":          libpf.SampleInuseSpace,
	"process_cpu:exception:count:cpu:nanoseconds":     libpf.SampleExceptions,
	"wall:wall:nanoseconds:cpu:nanoseconds":           libpf.SampleWall,
	"lock:lock_count:count:cpu:nanoseconds":           libpf.SampleMutexContentions,
	"lock:lock_time:nanoseconds:cpu:nanoseconds":      libpf.SampleMutexDelay,
	"mutex:lock_count:count:cpu:nanoseconds":          libpf.SampleMutexContentions,
	"mutex:lock_duration:nanoseconds:cpu:nanoseconds": libpf.SampleMutexDelay,
}

// parseType returns the type of samples that an ID stands for. The name of the type here will do as well.
func parseType(id string) (libpf.SampleType, error) {
	for t, known := range profileTypes {
		if known == id || t.String() == id {
			return t, nil
		}
	}
	if t, ok := otherIDs[id]; ok {
		return t, nil
	}
	return 0, fmt.Errorf("%.200q is no profile type that is stored here: ProfileTypes lists those that there are, such as %s", id, profileTypes[libpf.SampleOnCPU])
}

// profileName is the label with the name of a profile, by which older clients ask for its ID.
const profileName = "__name__"

// typeLabels are the labels that Pyroscope makes of the type of a profile, in the order of their
// names, and which part of the ID they are; -1 is all of it.
var typeLabels = []struct {
	name string
	part int
}{
	{profileName, 0}, {"__period_type__", 3}, {"__period_unit__", 4}, {"__profile_type__", -1}, {"__type__", 1}, {"__unit__", 2},
}

// isTypeLabel reports whether a label is one of those.
func isTypeLabel(name string) bool {
	for _, l := range typeLabels {
		if l.name == name {
			return true
		}
	}
	return false
}

// typeLabel returns the value of a label of a type.
func typeLabel(t libpf.SampleType, name string) string {
	id := profileTypes[t]
	for _, l := range typeLabels {
		switch {
		case l.name != name:
		case l.part < 0:
			return id
		default:
			return strings.Split(id, ":")[l.part]
		}
	}
	return ""
}

// profileType describes a type.
func profileType(t libpf.SampleType) *types.ProfileType {
	parts := strings.Split(profileTypes[t], ":")
	return &types.ProfileType{
		ID: profileTypes[t], Name: parts[0], SampleType: parts[1], SampleUnit: parts[2], PeriodType: parts[3], PeriodUnit: parts[4],
	}
}

// splitMatchers takes matchers of labels of types away from a selector, and returns what is left and
// whether a type meets those.
func splitMatchers(all []*store.Matcher) (rest []*store.Matcher, has func(libpf.SampleType) bool) {
	var of []*store.Matcher
	for _, m := range all {
		if isTypeLabel(m.Name) {
			of = append(of, m)
		} else {
			rest = append(rest, m)
		}
	}
	return rest, func(t libpf.SampleType) bool {
		return !slices.ContainsFunc(of, func(m *store.Matcher) bool {
			byID := m.Name == profileName && m.Op == store.MatchEqual && m.Value == profileTypes[t]
			return !byID && !m.Matches(typeLabel(t, m.Name))
		})
	}
}
