// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// FieldError says which field of a request is wrong, and how. Such a request
// will never be accepted.
type FieldError struct {
	Field, Description string
	// TooLarge says that parts of the request would be.
	TooLarge bool
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Description }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Description: fmt.Sprintf(format, args...)}
}

// oversized is invalid for what is too large as a whole.
func oversized(field, format string, args ...any) error {
	return &FieldError{Field: field, Description: fmt.Sprintf(format, args...), TooLarge: true}
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
	// MaxLabels those of a series, MaxMetadata those of a host, MaxTextBytes each text.
	MaxSamples, MaxFrames, MaxLabels, MaxMetadata, MaxTextBytes int
	// Bytes is the size of the request. It bounds the work that is done for it.
	Bytes int64
	// Charge is called before n things of about so many bytes each are made. Its
	// error ends the decoding and is returned as it is. nil: nobody counts.
	Charge func(field string, n int, bytes int64) error
}

// Sizes of what is made, for Options.Charge.
const (
	frameBytes  = 32 + 64 + 64 // with its identity, its key and its place among symbols
	stackBytes  = 48
	seriesBytes = 600
	labelBytes  = 32
	sampleBytes = 80
	hostBytes   = 400 // with its place in the map
	entryBytes  = 48  // of the metadata of a host
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

// Message is a request that was read but not checked. It is used by one goroutine
// at a time.
type Message struct {
	Options
	message
	tables

	out *Request
	// hashed is a stack as it is hashed.
	hashed []byte
	// workLeft is how many bytes may still be hashed.
	workLeft int64
	// owed is what was made and not charged yet.
	owed  int64
	hosts map[hostKey]struct{}
	known Known
}

type hostKey struct{ id, name string }

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

	d *Message
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

// pool holds messages whose tables are used again.
var pool = sync.Pool{New: func() any { return &Message{} }}

// maxPooled is the size of the tables of a message that is kept. The largest
// requests of a host are a few megabytes.
const maxPooled = 16 << 20

// Read reads a request of the wire format. The message refers to the bytes until it
// is released, which is up to the caller when there is no error. The error is
// [ErrWire], [ErrOldLayout] or that of Options.Charge.
func Read(data []byte, o *Options) (*Message, error) {
	return read(o, func(m *message) error { return m.wire(data) })
}

// ReadStructs reads a request that was made already, as of pprof. It is like [Read].
func ReadStructs(r *collector.ExportProfilesServiceRequest, o *Options) (*Message, error) {
	return read(o, func(m *message) error { return m.structs(r) })
}

func read(o *Options, from func(*message) error) (*Message, error) {
	d := pool.Get().(*Message) //nolint:forcetypeassert // the pool holds nothing else
	d.Options = *o
	d.message.charge = o.Charge
	if err := from(&d.message); err != nil {
		d.Release()
		return nil, err
	}
	return d, nil
}

// Release gives the tables back. Neither the message nor the definitions of its
// request may be used any more; the rest of the request stays.
func (d *Message) Release() {
	if d.message.size()+d.tables.size()+cap(d.hashed) > maxPooled {
		return
	}
	d.message.reset()
	d.tables.reset()
	*d = Message{message: d.message, tables: d.tables, hashed: d.hashed}
	pool.Put(d)
}

// capacity returns the bytes that a table takes.
func capacity[T any](table []T) int {
	var t T
	return cap(table) * int(unsafe.Sizeof(t))
}

// Weight is about how many observations the request holds.
func (d *Message) Weight() (n uint64) {
	for i := range d.samples {
		n += uint64(max(d.samples[i].times.len(), 1))
	}
	return n
}

// Decode checks and converts the request. What known knows as a whole takes less
// work; nil knows nothing.
func (d *Message) Decode(known Known) (*Request, error) {
	d.known = known
	d.out = &Request{Batch: &store.Batch{}, d: d}
	d.workLeft = 256*d.Bytes + 64<<20
	if err := d.dictionary(); err != nil {
		return nil, err
	}
	if err := d.makeRows(); err != nil {
		return nil, err
	}
	for i := range d.resources {
		if err := d.resourceProfiles(i, &d.resources[i]); err != nil {
			return nil, err
		}
	}
	if d.out.TooOld > 0 || d.out.InFuture > 0 {
		d.out.note("%d observations are before %s and %d after %s", d.out.TooOld, d.First, d.out.InFuture, d.Last)
	}
	return d.out, nil
}

// charge calls Charge.
func (d *Message) charge(field string, n int, bytes int64) error {
	if d.Charge == nil || n == 0 {
		return nil
	}
	return d.Charge(field, n, bytes)
}

// work says that so many bytes are going to be hashed. Entries of few bytes may refer
// to the same long text, which bounds of memory do not notice.
func (d *Message) work(field string, bytes int) error {
	if d.workLeft -= int64(bytes); d.workLeft < 0 {
		return oversized(field, "there is more to hash than a request of %d bytes may have: send it in parts", d.Bytes)
	}
	return nil
}

// owe charges for what is small once it is much.
func (d *Message) owe(field string, bytes int) error {
	const much = 64 << 10
	if d.owed += int64(bytes); d.owed < much {
		return nil
	}
	owed := d.owed
	d.owed = 0
	return d.charge(field, 1, owed)
}

// index checks an index into a table. 0 means none, even where the table is missing.
func index(field string, i int32, table string, entries int) error {
	if i < 0 || int(i) >= max(entries, 1) {
		return invalid(field, "index %d out of range, dictionary.%s has %d entries", i, table, entries)
	}
	return nil
}
