// SPDX-License-Identifier: Apache-2.0

package pprof

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/pprof/profile"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/proto/otlppprof"
)

// Source says of a profile what it does not say itself.
type Source struct {
	// Labels are those of Prometheus and Pyroscope, such as service_name. Names that start with two
	// underscores are for senders, and are dropped.
	Labels map[string]string
	// Time of the samples, when the profile has none.
	Time time.Time
	// Kind is what a profile is of where the names of its types do not tell: [Mutex], [Block],
	// [Exceptions], or "".
	Kind string
	// Names are other names for types of samples, where they are ones that are known.
	Names map[string]string
	// FrameType is that of the frames, such as "cpython". "": it is found out.
	FrameType string
}

// Result is what became of a profile.
type Result struct {
	// Stored is false when nothing of a profile that is not empty was taken, for ever.
	Stored bool
	// Message says what was left out, "" for nothing.
	Message string
}

// Parse decodes a profile, gzipped or not. The memory for it is that of the request of the
// context, see [ingest.Server.Begin]. An error is for [ingest.Server.Refuse].
func Parse(ctx context.Context, in *ingest.Server, field string, data []byte) (*profile.Profile, error) {
	plain, err := unzip(ctx, field, data, in.MaxRequestBytes())
	if err != nil {
		return nil, err
	}
	packed := 0
	if isGzip(data) {
		packed = len(plain)
	}
	ingest.Unpack(ctx, packed)
	var charged error
	p, err := otlppprof.ParseUncompressed(plain, otlppprof.Limits{
		Charge: func(n int64) error {
			charged = ingest.Charge(ctx, field, 1, n)
			return charged
		},
	})
	switch {
	case charged != nil:
		return nil, charged
	case err != nil:
		return nil, ingest.Invalid(field, "%s", err)
	}
	return p, nil
}

func isGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// unzip returns what is gzipped, and other data as they are.
func unzip(ctx context.Context, field string, data []byte, most int) ([]byte, error) {
	if !isGzip(data) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, ingest.Invalid(field, "is not gzip: %s", err)
	}
	var out []byte
	for {
		if len(out) == cap(out) {
			// Twice as large each time, and the copy of what there was.
			more := max(cap(out), 4*len(data), 4<<10)
			if err := ingest.Charge(ctx, field, more, 1); err != nil {
				return nil, err
			}
			out = append(make([]byte, 0, cap(out)+more), out...)
		}
		n, err := z.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > most:
			return nil, ingest.Oversized(field, "is larger than %d bytes, uncompressed (-max-request-bytes)", most)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, ingest.Invalid(field, "is not gzip: %s", err)
		}
	}
}

// Export stores a profile, which it changes. The context is that of a request, see
// [ingest.Server.Begin]; an error is a status of gRPC.
func Export(ctx context.Context, in *ingest.Server, p *profile.Profile, from *Source) (Result, error) {
	name(p, from)
	dropTwins(p)
	spans := simplify(p)
	frames := from.FrameType
	if frames == "" {
		frames = frameType(p)
	}
	r, err := otlppprof.FromPprof(p, otlppprof.Options{Resource: attributes(from.Labels), Time: from.Time, FrameType: frames})
	if err != nil {
		return Result{}, in.Refuse(ingest.Invalid("profile", "%s", err))
	}
	link(r, spans)
	answer, err := in.Export(ctx, r)
	if err != nil {
		return Result{}, err
	}
	return result(len(p.SampleType), answer.GetPartialSuccess()), nil
}

// result says what became of a profile of so many types.
func result(types int, partial *collector.ExportProfilesPartialSuccess) Result {
	out := Result{Stored: true, Message: partial.GetErrorMessage()}
	if n := partial.GetRejectedProfiles(); n > 0 {
		out.Stored = int(n) < types
		if out.Message == "" {
			out.Message = fmt.Sprintf("%d of %d types of samples were left out", n, types)
		}
	}
	return out
}
