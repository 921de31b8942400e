// SPDX-License-Identifier: Apache-2.0

// Package api serves the answers of [query] over HTTP under /api/v1: JSON for
// pages and programs, folded stacks and pprof profiles for tools. docs/api.md
// describes every endpoint.
//
// All questions but DELETE /api/v1/data are read-only, are answered with Cache-Control: no-store, and
// end when the client goes away. A bad parameter is a 400 whose body says which
// parameter, where in it, and what was expected.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Config is what [New] needs. Whose samples are shown is up to the request: to
// the project of its [auth.Principal]. All fields but Store may be left zero.
type Config struct {
	Store store.Store
	// Fleet and Receipts are what the ledger is made of beside the store. nil: it
	// knows nothing of agents or of what was received.
	Fleet    Fleet
	Receipts Receipts
	// Targets is what is scraped. nil: nothing.
	Targets Targets
	// Version is what the status endpoint reports, Started since when the server runs, and
	// Retention how long it keeps data. A zero Started and no Retention are not reported.
	Version   string
	Started   time.Time
	Retention *store.Retention
	// Logger takes errors that are not the client's. Default: none are logged.
	Logger *slog.Logger
	// Registerer takes the metrics. nil: they are not exported.
	Registerer prometheus.Registerer
	// MaxConcurrent bounds how many questions are worked on at once. Default:
	// twice the number of CPUs, at least 4.
	MaxConcurrent int
	// ProjectConcurrent is the same for the questions about one project. Default:
	// three quarters of MaxConcurrent.
	ProjectConcurrent int
	// MaxNodes bounds the nodes of a flame graph that may be asked for. Default 1,000,000.
	MaxNodes int
	// QueueTimeout is how long a question may wait for its turn. Default 30 s. When
	// eight wait for each that is worked on, no more do.
	QueueTimeout time.Duration
	// Strained says that the store has to catch up with work of its own, which makes
	// questions dear as long as it is not done: a quarter of MaxConcurrent is then worked on
	// at once. nil: it never has to.
	Strained func() bool
	// QueryTimeout bounds the work on one question. Default 1 min.
	QueryTimeout time.Duration
	// Incomplete says why answers do not hold all that is stored yet, "" when they do.
	// nil: they do.
	Incomplete func() string
	// Memory is what questions take their memory from. nil: they have no bounds.
	Memory *memory.Budget
	// CacheBytes bounds the definitions that are kept in memory. Default 128 MiB.
	CacheBytes int64
	// MaxRows bounds how many sums an answer is made of. Default 4,000,000.
	MaxRows int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// root is where everything is below.
const root = "/api/v1/"

// Patterns lists the patterns of [http.ServeMux] that the handler of [New]
// serves, the last of which takes what is not an endpoint.
func Patterns() []string {
	patterns := []string{}
	for _, e := range endpoints() {
		patterns = append(patterns, e.path)
	}
	patterns = append(patterns, dataPattern)
	return append(patterns, root)
}

// New returns the handler of everything under /api/v1/. It expects requests that
// an [auth.Guard] let in, and denies others. It is safe for
// concurrent use. Metrics that cannot be registered are logged and not exported.
func New(c Config) *Server {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxConcurrent <= 0 {
		c.MaxConcurrent = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if c.ProjectConcurrent <= 0 {
		c.ProjectConcurrent = max(1, c.MaxConcurrent*3/4)
	}
	if c.MaxNodes <= 0 {
		c.MaxNodes = maxNodes
	}
	if c.QueueTimeout <= 0 {
		c.QueueTimeout = 30 * time.Second
	}
	if c.QueryTimeout <= 0 {
		c.QueryTimeout = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &server{
		config: c,
		engine: query.NewEngine(c.Store, query.Options{CacheBytes: c.CacheBytes, MaxRows: c.MaxRows, Now: c.Now}),
		turns:  newTurns(c.MaxConcurrent, min(c.ProjectConcurrent, c.MaxConcurrent), c.Strained),
	}
	s.metrics = newMetrics(s.turns)
	if c.Registerer != nil {
		for _, m := range append(s.metrics.collectors(), s.engine.Collectors()...) {
			if err := c.Registerer.Register(m); err != nil {
				c.Logger.Error("register metrics of queries", "error", err)
			}
		}
	}
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		mux.Handle(e.path, s.handler(&e))
	}
	mux.HandleFunc(dataPattern, s.deleteData)
	mux.HandleFunc(root, func(w http.ResponseWriter, r *http.Request) {
		if _, path, _ := strings.Cut(dataPattern, " "); r.URL.Path == path {
			s.fail(w, r, "data", &requestError{status: http.StatusMethodNotAllowed, reason: "method", allow: http.MethodDelete, Message: "use DELETE"})
			return
		}
		s.fail(w, r, "unknown", &requestError{status: http.StatusNotFound, reason: "not_found", Message: "no such endpoint: " + r.URL.Path})
	})
	return &Server{Handler: mux, server: s}
}

// endpoints lists what can be asked.
func endpoints() []endpoint {
	selected, exported := names(selectionNames, stackNames...), names(selectionNames, filterNames...)
	eventNames := slices.DeleteFunc(names(selected), func(name string) bool { return name == "type" })
	return []endpoint{
		{"flamegraph", "/api/v1/flamegraph", names(selected, "max_nodes", "group_by", "level"), (*server).flamegraph},
		{"top", "/api/v1/top", names(selected, "limit", "sort"), (*server).top},
		{"diff", "/api/v1/diff", names(selected, "base_query", "base_from", "base_to", "normalize", "max_nodes", "group_by", "level", "limit", "sort"), (*server).diff},
		{"sandwich", "/api/v1/sandwich", names(selected, "function", "max_nodes"), (*server).sandwich},
		{"lines", "/api/v1/lines", names(selected, "function", "limit"), (*server).lines},
		{"folded", "/api/v1/folded", names(exported, "group_by"), (*server).folded},
		{"pprof", "/api/v1/pprof", names(exported, "group_by", "seconds"), (*server).pprof},
		{"timeline", "/api/v1/timeline", names(selected, "step", "by", "limit"), (*server).timeline},
		{"heatmap", "/api/v1/heatmap", names(selected, "by", "column", "rows"), (*server).heatmap},
		{"tracks", "/api/v1/tracks", names(selected, "by", "step", "limit", "max_nodes"), (*server).tracks},
		{"exemplars", "/api/v1/exemplars", names(selected, "order", "limit"), (*server).exemplars},
		{"totals", "/api/v1/totals", selected, (*server).totals},
		{"types", "/api/v1/types", []string{"from", "to"}, (*server).types},
		{"series", "/api/v1/series", names(selected, "labels", "limit"), (*server).series},
		{"labels", "/api/v1/labels", selectionNames, (*server).labels},
		{"label_values", "/api/v1/labels/{name}/values", names(selected, "prefix", "limit"), (*server).labelValues},
		{"executables", "/api/v1/executables", names(selected, "limit", "sort"), (*server).executables},
		{"events", "/api/v1/events", names(eventNames, "limit"), (*server).events},
		{"hosts", "/api/v1/hosts", []string{"limit"}, (*server).hosts},
		{"ledger", "/api/v1/ledger", []string{"from", "to", "limit"}, (*server).ledger},
		{"targets", "/api/v1/targets", []string{"limit"}, (*server).targets},
		{"status", "/api/v1/status", nil, (*server).status},
		{"openapi", "/api/v1/openapi.json", nil, (*server).describe},
	}
}

// names joins lists of parameter names.
func names(first []string, more ...string) []string {
	return append(append([]string(nil), first...), more...)
}

// endpoint is one question that can be asked.
type endpoint struct {
	name       string // in metrics
	path       string
	parameters []string
	answer     func(*server, context.Context, *parameters) (*answer, error)
}

type server struct {
	config  Config
	engine  *query.Engine
	turns   *turns
	metrics *metrics
}

// incompleteHeader says why an answer does not hold all that is stored yet.
const incompleteHeader = "Strobe-Incomplete"

// incomplete returns why answers do not hold all that is stored yet.
func (s *server) incomplete() string {
	if s.config.Incomplete == nil {
		return ""
	}
	return s.config.Incomplete()
}

// catch, deferred, answers a request that ended in a panic: net/http would only end
// the connection.
func (s *server) catch(w http.ResponseWriter, r *http.Request, endpoint string) {
	if cause := recover(); cause != nil {
		s.config.Logger.Error("query ended in a panic", "endpoint", endpoint, "panic", cause, "stack", string(debug.Stack()))
		s.fail(w, r, endpoint, errPanic)
	}
}

// handler returns the handler of an endpoint: it checks the request, waits for
// its turn, and sends the answer or the error.
func (s *server) handler(e *endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		defer func() { s.metrics.duration.WithLabelValues(e.name).Observe(time.Since(start).Seconds()) }()
		defer s.catch(w, r, e.name)
		who, ok := auth.From(r.Context())
		if !ok {
			s.fail(w, r, e.name, errNobody)
			return
		}
		p, err := readParameters(w, r, e.parameters, s.config.Now())
		if err != nil {
			s.fail(w, r, e.name, err)
			return
		}
		p.who = who
		giveBack, err := s.turns.take(r.Context(), who.Project, s.config.QueueTimeout)
		if err != nil {
			s.fail(w, r, e.name, err)
			return
		}
		// Waiting is none of the work: who waited is told so, not to ask for less.
		ctx, cancel := context.WithTimeout(r.Context(), s.config.QueryTimeout)
		defer cancel()
		// What a question holds it gives back when its answer is sent. For want of memory
		// all of it ends at once, as if the client had left.
		incomplete := s.incomplete()
		var claim *memory.Claim
		defer func() { claim.Release() }()
		a, err := func() (*answer, error) {
			s.metrics.running.Inc()
			defer func() {
				s.metrics.running.Dec()
				giveBack()
			}()
			return s.answer(ctx, e, p, &claim)
		}()
		if err != nil {
			s.fail(w, r, e.name, err)
			return
		}
		if incomplete != "" {
			w.Header().Set(incompleteHeader, incomplete)
		}
		if err := a.send(w, r); err != nil {
			s.metrics.errors.WithLabelValues("write").Inc() // the client left
		}
	})
}

// memoryTries is how often a question is worked on that others left no memory for.
const memoryTries = 3

// answer works on a question, with a claim that the caller releases.
func (s *server) answer(ctx context.Context, e *endpoint, p *parameters, claim **memory.Claim) (a *answer, err error) {
	err = s.attempt(ctx, claim, func(question context.Context) (err error) {
		a, err = e.answer(s, question, p)
		return err
	})
	return a, err
}

// attempt works on a question, with a claim that the caller releases. A question that
// did not get the memory that others held is worked on again, in the same turn, once
// there is as much as it had come to want: its client could do no more than ask
// again, without knowing when.
func (s *server) attempt(ctx context.Context, claim **memory.Claim, work func(context.Context) error) error {
	wanted := int64(0)
	for try := 1; ; try++ {
		question, c := s.config.Memory.Question(ctx)
		*claim = c
		err := c.Reserve(wanted)
		if err == nil {
			if err = work(question); c.Err() == nil {
				return err
			}
		}
		if lack := c.Err(); lack != nil {
			err = lack
		}
		if try == memoryTries || ctx.Err() != nil || !errors.Is(err, memory.ErrBusy) {
			return err
		}
		wanted = c.Most()
		c.Release()
		s.metrics.repeated.Inc()
	}
}
