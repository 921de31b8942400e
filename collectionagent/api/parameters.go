// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/libpf"
)

const (
	// maxFormBytes bounds the body of a POST; a selector is at most 64 KiB.
	maxFormBytes = 1 << 20
	maxGroupBy   = 8
	maxStep      = 366 * 24 * time.Hour
)

// selectionNames are the parameters that say which samples a question is about.
var selectionNames = []string{"type", "query", "from", "to"}

// parameters are those of a request. The methods note the first error, so that a
// handler can read them all and then ask for it.
type parameters struct {
	values url.Values
	path   func(name string) string
	now    time.Time
	// who asks; all answers are about the project of the request.
	who *auth.Principal
	err error
}

// fold reads what is to be left out of stacks.
func (p *parameters) fold(s *query.Selection) {
	switch v := p.values.Get("fold"); v {
	case "":
	case query.KindInterpreter:
		s.FoldInterpreters = true
	default:
		p.fail("fold", fmt.Errorf("unknown kind of frames %q: expected %s", v, query.KindInterpreter))
	}
}

// readParameters checks the method and the names of the parameters of a request.
func readParameters(w http.ResponseWriter, r *http.Request, known []string, now time.Time) (*parameters, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
			return nil, &requestError{
				status: http.StatusUnsupportedMediaType, reason: "bad_request",
				Message: "expected a form: Content-Type application/x-www-form-urlencoded",
			}
		}
		if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
			return nil, &requestError{
				status: http.StatusUnsupportedMediaType, reason: "bad_request",
				Message: "compressed forms are not read: leave Content-Encoding out",
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	default:
		return nil, &requestError{status: http.StatusMethodNotAllowed, reason: "method", Message: "use GET, or POST with a form"}
	}
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, &requestError{
				status: http.StatusRequestEntityTooLarge, reason: "bad_request",
				Message: fmt.Sprintf("form larger than %d bytes", maxFormBytes),
			}
		}
		return nil, badParameter("", fmt.Errorf("parameters are not URL-encoded: %w", err))
	}
	given := make([]string, 0, len(r.Form))
	for name := range r.Form {
		given = append(given, name)
	}
	slices.Sort(given) // the same error each time
	for _, name := range given {
		if !slices.Contains(known, name) {
			expected := "this endpoint has none"
			if len(known) > 0 {
				expected = "expected one of " + strings.Join(known, ", ")
			}
			return nil, badParameter(name, errors.New("unknown parameter: "+expected))
		}
		if len(r.Form[name]) > 1 {
			return nil, badParameter(name, errors.New("given more than once"))
		}
	}
	return &parameters{values: r.Form, path: r.PathValue, now: now}, nil
}

func (p *parameters) fail(name string, err error) {
	if p.err == nil {
		p.err = badParameter(name, err)
	}
}

// time returns a time; def is the expression for when there is none.
func (p *parameters) time(name, def string) libpf.UnixTimeNs {
	s := p.values.Get(name)
	if s == "" {
		s = def
	}
	t, err := query.ParseTime(s, p.now)
	if err != nil {
		p.fail(name, err)
	}
	return t
}

// integer returns a number within bounds. setBy is the flag of the upper bound, if
// it has one.
func (p *parameters) integer(name string, def, low, high int, setBy ...string) int {
	s := p.values.Get(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		bound := fmt.Sprint(high)
		for _, flag := range setBy {
			bound += ", which is the limit (" + flag + ")"
		}
		p.fail(name, fmt.Errorf("expected a whole number from %d to %s", low, bound))
	}
	return n
}

// selection returns which samples the question is about.
func (p *parameters) selection() *query.Selection {
	s := &query.Selection{Project: p.who.Project, Type: libpf.SampleOnCPU}
	var err error
	if t := p.values.Get("type"); t != "" {
		if s.Type, err = libpf.ParseSampleType(t); err != nil {
			p.fail("type", err)
		}
	}
	if s.Matchers, err = query.ParseSelector(p.values.Get("query")); err != nil {
		p.fail("query", err)
	}
	s.From, s.To = p.time("from", "now-15m"), p.time("to", "now")
	p.seconds(s)
	if p.err == nil && s.From >= s.To {
		p.fail("from", fmt.Errorf("%s is not before to, which is %s", s.From, s.To))
	}
	return s
}

// seconds applies the parameter that pprof adds when it is asked for a profile
// of some length: that long up to the end of the range, or, when the range has
// only a start, that long from there. Nothing is waited for.
func (p *parameters) seconds(s *query.Selection) {
	const tenYears = 10 * 366 * 24 * 3600
	length := libpf.UnixTimeNs(p.integer("seconds", 0, 1, tenYears)) * libpf.UnixTimeNs(time.Second)
	switch {
	case length == 0 || p.err != nil:
	case p.values.Get("from") == "":
		s.From = max(0, s.To-length)
	case p.values.Get("to") == "":
		s.To = s.From + length
	}
}

// list returns the names in a list that commas separate.
func (p *parameters) list(name, def string) []string {
	text := def
	if v, ok := p.values[name]; ok {
		text = v[0]
	}
	if text == "" {
		return nil
	}
	var items []string
	at := 0
	for item := range strings.SplitSeq(text, ",") {
		trimmed := strings.TrimSpace(item)
		switch {
		case trimmed == "":
			p.fail(name, &query.SyntaxError{Position: at, Message: "expected the name of a label"})
		case slices.Contains(items, trimmed):
			p.fail(name, &query.SyntaxError{Position: at, Message: "label " + trimmed + " given more than once"})
		case len(items) == maxGroupBy:
			p.fail(name, &query.SyntaxError{Position: at, Message: fmt.Sprintf("more than %d labels", maxGroupBy)})
		}
		if p.err != nil {
			return nil
		}
		items = append(items, trimmed)
		at += len(item) + 1
	}
	return items
}

// step returns the width of a timeline's steps.
func (p *parameters) step(s *query.Selection) time.Duration {
	span := time.Duration(s.To - s.From)
	text := p.values.Get("step")
	if text == "" {
		return query.NiceStep(span)
	}
	step, err := query.ParseDuration(text)
	switch {
	case err != nil:
		p.fail("step", err)
	case step > maxStep:
		p.fail("step", fmt.Errorf("longer than %s", "366d"))
	case p.err == nil && int64(math.Ceil(float64(span)/float64(step))) >= query.MaxBuckets:
		p.fail("step", fmt.Errorf("makes more than %d steps of the range: expected at least %s",
			query.MaxBuckets, query.NiceStep(span)))
	}
	return step
}
