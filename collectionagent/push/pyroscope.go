// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
)

// spies are the types of frames by what clients call themselves.
var spies = map[string]string{
	"gospy": "go", "pyspy": "cpython", "rbspy": "ruby", "phpspy": "php", "javaspy": "jvm", "nodespy": "v8js", "dotnetspy": "dotnet",
}

// otherFormats are formats of Pyroscope that are not read here, and content types that mean them.
var otherFormats = map[string]string{
	"jfr": "jfr", "trie": "trie", "tree": "tree", "speedscope": "speedscope",
	"binary/octet-stream+trie": "trie", "binary/octet-stream+tree": "tree",
}

// pyroscope takes a profile that was sent to /ingest.
func (s *Server) pyroscope(ctx context.Context, b *body) (string, error) {
	q, err := url.ParseQuery(b.URL.RawQuery)
	if err != nil {
		return "", bad("query", err)
	}
	app, labels, err := parseName(q.Get("name"))
	if err != nil {
		return "", bad("name", err)
	}
	from := &pprof.Source{Labels: labels, FrameType: spies[q.Get("spyName")]}
	if from.Time, err = s.begin(q); err != nil {
		return "", err
	}
	format, contentType := q.Get("format"), b.Header.Get("Content-Type")
	media, options, _ := mime.ParseMediaType(contentType)
	if other := cmp.Or(otherFormats[format], otherFormats[media]); other != "" {
		return "", unsupported(other)
	}
	var p *profile.Profile
	switch {
	case media == "multipart/form-data":
		p, err = s.form(ctx, b.data, options["boundary"], from)
	case format == "pprof":
		p, err = s.parse(ctx, "body", b.data)
	case format == "" || format == "folded" || format == "groups" || format == "lines":
		app, p, err = s.stacks(ctx, app, b.data, q)
	default:
		return "", unsupported(format)
	}
	if err != nil {
		return "", err
	}
	switch {
	case labels["service_name"] == "":
		labels["service_name"] = app
	case labels["app_name"] == "":
		labels["app_name"] = app
	}
	return s.store(ctx, p, from)
}

func unsupported(format string) error {
	return &failure{
		status: http.StatusUnsupportedMediaType, reason: reasonFormat, Parameter: "format",
		Message: fmt.Sprintf("%.40q is not read: send pprof, folded or lines", format),
	}
}

// begin returns when a profile began.
func (s *Server) begin(q url.Values) (time.Time, error) {
	for _, name := range []string{"from", "until"} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		t, err := parseTime(text, s.now())
		if err != nil {
			return t, bad(name, err)
		}
		return t, nil
	}
	return s.now(), nil
}

// parse decodes a profile.
func (s *Server) parse(ctx context.Context, field string, data []byte) (*profile.Profile, error) {
	p, err := pprof.Parse(ctx, s.in, field, data)
	if err != nil {
		return nil, s.in.Refuse(err)
	}
	return p, nil
}

// stacks reads folded stacks. The end of the name says what they are of, or the parameter units.
func (s *Server) stacks(ctx context.Context, app string, data []byte, q url.Values) (service string, _ *profile.Profile, _ error) {
	dot := max(strings.LastIndexByte(app, '.'), 0)
	of, ok := suffixes[strings.TrimPrefix(app[dot:], ".")]
	switch units := q.Get("units"); {
	case ok && dot > 0: // else it is all there is
		app = app[:dot]
	case units == "" || units == "samples":
		of = suffixes["cpu"]
	case units == "goroutines":
		of = suffixes["goroutines"]
	default:
		return "", nil, bad("name", fmt.Errorf("does not say what %.40q are of: let it end in .alloc_space, .inuse_space, .mutex_count and the like", units))
	}
	rate, err := sampleRate(q.Get("sampleRate"))
	if err != nil {
		return "", nil, bad("sampleRate", err)
	}
	p, err := parseFolded(ctx, "body", data, q.Get("format") == "lines", &of)
	if err != nil {
		return "", nil, s.in.Refuse(err)
	}
	if of.Unit == "" {
		clock(p, of.Type, rate)
	}
	return app, p, nil
}

// sampleRate reads how often a clock ticks in a second.
func sampleRate(text string) (int64, error) {
	if text == "" || text == "0" {
		return 100, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > 1e9 {
		return 0, errors.New("expected samples in a second: a whole number from 1 to 1000000000")
	}
	return n, nil
}

// sampleType is what a client says of a type of samples.
type sampleType struct {
	DisplayName string `json:"display-name"`
	Cumulative  bool   `json:"cumulative"`
}

// Bounds of a form: its parts, and the bytes of what it says of types.
const (
	maxParts  = 16
	maxConfig = 64 << 10
)

// form reads the parts of a form: profile, prev_profile and sample_type_config.
func (s *Server) form(ctx context.Context, data []byte, boundary string, from *pprof.Source) (*profile.Profile, error) {
	parts, err := s.parts(ctx, data, boundary)
	if err != nil {
		return nil, s.in.Refuse(err)
	}
	if parts["profile"] == nil {
		return nil, s.in.Refuse(ingest.Invalid("profile", "there is no part of that name in the form"))
	}
	config := map[string]sampleType{}
	switch c := parts["sample_type_config"]; {
	case len(c) > maxConfig:
		return nil, s.in.Refuse(ingest.Invalid("sample_type_config", "has %d bytes, at most %d are allowed", len(c), maxConfig))
	case len(bytes.TrimSpace(c)) > 0:
		if err := json.Unmarshal(c, &config); err != nil {
			return nil, s.in.Refuse(ingest.Invalid("sample_type_config", "is not JSON of types: %s", err))
		}
	}
	p, err := s.parse(ctx, "profile", parts["profile"])
	if err != nil {
		return nil, err
	}
	from.Names = map[string]string{}
	cumulative := false
	for name, c := range config {
		from.Names[name] = c.DisplayName
		cumulative = cumulative || c.Cumulative
	}
	if !cumulative {
		return p, nil
	}
	if parts["prev_profile"] == nil {
		return nil, s.in.Refuse(ingest.Invalid("prev_profile", "is missing, but types of samples are cumulative"))
	}
	before, err := s.parse(ctx, "prev_profile", parts["prev_profile"])
	if err != nil {
		return nil, err
	}
	if p, err = since(p, before, config); err != nil {
		return nil, s.in.Refuse(ingest.Invalid("prev_profile", "%s", err))
	}
	return p, nil
}

// parts returns the parts of a form.
func (s *Server) parts(ctx context.Context, data []byte, boundary string) (map[string][]byte, error) {
	if boundary == "" {
		return nil, ingest.Invalid("Content-Type", "the form has no boundary")
	}
	if err := ingest.Charge(ctx, "body", len(data), 2); err != nil {
		return nil, err
	}
	parts := map[string][]byte{}
	form := multipart.NewReader(bytes.NewReader(data), boundary)
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, ingest.Invalid("body", "is not a form: %s", err)
		}
		if len(parts) == maxParts {
			return nil, ingest.Invalid("body", "the form has more than %d parts", maxParts)
		}
		if parts[part.FormName()], err = io.ReadAll(part); err != nil {
			return nil, ingest.Invalid("body", "is not a form: %s", err)
		}
	}
}

// since returns a profile less what was there before, for types that count since the start of a
// program.
func since(p, before *profile.Profile, config map[string]sampleType) (*profile.Profile, error) {
	ratios := make([]float64, len(before.SampleType))
	for i, t := range before.SampleType {
		if config[t.Type].Cumulative {
			ratios[i] = -1
		}
	}
	if err := before.ScaleN(ratios); err != nil {
		return nil, fmt.Errorf("compare with the profile: %w", err)
	}
	began, took := p.TimeNanos, p.DurationNanos
	p, err := profile.Merge([]*profile.Profile{p, before})
	if err != nil {
		return nil, fmt.Errorf("compare with the profile: %w", err)
	}
	p.TimeNanos, p.DurationNanos = began, took
	for _, s := range p.Sample {
		for i := range s.Value {
			s.Value[i] = max(s.Value[i], 0) // the program started again
		}
	}
	return p, nil
}
