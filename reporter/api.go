// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Reporter is the top-level interface implemented by a full reporter. All
// methods are safe for concurrent use.
type Reporter interface {
	TraceReporter
	SymbolReporter
	HostMetadataReporter
	MetricsReporter

	// Stop triggers a graceful shutdown of the reporter.
	Stop()
	// GetMetrics returns the reporter internal metrics.
	GetMetrics() Metrics
}

// TraceReporter takes stacks and how often they were seen.
type TraceReporter interface {
	// ReportFramesForTrace accepts a trace with the corresponding frames
	// and caches this information before a periodic reporting to the backend.
	ReportFramesForTrace(trace *libpf.Trace)

	// ReportCountForTrace accepts a hash of a trace with a corresponding count and
	// caches this information before a periodic reporting to the backend.
	ReportCountForTrace(traceHash libpf.TraceHash, timestamp libpf.UnixTime32,
		count uint16, comm, podName, containerName string)
}

// SymbolReporter takes what is known of frames and executables.
type SymbolReporter interface {
	// ReportFallbackSymbol enqueues a fallback symbol for reporting, for a given frame.
	ReportFallbackSymbol(frameID libpf.FrameID, symbol string)

	// ExecutableMetadata accepts a fileID with the corresponding filename
	// and caches this information before a periodic reporting to the backend.
	ExecutableMetadata(ctx context.Context, fileID libpf.FileID, fileName, buildID string)

	// FrameMetadata accepts metadata associated with a frame and caches this information before
	// a periodic reporting to the backend.
	FrameMetadata(fileID libpf.FileID, addressOrLine libpf.AddressOrLineno,
		lineNumber libpf.SourceLineno, functionOffset uint32, functionName, filePath string)
}

// HostMetadataReporter takes a description of the host.
type HostMetadataReporter interface {
	// ReportHostMetadata enqueues host metadata for sending (to the collection agent).
	ReportHostMetadata(metadataMap map[string]string)

	// ReportHostMetadataBlocking sends host metadata to the collection agent.
	ReportHostMetadataBlocking(ctx context.Context, metadataMap map[string]string,
		maxRetries int, waitRetry time.Duration) error
}

// MetricsReporter takes the agent's own metrics.
type MetricsReporter interface {
	// ReportMetrics accepts an id with a corresponding value and caches this
	// information before a periodic reporting to the backend.
	ReportMetrics(timestamp uint32, ids []uint32, values []int64)
}

// Times is a subset of config.IntervalsAndTimers. A duration of 0 or less, and a
// nil Times, mean the default that stands with the method.
type Times interface {
	// ReportInterval is the time between flushes, ±20 %. Default 5 s.
	ReportInterval() time.Duration
	// ReportMetricsInterval is the time between flushes of metrics. Default 1 min.
	ReportMetricsInterval() time.Duration
	// GRPCConnectionTimeout limits one attempt to connect. Default 3 s.
	GRPCConnectionTimeout() time.Duration
	// GRPCOperationTimeout is the deadline of every RPC. Default 5 s.
	GRPCOperationTimeout() time.Duration
	// GRPCStartupBackoffTime caps the time between attempts to connect until the
	// first one succeeds. Default 1 min.
	GRPCStartupBackoffTime() time.Duration
	// GRPCAuthErrorDelay is the time, ±30 %, between attempts while the server
	// refuses this agent. Default 10 min.
	GRPCAuthErrorDelay() time.Duration
}

// Config holds the limits and the destination of a reporter. A limit of 0 means its default.
type Config struct {
	// CollAgentAddr defines the destination of the backend connection
	CollAgentAddr string

	// MaxRPCMsgSize defines the maximum size of a gRPC message in bytes, uncompressed.
	// Default 32 MiB. Requests are also kept below what the server announces and 4 MiB.
	MaxRPCMsgSize int

	// ExecMetadataMaxQueue defines the maximum size for the queue which holds
	// data of type collectionagent.ExecutableMetadata. Default 1,024.
	ExecMetadataMaxQueue uint32
	// CountsForTracesMaxQueue defines the maximum size for the queue which holds
	// data of type libpf.TraceAndCounts. Default 65,536.
	CountsForTracesMaxQueue uint32
	// MetricsMaxQueue defines the maximum size for the queue which holds
	// data of type collectionagent.Metric. Default 1,024.
	MetricsMaxQueue uint32
	// FramesForTracesMaxQueue defines the maximum size for the queue which holds
	// data of type libpf.Trace. Default 16,384.
	FramesForTracesMaxQueue uint32
	// FrameMetadataMaxQueue defines the maximum size for the queue which holds
	// data of type collectionagent.FrameMetadata. Default 16,384.
	FrameMetadataMaxQueue uint32
	// HostMetadataMaxQueue defines the maximum size for the queue which holds
	// data of type collectionagent.HostMetadata. Default 2.
	HostMetadataMaxQueue uint32
	// FallbackSymbolsMaxQueue defines the maximum size for the queue which holds
	// data of type collectionagent.FallbackSymbol. Default 16,384.
	FallbackSymbolsMaxQueue uint32
	// Disable secure communication with Collection Agent
	DisableTLS bool
	// Number of connection attempts to the collector after which we give up retrying.
	// Only ReportHostMetadataBlocking ever gives up, and only it reads this field: it
	// is used when it is called with a negative number of retries. Everything else
	// retries for as long as the reporter runs.
	MaxGRPCRetries uint32

	Times Times
}

// HostMetadata holds metadata about the host.
type HostMetadata struct {
	Metadata map[string]string
	// Timestamp is in seconds since the epoch.
	Timestamp uint64
}

// Metrics holds the metric counters for the reporter package. Each value counts
// from the previous call of GetMetrics. The overwrite counts say what was lost
// because a queue was full: samples for CountsForTraces, values for Metrics, and
// entries for the others. Definitions counted here travel again with the next
// sample that needs them. RPC bytes are before compression and without framing,
// wire bytes after compression and with gRPC's framing.
type Metrics struct {
	CountsForTracesOverwriteCount uint32
	ExeMetadataOverwriteCount     uint32
	FrameMetadataOverwriteCount   uint32
	FramesForTracesOverwriteCount uint32
	HostMetadataOverwriteCount    uint32
	MetricsOverwriteCount         uint32
	FallbackSymbolsOverwriteCount uint32
	RPCBytesOutCount              int64
	RPCBytesInCount               int64
	WireBytesOutCount             int64
	WireBytesInCount              int64
}
