// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"fmt"
	"strings"
)

// SampleType says what a sample measured. The numbers are stored and sent: they are never given
// to another type.
type SampleType uint8

// What samples measure. The value of a sample has the unit of its type.
const (
	// SampleOnCPU is time on a CPU. Value in nanoseconds: the sampling period.
	SampleOnCPU SampleType = 1
	// SampleOffCPU is time off the CPU, blocked or waiting. Value in nanoseconds.
	SampleOffCPU SampleType = 2
	// SampleEvent is an occurrence of an event. Value in events.
	SampleEvent SampleType = 3
	// SampleWall is time as a clock on the wall shows it, on the CPU or off. Value in nanoseconds.
	SampleWall SampleType = 4
	// SampleAllocObjects is memory that was allocated. Value in objects.
	SampleAllocObjects SampleType = 5
	// SampleAllocSpace is memory that was allocated. Value in bytes.
	SampleAllocSpace SampleType = 6
	// SampleInuseObjects is memory that is in use, a snapshot. Value in objects.
	SampleInuseObjects SampleType = 7
	// SampleInuseSpace is memory that is in use, a snapshot. Value in bytes.
	SampleInuseSpace SampleType = 8
	// SampleGoroutines is goroutines, or what other languages have of the kind, a snapshot.
	SampleGoroutines SampleType = 9
	// SampleThreads is threads, by where they were started, a snapshot.
	SampleThreads SampleType = 10
	// SampleMutexContentions is others that had to wait for a lock, by who held it. Value in waits.
	SampleMutexContentions SampleType = 11
	// SampleMutexDelay is the time that others waited for a lock. Value in nanoseconds.
	SampleMutexDelay SampleType = 12
	// SampleBlockContentions is waiting for a lock, a channel and the like. Value in waits.
	SampleBlockContentions SampleType = 13
	// SampleBlockDelay is the time spent waiting for them. Value in nanoseconds.
	SampleBlockDelay SampleType = 14
	// SampleExceptions is exceptions that were thrown. Value in exceptions.
	SampleExceptions SampleType = 15
)

// sampleTypes is the table of types, by their number.
var sampleTypes = [...]struct {
	name, unit string
	snapshot   bool
}{
	SampleOnCPU:            {name: "on_cpu", unit: "nanoseconds"},
	SampleOffCPU:           {name: "off_cpu", unit: "nanoseconds"},
	SampleEvent:            {name: "event", unit: "count"},
	SampleWall:             {name: "wall", unit: "nanoseconds"},
	SampleAllocObjects:     {name: "alloc_objects", unit: "count"},
	SampleAllocSpace:       {name: "alloc_space", unit: "bytes"},
	SampleInuseObjects:     {name: "inuse_objects", unit: "count", snapshot: true},
	SampleInuseSpace:       {name: "inuse_space", unit: "bytes", snapshot: true},
	SampleGoroutines:       {name: "goroutines", unit: "count", snapshot: true},
	SampleThreads:          {name: "threads", unit: "count", snapshot: true},
	SampleMutexContentions: {name: "mutex_contentions", unit: "count"},
	SampleMutexDelay:       {name: "mutex_delay", unit: "nanoseconds"},
	SampleBlockContentions: {name: "block_contentions", unit: "count"},
	SampleBlockDelay:       {name: "block_delay", unit: "nanoseconds"},
	SampleExceptions:       {name: "exceptions", unit: "count"},
}

// SampleTypes returns all types, in the order of their numbers.
func SampleTypes() []SampleType {
	var all []SampleType
	for t := range sampleTypes {
		if t := SampleType(t); t.Valid() {
			all = append(all, t)
		}
	}
	return all
}

// String returns the name that queries use, such as on_cpu.
func (t SampleType) String() string {
	if t.Valid() {
		return sampleTypes[t].name
	}
	return fmt.Sprintf("sampletype(%d)", uint8(t))
}

// Unit returns the unit of the values: nanoseconds, bytes or count, "" for a type without a name.
func (t SampleType) Unit() string {
	if t.Valid() {
		return sampleTypes[t].unit
	}
	return ""
}

// Snapshot reports whether values are a level at a time, of which there are as many as were
// looked at, and not an amount that adds up over time.
func (t SampleType) Snapshot() bool { return t.Valid() && sampleTypes[t].snapshot }

// Valid reports whether the value is one that has a name.
func (t SampleType) Valid() bool {
	return int(t) < len(sampleTypes) && sampleTypes[t].name != ""
}

// ParseSampleType is the inverse of [SampleType.String].
func ParseSampleType(s string) (SampleType, error) {
	all := SampleTypes()
	names := make([]string, len(all))
	for i, t := range all {
		if names[i] = t.String(); names[i] == s {
			return t, nil
		}
	}
	last := len(names) - 1
	return 0, fmt.Errorf("unknown profile type %q: use %s or %s", s, strings.Join(names[:last], ", "), names[last])
}
