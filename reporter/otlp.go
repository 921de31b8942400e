// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/libpf"
)

var _ Reporter = (*OTLPReporter)(nil)

// laneProfiles is the type of the batches of OTLP.
const laneProfiles = "profiles"

// exportMethod is the method as the generated client calls it, which has no name for it.
const exportMethod = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

// OTLPReporter receives and transforms information to be OTLP/profiles compliant.
// It sends what OTLP calls profiles (v1development) over gRPC, compressed with gzip.
// It is safe for concurrent use.
//
// OTLP has no identity for batches, so a request whose answer was lost is stored
// twice by the backend. Every request carries all definitions that it needs.
type OTLPReporter struct {
	settings settings
	pump     *pump
	backlog  *backlog
	lane     *lane
	samples  *sampleQueue
	catalogue
	plain   *plainProcesses
	encoder profileEncoder // of the flusher

	mu   sync.Mutex
	host map[string]string

	unregister func()
}

// StartOTLP sets up and manages the reporting connection to a OTLP backend. It
// does not wait for the backend. The end of the context has the effect of Stop,
// without the wait.
func StartOTLP(mainCtx context.Context, c *Config) (Reporter, error) {
	return StartOTLPWithOptions(mainCtx, c, nil)
}

// StartOTLPWithOptions is [StartOTLP] with more to choose; nil options are the defaults.
func StartOTLPWithOptions(ctx context.Context, c *Config, o *Options) (*OTLPReporter, error) {
	s, err := newSettings(c, o)
	if err != nil {
		return nil, fmt.Errorf("reporter settings: %w", err)
	}
	r := &OTLPReporter{settings: s, plain: newPlainProcesses(), lane: &lane{
		kind: laneProfiles, method: exportMethod,
	}}
	r.backlog = newBacklog(s.MaxQueueBytes / 4)
	if r.pump, err = newPump(ctx, &r.settings, r, r.backlog, gzip.Name); err != nil {
		return nil, err
	}
	r.pump.faultsAreFinal = true
	r.samples = newSampleQueue(int(s.CountsForTracesMaxQueue), s.MaxQueueBytes/2, r.pump.wake)
	if r.catalogue, err = newCatalogue(&r.settings, r.pump.wake); err != nil {
		return nil, errors.Join(err, r.pump.abort())
	}
	if r.unregister, err = register(s.Registerer, r.pump, r.Status); err != nil {
		return nil, errors.Join(err, r.pump.abort())
	}
	r.pump.run(ctx)
	return r, nil
}

// handshake implements source. OTLP has none; it waits for the connection.
func (r *OTLPReporter) handshake(ctx context.Context) error {
	conn := r.pump.conn
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return status.Errorf(codes.Unavailable, "no connection to %s within %v", r.settings.CollAgentAddr,
				r.settings.timers.connect)
		}
	}
	return nil
}

// fill implements source.
func (r *OTLPReporter) fill(final bool) bool {
	if r.backlog.full() && !final {
		return false
	}
	rows := r.samples.lease(maxRows)
	if len(rows) == 0 {
		return false
	}
	sealed := r.reseal(laneProfiles, newProfilesCargo(r, sortRows(rows), false), r.requestLimit())
	for _, b := range sealed {
		r.backlog.push(b)
	}
	return len(sealed) > 0
}

func (r *OTLPReporter) requestLimit() int { return min(r.settings.MaxRPCMsgSize, maxRequestBytes) }

// reseal implements source.
func (r *OTLPReporter) reseal(_ string, c cargo, limit int) []*batch {
	return sealAll(r.lane, c, min(limit, r.requestLimit()), r.pump.meters.setAside)
}

func (r *OTLPReporter) pressing() bool { return r.samples.pressing() }
func (r *OTLPReporter) close()         { r.samples.close() }
func (r *OTLPReporter) abandon()       { r.samples.abandon(reasonShutdown) }
func (*OTLPReporter) learn(int)        {}

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
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = maps.Clone(metadataMap)
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
	b := r.pump.counts
	return Metrics{
		CountsForTracesOverwriteCount: r.samples.takeOverwritten(),
		RPCBytesOutCount:              b.rpcOut.take(),
		RPCBytesInCount:               b.rpcIn.take(),
		WireBytesOutCount:             b.wireOut.take(),
		WireBytesInCount:              b.wireIn.take(),
	}
}

// profilesCargo is samples for OTLP.
type profilesCargo struct {
	r        *OTLPReporter
	rows     []libpf.Sample
	sum      uint64 // of the counts
	profiles int    // in the request
	shared   bool
}

func newProfilesCargo(r *OTLPReporter, rows []libpf.Sample, shared bool) *profilesCargo {
	c := &profilesCargo{r: r, rows: rows, shared: shared}
	for i := range rows {
		c.sum += uint64(rows[i].Count)
	}
	return c
}

func (c *profilesCargo) encode(sequence uint64) ([]byte, error) {
	var request []byte
	request, c.profiles = c.r.encoder.encode(&export{
		rows: c.rows, catalogue: &c.r.catalogue, host: c.r.hostAttributes(), version: c.r.settings.AgentVersion,
		runID: c.r.settings.RunID, sequence: sequence,
	})
	return request, nil
}

func (*profilesCargo) newResponse() proto.Message { return &collector.ExportProfilesServiceResponse{} }

// acknowledge settles the samples. A partial success counts profiles and does not
// say which, so the weight is shared out evenly.
func (c *profilesCargo) acknowledge(resp proto.Message) {
	r, ok := resp.(*collector.ExportProfilesServiceResponse)
	rejected := r.GetPartialSuccess().GetRejectedProfiles()
	if ok && rejected > 0 && c.profiles > 0 {
		lost := c.sum * uint64(min(rejected, int64(c.profiles))) / uint64(c.profiles)
		c.r.samples.settle(lost, reasonPartial)
		c.sum -= lost
	}
	if msg := r.GetPartialSuccess().GetErrorMessage(); msg != "" {
		c.r.pump.state.note(fmt.Errorf("backend rejected %d profiles: %s", rejected, msg))
		c.r.settings.Logger.Warn("the backend took a request in part", "rejected_profiles", rejected, "message", msg)
	}
	c.settle("")
}

func (c *profilesCargo) discard(reason string) { c.settle(reason) }

func (c *profilesCargo) settle(reason string) {
	c.r.samples.settle(c.sum, reason)
	if !c.shared {
		c.r.samples.release(c.rows)
	}
	c.rows = nil
}

func (c *profilesCargo) halves() (first, second cargo, ok bool) {
	if len(c.rows) < 2 {
		return nil, nil, false
	}
	n := len(c.rows) / 2
	return newProfilesCargo(c.r, c.rows[:n:n], true), newProfilesCargo(c.r, c.rows[n:], true), true
}

func (c *profilesCargo) held() int { return len(c.rows) * rowBytes }

// OTLP has no identity for batches, so none goes to disk, and no window.
func (c *profilesCargo) weight() uint64            { return c.sum }
func (*profilesCargo) toDisk()                     {}
func (*profilesCargo) fromDisk()                   {}
func (*profilesCargo) within(window) (cargo, bool) { return nil, false }
