// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// kind is what a profile measures.
type kind struct {
	typ    libpf.SampleType // 0: nothing that is known
	count  bool             // values count observations, each of which stands for period
	period int64            // in nanoseconds of the type, 0: not known
	scale  int64            // what values are multiplied with to be in the unit of the type
}

// maxTypeName bounds how much of the name of a type or unit is looked at, which each profile
// may do with the same long text. All that are known are shorter.
const maxTypeName = 100

// typeName returns a text whose index was checked as the name of a type or unit.
func (d *Message) typeName(i int32) string {
	text := d.textOf(i)
	return text[:min(len(text), maxTypeName)]
}

// kindOf tells what values are from names of pprof, which are those of OTLP.
func kindOf(typ, unit, periodType, periodUnit string, period int64) kind {
	typ = strings.ReplaceAll(typ, "-", "_")
	base, scale := unitOf(unit)
	k := kind{scale: scale}
	var clock libpf.SampleType // what a period is of
	if periodBase, s := unitOf(periodUnit); periodBase == "nanoseconds" && period > 0 && period <= maxValue/s {
		switch periodType {
		case "cpu":
			clock = libpf.SampleOnCPU
		case "wall":
			clock = libpf.SampleWall
		}
		period *= s
	}
	if base == "count" && (typ == "samples" || typ == "sample") && clock != 0 {
		k.typ, k.count, k.period = clock, true, period
		return k
	}
	k.typ = types[typ+"/"+base]
	switch {
	case k.typ == 0 && base == "count":
		k.typ = libpf.SampleEvent
	case k.typ != 0 && k.typ == clock:
		k.period = period
	}
	return k
}

// unitOf returns the unit that values of a type have here, "" for another, and how many
// of it are in one.
func unitOf(unit string) (base string, scale int64) {
	switch unit {
	case "nanoseconds", "ns":
		return "nanoseconds", 1
	case "microseconds", "us":
		return "nanoseconds", 1e3
	case "milliseconds", "ms":
		return "nanoseconds", 1e6
	case "seconds", "s":
		return "nanoseconds", 1e9
	case "bytes", "By":
		return "bytes", 1
	case "count", "1", "":
		return "count", 1
	}
	return "", 1
}

// types are the types of samples by the names that they have in the field, and by their own.
var types = func() map[string]libpf.SampleType {
	all := map[string]libpf.SampleType{
		"cpu/nanoseconds": libpf.SampleOnCPU,
		// Of Go and of those that do as Go does.
		"goroutine/count":    libpf.SampleGoroutines,
		"threadcreate/count": libpf.SampleThreads,
		// Mutex and block profiles have the same names; who knows which it is says so.
		"contentions/count": libpf.SampleMutexContentions,
		"delay/nanoseconds": libpf.SampleMutexDelay,
		// Of Node.js: what is in use.
		"objects/count": libpf.SampleInuseObjects,
		"space/bytes":   libpf.SampleInuseSpace,
		// Of .NET and of the JVM: who waits, not who makes wait.
		"alloc_samples/count":       libpf.SampleAllocObjects,
		"alloc_size/bytes":          libpf.SampleAllocSpace,
		"lock_count/count":          libpf.SampleBlockContentions,
		"lock_time/nanoseconds":     libpf.SampleBlockDelay,
		"lock_duration/nanoseconds": libpf.SampleBlockDelay,
		"exception/count":           libpf.SampleExceptions,
		// Of clients of Pyroscope.
		"mutex_count/count":          libpf.SampleMutexContentions,
		"mutex_duration/nanoseconds": libpf.SampleMutexDelay,
		"block_count/count":          libpf.SampleBlockContentions,
		"block_duration/nanoseconds": libpf.SampleBlockDelay,
	}
	for _, t := range libpf.SampleTypes() {
		all[t.String()+"/"+t.Unit()] = t
	}
	return all
}()

// taken says which types are, for those who sent another.
const taken = "supported are samples/count with a period of cpu or wall, cpu, off_cpu, wall, mutex_delay and block_delay in units of time, " +
	"alloc_space and inuse_space in bytes, and counts"

// KnownType reports whether values of a type are taken as what their name says, and not as
// events or not at all.
func KnownType(typ, unit string) bool {
	k := kindOf(typ, unit, "", "", 0)
	return k.typ != 0 && k.typ != libpf.SampleEvent
}
