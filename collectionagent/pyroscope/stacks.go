// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/proto/pyroscope/profile"
	"github.com/strobe-profiler/strobe/proto/pyroscope/querier"
)

// stackSelections returns what a question about stacks selects: one selection, or one for each
// profile that it names; none when there is nothing to look for.
func (q *asked) stackSelections(ctx context.Context, r *querier.SelectMergeStacktracesRequest) ([]*query.Selection, error) {
	if a := r.GetAsync(); a.GetRequestId() != "" || a.GetType() != querier.AsyncQueryType_ASYNC_QUERY_TYPE_DISABLED {
		return nil, api.Unsupported("async", "questions are answered at once here: leave it out")
	}
	s, empty, err := q.selection(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := callSite(s, r.GetStackTraceSelector()); err != nil {
		return nil, err
	}
	if err := spans(s, r.GetTraceIdSelector(), r.GetSpanSelector()); err != nil {
		return nil, err
	}
	list, err := q.profiles(ctx, s, r.GetProfileIdSelector())
	if empty {
		return nil, err
	}
	return list, err
}

func mergeStacktraces(ctx context.Context, q *asked, r *querier.SelectMergeStacktracesRequest) (*querier.SelectMergeStacktracesResponse, error) {
	if err := checkFormat(r.GetFormat(), true); err != nil {
		return nil, err
	}
	if r.GetFormat() == querier.ProfileFormat_PROFILE_FORMAT_PPROF {
		p, err := q.pprof(ctx, r)
		if err != nil {
			return nil, err
		}
		return &querier.SelectMergeStacktracesResponse{Pprof: &querier.PprofProfile{Profile: p}}, nil
	}
	g, err := q.flameGraph(ctx, r)
	return &querier.SelectMergeStacktracesResponse{Flamegraph: g}, err
}

// checkFormat refuses the formats that are not made here.
func checkFormat(f querier.ProfileFormat, pprof bool) error {
	const parameter, flameGraph = "format", "ask for PROFILE_FORMAT_FLAMEGRAPH"
	instead := flameGraph
	if pprof {
		instead += " or PROFILE_FORMAT_PPROF"
	}
	switch f {
	case querier.ProfileFormat_PROFILE_FORMAT_UNSPECIFIED, querier.ProfileFormat_PROFILE_FORMAT_FLAMEGRAPH:
		return nil
	case querier.ProfileFormat_PROFILE_FORMAT_PPROF:
		if pprof {
			return nil
		}
	}
	return api.Unsupported(parameter, fmt.Sprintf("%s is not made here: %s", f, instead))
}

// flameGraph answers with the flame graph of all that is selected.
func (q *asked) flameGraph(ctx context.Context, r *querier.SelectMergeStacktracesRequest) (*querier.FlameGraph, error) {
	nodes, err := q.nodes(r.MaxNodes)
	if err != nil {
		return nil, err
	}
	list, err := q.stackSelections(ctx, r)
	if err != nil {
		return nil, err
	}
	g := newGraph(memory.From(ctx))
	for _, s := range list {
		found, err := q.FlameGraph(ctx, s, nil, nodes)
		if err != nil {
			return nil, err
		}
		g.addTree(&found.FlameTree)
	}
	return g.flameGraph()
}

func mergeSpanProfile(ctx context.Context, q *asked, r *querier.SelectMergeSpanProfileRequest) (*querier.SelectMergeSpanProfileResponse, error) {
	if err := checkFormat(r.GetFormat(), false); err != nil {
		return nil, err
	}
	if len(r.GetSpanSelector()) == 0 {
		return nil, api.BadParameter("span_selector", errors.New("expected the ID of a span, in 16 hexadecimal digits"))
	}
	g, err := q.flameGraph(ctx, &querier.SelectMergeStacktracesRequest{
		ProfileTypeID: r.GetProfileTypeID(), LabelSelector: r.GetLabelSelector(), SpanSelector: r.GetSpanSelector(),
		Start: r.GetStart(), End: r.GetEnd(), MaxNodes: r.MaxNodes,
	})
	return &querier.SelectMergeSpanProfileResponse{Flamegraph: g}, err
}

func mergeProfile(ctx context.Context, q *asked, r *querier.SelectMergeProfileRequest) (*profile.Profile, error) {
	return q.pprof(ctx, &querier.SelectMergeStacktracesRequest{
		ProfileTypeID: r.GetProfileTypeID(), LabelSelector: r.GetLabelSelector(), Start: r.GetStart(), End: r.GetEnd(),
		StackTraceSelector: r.GetStackTraceSelector(), ProfileIdSelector: r.GetProfileIdSelector(), TraceIdSelector: r.GetTraceIdSelector(),
	})
}

// pprofLabels are what samples of a profile are labelled with.
var pprofLabels = []string{store.LabelService, store.LabelProcess, store.LabelComm}

// messageFactor is about how many times as large a profile is as a message than its bytes, with those.
const messageFactor = 24

// pprof answers with all that is selected as a profile of pprof, which is whole: max_nodes is of flame graphs.
func (q *asked) pprof(ctx context.Context, r *querier.SelectMergeStacktracesRequest) (*profile.Profile, error) {
	list, err := q.stackSelections(ctx, r)
	if err != nil {
		return nil, err
	}
	out := &profile.Profile{StringTable: []string{""}}
	switch len(list) {
	case 0:
		return out, nil
	case 1:
	default:
		return nil, api.Unsupported("profile_id_selector", "one profile at a time is made as pprof")
	}
	var packed bytes.Buffer
	if _, err := q.WritePprof(ctx, list[0], pprofLabels, &packed); err != nil {
		return nil, err
	}
	data, err := unpack(memory.From(ctx), packed.Bytes())
	if err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("decode profile: %w", err)
	}
	return out, nil
}

// unpack unpacks a profile that was packed here. How large it is its end tells, by which the memory is claimed:
// long names of functions may be packed a thousand times smaller.
func unpack(claim *memory.Claim, packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack profile: %w", err)
	}
	size := binary.LittleEndian.Uint32(packed[len(packed)-4:])
	if err := claim.Take(int64(len(packed)) + int64(size)*messageFactor); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(z, data); err != nil {
		return nil, fmt.Errorf("unpack profile: %w", err)
	}
	// The end of the file, where its sum is checked, and nothing more.
	if n, err := z.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("unpack profile: more than %d bytes: %w", size, err)
	}
	return data, nil
}

var errBothSides = errors.New("is missing: both sides are needed, left and right")

func diff(ctx context.Context, q *asked, r *querier.DiffRequest) (*querier.DiffResponse, error) {
	left, right := r.GetLeft(), r.GetRight()
	switch {
	case left == nil:
		return nil, api.BadParameter("left", errBothSides)
	case right == nil:
		return nil, api.BadParameter("right", errBothSides)
	}
	most, side := left.MaxNodes, "left"
	if n := right.MaxNodes; most == nil || n != nil && *n > *most {
		most, side = n, "right"
	}
	nodes, err := q.nodes(most)
	if err != nil {
		return nil, api.Rename(err, func(string) string { return side + ".max_nodes" })
	}
	a, err := q.side(ctx, "left", left)
	if err != nil {
		return nil, err
	}
	b, err := q.side(ctx, "right", right)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Type != b.Type:
		return nil, api.BadParameter("right.profile_typeID", errors.New("is not that of the left: only what has the same unit can be compared"))
	case !slices.Equal(a.Stacks.CallSite, b.Stacks.CallSite):
		return nil, api.BadParameter("right.stack_trace_selector", errors.New("is not that of the left"))
	}
	d, err := q.Diff(ctx, a, b, &query.DiffOptions{MaxNodes: nodes, Limit: 1})
	if err != nil {
		return nil, err
	}
	g := newGraph(memory.From(ctx))
	g.addDiff(d)
	flames, err := g.flameGraphDiff()
	return &querier.DiffResponse{Flamegraph: flames}, err
}

// side returns the selection of a side of a comparison.
func (q *asked) side(ctx context.Context, name string, r *querier.SelectMergeStacktracesRequest) (*query.Selection, error) {
	list, err := q.stackSelections(ctx, r)
	switch {
	case err != nil:
		return nil, api.Rename(err, func(parameter string) string { return name + "." + parameter })
	case len(list) > 1:
		return nil, api.Unsupported(name+".profile_id_selector", "one profile at a time is compared")
	case len(list) == 1:
		return list[0], nil
	}
	// Nothing to look for, but of the right type: a time without samples.
	s, _, err := q.selection(ctx, r)
	if err != nil {
		return nil, err
	}
	s.To = s.From + 1
	s.Matchers = []*store.Matcher{nobody()}
	return s, nil
}
