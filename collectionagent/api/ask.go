// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/query"
)

// Server is what [New] returns: the handler of the API, and the way for other protocols to
// ask the same questions.
type Server struct {
	http.Handler
	server *server
}

// Question is what the work on a question gets.
type Question struct {
	*query.Engine
	// Project is the one that the question is about; no answer may be about another.
	Project string
	// MaxNodes is how many nodes of a flame graph may be asked for, and DefaultNodes how
	// many there are when nobody says.
	MaxNodes, DefaultNodes int
	Now                    time.Time
}

// Failure says why a question has no answer.
type Failure struct {
	// Status is that of HTTP, 499 when nobody waits for the answer any more.
	Status int
	// Parameter is what was wrong, "" when it was no parameter.
	Parameter, Message string
	// Wait is when to ask again, 0 when that is of no use.
	Wait time.Duration
}

// Error implements error.
func (f *Failure) Error() string {
	if f.Parameter == "" {
		return f.Message
	}
	return f.Parameter + ": " + f.Message
}

// BadParameter returns the error for a parameter that is wrong. A [query.SyntaxError] in it tells
// the position.
func BadParameter(name string, err error) error { return badParameter(name, err) }

// Unsupported returns the error for a parameter that asks for what there is not, with what to
// do instead.
func Unsupported(name, message string) error {
	return &requestError{status: http.StatusNotImplemented, reason: reasonBad, Parameter: name, Message: message}
}

// Rename gives the parameter that an error is about another name, that of the client's own protocol. Other errors are
// returned as they are.
func Rename(err error, name func(string) string) error {
	var e *requestError
	if !errors.As(err, &e) || e.Parameter == "" {
		return err
	}
	renamed := *e
	renamed.Parameter = name(e.Parameter)
	return &renamed
}

// Ask works on a question that came by another protocol, as if it were one to an endpoint of
// the API of that name: it has a principal, waits for its turn, has the same bounds of
// time and memory, and counts in the same metrics. send is called with what the question took still
// being held, after work returned no error; incomplete says why the answer does not hold all that
// is stored yet, "" when it does. All of its errors are a [*Failure].
func (s *Server) Ask(
	ctx context.Context, name string, work func(context.Context, *Question) error, send func(incomplete string) error,
) error {
	start := time.Now()
	defer func() { s.server.metrics.duration.WithLabelValues(name).Observe(time.Since(start).Seconds()) }()
	if err := s.server.ask(ctx, name, work, send); err != nil {
		return s.server.failure(ctx, name, err)
	}
	return nil
}

// Unread counts a question that came by another protocol and could not be read.
func (s *Server) Unread() { s.server.metrics.errors.WithLabelValues(reasonBad).Inc() }

// ask is Ask but for the errors.
func (s *server) ask(
	ctx context.Context, name string, work func(context.Context, *Question) error, send func(incomplete string) error,
) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.config.Logger.Error("query ended in a panic", "endpoint", name, "panic", cause, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	who, ok := auth.From(ctx)
	if !ok {
		return errNobody
	}
	giveBack, err := s.turns.take(ctx, who.Project, s.config.QueueTimeout)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, s.config.QueryTimeout)
	defer cancel()
	incomplete := s.incomplete()
	var claim *memory.Claim
	defer func() { claim.Release() }()
	question := &Question{
		Engine: s.engine, Project: who.Project, Now: s.config.Now(),
		MaxNodes: s.config.MaxNodes, DefaultNodes: min(defaultNodes, s.config.MaxNodes),
	}
	if err := func() error {
		s.metrics.running.Inc()
		defer func() {
			s.metrics.running.Dec()
			giveBack()
		}()
		return s.attempt(bounded, &claim, func(ctx context.Context) error { return work(ctx, question) })
	}(); err != nil {
		return err
	}
	if err := send(incomplete); err != nil {
		s.metrics.errors.WithLabelValues("write").Inc() // the client left
	}
	return nil
}

// failure counts a question without an answer, and returns what its client is told.
func (s *server) failure(ctx context.Context, name string, err error) *Failure {
	e := s.toRequestError(ctx, err)
	s.metrics.errors.WithLabelValues(e.reason).Inc()
	if e.status == http.StatusInternalServerError && e != errPanic {
		s.config.Logger.Error("answer query", "endpoint", name, "error", err)
	}
	f := &Failure{Status: e.status, Parameter: e.Parameter, Message: e.Message}
	if e.status == http.StatusServiceUnavailable {
		f.Wait = min(max(e.retry, leastRetry), mostRetry).Round(time.Second)
	}
	return f
}
