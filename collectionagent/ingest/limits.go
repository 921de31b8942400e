// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Limits bound single things of a request. Zero values are replaced by defaults.
// They are told to agents by GetServerInfo.
type Limits struct {
	// MaxSamples is how many rows a request may have. Default 262144.
	MaxSamples int
	// MaxFrames is how many frames a stack may have. Default 16384.
	MaxFrames int
	// MaxLabels is how many labels a set may have. Default 64.
	MaxLabels int
	// MaxTextBytes is the length of any text. Default 64 KiB: names of C++ templates get long.
	MaxTextBytes int
	// MaxMetadata is how many entries the metadata of a host may have. Default 1024.
	MaxMetadata int
	// MaxSampleAge and MaxSampleLead are how far from the clock of the server the
	// times of samples may be. Default 7 days and 1 hour.
	MaxSampleAge, MaxSampleLead time.Duration
}

// withDefaults returns the limits with defaults filled in.
func (l Limits) withDefaults() Limits {
	return Limits{
		MaxSamples:    cmp.Or(l.MaxSamples, 1<<18),
		MaxFrames:     cmp.Or(l.MaxFrames, 1<<14),
		MaxLabels:     cmp.Or(l.MaxLabels, 64),
		MaxTextBytes:  cmp.Or(l.MaxTextBytes, 64<<10),
		MaxMetadata:   cmp.Or(l.MaxMetadata, 1<<10),
		MaxSampleAge:  cmp.Or(l.MaxSampleAge, 7*24*time.Hour),
		MaxSampleLead: cmp.Or(l.MaxSampleLead, time.Hour),
	}
}

// window returns the first and the last time that a sample may have.
func (l *Limits) window(now libpf.UnixTimeNs) (first, last libpf.UnixTimeNs) {
	return max(now-libpf.UnixTimeNs(l.MaxSampleAge), earliest), now + libpf.UnixTimeNs(l.MaxSampleLead)
}
