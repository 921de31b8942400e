// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/proto/pyroscope/types"
)

const (
	// maxIDs bounds the IDs of traces, spans or profiles in a question.
	maxIDs = 100
	// maxCallSite bounds the functions of a call site.
	maxCallSite = 1 << 10
)

// selected is what questions about samples have alike.
type selected interface {
	GetProfileTypeID() string
	GetLabelSelector() string
	GetStart() int64
	GetEnd() int64
}

// selection returns which samples a question is about. There are none when the selector is about another
// type: empty is set then.
func (q *asked) selection(ctx context.Context, r selected) (s *query.Selection, empty bool, err error) {
	s = &query.Selection{Project: q.Project}
	if s.Type, err = parseType(r.GetProfileTypeID()); err != nil {
		return nil, false, api.BadParameter("profile_typeID", err)
	}
	all, err := query.ParseSelector(r.GetLabelSelector())
	if err != nil {
		return nil, false, api.BadParameter("label_selector", err)
	}
	if s.From, s.To, err = rangeOf(r.GetStart(), r.GetEnd()); err != nil {
		return nil, false, err
	}
	rest, has := splitMatchers(all)
	s.Matchers = rest
	return s, !has(s.Type), rename(ctx, q.Question, s)
}

// callSite reads which stacks a question is about.
func callSite(s *query.Selection, of *types.StackTraceSelector) error {
	if of.GetGoPgo() != nil {
		return api.Unsupported("stack_trace_selector.go_pgo", "profiles are not prepared for the Go compiler here: fetch one as pprof, which go build -pgo takes as it is")
	}
	if len(of.GetCallSite()) > maxCallSite {
		return api.BadParameter("stack_trace_selector.call_site", fmt.Errorf("more than %d functions", maxCallSite))
	}
	for i, l := range of.GetCallSite() {
		if i == 0 && l.GetName() == rootName {
			continue // the root of a flame graph is no function
		}
		s.Stacks.CallSite = append(s.Stacks.CallSite, l.GetName())
	}
	return nil
}

// ids reads IDs of so many bytes in hexadecimal digits.
func ids(parameter string, size int, texts []string) ([][]byte, error) {
	if len(texts) > maxIDs {
		return nil, api.BadParameter(parameter, fmt.Errorf("more than %d IDs", maxIDs))
	}
	out := make([][]byte, len(texts))
	for i, text := range texts {
		id, err := hex.DecodeString(text)
		switch {
		case err != nil || len(id) != size:
			return nil, api.BadParameter(fmt.Sprintf("%s[%d]", parameter, i), fmt.Errorf("expected %d hexadecimal digits", 2*size))
		case !slices.ContainsFunc(id, func(b byte) bool { return b != 0 }):
			return nil, api.BadParameter(fmt.Sprintf("%s[%d]", parameter, i), errors.New("an ID of zeros is that of no trace and no span"))
		}
		out[i] = id
	}
	return out, nil
}

// spans reads the IDs of traces and spans that a question is about.
func spans(s *query.Selection, traceIDs, spanIDs []string) error {
	list, err := ids("trace_id_selector", len([16]byte{}), traceIDs)
	if err != nil {
		return err
	}
	for _, id := range list {
		s.TraceIDs = append(s.TraceIDs, [16]byte(id))
	}
	if list, err = ids("span_selector", len([8]byte{}), spanIDs); err != nil {
		return err
	}
	for _, id := range list {
		s.SpanIDs = append(s.SpanIDs, [8]byte(id))
	}
	return nil
}

// nodes returns how many nodes of a flame graph are wanted, of which 0 and none leave it to the server.
func (q *asked) nodes(most *int64) (int, error) {
	switch {
	case most == nil || *most == 0:
		return q.DefaultNodes, nil
	case *most < 0 || *most > int64(q.MaxNodes):
		return 0, api.BadParameter("max_nodes", fmt.Errorf("expected a whole number up to %d, which is the limit (-max-query-nodes); 0 for %d", q.MaxNodes, q.DefaultNodes))
	}
	return int(*most), nil
}

// maxGroupBy bounds the labels that a question groups by.
const maxGroupBy = 8

// grouping is what a question groups by.
type grouping struct {
	// labels are those to ask the store for.
	labels []string
	// ofType are the labels of the type, which all groups have.
	ofType []*types.LabelPair
}

// grouping reads the labels that a question groups by.
func (q *asked) grouping(ctx context.Context, s *query.Selection, names []string) (*grouping, error) {
	if len(names) > maxGroupBy {
		return nil, api.BadParameter("group_by", fmt.Errorf("more than %d labels", maxGroupBy))
	}
	g := &grouping{}
	var others []string
	for i, name := range names {
		switch {
		case name == "":
			return nil, api.BadParameter(fmt.Sprintf("group_by[%d]", i), errors.New("expected the name of a label"))
		case slices.Contains(names[:i], name):
		case !isTypeLabel(name):
			others = append(others, name)
		default:
			if v := typeLabel(s.Type, name); v != "" {
				g.ofType = append(g.ofType, &types.LabelPair{Name: name, Value: v})
			}
		}
	}
	var err error
	if g.labels, err = inward(ctx, q.Question, s, others); err != nil {
		return nil, err
	}
	// Two names may mean the same label.
	for i := 0; i < len(g.labels); i++ {
		if slices.Contains(g.labels[:i], g.labels[i]) {
			g.labels = slices.Delete(g.labels, i, i+1)
			i--
		}
	}
	return g, nil
}

// pairsOf returns the labels of a group.
func (q *asked) pairsOf(g *grouping, values []string) []*types.LabelPair {
	pairs := append(q.pairs(g.labels, values), g.ofType...)
	sortPairs(pairs)
	return pairs
}

// splitQuery takes a query such as process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="shop"} apart.
func splitQuery(text string) (id, selector string) {
	text = strings.TrimSpace(text)
	at := strings.IndexByte(text, '{')
	if at < 0 {
		return text, ""
	}
	return strings.TrimSpace(text[:at]), text[at:]
}
