// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-freelru"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

var _ Reporter = (*GRPCReporter)(nil)

// protocolVersion is the version of the protocol that this package speaks.
const protocolVersion = 1

// GRPCReporter will be the reporter state and implements various reporting
// interfaces. It is safe for concurrent use.
type GRPCReporter struct {
	settings settings
	pump     *pump
	backlog  *backlog
	link     *grpcTransport
	client   pb.CollectionAgentClient
	lanes    map[string]*lane

	// The seven queues.
	samples   *sampleQueue
	catalogue // stacks, names, symbols, executables
	hosts     *newest[HostMetadata]
	metrics   *newest[[]metricPoint]

	plain *plainProcesses

	started time.Time
	clock   serverClock
	named   atomic.Uint64 // generation of names, from 1
	limit   atomic.Int64  // largest request, in bytes
	mu      sync.Mutex
	epoch   string        // the server's, "" before the first contact
	host    *HostMetadata // newest description, to be sent again in a new epoch

	// Owned by the flusher.
	seen        map[*libpf.Trace]struct{}
	remembered  *freelru.LRU[libpf.TraceHash, *libpf.Trace]
	metricsSent time.Time

	unregister func()
}

// Start sets up and manages the reporting connection to our backend as well as a
// per data type caching mechanism to send the provided information in bulks to the
// backend. Callers of Start should be calling the corresponding Stop() API to
// conclude gracefully the operations managed here.
//
// It does not wait for the backend, which may come up later. The end of the
// context has the effect of Stop, without the wait.
func Start(ctx context.Context, c *Config) (*GRPCReporter, error) {
	return StartWithOptions(ctx, c, nil)
}

// StartWithOptions is [Start] with more to choose. It fails only for settings that
// make no sense and for files of TLS that cannot be read; nil options are the defaults.
func StartWithOptions(ctx context.Context, c *Config, o *Options) (*GRPCReporter, error) {
	s, err := newSettings(c, o)
	if err != nil {
		return nil, fmt.Errorf("reporter settings: %w", err)
	}
	r := &GRPCReporter{settings: s, plain: newPlainProcesses(), seen: map[*libpf.Trace]struct{}{}, metricsSent: time.Now(), started: time.Now()}
	r.named.Store(1)
	r.limit.Store(int64(min(s.MaxRPCMsgSize, maxRequestBytes)))
	r.lanes = map[string]*lane{}
	for kind, method := range map[string]string{
		laneCounts:      pb.CollectionAgent_AddCountsForTraces_FullMethodName,
		laneStacks:      pb.CollectionAgent_SetFramesForTraces_FullMethodName,
		laneNames:       pb.CollectionAgent_AddFrameMetadata_FullMethodName,
		laneSymbols:     pb.CollectionAgent_AddFallbackSymbols_FullMethodName,
		laneExecutables: pb.CollectionAgent_AddExecutableMetadata_FullMethodName,
		laneHost:        pb.CollectionAgent_ReportHostMetadata_FullMethodName,
		laneMetrics:     pb.CollectionAgent_AddMetrics_FullMethodName,
	} {
		r.lanes[kind] = &lane{kind: kind, method: method}
	}
	r.backlog = newBacklog(s.MaxQueueBytes / 4)
	if r.link, err = dialGRPC(&r.settings, zstdgrpc.Name, s.MaxRPCMsgSize); err != nil {
		return nil, err
	}
	r.pump = newPump(ctx, &r.settings, r, r.backlog, r.link)
	r.client = pb.NewCollectionAgentClient(r.link.conn)
	if err := r.makeQueues(); err != nil {
		return nil, errors.Join(fmt.Errorf("create queues: %w", err), r.pump.abort())
	}
	r.pump.report.send = r.sendStatus
	if s.SpoolDir != "" {
		r.backlog.disk = newDisk(&r.settings, r, s.SpoolDir, otlpSpoolDir(s.SpoolDir))
	}
	if r.unregister, err = register(s.Registerer, r.pump, r.Status); err != nil {
		return nil, errors.Join(err, r.pump.abort())
	}
	r.backlog.spools(true)
	r.pump.run(ctx)
	return r, nil
}

// makeQueues shares out the memory: half to samples, a quarter to sealed batches
// (see StartWithOptions), the rest to definitions, metrics and host metadata.
func (r *GRPCReporter) makeQueues() error {
	s, wake := &r.settings, r.pump.wake
	r.samples = newSampleQueue(int(s.CountsForTracesMaxQueue), s.MaxQueueBytes/2, wake)
	r.samples.describe = s.Describe
	small := s.MaxQueueBytes / 32
	var err error
	if r.catalogue, err = newCatalogue(s, wake); err != nil {
		return err
	}
	one := func(HostMetadata) int { return 1 }
	r.hosts = newNewest(laneHost, int(s.HostMetadataMaxQueue), small, sizeOfHost, one)
	r.metrics = newNewest(laneMetrics, int(s.MetricsMaxQueue), small,
		func(p []metricPoint) int { return len(p) * 16 }, func(p []metricPoint) int { return len(p) })
	return nil
}

// handshake implements source: it learns the server's limits and epoch.
func (r *GRPCReporter) handshake(ctx context.Context) (contact bool, err error) {
	r.link.wake()
	info, err := r.client.GetServerInfo(ctx, &pb.GetServerInfoRequest{
		ProtocolVersion: protocolVersion, AgentVersion: cleanText(r.settings.AgentVersion),
	}, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	// A server that names no version is one of before it did.
	if v := info.GetProtocolVersion(); v != 0 && v != protocolVersion {
		return false, status.Errorf(codes.FailedPrecondition, "the server speaks version %d of the protocol, this agent version %d",
			v, protocolVersion)
	}
	limit := min(r.settings.MaxRPCMsgSize, maxRequestBytes)
	if announced := info.GetMaxRequestBytes(); announced > 0 && announced < uint64(limit) { //nolint:gosec // positive
		limit = int(announced) //nolint:gosec // below limit
	}
	r.limit.Store(int64(limit))
	r.clock.announce(info)
	r.pump.report.refused = false // it may have been updated
	r.noteEpoch(info.GetEpoch())
	return true, nil
}

// judge implements source.
func (*GRPCReporter) judge(err error) answer { return classify(err) }

func (r *GRPCReporter) requestLimit() int { return int(r.limit.Load()) }

// identity is the Batch of a request.
func (r *GRPCReporter) identity(sequence uint64) *pb.Batch {
	return &pb.Batch{
		HostId: r.settings.HostID, RunId: r.settings.RunID[:], Sequence: sequence, HostName: r.settings.HostName,
	}
}

func (r *GRPCReporter) currentEpoch() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

func (r *GRPCReporter) noteAck(kind string, ack *pb.Ack) {
	if ack.GetDuplicate() {
		r.pump.meters.duplicate(kind)
	}
	r.clock.tick(ack.GetServerTime())
	r.noteEpoch(ack.GetEpoch())
}

// noteEpoch forgets what the server knew when its memory began anew.
func (r *GRPCReporter) noteEpoch(epoch []byte) {
	if len(epoch) == 0 {
		return
	}
	r.mu.Lock()
	old := r.epoch
	r.epoch = string(epoch)
	host := r.host
	r.mu.Unlock()
	if old == "" || old == string(epoch) {
		return
	}
	r.pump.meters.epochs.Add(1)
	r.settings.Logger.Info("the collection agent has a new memory; sending definitions again")
	r.stacks.forget()
	r.names.forget()
	r.symbols.forget()
	r.executables.forget()
	r.unname()
	if host != nil && r.hosts.empty() {
		r.hosts.push(*host)
	}
}

// pressing implements source.
func (r *GRPCReporter) pressing() bool {
	return r.samples.pressing() || r.stacks.pressing() || r.names.pressing() ||
		r.symbols.pressing() || r.executables.pressing()
}

// close implements source.
func (r *GRPCReporter) close() { r.samples.close() }

// recovered and lost implement freezer.
func (r *GRPCReporter) recovered(weight uint64) { r.samples.recover(weight) }

func (r *GRPCReporter) lost(stream spool.Stream, weight uint64) {
	r.samples.lose(weight, reasonCorrupt)
	if stream == spool.Definitions {
		// Nobody knows which, so all that are on disk may travel twice.
		r.stacks.forgetDisk()
		r.names.forgetDisk()
		r.symbols.forgetDisk()
		r.executables.forgetDisk()
		r.unname()
	}
}

// abandon implements source.
func (r *GRPCReporter) abandon() { r.samples.abandon(reasonShutdown) }

// ReportSample queues a sample, and with it everything that the server must know to
// show it: its stack, the names in its frames' Lines, its process. It copies
// *sample; what sample points to must not change any more. A sample without a
// trace or process is counted as dropped.
func (r *GRPCReporter) ReportSample(sample *libpf.Sample) {
	if sample != nil {
		r.samples.add(sample)
	}
}

// ReportExecutable queues an executable, which must not change any more. It
// travels once, and again when the server asks for it.
func (r *GRPCReporter) ReportExecutable(e *libpf.Executable) {
	if e != nil {
		r.executables.report(e.FileID, e, contentOfExecutable, nil)
	}
}

// ReportCountForTrace implements the TraceReporter interface. The sample is one of
// time on a CPU, at the beginning of the second. Its stack should be reported with
// ReportFramesForTrace, before or after; a count of 0 counts as nothing.
func (r *GRPCReporter) ReportCountForTrace(traceHash libpf.TraceHash, timestamp libpf.UnixTime32,
	count uint16, comm, podName, containerName string,
) {
	if count == 0 {
		return
	}
	trace := &libpf.Trace{Hash: traceHash}
	if def, ok := r.stacks.lookup(traceHash); ok {
		trace = def.value
	}
	r.samples.add(&libpf.Sample{
		Time: timestamp.UnixNano(), Type: libpf.SampleOnCPU, Count: uint32(count), Trace: trace,
		Process: r.plain.get(comm, podName, containerName), Comm: comm,
	})
}

// ReportFramesForTrace implements the TraceReporter interface. The trace must not
// change any more.
func (r *GRPCReporter) ReportFramesForTrace(trace *libpf.Trace) {
	if trace == nil || len(trace.Frames) == 0 {
		return
	}
	r.stacks.report(trace.Hash, trace, func(*libpf.Trace) uint64 { return noteUnnamed }, nil)
}

// ReportFallbackSymbol implements the SymbolReporter interface.
func (r *GRPCReporter) ReportFallbackSymbol(frameID libpf.FrameID, symbol string) {
	r.symbols.report(frameID, symbol, contentOfSymbol, nil)
}

// ExecutableMetadata implements the SymbolReporter interface. Nothing is queued
// when ctx is done.
func (r *GRPCReporter) ExecutableMetadata(ctx context.Context, fileID libpf.FileID, fileName, buildID string) {
	if ctx.Err() != nil {
		return
	}
	r.ReportExecutable(&libpf.Executable{FileID: fileID, FileName: fileName, BuildID: buildID})
}

// FrameMetadata implements the SymbolReporter interface. functionOffset is in lines
// from the start of the function. An empty filePath does not replace one reported before.
func (r *GRPCReporter) FrameMetadata(fileID libpf.FileID, addressOrLine libpf.AddressOrLineno,
	lineNumber libpf.SourceLineno, functionOffset uint32, functionName, filePath string,
) {
	line := sourceLine(lineNumber, functionOffset, functionName, filePath)
	r.names.report(libpf.NewFrameID(fileID, addressOrLine), []libpf.SourceLine{line}, contentOfLines, keepFile)
}

// ReportMetrics implements the MetricsReporter interface. The slices are copied; if
// their lengths differ, what has no partner is left out and counted.
func (r *GRPCReporter) ReportMetrics(timestamp uint32, ids []uint32, values []int64) {
	n := min(len(ids), len(values))
	if odd := max(len(ids), len(values)) - n; odd > 0 {
		r.pump.meters.setAside(laneMetrics, reasonInvalid, odd)
	}
	if n == 0 {
		return
	}
	points := make([]metricPoint, n)
	for i := range points {
		points[i] = metricPoint{timestamp: timestamp, id: ids[i], value: values[i]} //nolint:gosec // n is the length of the shorter one
	}
	r.metrics.push(points)
}

// ReportHostMetadata implements the HostMetadataReporter interface. The map is
// copied. The newest description is sent again when the server lost its memory.
func (r *GRPCReporter) ReportHostMetadata(metadataMap map[string]string) {
	r.hosts.push(r.describeHost(metadataMap))
}

func (r *GRPCReporter) describeHost(m map[string]string) HostMetadata {
	h := HostMetadata{Metadata: maps.Clone(m), Timestamp: uint64(libpf.NowAsUInt32())}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = &h
	return h
}

// Stop asks all background tasks to exit, after a last flush that takes
// Options.StopTimeout at most. It returns when they have. It may be called
// repeatedly and concurrently.
func (r *GRPCReporter) Stop() {
	r.pump.stop()
	r.unregister()
}

// Status returns a snapshot of the connection, the queues and the ledger.
func (r *GRPCReporter) Status() Status {
	return r.pump.status(r.samples, r.samples.status(), r.stacks.status(), r.names.status(), r.executables.status(),
		r.symbols.status(), r.hosts.status(), r.metrics.status())
}

// GetMetrics returns what happened since it was last called. Use [GRPCReporter.Status]
// or the prometheus metrics for counters that do not restart.
func (r *GRPCReporter) GetMetrics() Metrics {
	b := r.link.counts
	return Metrics{
		CountsForTracesOverwriteCount: r.samples.takeOverwritten(),
		ExeMetadataOverwriteCount:     r.executables.takeOverwritten(),
		FrameMetadataOverwriteCount:   r.names.takeOverwritten(),
		FramesForTracesOverwriteCount: r.stacks.takeOverwritten(),
		HostMetadataOverwriteCount:    r.hosts.takeOverwritten(),
		MetricsOverwriteCount:         r.metrics.takeOverwritten(),
		FallbackSymbolsOverwriteCount: r.symbols.takeOverwritten(),
		RPCBytesOutCount:              b.rpcOut.take(),
		RPCBytesInCount:               b.rpcIn.take(),
		WireBytesOutCount:             b.wireOut.take(),
		WireBytesInCount:              b.wireIn.take(),
	}
}
