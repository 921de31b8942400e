// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"

	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
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
	// come again. Default 64.
	MaxConcurrent int
	// MemoryBytes bounds the memory of all requests being read and worked on. More
	// of them are told to come again. At least four times MaxRequestBytes. Default 256 MiB.
	MemoryBytes int64
	// RequestTimeout is how long the body of a request may take to arrive. Default 30 s.
	RequestTimeout time.Duration
	// IdleTimeout is after what time without requests a connection is closed. Default 5 minutes.
	IdleTimeout time.Duration
	// MaxConnections is how many connections [Server.Limit] leaves open. Default 10000.
	MaxConnections int
	// Limits bound single things of requests.
	Limits Limits
	// Rates bound how fast projects and hosts send. The zero value is without limits.
	Rates limit.Config
	// KnownStacks is up to how many stacks are remembered as known. Default 262144. Each takes
	// about 34 bytes with the frames and files that go with it, and 24 more if it comes by
	// OTLP. One that is forgotten costs a look into the store for each request that has it.
	KnownStacks int
	// Fleet remembers what agents say of themselves. Default: one that nobody else reads.
	Fleet *fleet.Registry
	// Logger defaults to none, Registerer to none, Now to time.Now.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time

	// patience is how long a request waits for memory.
	patience time.Duration
}

// Server implements the service of agents and that of OTLP. It is safe for concurrent use.
type Server struct {
	pb.UnimplementedCollectionAgentServer
	collector.UnimplementedProfilesServiceServer
	cfg     Config
	metrics *metrics
	known   *known
	epoch   []byte
	slots   chan struct{}
	// budget is the memory of requests.
	budget   *budget
	pressure *pressure
	ledger   *ledger
	limiter  *limit.Limiter
	recent   *recentSeries
	warned   atomic.Int64 // when the log last said that a request is too large

	// inFlight are the batches being worked on.
	inFlightMu sync.Mutex
	inFlight   map[store.BatchID]struct{}
}

var (
	_ pb.CollectionAgentServer        = (*Server)(nil)
	_ collector.ProfilesServiceServer = (*Server)(nil)
)

// New returns a server that stores in cfg.Store.
func New(cfg Config) (*Server, error) {
	cfg.Project = cmp.Or(cfg.Project, DefaultProject)
	cfg.MaxRequestBytes = cmp.Or(cfg.MaxRequestBytes, 16<<20)
	cfg.MaxConcurrent = cmp.Or(cfg.MaxConcurrent, 64)
	cfg.KnownStacks = cmp.Or(cfg.KnownStacks, 1<<18)
	cfg.MemoryBytes = max(cmp.Or(cfg.MemoryBytes, 256<<20), 4*int64(cfg.MaxRequestBytes))
	cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, 30*time.Second)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 5*time.Minute)
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, 10_000)
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.patience = cmp.Or(cfg.patience, time.Second)
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
	if cfg.Fleet == nil {
		if cfg.Fleet, err = fleet.New(fleet.Options{Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	k := newKnown(cfg.Store, cfg.KnownStacks, m.lookups)
	epoch := cfg.Store.Epoch()
	s := &Server{
		cfg: cfg, metrics: m, known: k, epoch: epoch[:], slots: make(chan struct{}, cfg.MaxConcurrent),
		budget:   &budget{size: cfg.MemoryBytes, maxWaiting: 4 * cfg.MaxConcurrent},
		pressure: &pressure{now: cfg.Now, at: cfg.Now()},
		ledger:   newLedger(cfg.Now),
		inFlight: make(map[store.BatchID]struct{}),
	}
	if cfg.Rates.Host != (limit.Amount{}) || cfg.Rates.Project != (limit.Amount{}) || cfg.Rates.HostsPerProject != 0 {
		rates := cfg.Rates
		rates.Now = cfg.Now
		s.limiter = limit.New(rates)
		s.recent = newRecentSeries()
	}
	for _, c := range []prometheus.Collector{s.ledger, memory.Used(memory.Ingest, s.budget.inUse), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: metricsPrefix + "memory_bytes", Help: "Memory held by requests being read and worked on.",
	}, func() float64 { return float64(s.budget.inUse()) })} {
		if err := cfg.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

// GetServerInfo implements the service.
func (s *Server) GetServerInfo(context.Context, *pb.GetServerInfoRequest) (*pb.GetServerInfoResponse, error) {
	return &pb.GetServerInfoResponse{
		ProtocolVersion: ProtocolVersion,
		ServerVersion:   s.cfg.Version,
		Epoch:           s.epoch,
		MaxRequestBytes: uint64(s.cfg.MaxRequestBytes), //nolint:gosec // not negative

		ServerTime:           s.cfg.Now().UnixNano(),
		MaxSampleAge:         int64(s.cfg.Limits.MaxSampleAge),
		MaxSampleLead:        int64(s.cfg.Limits.MaxSampleLead),
		MaxSamplesPerRequest: uint32(s.cfg.Limits.MaxSamples),   //nolint:gosec // a small number
		MaxFramesPerStack:    uint32(s.cfg.Limits.MaxFrames),    //nolint:gosec // a small number
		MaxLabelsPerSet:      uint32(s.cfg.Limits.MaxLabels),    //nolint:gosec // a small number
		MaxTextBytes:         uint32(s.cfg.Limits.MaxTextBytes), //nolint:gosec // a small number
	}, nil
}

// AddCountsForTraces implements the service.
func (s *Server) AddCountsForTraces(ctx context.Context, r *pb.AddCountsForTracesRequest) (*pb.AddCountsForTracesResponse, error) {
	weight := weightOf(r)
	ack, err := handle(ctx, s, "samples", r.Batch, store.BatchSamples,
		func(v *validator) (*store.Batch, error) { return v.counts(r, s.project(ctx)) },
		func(b *store.Batch) (bool, error) { return s.appendBatch(ctx, b) })
	s.account(s.project(ctx), weight, ack, err)
	if err != nil {
		return nil, err.answer
	}
	hashes := make([]libpf.TraceHash, len(r.HiTraceHashes))
	for i := range hashes {
		hashes[i] = libpf.NewTraceHash(r.HiTraceHashes[i], r.LoTraceHashes[i])
	}
	missing, lookUpErr := s.known.unknownStacks(ctx, s.project(ctx), hashes)
	s.unknownFailed(lookUpErr)
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
	ack, err := handle(ctx, s, "stacks", r.Batch, store.BatchStacks,
		func(v *validator) (d *store.Definitions, err error) {
			d, table, err = v.frames(r, s.project(ctx))
			return d, err
		}, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	unnamed, lookUpErr := s.known.unnamedFrames(ctx, s.project(ctx), table)
	s.unknownFailed(lookUpErr)
	files := make([]libpf.FileID, len(r.HiFileIds))
	for i := range files {
		files[i] = libpf.NewFileID(r.HiFileIds[i], r.LoFileIds[i])
	}
	unknownFiles, lookUpErr := s.known.unknownFiles(ctx, s.project(ctx), files, table)
	s.unknownFailed(lookUpErr)
	return &pb.SetFramesForTracesResponse{Ack: ack, UnnamedFrames: unnamed, UnknownFiles: unknownFiles}, nil
}

// AddFrameMetadata implements the service.
func (s *Server) AddFrameMetadata(ctx context.Context, r *pb.AddFrameMetadataRequest) (*pb.AddFrameMetadataResponse, error) {
	ack, err := handle(ctx, s, "frame_metadata", r.Batch, store.BatchFrameMetadata,
		func(v *validator) (*store.Definitions, error) { return v.frameMetadata(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	return &pb.AddFrameMetadataResponse{Ack: ack}, nil
}

// AddFallbackSymbols implements the service.
func (s *Server) AddFallbackSymbols(ctx context.Context, r *pb.AddFallbackSymbolsRequest) (*pb.AddFallbackSymbolsResponse, error) {
	ack, err := handle(ctx, s, "fallback_symbols", r.Batch, store.BatchFallbackSymbols,
		func(v *validator) (*store.Definitions, error) { return v.fallbackSymbols(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	return &pb.AddFallbackSymbolsResponse{Ack: ack}, nil
}

// AddExecutableMetadata implements the service.
func (s *Server) AddExecutableMetadata(ctx context.Context, r *pb.AddExecutableMetadataRequest) (*pb.AddExecutableMetadataResponse, error) {
	ack, err := handle(ctx, s, "executables", r.Batch, store.BatchExecutables,
		func(v *validator) (*store.Definitions, error) { return v.executables(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	return &pb.AddExecutableMetadataResponse{Ack: ack}, nil
}

// ReportHostMetadata implements the service.
func (s *Server) ReportHostMetadata(ctx context.Context, r *pb.ReportHostMetadataRequest) (*pb.ReportHostMetadataResponse, error) {
	ack, err := handle(ctx, s, "host", r.Batch, store.BatchHost,
		func(v *validator) (*store.Definitions, error) { return v.host(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	return &pb.ReportHostMetadataResponse{Ack: ack}, nil
}

// AddMetrics implements the service.
func (s *Server) AddMetrics(ctx context.Context, r *pb.AddMetricsRequest) (*pb.AddMetricsResponse, error) {
	ack, err := handle(ctx, s, "metrics", r.Batch, store.BatchMetrics,
		func(v *validator) (*store.Definitions, error) { return v.metrics(r, s.project(ctx)) }, s.put(ctx))
	if err != nil {
		return nil, err.answer
	}
	return &pb.AddMetricsResponse{Ack: ack}, nil
}
