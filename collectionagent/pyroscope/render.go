// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/connect"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

// flamebearer is the answer of the older endpoints.
type flamebearer struct {
	Version     int                  `json:"version"`
	Flamebearer flames               `json:"flamebearer"`
	Metadata    metadata             `json:"metadata"`
	Timeline    *timeline            `json:"timeline"`
	Groups      map[string]*timeline `json:"groups"`
	Heatmap     *struct{}            `json:"heatmap"` // there is none
	LeftTicks   int64                `json:"leftTicks,omitempty"`
	RightTicks  int64                `json:"rightTicks,omitempty"`
}

// flames are the levels of a flame graph, see [graph.levels].
type flames struct {
	Names    []string  `json:"names"`
	Levels   [][]int64 `json:"levels"`
	NumTicks int64     `json:"numTicks"`
	MaxSelf  int64     `json:"maxSelf"`
}

type metadata struct {
	Format     string `json:"format"`
	SpyName    string `json:"spyName"`
	SampleRate int64  `json:"sampleRate"` // units of a second
	Units      string `json:"units"`
	Name       string `json:"name"`
}

// timeline is how much was used over time, times in seconds.
type timeline struct {
	StartTime     int64     `json:"startTime"`
	Samples       []int64   `json:"samples"`
	DurationDelta int64     `json:"durationDelta"`
	Watermarks    *struct{} `json:"watermarks"` // there are none
}

// describe returns what readers have to know of a type of samples to show its values.
func describe(t libpf.SampleType, format string) metadata {
	p := profileType(t)
	m := metadata{Format: format, SampleRate: 100, Units: p.GetSampleUnit(), Name: p.GetSampleType()}
	switch t {
	case libpf.SampleOnCPU:
		m.Units, m.SampleRate = "samples", int64(time.Second)
	case libpf.SampleAllocObjects, libpf.SampleInuseObjects, libpf.SampleGoroutines:
		m.Units = "objects"
	}
	return m
}

// rendered is what the parameters of a question ask for.
type rendered struct {
	*querier.SelectMergeStacktracesRequest
	typ libpf.SampleType
}

// readRender reads the parameters of a question, or of a side of a comparison, whose names have a prefix then.
func (q *asked) readRender(v url.Values, prefix string) (*rendered, error) {
	name := func(plain string) string { return parameterOf(prefix, plain) }
	text := v.Get(name("query"))
	if text == "" {
		return nil, api.BadParameter(name("query"), errors.New(`expected a profile type and a selector: process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="shop"}`))
	}
	id, selector := splitQuery(text)
	if id == "" {
		var err error
		if id, err = idIn(selector); err != nil {
			return nil, api.BadParameter(name("query"), err)
		}
	}
	r := &rendered{SelectMergeStacktracesRequest: &querier.SelectMergeStacktracesRequest{ProfileTypeID: id, LabelSelector: selector}}
	var err error
	if r.typ, err = parseType(id); err != nil {
		return nil, api.BadParameter(name("query"), err)
	}
	if r.Start, err = q.readTime(v, name("from"), "now-1h"); err != nil {
		return nil, err
	}
	if r.End, err = q.readTime(v, name("until"), "now"); err != nil {
		return nil, err
	}
	if r.Start >= r.End {
		return nil, api.BadParameter(name("from"), fmt.Errorf("is not before %s", name("until")))
	}
	for _, spelling := range []string{"max-nodes", "maxNodes"} {
		if text := v.Get(spelling); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return nil, api.BadParameter(spelling, errors.New("expected a whole number"))
			}
			r.MaxNodes = &n
		}
	}
	return r, nil
}

// parameterOf returns the name of a parameter, of a side of a comparison with the prefix.
func parameterOf(prefix, plain string) string {
	if prefix == "" {
		return plain
	}
	return prefix + strings.ToUpper(plain[:1]) + plain[1:]
}

// oldName returns what the older endpoints call a field of a question, which may be of a side of a comparison.
func oldName(field string) string {
	side, rest, ok := strings.Cut(field, ".")
	if !ok {
		side, rest = "", field
	}
	switch rest {
	case "profile_typeID", "label_selector":
		return parameterOf(side, "query")
	case "start":
		return parameterOf(side, "from")
	case "end":
		return parameterOf(side, "until")
	case "max_nodes":
		return "max-nodes"
	case "group_by", "group_by[0]": // of one label
		return "groupBy"
	}
	return field
}

// idIn returns the ID of the profile type that a selector names with a matcher.
func idIn(selector string) (string, error) {
	matchers, err := query.ParseSelector(selector)
	if err != nil {
		return "", err
	}
	for _, m := range matchers {
		if m.Op == store.MatchEqual && (m.Name == "__profile_type__" || m.Name == profileName) {
			return m.Value, nil
		}
	}
	return "", errors.New("names no profile type: write it before the brace, as in process_cpu:cpu:nanoseconds:cpu:nanoseconds{}")
}

// readTime reads a time, in milliseconds.
func (q *asked) readTime(v url.Values, name, otherwise string) (int64, error) {
	text := v.Get(name)
	if text == "" {
		text = otherwise
	}
	t, err := query.ParseTime(text, q.Now)
	if err != nil {
		return 0, api.BadParameter(name, err)
	}
	return milliseconds(t), nil
}

// old serves an older endpoint, which has its parameters in the URL and answers with JSON.
func (s *Server) old(w http.ResponseWriter, r *http.Request, name string, work func(context.Context, *asked, url.Values) (any, error)) {
	var data []byte
	err := s.api.Ask(r.Context(), "pyroscope_"+name, func(ctx context.Context, q *api.Question) error {
		v, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return api.BadParameter("", fmt.Errorf("parameters are not URL-encoded: %w", err))
		}
		out, err := work(ctx, &asked{q, takesAnyName(r.Header)}, v)
		if err == nil {
			data, err = json.Marshal(out)
		}
		return api.Rename(err, oldName)
	}, func(incomplete string) error {
		if incomplete != "" {
			w.Header().Set("Strobe-Incomplete", incomplete)
		}
		return connect.Answer(w, r, connect.TypeJSON, data)
	})
	if err != nil {
		connect.Refuse(w, refusal(err))
	}
}

// claimJSON takes the memory that a message, or what is like it, takes as JSON.
func claimJSON(ctx context.Context, m proto.Message) error {
	return memory.From(ctx).Take(int64(proto.Size(m)) * jsonFactor)
}

// checkOldFormat refuses other formats than JSON.
func checkOldFormat(v url.Values) error {
	if f := v.Get("format"); f != "" && f != "json" {
		return api.Unsupported("format", fmt.Sprintf("%.40q is not made here: ask for json, or for folded stacks and pprof at /api/v1/", f))
	}
	return nil
}

func (s *Server) render(w http.ResponseWriter, r *http.Request) {
	s.old(w, r, "render", func(ctx context.Context, q *asked, v url.Values) (any, error) {
		if err := checkOldFormat(v); err != nil {
			return nil, err
		}
		what, err := q.readRender(v, "")
		if err != nil {
			return nil, err
		}
		g, err := q.flameGraph(ctx, what.SelectMergeStacktracesRequest)
		if err != nil {
			return nil, err
		}
		if err := claimJSON(ctx, g); err != nil {
			return nil, err
		}
		out := &flamebearer{
			Version: 1, Metadata: describe(what.typ, "single"),
			Flamebearer: flames{g.GetNames(), valuesOf(g.GetLevels()), g.GetTotal(), g.GetMaxSelf()},
		}
		return out, q.addTimelines(ctx, what, v, out)
	})
}

// aggregations are what the older endpoint calls them.
var aggregations = map[string]types.TimeSeriesAggregationType{
	"": types.TimeSeriesAggregationType_TIME_SERIES_AGGREGATION_TYPE_SUM, "sum": types.TimeSeriesAggregationType_TIME_SERIES_AGGREGATION_TYPE_SUM,
	"avg": types.TimeSeriesAggregationType_TIME_SERIES_AGGREGATION_TYPE_AVERAGE,
}

// addTimelines adds how much was used over time: of all, and of each group where there are some.
func (q *asked) addTimelines(ctx context.Context, what *rendered, v url.Values, out *flamebearer) error {
	aggregation, ok := aggregations[v.Get("aggregation")]
	if !ok {
		return api.BadParameter("aggregation", errors.New("expected sum or avg"))
	}
	groupBy := v["groupBy"]
	if len(groupBy) > 1 {
		return api.BadParameter("groupBy", errors.New("given more than once: one label can be grouped by"))
	}
	step := query.NiceStep(time.Duration(what.GetEnd()-what.GetStart()) * time.Millisecond)
	ask := func(groupBy []string) (*querier.SelectSeriesResponse, error) {
		return selectSeries(ctx, q, &querier.SelectSeriesRequest{
			ProfileTypeID: what.GetProfileTypeID(), LabelSelector: what.GetLabelSelector(), Start: what.GetStart(), End: what.GetEnd(),
			Step: step.Seconds(), Aggregation: &aggregation, GroupBy: groupBy,
		})
	}
	all, err := ask(nil)
	if err != nil {
		return err
	}
	out.Timeline = newTimeline(what, step, nil)
	for _, s := range all.GetSeries() {
		out.Timeline = newTimeline(what, step, s.GetPoints())
	}
	if len(groupBy) == 0 {
		return nil
	}
	groups, err := ask(groupBy)
	if err != nil {
		return err
	}
	out.Groups = map[string]*timeline{}
	for _, s := range groups.GetSeries() {
		key := "*" // without the label
		for _, l := range s.GetLabels() {
			key = l.GetValue()
		}
		out.Groups[key] = newTimeline(what, step, s.GetPoints())
	}
	return nil
}

// newTimeline returns the points of a series with zeros between them.
func newTimeline(what *rendered, step time.Duration, points []*types.Point) *timeline {
	width := step.Milliseconds()
	first := what.GetStart() / width * width
	n := (what.GetEnd()-1-first)/width + 1
	t := &timeline{StartTime: first / 1000, DurationDelta: int64(step / time.Second), Samples: make([]int64, n)}
	for _, p := range points {
		if at := (p.GetTimestamp() - width - first) / width; at >= 0 && at < n {
			t.Samples[at] = int64(p.GetValue())
		}
	}
	return t
}

func (s *Server) renderDiff(w http.ResponseWriter, r *http.Request) {
	s.old(w, r, "render_diff", func(ctx context.Context, q *asked, v url.Values) (any, error) {
		if err := checkOldFormat(v); err != nil {
			return nil, err
		}
		left, err := q.readRender(v, "left")
		if err != nil {
			return nil, err
		}
		right, err := q.readRender(v, "right")
		if err != nil {
			return nil, err
		}
		d, err := diff(ctx, q, &querier.DiffRequest{Left: left.SelectMergeStacktracesRequest, Right: right.SelectMergeStacktracesRequest})
		if err != nil {
			return nil, err
		}
		g := d.GetFlamegraph()
		if err := claimJSON(ctx, g); err != nil {
			return nil, err
		}
		return &flamebearer{
			Version: 1, Metadata: describe(left.typ, "double"), LeftTicks: g.GetLeftTicks(), RightTicks: g.GetRightTicks(),
			Flamebearer: flames{g.GetNames(), valuesOf(g.GetLevels()), g.GetTotal(), g.GetMaxSelf()},
		}, nil
	})
}

// renderValues lists the values of a label; those of __name__ are the profile types.
func (s *Server) renderValues(w http.ResponseWriter, r *http.Request) {
	s.old(w, r, "label_values", func(ctx context.Context, q *asked, v url.Values) (any, error) {
		label := v.Get("label")
		if label == "" {
			return nil, api.BadParameter("label", errors.New("expected the name of a label"))
		}
		if label == "__name__" {
			label = "__profile_type__"
		}
		found, err := labelValues(ctx, q, &types.LabelValuesRequest{Name: label})
		if err != nil {
			return nil, err
		}
		return append([]string{}, found.GetNames()...), nil
	})
}

// valuesOf returns the values of levels.
func valuesOf(levels []*querier.Level) [][]int64 {
	out := make([][]int64, len(levels))
	for i, l := range levels {
		out[i] = l.GetValues()
	}
	return out
}
