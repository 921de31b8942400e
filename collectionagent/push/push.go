// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/pprof/profile"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
	"github.com/strobe-profiler/strobe/proto/parca"
)

// Config is what [New] needs. All fields but Ingest may be left zero.
type Config struct {
	Ingest *ingest.Server
	// Registerer takes the metrics. nil: they are not exported.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server takes profiles. It is safe for concurrent use.
type Server struct {
	parca.UnimplementedProfileStoreServiceServer
	in       *ingest.Server
	now      func() time.Time
	requests *prometheus.CounterVec
}

// The ways in, as metrics name them.
const (
	wayIngest = "ingest"
	wayPush   = "push"
	wayUpload = "upload"
	wayParca  = "parca"
)

// New returns a server that stores through c.Ingest.
func New(c Config) (*Server, error) {
	s := &Server{in: c.Ingest, now: c.Now, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strobe_collectionagent_push_requests_total",
		Help: "Requests with profiles that programs push, by the way in and by what became of them.",
	}, []string{"way", "result"})}
	if s.now == nil {
		s.now = time.Now
	}
	if c.Registerer != nil {
		if err := c.Registerer.Register(s.requests); err != nil {
			return nil, fmt.Errorf("register metrics of pushed profiles: %w", err)
		}
	}
	return s, nil
}

// body is a request over HTTP with its body.
type body struct {
	*http.Request
	data []byte
}

// routes are the patterns of [http.ServeMux] and what serves them.
func (s *Server) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /ingest":                     s.route(wayIngest, s.pyroscope, answerJSON),
		"POST /push.v1.PusherService/Push": s.route(wayPush, s.connect, answerConnect),
		"POST /api/v1/upload":              s.route(wayUpload, s.upload, answerJSON),
	}
}

// Patterns lists the patterns that the handler serves.
func Patterns() []string {
	return slices.Sorted(maps.Keys(new(Server).routes()))
}

// Register adds the routes to a mux. They expect requests that a guard let in, whose context says
// which project they are for.
func (s *Server) Register(mux *http.ServeMux) {
	for pattern, h := range s.routes() {
		mux.Handle(pattern, h)
	}
}

// RegisterGRPC adds the services to a gRPC server that [ingest.Server.NewGRPCServer] returned.
func (s *Server) RegisterGRPC(server *grpc.Server) {
	server.RegisterService(s.in.Unary(parca.ProfileStoreService_ServiceDesc), s)
}

// route serves one of the ways in.
func (s *Server) route(
	way string, take func(context.Context, *body) (message string, err error), answer func(http.ResponseWriter, *body, string, error),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := &body{Request: r}
		message, err := "", errFault // of a panic
		defer func() {
			s.count(way, message, err)
			answer(w, b, message, err)
		}()
		defer s.in.Recovered(way)
		message, err = s.take(w, b, take)
	}
}

// take reads a request and hands it over.
func (s *Server) take(w http.ResponseWriter, b *body, take func(context.Context, *body) (string, error)) (string, error) {
	ctx, data, end, err := s.in.Receive(w, b.Request)
	if err != nil {
		return "", err
	}
	defer end()
	b.data = data
	return take(ctx, b)
}

// count counts a request.
func (s *Server) count(way, message string, err error) {
	result := "stored"
	switch {
	case err != nil:
		result = failureOf(err).reason
	case message != "":
		result = "partial"
	}
	s.requests.WithLabelValues(way, result).Inc()
}

// store stores a profile. The error is the client's, or a status of gRPC.
func (s *Server) store(ctx context.Context, p *profile.Profile, from *pprof.Source) (message string, err error) {
	result, err := pprof.Export(ctx, s.in, p, from)
	switch {
	case err != nil:
		return "", err
	case !result.Stored:
		return "", &failure{status: http.StatusBadRequest, reason: "refused", Message: result.Message}
	}
	return result.Message, nil
}
