// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// ProtocolVersion is the version of the protocol that the server speaks.
const ProtocolVersion = 1

// DefaultProject is the project of all data where nobody has to authenticate.
const DefaultProject = "default"

// Config says how to take data in. Zero values of fields other than Store are
// replaced by defaults.
type Config struct {
	Store store.Store
	// Project of requests whose context names none. Default [DefaultProject].
	Project string
	// Version of this software, told to agents.
	Version string
	// MaxRequestBytes is the size of a request, uncompressed. Default 16 MiB.
	MaxRequestBytes int
	// MaxConcurrent is how many requests are worked on at once; more are told to
	// come again. It bounds memory together with MaxRequestBytes. Default 64.
	MaxConcurrent int
	// KnownStacks is how many stacks are remembered as known. Default 131072,
	// about 25 MiB with the frames and files that go with them.
	KnownStacks uint32
	// Logger defaults to none, Registerer to none, Now to time.Now.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Server implements the service. It is safe for concurrent use.
type Server struct {
	pb.UnimplementedCollectionAgentServer
	cfg     Config
	metrics *metrics
	known   *known
	epoch   []byte
	slots   chan struct{}
}

var _ pb.CollectionAgentServer = (*Server)(nil)

// New returns a server that stores in cfg.Store.
func New(cfg Config) (*Server, error) {
	cfg.Project = cmp.Or(cfg.Project, DefaultProject)
	cfg.MaxRequestBytes = cmp.Or(cfg.MaxRequestBytes, 16<<20)
	cfg.MaxConcurrent = cmp.Or(cfg.MaxConcurrent, 64)
	cfg.KnownStacks = cmp.Or(cfg.KnownStacks, 1<<17)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	k, err := newKnown(cfg.Store, cfg.KnownStacks)
	if err != nil {
		return nil, err
	}
	epoch := cfg.Store.Epoch()
	return &Server{cfg: cfg, metrics: m, known: k, epoch: epoch[:], slots: make(chan struct{}, cfg.MaxConcurrent)}, nil
}

// GetServerInfo implements the service.
func (s *Server) GetServerInfo(context.Context, *pb.GetServerInfoRequest) (*pb.GetServerInfoResponse, error) {
	return &pb.GetServerInfoResponse{
		ProtocolVersion: ProtocolVersion,
		ServerVersion:   s.cfg.Version,
		Epoch:           s.epoch,
		MaxRequestBytes: uint64(s.cfg.MaxRequestBytes), //nolint:gosec // not negative
	}, nil
}

// validator returns a validator for a request that came now.
func (s *Server) validator() *validator {
	return &validator{now: libpf.UnixTimeNs(s.cfg.Now().UnixNano())}
}

// handle runs one request of a type: convert checks it, save stores what convert
// returned, and the acknowledgement and the result of both are counted.
func handle[T any](
	s *Server, typ string, convert func(*validator) (T, error), save func(T) (duplicate bool, err error),
) (*pb.Ack, T, error) {
	started := time.Now()
	defer func() { s.metrics.seconds.WithLabelValues(typ).Observe(time.Since(started).Seconds()) }()
	converted, err := convert(s.validator())
	duplicate := false
	if err == nil {
		duplicate, err = save(converted)
	}
	if err != nil {
		st, result := s.toStatus(err)
		s.metrics.batches.WithLabelValues(typ, result).Inc()
		return nil, converted, st
	}
	result := "stored"
	if duplicate {
		result = "duplicate"
	}
	s.metrics.batches.WithLabelValues(typ, result).Inc()
	return &pb.Ack{Epoch: s.epoch, Duplicate: duplicate}, converted, nil
}

// put returns a function that stores definitions and remembers them.
func (s *Server) put(ctx context.Context) func(*store.Definitions) (bool, error) {
	return func(d *store.Definitions) (bool, error) {
		duplicate, err := s.cfg.Store.Put(ctx, d)
		if err != nil {
			return false, err
		}
		if !duplicate { // what a repeat holds was not looked at
			s.known.learn(d)
			for kind, n := range map[string]int{
				"stacks": len(d.Stacks), "symbols": len(d.Symbols), "executables": len(d.Executables),
				"hosts": len(d.Hosts), "metrics": len(d.Metrics),
			} {
				if n > 0 {
					s.metrics.definitions.WithLabelValues(kind).Add(float64(n))
				}
			}
		}
		return duplicate, nil
	}
}

// AddCountsForTraces implements the service.
func (s *Server) AddCountsForTraces(ctx context.Context, r *pb.AddCountsForTracesRequest) (*pb.AddCountsForTracesResponse, error) {
	ack, _, err := handle(s, "samples",
		func(v *validator) (*store.Batch, error) { return v.counts(r, s.project(ctx)) },
		func(b *store.Batch) (bool, error) {
			duplicate, err := s.cfg.Store.Append(ctx, b)
			if err == nil && !duplicate {
				s.metrics.samples.Add(float64(len(b.Samples)))
				var n int64
				for i := range b.Samples {
					n += b.Samples[i].Count
				}
				s.metrics.observations.Add(float64(n))
			}
			return duplicate, err
		})
	if err != nil {
		return nil, err
	}
	hashes := make([]libpf.TraceHash, len(r.HiTraceHashes))
	for i := range hashes {
		hashes[i] = libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])
	}
	missing, err := s.known.unknownStacks(ctx, s.project(ctx), hashes)
	s.unknownFailed(err)
	return &pb.AddCountsForTracesResponse{Ack: ack, UnknownStacks: missing}, nil
}

// unknownFailed logs that a list of unknown definitions could not be made. The
// data is stored and must be acknowledged; the client hears the next time.
func (s *Server) unknownFailed(err error) {
	if err != nil {
		s.cfg.Logger.Warn("looking up which definitions are unknown", "err", err)
	}
}

// SetFramesForTraces implements the service.
func (s *Server) SetFramesForTraces(ctx context.Context, r *pb.SetFramesForTracesRequest) (*pb.SetFramesForTracesResponse, error) {
	var table []libpf.Frame
	ack, _, err := handle(s, "stacks",
		func(v *validator) (d *store.Definitions, err error) {
			d, table, err = v.frames(r, s.project(ctx))
			return d, err
		}, s.put(ctx))
	if err != nil {
		return nil, err
	}
	unnamed, err := s.known.unnamedFrames(ctx, s.project(ctx), table)
	s.unknownFailed(err)
	files := make([]libpf.FileID, len(r.HiFileIds))
	for i := range files {
		files[i] = libpf.NewFileID(r.HiFileIds[i], r.LoFileIds[i])
	}
	unknownFiles, err := s.known.unknownFiles(ctx, s.project(ctx), files, table)
	s.unknownFailed(err)
	return &pb.SetFramesForTracesResponse{Ack: ack, UnnamedFrames: unnamed, UnknownFiles: unknownFiles}, nil
}

// AddFrameMetadata implements the service.
func (s *Server) AddFrameMetadata(ctx context.Context, r *pb.AddFrameMetadataRequest) (*pb.AddFrameMetadataResponse, error) {
	ack, _, err := handle(s, "frame_metadata",
		func(v *validator) (*store.Definitions, error) { return v.frameMetadata(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err
	}
	return &pb.AddFrameMetadataResponse{Ack: ack}, nil
}

// AddFallbackSymbols implements the service.
func (s *Server) AddFallbackSymbols(ctx context.Context, r *pb.AddFallbackSymbolsRequest) (*pb.AddFallbackSymbolsResponse, error) {
	ack, _, err := handle(s, "fallback_symbols",
		func(v *validator) (*store.Definitions, error) { return v.fallbackSymbols(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err
	}
	return &pb.AddFallbackSymbolsResponse{Ack: ack}, nil
}

// AddExecutableMetadata implements the service.
func (s *Server) AddExecutableMetadata(ctx context.Context, r *pb.AddExecutableMetadataRequest) (*pb.AddExecutableMetadataResponse, error) {
	ack, _, err := handle(s, "executables",
		func(v *validator) (*store.Definitions, error) { return v.executables(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err
	}
	return &pb.AddExecutableMetadataResponse{Ack: ack}, nil
}

// ReportHostMetadata implements the service.
func (s *Server) ReportHostMetadata(ctx context.Context, r *pb.ReportHostMetadataRequest) (*pb.ReportHostMetadataResponse, error) {
	ack, _, err := handle(s, "host",
		func(v *validator) (*store.Definitions, error) { return v.host(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err
	}
	return &pb.ReportHostMetadataResponse{Ack: ack}, nil
}

// AddMetrics implements the service.
func (s *Server) AddMetrics(ctx context.Context, r *pb.AddMetricsRequest) (*pb.AddMetricsResponse, error) {
	ack, _, err := handle(s, "metrics",
		func(v *validator) (*store.Definitions, error) { return v.metrics(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err
	}
	return &pb.AddMetricsResponse{Ack: ack}, nil
}
