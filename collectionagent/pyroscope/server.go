// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/connect"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/libpf"
)

// maxRequest bounds a request in bytes, packed or not: a selector is at most 64 KiB.
const maxRequest = 128 << 10

const (
	// decodeFactor is how many times as large a message is as its bytes: two bytes are one without fields, of
	// some eighty.
	decodeFactor = 48
	// jsonFactor is how much larger an answer is as JSON, while it is made, than as a protocol buffer: values of
	// one byte have quotes and a comma, twice, and the first time in a buffer that grows.
	jsonFactor = 12
)

// Server answers questions. It is safe for concurrent use.
type Server struct{ api *api.Server }

// New returns a server that asks through a.
func New(a *api.Server) *Server { return &Server{a} }

// service is where the methods of querier.v1.QuerierService are.
const service = "/querier.v1.QuerierService/"

// route is a pattern of [http.ServeMux] and what serves it.
type route struct {
	pattern string
	handler http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		method(s, "ProfileTypes", profileTypesOf),
		method(s, "LabelNames", labelNames),
		method(s, "LabelValues", labelValues),
		method(s, "Series", series),
		method(s, "SelectMergeStacktraces", mergeStacktraces),
		method(s, "SelectMergeSpanProfile", mergeSpanProfile),
		method(s, "SelectMergeProfile", mergeProfile),
		method(s, "SelectSeries", selectSeries),
		method(s, "SelectHeatmap", selectHeatmap),
		method(s, "Diff", diff),
		method(s, "GetProfileStats", profileStats),
		method(s, "AnalyzeQuery", analyzeQuery),
		{"GET /pyroscope/render", s.render},
		{"GET /pyroscope/render-diff", s.renderDiff},
		{"GET /pyroscope/label-values", s.renderValues},
	}
}

// Patterns lists the patterns that the handler serves.
func Patterns() []string {
	var patterns []string
	for _, r := range new(Server).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}

// Register adds the routes to a mux. They expect requests that a guard let in, whose context says
// which project they are about.
func (s *Server) Register(mux *http.ServeMux) {
	for _, r := range s.routes() {
		mux.Handle(r.pattern, r.handler)
	}
}

// asked is a question with what the client can read.
type asked struct {
	*api.Question
	// anyName says that labels may have any name.
	anyName bool
}

// request is a message that a generated type points to.
type request[M any] interface {
	*M
	proto.Message
}

// method serves a method of the service.
func method[M any, Q request[M], A proto.Message](s *Server, name string, answer func(context.Context, *asked, Q) (A, error)) route {
	return route{"POST " + service + name, func(w http.ResponseWriter, r *http.Request) {
		q := Q(new(M))
		if err := s.call(w, r, name, q, func(ctx context.Context, a *asked) (proto.Message, error) { return answer(ctx, a, q) }); err != nil {
			connect.Refuse(w, refusal(err))
		}
	}}
}

// call reads a request, works on it and answers.
func (s *Server) call(
	w http.ResponseWriter, r *http.Request, name string, message proto.Message, work func(context.Context, *asked) (proto.Message, error),
) error {
	ctx, cancel, body, err := readCall(w, r)
	if err != nil {
		s.api.Unread()
		return err
	}
	defer cancel()
	var data []byte
	err = s.api.Ask(ctx, "pyroscope_"+name, func(ctx context.Context, q *api.Question) error {
		claim := memory.From(ctx)
		// Only now: who waits for a turn holds the bytes alone.
		if err := claim.Take(int64(len(body)) * decodeFactor); err != nil {
			return err
		}
		if err := connect.Decode(r, body, message); err != nil {
			return api.BadParameter("", err)
		}
		m, err := work(ctx, &asked{q, takesAnyName(r.Header)})
		if err != nil {
			return err
		}
		if connect.Media(r) == connect.TypeProto {
			err = claim.Take(int64(proto.Size(m)))
		} else {
			err = claimJSON(ctx, m)
		}
		if err != nil {
			return err
		}
		data, err = connect.Encode(r, m)
		return err
	}, func(incomplete string) error {
		if incomplete != "" {
			w.Header().Set("Strobe-Incomplete", incomplete)
		}
		return connect.Answer(w, r, connect.Media(r), data)
	})
	if err != nil && r.Context().Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &connect.Error{Status: http.StatusGatewayTimeout, Message: "the answer took longer than the client waits (Connect-Timeout-Ms)"}
	}
	return err
}

// readCall reads a request and how long its client waits.
func readCall(w http.ResponseWriter, r *http.Request) (ctx context.Context, cancel context.CancelFunc, body []byte, err error) {
	if err := connect.CheckVersion(r); err != nil {
		return nil, nil, nil, err
	}
	if ctx, cancel, err = connect.WithTimeout(r); err != nil {
		return nil, nil, nil, err
	}
	if body, err = connect.Read(w, r, maxRequest); err != nil {
		cancel()
		return nil, nil, nil, err
	}
	return ctx, cancel, body, nil
}

// refusal returns an error as the protocol has it.
func refusal(err error) *connect.Error {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e
	}
	if f, ok := errors.AsType[*api.Failure](err); ok {
		return &connect.Error{Status: f.Status, Message: f.Error(), Wait: f.Wait}
	}
	return &connect.Error{Status: http.StatusInternalServerError, Message: "internal error"}
}

// rangeOf returns the time range of a question in milliseconds.
func rangeOf(start, end int64) (from, to libpf.UnixTimeNs, err error) {
	const most = 9_183_110_400_000 // the year 2260, a year before 64 bits of nanoseconds end
	switch {
	case start < 0 || start > most:
		return 0, 0, api.BadParameter("start", errTime)
	case end < 0 || end > most:
		return 0, 0, api.BadParameter("end", errTime)
	case start >= end:
		return 0, 0, api.BadParameter("start", errors.New("is not before end: give both in milliseconds since 1970"))
	}
	return libpf.UnixTimeNs(start * int64(time.Millisecond)), libpf.UnixTimeNs(end * int64(time.Millisecond)), nil
}

var errTime = errors.New("expected milliseconds since 1970, before the year 2260")

// recent is the range of questions about names that give none.
const recent = 24 * time.Hour

// rangeOrRecent is rangeOf for questions that need not have one.
func rangeOrRecent(q *asked, start, end int64) (from, to libpf.UnixTimeNs, err error) {
	if end == 0 {
		end = q.Now.UnixMilli()
	}
	if start == 0 {
		start = max(0, end-recent.Milliseconds())
	}
	return rangeOf(start, end)
}

func milliseconds(t libpf.UnixTimeNs) int64 { return int64(t) / int64(time.Millisecond) }
