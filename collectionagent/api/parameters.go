// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/hex"
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
	maxIDs       = 100
	// maxSeriesLabels is how many labels series may be told apart by.
	maxSeriesLabels = 64
	maxStep         = 366 * 24 * time.Hour
)

// selectionNames are the parameters that say which samples a question is about.
var selectionNames = []string{"type", "query", "from", "to", "trace_id", "span_id"}

// filterNames are the parameters that say which stacks a question is about, and
// what of them is shown; stackNames are those with fold.
var (
	filterNames = []string{"frames", "call_site", "show_from", "hide"}
	stackNames  = names(filterNames, "fold")
)

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

// stacks reads which stacks a question is about, and what is shown of them.
func (p *parameters) stacks(s *query.Selection) {
	p.fold(s)
	p.stackFilter(s)
}

// stackFilter reads all of that but what is folded.
func (p *parameters) stackFilter(s *query.Selection) {
	var err error
	if s.Stacks.Conditions, err = query.ParseStackConditions(p.values.Get("frames")); err != nil {
		p.fail("frames", err)
	}
	if s.Stacks.CallSite, err = query.ParseCallSite(p.values.Get("call_site")); err != nil {
		p.fail("call_site", err)
	}
	s.Stacks.ShowFrom, s.Stacks.Hide = p.pattern("show_from"), p.pattern("hide")
}

// pattern reads a pattern of frames.
func (p *parameters) pattern(name string) query.FramePattern {
	pattern, err := query.ParseFramePattern(p.values.Get(name))
	if err != nil {
		p.fail(name, err)
	}
	return pattern
}

// function reads the pattern of the function that a question is about.
func (p *parameters) function() query.FramePattern {
	pattern := p.pattern("function")
	if len(pattern) == 0 {
		p.fail("function", errors.New(`expected a pattern such as {function="work"}`))
	}
	return pattern
}

// order reads what rows are sorted by.
func (p *parameters) order() query.TopOrder {
	switch sort := p.values.Get("sort"); sort {
	case "", "self":
	case "total":
		return query.TopByTotal
	default:
		p.fail("sort", fmt.Errorf("unknown order %q: expected self or total", sort))
	}
	return query.TopBySelf
}

// boolean reads true or false, which is the default.
func (p *parameters) boolean(name string) bool {
	switch v := p.values.Get(name); v {
	case "true", "1":
		return true
	case "", "false", "0":
	default:
		p.fail(name, fmt.Errorf("unknown value %q: expected true or false", v))
	}
	return false
}

// nodes reads how many nodes of a tree are wanted.
func (p *parameters) nodes(s *server) int {
	return p.integer("max_nodes", min(defaultNodes, s.config.MaxNodes), 1, s.config.MaxNodes, "-max-query-nodes")
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

// level reads what nodes of a tree tell apart.
func (p *parameters) level(s *query.Selection) {
	switch v := p.values.Get("level"); v {
	case "", "function":
	case "line":
		s.Level = query.LevelLine
	case "file":
		s.Level = query.LevelFile
	case "binary":
		s.Level = query.LevelBinary
	default:
		p.fail("level", fmt.Errorf("unknown level %q: expected function, line, file or binary", v))
	}
}

// readParameters checks the method and the names of the parameters of a request.
func readParameters(w http.ResponseWriter, r *http.Request, known []string, now time.Time) (*parameters, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
			return nil, &requestError{
				status: http.StatusUnsupportedMediaType, reason: reasonBad,
				Message: "expected a form: Content-Type application/x-www-form-urlencoded",
			}
		}
		if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
			return nil, &requestError{
				status: http.StatusUnsupportedMediaType, reason: reasonBad,
				Message: "compressed forms are not read: leave Content-Encoding out",
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	default:
		return nil, &requestError{status: http.StatusMethodNotAllowed, reason: "method", allow: "GET, HEAD, POST", Message: "use GET, or POST with a form"}
	}
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &requestError{
				status: http.StatusRequestEntityTooLarge, reason: reasonBad,
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
		bound := strconv.Itoa(high)
		if len(setBy) > 0 {
			bound += ", which is the limit (" + strings.Join(setBy, ", ") + ")"
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
	p.spans(s)
	p.times(s)
	return s
}

// times reads the range of a selection.
func (p *parameters) times(s *query.Selection) {
	s.From, s.To = p.time("from", "now-15m"), p.time("to", "now")
	p.seconds(s)
	if p.err == nil && s.From >= s.To {
		p.fail("from", fmt.Errorf("%s is not before to, which is %s", s.From, s.To))
	}
}

// spans reads the IDs of traces and spans.
func (p *parameters) spans(s *query.Selection) {
	for _, id := range p.ids("trace_id", len([16]byte{})) {
		s.TraceIDs = append(s.TraceIDs, [16]byte(id))
	}
	for _, id := range p.ids("span_id", len([8]byte{})) {
		s.SpanIDs = append(s.SpanIDs, [8]byte(id))
	}
}

// ids reads a list of IDs of a number of bytes in hexadecimal digits, which commas
// separate.
func (p *parameters) ids(name string, size int) [][]byte {
	text := p.values.Get(name)
	if text == "" {
		return nil
	}
	var ids [][]byte
	at := 0
	for item := range strings.SplitSeq(text, ",") {
		id, err := hex.DecodeString(strings.TrimSpace(item))
		switch {
		case err != nil || len(id) != size:
			p.fail(name, &query.SyntaxError{Position: at, Message: fmt.Sprintf("expected %d hexadecimal digits", 2*size)})
		case !slices.ContainsFunc(id, func(b byte) bool { return b != 0 }):
			p.fail(name, &query.SyntaxError{Position: at, Message: "an ID of zeros is that of no trace and no span"})
		case len(ids) == maxIDs:
			p.fail(name, &query.SyntaxError{Position: at, Message: fmt.Sprintf("more than %d IDs", maxIDs)})
		default:
			ids = append(ids, id)
			at += len(item) + 1
			continue
		}
		return nil
	}
	return ids
}

// base reads what a selection is compared with. It is of the same type, and the
// same stacks are shown of it.
func (p *parameters) base(s *query.Selection) *query.Selection {
	base := *s
	var err error
	if text, given := p.values["base_query"]; given {
		if base.Matchers, err = query.ParseSelector(text[0]); err != nil {
			p.fail("base_query", err)
		}
	}
	_, otherQuery := p.values["base_query"]
	_, otherFrom := p.values["base_from"]
	_, otherTo := p.values["base_to"]
	switch {
	case !otherQuery && !otherFrom && !otherTo: // what was before
		base.From, base.To = max(0, s.From-(s.To-s.From)), s.From
	case otherFrom && !otherTo: // as long
		base.From = p.time("base_from", "")
		base.To = base.From + (s.To - s.From)
	case otherTo && !otherFrom:
		base.To = p.time("base_to", "")
		base.From = max(0, base.To-(s.To-s.From))
	case otherFrom:
		base.From, base.To = p.time("base_from", ""), p.time("base_to", "")
	}
	if p.err == nil && base.From >= base.To {
		p.fail("base_from", fmt.Errorf("%s is not before base_to, which is %s", base.From, base.To))
	}
	return &base
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
func (p *parameters) list(name, def string) []string { return p.listOf(name, def, maxGroupBy) }

// listOf is list with a number of names that there may be.
func (p *parameters) listOf(name, def string, most int) []string {
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
		case len(items) == most:
			p.fail(name, &query.SyntaxError{Position: at, Message: fmt.Sprintf("more than %d labels", most)})
		}
		if p.err != nil {
			return nil
		}
		items = append(items, trimmed)
		at += len(item) + 1
	}
	return items
}

// step returns the width of a timeline's steps, 0 to leave it to the engine.
func (p *parameters) step(s *query.Selection) time.Duration {
	span := time.Duration(s.To - s.From)
	text := p.values.Get("step")
	if text == "" {
		return 0
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
