// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/otlp"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
	"github.com/strobe-profiler/strobe/libpf"
)

// uploadParameters are those of an upload that are no labels.
var uploadParameters = []string{"time", "format", "kind", "type", "unit", "sample_rate"}

// upload takes a file: a profile of pprof, or folded stacks. Its labels are parameters.
func (s *Server) upload(ctx context.Context, b *body) (string, error) {
	q, err := url.ParseQuery(b.URL.RawQuery)
	if err != nil {
		return "", bad("query", err)
	}
	if len(q) > maxLabels {
		return "", bad("query", fmt.Errorf("has %d parameters, at most %d are allowed", len(q), maxLabels))
	}
	from := &pprof.Source{Labels: map[string]string{}, Time: s.now(), Kind: q.Get("kind")}
	for name, values := range q {
		if len(values) > 1 {
			return "", bad(name, errors.New("is given more than once"))
		}
		if !slices.Contains(uploadParameters, name) {
			from.Labels[name] = values[0]
		}
	}
	if from.Labels["service"] == "" && from.Labels["service_name"] == "" {
		return "", bad("service", errors.New("is missing: say what the profile is of, as in ?service=shop"))
	}
	switch from.Kind {
	case "", pprof.Mutex, pprof.Block, pprof.Exceptions:
	default:
		return "", bad("kind", fmt.Errorf("unknown kind %.40q: expected %s, %s or %s", from.Kind, pprof.Mutex, pprof.Block, pprof.Exceptions))
	}
	given := q.Get("time") != ""
	if given {
		if from.Time, err = parseTime(q.Get("time"), s.now()); err != nil {
			return "", bad("time", err)
		}
	}
	field, data := "body", b.data
	if media, options, _ := mime.ParseMediaType(b.Header.Get("Content-Type")); media == "multipart/form-data" {
		parts, err := s.parts(ctx, data, options["boundary"])
		if err != nil {
			return "", s.in.Refuse(err)
		}
		field = "profile"
		if data = parts[field]; data == nil {
			return "", s.in.Refuse(ingest.Invalid(field, "there is no part of that name in the form"))
		}
	}
	format := q.Get("format")
	if format == "" {
		format = formatOf(data)
	}
	var p *profile.Profile
	switch format {
	case "pprof":
		p, err = s.parse(ctx, field, data)
	case "folded", "lines":
		p, err = s.foldedFile(ctx, field, data, format == "lines", q.Get)
	default:
		return "", unsupported(format)
	}
	if err != nil {
		return "", err
	}
	if given {
		p.TimeNanos = 0 // the parameter counts
	}
	return s.store(ctx, p, from)
}

// formatOf tells text from a message.
func formatOf(data []byte) string {
	head := data[:min(len(data), 512)]
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == utf8.RuneError && n == 1 && len(head) >= utf8.UTFMax {
			return "pprof"
		}
		head = head[n:]
	}
	if bytes.ContainsAny(data[:min(len(data), 512)], "; ") {
		return "folded"
	}
	return "pprof"
}

// foldedFile reads folded stacks of the type that parameters name.
func (s *Server) foldedFile(ctx context.Context, field string, data []byte, single bool, get func(string) string) (*profile.Profile, error) {
	typ, unit := libpf.SampleOnCPU, get("unit")
	if name := get("type"); name != "" {
		var err error
		if typ, err = libpf.ParseSampleType(name); err != nil {
			return nil, bad("type", err)
		}
	}
	rate, err := sampleRate(get("sample_rate"))
	if err != nil {
		return nil, bad("sample_rate", err)
	}
	ticks := unit == "" && (typ == libpf.SampleOnCPU || typ == libpf.SampleWall)
	if unit == "" {
		unit = typ.Unit()
	}
	if typ != libpf.SampleEvent && !otlp.KnownType(typ.String(), unit) {
		return nil, bad("unit", fmt.Errorf("%.40q is not one of %s, whose values are in %s", unit, typ, typ.Unit()))
	}
	p, err := parseFolded(ctx, field, data, single, &profile.ValueType{Type: typ.String(), Unit: unit})
	if err != nil {
		return nil, s.in.Refuse(err)
	}
	if ticks {
		name := "cpu"
		if typ == libpf.SampleWall {
			name = "wall"
		}
		clock(p, name, rate)
	}
	return p, nil
}
