// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "google.golang.org/grpc/encoding/gzip" // registers gzip

	"github.com/strobe-profiler/strobe/libpf"
	_ "github.com/strobe-profiler/strobe/proto/zstdgrpc" // registers zstd
	"github.com/strobe-profiler/strobe/reporter/internal/spool"
)

var _ Reporter = (*OTLPReporter)(nil)

// laneProfiles is the type of the batches of OTLP.
const laneProfiles = "profiles"

// exportMethod is the method as the generated client calls it, which has no name for it.
const exportMethod = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

// OTLPReporter receives and transforms information to be OTLP/profiles compliant.
// It sends what OTLP calls profiles (v1development), over gRPC or HTTP. Queues, spool,
// ledger and flush are those of [GRPCReporter]; what is sent again and what is given up is
// as OTLP has it, see the package documentation. It is safe for concurrent use.
//
// OTLP has no identity for batches, so a request whose answer was lost is stored
// twice by the backend. Every request carries all definitions that it needs.
type OTLPReporter struct {
	settings settings
	pump     *pump
	link     transport
	backlog  *backlog
	lane     *lane
	samples  *sampleQueue
	catalogue
	plain   *plainProcesses
	encoder profileEncoder // of the flusher
	limit   atomic.Int64   // largest request, in bytes
	host    hostResource

	unregister func()
}

// StartOTLP sets up and manages the reporting connection to a OTLP backend. It
// does not wait for the backend. The end of the context has the effect of Stop,
// without the wait.
func StartOTLP(mainCtx context.Context, c *Config) (Reporter, error) {
	r, err := StartOTLPWithOptions(mainCtx, c, nil)
	if err != nil {
		return nil, err // and not a Reporter that is a nil pointer
	}
	return r, nil
}

// StartOTLPWithOptions is [StartOTLP] with more to choose; nil options are the defaults.
func StartOTLPWithOptions(ctx context.Context, c *Config, o *Options) (*OTLPReporter, error) {
	return startOTLP(ctx, c, o, dialOTLP)
}

func startOTLP(ctx context.Context, c *Config, o *Options, dial func(*settings) (transport, error)) (*OTLPReporter, error) {
	s, err := newOTLPSettings(c, o)
	if err != nil {
		return nil, fmt.Errorf("reporter settings: %w", err)
	}
	r := &OTLPReporter{settings: s, plain: newPlainProcesses(), lane: &lane{
		kind: laneProfiles, method: exportMethod,
	}}
	r.host.describe(&r.settings, nil)
	r.limit.Store(int64(r.ownLimit()))
	r.backlog = newBacklog(s.MaxQueueBytes / 4)
	if r.link, err = dial(&r.settings); err != nil {
		return nil, err
	}
	r.pump = newPump(ctx, &r.settings, r, r.backlog, r.link)
	r.samples = newSampleQueue(int(s.CountsForTracesMaxQueue), s.MaxQueueBytes/2, r.pump.wake)
	r.samples.describe = s.Describe
	if r.catalogue, err = newCatalogue(&r.settings, r.pump.wake); err != nil {
		return nil, errors.Join(err, r.pump.abort())
	}
	if s.SpoolDir != "" {
		r.backlog.disk = newDisk(&r.settings, r, otlpSpoolDir(s.SpoolDir), s.SpoolDir)
	}
	if r.unregister, err = register(s.Registerer, r.pump, r.Status); err != nil {
		return nil, errors.Join(err, r.pump.abort())
	}
	r.backlog.spools(true)
	r.pump.run(ctx)
	return r, nil
}

// dialOTLP prepares the transport of the protocol that was chosen.
func dialOTLP(s *settings) (transport, error) {
	compressor := s.Compression
	if compressor == CompressionNone {
		compressor = ""
	}
	if s.Protocol == ProtocolHTTP {
		return dialHTTP(s, compressor)
	}
	return dialGRPC(s, compressor, maxAnswerBytes)
}

// otlpSpoolDir is where batches of OTLP are kept below a spool: the collection agent's
// own protocol and OTLP cannot send each other's.
func otlpSpoolDir(dir string) string { return filepath.Join(dir, "otlp") }

// handshake implements source. OTLP has none; there may be a connection to wait for.
func (r *OTLPReporter) handshake(ctx context.Context) (contact bool, err error) {
	r.limit.Store(int64(r.ownLimit())) // the server may be another one
	return r.link.reach(ctx)
}

// judge implements source.
func (*OTLPReporter) judge(err error) answer { return judgeOTLP(err) }

// fill implements source.
func (r *OTLPReporter) fill(final bool) bool {
	if r.backlog.full() && !final {
		return false
	}
	rows := leaseRows(r.samples)
	if len(rows) == 0 {
		return false
	}
	sealed := r.reseal(laneProfiles, newProfilesCargo(r, sortRows(rows), false), r.requestLimit())
	for _, b := range sealed {
		r.backlog.push(b)
	}
	return len(sealed) > 0
}

func (r *OTLPReporter) ownLimit() int     { return min(r.settings.MaxRPCMsgSize, maxRequestBytes) }
func (r *OTLPReporter) requestLimit() int { return int(r.limit.Load()) }

// leastLimit is the smallest limit that is remembered. Below it something else is wrong
// than the size, and one such request must not make all others tiny.
const leastLimit = 16 << 10

// learn implements source.
func (r *OTLPReporter) learn(limit int) {
	limit = max(limit, min(leastLimit, r.ownLimit()))
	if int64(limit) < r.limit.Load() {
		r.limit.Store(int64(limit))
	}
}

// reseal implements source.
func (r *OTLPReporter) reseal(_ string, c cargo, limit int) []*batch {
	return sealAll(r.lane, c, min(limit, r.requestLimit()), r.pump.meters.setAside)
}

func (r *OTLPReporter) pressing() bool { return r.samples.pressing() }
func (r *OTLPReporter) close()         { r.samples.close() }
func (r *OTLPReporter) abandon()       { r.samples.abandon(reasonShutdown) }

// recovered, evicted and lost implement freezer.
func (r *OTLPReporter) recovered(weight uint64)            { r.samples.recover(weight) }
func (r *OTLPReporter) evicted(rec *spool.Record)          { r.samples.lose(rec.Weight, reasonEvicted) }
func (r *OTLPReporter) lost(_ spool.Stream, weight uint64) { r.samples.lose(weight, reasonCorrupt) }

// ReportSample queues a sample; see [GRPCReporter.ReportSample].
func (r *OTLPReporter) ReportSample(sample *libpf.Sample) {
	if sample != nil {
		r.samples.add(sample)
	}
}

// ReportExecutable remembers an executable, which must not change any more.
func (r *OTLPReporter) ReportExecutable(e *libpf.Executable) {
	if e != nil {
		r.executables.keep(e.FileID, e, contentOfExecutable, nil)
	}
}

// ReportCountForTrace accepts a hash of a trace with a corresponding count and
// caches this information.
func (r *OTLPReporter) ReportCountForTrace(traceHash libpf.TraceHash, timestamp libpf.UnixTime32,
	count uint16, comm, podName, containerName string,
) {
	if count == 0 {
		return
	}
	r.samples.add(&libpf.Sample{
		Time: timestamp.UnixNano(), Type: libpf.SampleOnCPU, Count: uint32(count),
		Trace: &libpf.Trace{Hash: traceHash}, Process: r.plain.get(comm, podName, containerName), Comm: comm,
	})
}

// ReportFramesForTrace accepts a trace with the corresponding frames and caches
// this information. The trace must not change any more.
func (r *OTLPReporter) ReportFramesForTrace(trace *libpf.Trace) {
	if trace == nil || len(trace.Frames) == 0 {
		return
	}
	r.stacks.keep(trace.Hash, trace, func(*libpf.Trace) uint64 { return noteUnnamed }, nil)
}

// ReportFallbackSymbol enqueues a fallback symbol for reporting, for a given frame.
func (r *OTLPReporter) ReportFallbackSymbol(frameID libpf.FrameID, symbol string) {
	r.symbols.keep(frameID, symbol, contentOfSymbol, nil)
}

// ExecutableMetadata accepts a fileID with the corresponding filename and caches
// this information.
func (r *OTLPReporter) ExecutableMetadata(_ context.Context, fileID libpf.FileID, fileName, buildID string) {
	r.ReportExecutable(&libpf.Executable{FileID: fileID, FileName: fileName, BuildID: buildID})
}

// FrameMetadata accepts metadata associated with a frame and caches this
// information. See [GRPCReporter.FrameMetadata].
func (r *OTLPReporter) FrameMetadata(fileID libpf.FileID, addressOrLine libpf.AddressOrLineno,
	lineNumber libpf.SourceLineno, functionOffset uint32, functionName, filePath string,
) {
	line := sourceLine(lineNumber, functionOffset, functionName, filePath)
	r.names.keep(libpf.NewFrameID(fileID, addressOrLine), []libpf.SourceLine{line}, contentOfLines, keepFile)
}

// ReportHostMetadata enqueues host metadata. It is part of the resource of every
// profile from now on.
func (r *OTLPReporter) ReportHostMetadata(metadataMap map[string]string) {
	r.host.describe(&r.settings, metadataMap)
}

// sealProfiles writes rows as the request of a sequence number and returns how many
// profiles are in it.
func (r *OTLPReporter) sealProfiles(rows []libpf.Sample, sequence uint64) (payload []byte, profiles int) {
	return r.encoder.encode(&export{
		rows: rows, catalogue: &r.catalogue, host: r.host.known(), version: r.settings.AgentVersion,
		runID: r.settings.RunID, sequence: sequence,
	})
}

// ReportHostMetadataBlocking enqueues host metadata. It does not block: OTLP has
// no message of its own for it.
func (r *OTLPReporter) ReportHostMetadataBlocking(_ context.Context, metadataMap map[string]string, _ int, _ time.Duration) error {
	r.ReportHostMetadata(metadataMap)
	return nil
}

// ReportMetrics is a NOP for OTLPReporter.
func (*OTLPReporter) ReportMetrics(_ uint32, _ []uint32, _ []int64) {}

// Stop triggers a graceful shutdown of OTLPReporter: a last flush of at most
// Options.StopTimeout. It may be called repeatedly and concurrently.
func (r *OTLPReporter) Stop() {
	r.pump.stop()
	r.unregister()
}

// Status returns a snapshot of the connection, the queue and the ledger.
func (r *OTLPReporter) Status() Status { return r.pump.status(r.samples, r.samples.status()) }

// GetMetrics returns internal metrics of OTLPReporter, from the previous call on.
func (r *OTLPReporter) GetMetrics() Metrics {
	b := r.pump.line.counts
	return Metrics{
		CountsForTracesOverwriteCount: r.samples.takeOverwritten(),
		RPCBytesOutCount:              b.rpcOut.take(),
		RPCBytesInCount:               b.rpcIn.take(),
		WireBytesOutCount:             b.wireOut.take(),
		WireBytesInCount:              b.wireIn.take(),
	}
}
