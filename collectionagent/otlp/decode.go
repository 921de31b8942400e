// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"fmt"
	"slices"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// FieldError says which field of a request is wrong, and how. Such a request
// will never be accepted.
type FieldError struct{ Field, Description string }

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Description }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Description: fmt.Sprintf(format, args...)}
}

// at names an element of a field.
func at(field string, index int) string { return fmt.Sprintf("%s[%d]", field, index) }

// Options bound what a request may hold. All fields but Charge are needed.
type Options struct {
	Project string
	// Now is the time of profiles that have none.
	Now libpf.UnixTimeNs
	// First and Last bound the times of samples.
	First, Last libpf.UnixTimeNs
	// MaxSamples bounds the rows of a request, MaxFrames those of a stack,
	// MaxLabels those of a series, MaxTextBytes each text.
	MaxSamples, MaxFrames, MaxLabels, MaxTextBytes int
	// Bytes is the size of the request. It bounds the work that is done for it.
	Bytes int64
	// Charge is called before n things of about so many bytes each are made. Its
	// error ends the decoding and is returned as it is. nil: nobody counts.
	Charge func(field string, n int, bytes int64) error
}

// Sizes of what is made, for Options.Charge.
const (
	textBytes     = 16
	entryBytes    = 48 // attribute, mapping, link
	locationBytes = 24
	frameBytes    = 104 + 64
	stackBytes    = 24
	seriesBytes   = 600
	labelBytes    = 32
	sampleBytes   = 80
)

// Limits of single values.
const (
	maxHostID   = 128
	maxHostName = 255
	maxLines    = 1 << 12
	// maxValue keeps sums of many values from overflowing: 104 days in nanoseconds.
	maxValue = 1 << 53
	maxCount = 1 << 31
)

// Request is a decoded request.
type Request struct {
	// Batch has no identity: OTLP knows none, so what is sent twice is stored twice.
	Batch *store.Batch
	// Hosts are the hosts that the samples come from.
	Hosts []store.Host
	// TooOld and InFuture are the weights of samples that are left out because of
	// their times, Unsupported that of profiles of no known type.
	TooOld, InFuture, Unsupported uint64
	// RejectedProfiles is how many profiles are left out as a whole.
	RejectedProfiles int64
	// Notes say what was left out and why, at most a few.
	Notes []string

	d *decoder
}

// maxNotes bounds what a client is told of one request.
const maxNotes = 5

func (r *Request) note(format string, args ...any) {
	if len(r.Notes) < maxNotes {
		if n := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, n) {
			r.Notes = append(r.Notes, n)
		}
	}
}

// Decode checks and converts a request. The result refers to texts of it.
func Decode(r *collector.ExportProfilesServiceRequest, o *Options) (*Request, error) {
	d := &decoder{Options: o, out: &Request{Batch: &store.Batch{}}, workLeft: 256*o.Bytes + 64<<20}
	d.out.d = d
	if err := d.dictionary(r.GetDictionary()); err != nil {
		return nil, err
	}
	for i, rp := range r.GetResourceProfiles() {
		if err := d.resourceProfiles(at("resource_profiles", i), rp); err != nil {
			return nil, err
		}
	}
	if d.out.TooOld > 0 || d.out.InFuture > 0 {
		d.out.note("%d observations are before %s and %d after %s", d.out.TooOld, o.First, d.out.InFuture, o.Last)
	}
	return d.out, nil
}

// decoder decodes one request.
type decoder struct {
	*Options
	out *Request
	tables

	// identity is a stack as it is hashed.
	identity []byte
	// workLeft is how many bytes may still be hashed.
	workLeft int64
	hosts    map[hostKey]struct{}
}

type hostKey struct{ id, name string }

// charge calls Charge.
func (d *decoder) charge(field string, n int, bytes int64) error {
	if d.Charge == nil || n == 0 {
		return nil
	}
	return d.Charge(field, n, bytes)
}

// index checks an index into a table. 0 means none, even where the table is missing.
func index(field string, i int32, table string, entries int) error {
	if i < 0 || int(i) >= max(entries, 1) {
		return invalid(field, "index %d out of range, dictionary.%s has %d entries", i, table, entries)
	}
	return nil
}

// Weight is about how many observations a request holds that could not be decoded.
func Weight(r *collector.ExportProfilesServiceRequest) (n uint64) {
	for _, rp := range r.GetResourceProfiles() {
		for _, sp := range rp.GetScopeProfiles() {
			for _, p := range sp.GetProfiles() {
				for _, s := range p.GetSamples() {
					n += uint64(max(len(s.GetTimestampsUnixNano()), 1))
				}
			}
		}
	}
	return n
}
