// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// pieces is a message in parts that are not copied: what all share, and what is one's own.
type pieces struct{ shared, own []byte }

// codec sends pieces and reads protocol buffers.
type codec struct{}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	p, ok := v.(*pieces)
	if !ok {
		return nil, fmt.Errorf("marshal a request: got a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(p.shared), mem.SliceBuffer(p.own)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2(protocodec.Name).Unmarshal(data, v)
}

// Name implements encoding.CodecV2.
func (codec) Name() string { return protocodec.Name }

// agent is one simulated agent with its own host, run and connection. Its queue is
// a number: every batch is made of the same samples. Only its goroutine uses what
// is not atomic.
type agent struct {
	fleet  *Fleet
	hostID string
	runID  string
	conn   *grpc.ClientConn
	random *rand.Rand

	defined int    // definitions that the server has
	due     []due  // batches that wait, oldest first
	next    uint64 // sequence of the next batch that falls due

	acked atomic.Uint64 // samples
	sent  atomic.Uint64 // samples that fell due
}

// due is a batch of samples: its identity and time do not change any more.
type due struct {
	sequence uint64
	at       time.Time
}

func newAgent(f *Fleet, number int, address string) (*agent, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name), grpc.ForceCodecV2(codec{})))
	if err != nil {
		return nil, fmt.Errorf("prepare connection: %w", err)
	}
	a := &agent{
		fleet: f, hostID: fmt.Sprintf("fleet-%05d", number), conn: conn,
		random: rand.New(rand.NewPCG(f.seed, uint64(number)+100)), //nolint:gosec // repeatable on purpose
	}
	var id [16]byte
	for i := range id {
		id[i] = byte(a.random.IntN(256))
	}
	a.runID = string(id[:])
	return a, nil
}

func (a *agent) run(ctx context.Context) {
	defer a.conn.Close() //nolint:errcheck // end of the run
	f := a.fleet
	// Agents were started at different times.
	next := time.Now().Add(time.Duration(a.random.Int64N(int64(f.payload.span))))
	failures := 0
	for {
		// With something left it has slept below.
		if len(a.due) == 0 && !pause.For(ctx, time.Until(next)) {
			return
		}
		for now := time.Now(); !now.Before(next); {
			if f.loading.Load() {
				a.next++
				a.due = append(a.due, due{a.next, next.Add(-f.payload.span)})
				a.sent.Add(uint64(f.payload.samples)) //nolint:gosec // positive
				f.waiting.Add(1)
			}
			// ±20 %, as agents do, around a pace that the fleet sets.
			pace := time.Duration(float64(f.payload.span) / f.pace())
			next = next.Add(time.Duration(float64(pace) * (0.8 + 0.4*a.random.Float64())))
		}
		before := len(a.due)
		wait, err := a.flush(ctx)
		if len(a.due) < before || err == nil {
			failures = 0
		}
		if err == nil {
			continue
		}
		failures++
		// What an agent does: never earlier than it was told, and at random after that.
		backoff := wait + time.Duration(a.random.Int64N(int64(min(time.Second, f.payload.span))<<min(failures-1, 6)))
		if !pause.For(ctx, backoff) {
			return
		}
	}
}

// flush sends what waits and returns the first error, with the time that the
// server asks for.
func (a *agent) flush(ctx context.Context) (time.Duration, error) {
	if len(a.due) == 0 {
		return 0, nil
	}
	p := a.fleet.payload
	for a.defined < len(p.definitions) {
		d := &p.definitions[a.defined]
		own := identify(nil, a.hostID, a.runID, 1)
		if wait, err := a.invoke(ctx, d.method, &pieces{d.body, own}, newAnswer(d.method)); err != nil {
			return wait, err
		}
		a.defined++
	}
	for len(a.due) > 0 {
		b := a.due[0]
		own := at(identify(nil, a.hostID, a.runID, b.sequence), b.at)
		began := time.Now()
		var answer pb.AddCountsForTracesResponse
		shared := p.counts[b.sequence%uint64(len(p.counts))]
		if wait, err := a.invoke(ctx, pb.CollectionAgent_AddCountsForTraces_FullMethodName, &pieces{shared, own}, &answer); err != nil {
			return wait, err
		}
		a.fleet.latency(time.Since(began))
		a.acked.Add(uint64(p.samples))       //nolint:gosec // positive
		a.fleet.acked.Add(uint64(p.samples)) //nolint:gosec // positive
		a.fleet.waiting.Add(-1)
		if answer.GetAck().GetDuplicate() {
			a.fleet.count("duplicate")
		}
		a.due = a.due[1:]
	}
	a.due = nil
	return 0, nil
}

func newAnswer(method string) any {
	switch method {
	case pb.CollectionAgent_AddExecutableMetadata_FullMethodName:
		return &pb.AddExecutableMetadataResponse{}
	case pb.CollectionAgent_AddFrameMetadata_FullMethodName:
		return &pb.AddFrameMetadataResponse{}
	case pb.CollectionAgent_SetFramesForTraces_FullMethodName:
		return &pb.SetFramesForTracesResponse{}
	default:
		return &pb.ReportHostMetadataResponse{}
	}
}

// invoke makes one call, and counts how it ended.
func (a *agent) invoke(ctx context.Context, method string, request *pieces, answer any) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, a.fleet.timeout)
	defer cancel()
	err := a.conn.Invoke(ctx, method, request, answer)
	if err == nil {
		return 0, nil
	}
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			a.fleet.count(st.Code().String() + "+RetryInfo")
			a.fleet.noteAsked(st.Message())
			return info.GetRetryDelay().AsDuration(), err
		}
	}
	if ctx.Err() == nil || st.Code() != codes.Canceled {
		a.fleet.count(st.Code().String())
		a.fleet.note(err)
	}
	return 0, err
}

// runText is the run ID as ledgers write it.
func (a *agent) runText() string { return hex.EncodeToString([]byte(a.runID)) }
