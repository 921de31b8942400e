// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busy refuses every third request in the polite way.
type busy struct {
	mu sync.Mutex
	n  int
}

func (b *busy) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	b.mu.Lock()
	b.n++
	refuse := b.n%3 == 0
	b.mu.Unlock()
	if refuse {
		st, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	return next(ctx, req)
}

// TestFleet sends to the real service with a store in memory.
func TestFleet(t *testing.T) {
	t.Parallel()
	db := memstore.New()
	service, err := ingest.New(ingest.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor((&busy{}).intercept))
	pb.RegisterCollectionAgentServer(server, service)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		server.Stop()
		<-done
	}()
	payload, err := NewPayload(1, 50, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Start(t.Context(), l.Addr().String(), 5, 1, payload)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop()
	for f.Acked() < 5*50*4 {
		time.Sleep(time.Millisecond)
	}
	f.SetLoad(false)
	if !f.Drained(t.Context(), 5*time.Minute) {
		t.Fatalf("%d batches wait", f.Waiting())
	}
	outcomes, last := f.Outcomes()
	if outcomes["ResourceExhausted+RetryInfo"] == 0 || len(outcomes) != 1 || last != nil {
		t.Errorf("outcomes %v, %v", outcomes, last)
	}
	ledgers, err := db.RunLedgers(t.Context(), ingest.DefaultProject)
	if err != nil {
		t.Fatal(err)
	}
	byRun := f.ByRun()
	var sum uint64
	for _, ledger := range ledgers {
		sum += ledger.Stored
		if run := hex.EncodeToString(ledger.RunID[:]); byRun[run] != ledger.Stored {
			t.Errorf("run %s: %d stored, %d acknowledged", run, ledger.Stored, byRun[run])
		}
	}
	if len(ledgers) != 5 || sum != f.Acked() || sum != f.Sent() {
		t.Errorf("%d runs with %d samples, %d acknowledged, %d sent", len(ledgers), sum, f.Acked(), f.Sent())
	}
}
