// SPDX-License-Identifier: Apache-2.0

package callproxy

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend counts the batches that it gets.
type backend struct {
	pb.UnimplementedCollectionAgentServer
	mu    sync.Mutex
	seen  map[uint64]int // by sequence
	token string
	fail  error
}

func (b *backend) AddMetrics(ctx context.Context, r *pb.AddMetricsRequest) (*pb.AddMetricsResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[r.GetBatch().GetSequence()]++
	md, _ := metadata.FromIncomingContext(ctx)
	b.token = strings.Join(md.Get("authorization"), ",")
	if b.fail != nil {
		return nil, b.fail
	}
	return &pb.AddMetricsResponse{Ack: &pb.Ack{ServerTime: int64(r.GetBatch().GetSequence())}}, nil
}

func (b *backend) times(sequence uint64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[sequence]
}

// rig is a client, a proxy and a server.
func rig(t *testing.T) (*Proxy, *backend, pb.CollectionAgentClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{seen: map[uint64]int{}}
	s := grpc.NewServer()
	pb.RegisterCollectionAgentServer(s, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	p, err := Listen(l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(p.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		<-done
	})
	return p, b, pb.NewCollectionAgentClient(conn)
}

func send(ctx context.Context, c pb.CollectionAgentClient, sequence uint64, bytes int) (*pb.AddMetricsResponse, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer secret")
	return c.AddMetrics(ctx, &pb.AddMetricsRequest{Batch: &pb.Batch{Sequence: sequence, HostName: strings.Repeat("x", bytes)}})
}

func TestPassesOn(t *testing.T) {
	_, b, c := rig(t)
	answer, err := send(t.Context(), c, 7, 10)
	if err != nil || answer.GetAck().GetServerTime() != 7 || b.token != "Bearer secret" {
		t.Errorf("answer %v, %v, token %q", answer, err, b.token)
	}
	b.fail = withRetryInfo(time.Second)
	_, err = send(t.Context(), c, 8, 10)
	if details := status.Convert(err).Details(); len(details) != 1 {
		t.Fatalf("error %v, details %v", err, details)
	} else if info, ok := details[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != time.Second {
		t.Errorf("detail %v", details[0])
	}
}

// TestFaultsOfCalls meets every fault in both of its forms.
func TestFaultsOfCalls(t *testing.T) {
	p, b, c := rig(t)
	p.setPlan(&Plan{Seed: 3, Share: 1, Overrun: time.Millisecond})
	codesOf := map[codes.Code]int{}
	const calls = 120
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range uint64(calls) {
		wg.Go(func() {
			_, err := send(t.Context(), c, i+1, 10)
			mu.Lock()
			defer mu.Unlock()
			codesOf[status.Code(err)]++
		})
	}
	wg.Wait()
	p.setPlan(nil)
	if err := p.Settle(3 * time.Minute); err != nil {
		t.Error(err)
	}
	counts, n := p.Counts()
	if n != calls {
		t.Errorf("%d calls, want %d", n, calls)
	}
	for _, f := range ofCalls {
		if counts[f] == 0 {
			t.Errorf("%s never happened: %v", f, counts)
		}
	}
	for code, want := range map[codes.Code]uint64{
		codes.OK:               counts[Duplicate] + counts[Late],
		codes.Unavailable:      counts[LostAnswer] + counts[Reorder],
		codes.Internal:         counts[Internal],
		codes.DeadlineExceeded: counts[Overrun],
	} {
		if uint64(codesOf[code]) != want {
			t.Errorf("%d calls ended with %s, want %d", codesOf[code], code, want)
		}
	}
	two, one, none := uint64(0), uint64(0), uint64(0)
	for i := range uint64(calls) {
		switch b.times(i + 1) {
		case 0:
			none++
		case 1:
			one++
		case 2:
			two++
		}
	}
	if two != counts[Duplicate] || none >= counts[Internal]+counts[Overrun] || one+two+none != calls {
		t.Errorf("the server got %d requests twice, %d once, %d never: %v", two, one, none, counts)
	}
}

func TestLastingFaults(t *testing.T) {
	p, b, c := rig(t)
	p.setPlan(&Plan{})
	for i, test := range []struct {
		fault Fault
		bytes int
		want  codes.Code
	}{
		{Unavailable, 1, codes.Unavailable},
		{Busy, 1, codes.ResourceExhausted},
		{Limit64K, 100 << 10, codes.ResourceExhausted},
		{Limit64K, 10 << 10, codes.OK},
		{Limit4M, 100 << 10, codes.OK},
		{Unauthenticated, 1, codes.Unauthenticated},
		{"", 1, codes.OK},
	} {
		p.setLasting(test.fault)
		_, err := send(t.Context(), c, uint64(i+1), test.bytes)
		if status.Code(err) != test.want {
			t.Errorf("%q, %d bytes: %v, want %s", test.fault, test.bytes, err, test.want)
		}
		if hasInfo := len(status.Convert(err).Details()) > 0; hasInfo != (test.fault == Busy) {
			t.Errorf("%q: RetryInfo %v", test.fault, hasInfo)
		}
		if arrived := b.times(uint64(i+1)) == 1; arrived != (test.want == codes.OK) {
			t.Errorf("%q: the server got it: %v", test.fault, arrived)
		}
	}
}

// TestStormEndsAndHeals lasts until each of the lasting faults has met a call.
func TestStormEndsAndHeals(t *testing.T) {
	p, _, c := rig(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	done := make(chan struct{})
	flips := make([]time.Duration, 100) // a window may pass without a call in it
	for i := range flips {
		flips[i] = time.Duration(2*i) * 20 * time.Millisecond
	}
	go func() {
		defer close(done)
		p.Storm(ctx, &Plan{Seed: 1, Pause: time.Millisecond, Longest: 40 * time.Millisecond, AuthFlips: flips})
	}()
	missing := func() (out []Fault) {
		counts, _ := p.Counts()
		for _, f := range []Fault{Unavailable, Busy, Limit64K, Unauthenticated} {
			if counts[f] == 0 {
				out = append(out, f)
			}
		}
		return out
	}
	for len(missing()) > 0 && ctx.Err() == nil {
		_, _ = send(t.Context(), c, 1, 70<<10) // what becomes of it is the plan's
	}
	if m := missing(); len(m) > 0 {
		t.Errorf("never happened: %v", m)
	}
	cancel()
	<-done
	if _, err := send(t.Context(), c, 2, 70<<10); err != nil {
		t.Errorf("after the storm: %v", err)
	}
}
